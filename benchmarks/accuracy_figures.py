# SPDX-License-Identifier: Apache-2.0
"""From embeddings to the figures of the accuracy benchmark, all systems alike.

Every system is scored twice: by plain cosine, and by the adaptive normalisation of
``voiceauth.scoring.asnorm`` against a cohort of the same train people through the same simulated
calls. Ours is scored a third time as the engine does it, with the shipped cohort and calibration;
that one says what its ratios and stated rates are worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from accuracy_hearing import CAMPPLUS, GE2E, OURS, Voices
from accuracy_plan import MAIN_SET, Condition, Plan, groups_of
from accuracy_speech import Pack
from numpy.typing import NDArray

from voiceauth.evaluation import bootstrap
from voiceauth.evaluation.bootstrap import ByDraw, Times
from voiceauth.evaluation.trials import Trial
from voiceauth.scoring.asnorm import AdaptiveNorm
from voiceauth.scoring.calibration import Calibration
from voiceauth.scoring.condition import Condition as Compared
from voiceauth.scoring.cosine import unit
from voiceauth.scoring.scorer import normaliser
from voiceauth.scoring.tables import loads
from voiceauth.scoring.trials import Interval, Trials
from voiceauth.units import Seconds

COSINE, ASNORM, CALIBRATED = "cosine", "as-norm", "calibrated"
SCORINGS = (COSINE, ASNORM)
TOP = 50
"""Nearest cohort members of the adaptive norm, as in the shipped calibration."""
OPERATING_POINTS = (0.01, 0.001)
MIN_CLLR_DRAWS = 200
"""Of the thousand: each needs a monotone fit of its own."""
LEAST_TARGETS = 20
"""Groups with fewer target trials are left out."""

Figures = dict[str, Interval]


@dataclass(frozen=True, slots=True)
class Shipped:
    """What comes with our model.

    Attributes:
        calibration: its tables.
        cohort: the embeddings that they were made with, shape (people, dimension).
    """

    calibration: Calibration
    cohort: NDArray[np.float32]

    @classmethod
    def of(cls, calibration: str, cohort: NDArray[np.float32]) -> "Shipped":
        """Parse the text of a calibration file. Raises SettingsError if it is none."""
        return cls(loads(calibration), cohort)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One line of the tables.

    Attributes:
        name: of the condition; of a group after a bar.
        title: for people.
        group: which table.
        people: in the trials.
        targets: trials of one person.
        impostors: trials of two.
        lost: trials without enough speech.
        net_seconds: median net speech of the probes, as the engine counts it.
        figures: system, scoring to figures by name.
        ratios: by name, our EER over that of CAM++.
        ahead: whether our EER is below the better one of GE2E; None without it.
        trials: system to scored trials of the better-known scoring, for plots.
    """

    name: str
    title: str
    group: str
    people: int
    targets: int
    impostors: int
    lost: int
    net_seconds: Seconds
    figures: dict[str, dict[str, Figures]]
    ratios: dict[str, Interval]
    ahead: bool | None
    trials: dict[str, Trials]


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """The trials of one condition as places in two lists of files."""

    trials: tuple[Trial, ...]
    enrolments: tuple[Trial, ...]
    probes: tuple[str, ...]
    enrol_place: NDArray[np.int64]
    probe_place: NDArray[np.int64]
    persons: tuple[NDArray[np.int64], NDArray[np.int64]]
    lost: int


class Scorekeeper:
    """Scores conditions. The draws of people are made once for each set of speech.

    Args:
        plan: of the run.
        pack: describes the people.
        voices: all embeddings.
        shipped: our system's name to what comes with it.
        draws: of the bootstrap.
    """

    def __init__(
        self,
        plan: Plan,
        pack: Pack,
        voices: Voices,
        shipped: Mapping[str, Shipped],
        draws: int = bootstrap.DRAWS,
    ) -> None:
        self._plan, self._pack, self._voices, self._shipped = plan, pack, voices, shipped
        self._draws = draws
        self._norms = {name: self._norm(name) for name in voices.vectors}
        self._persons: dict[str, dict[str, int]] = {}
        self._times: dict[str, Times] = {}
        for name, trials in plan.trials.items():
            people = sorted({pack.speaker[trial.test_path] for trial in trials})
            self._persons[name] = {person: place for place, person in enumerate(people)}
            self._times[name] = bootstrap.draw_people(len(people), draws=draws, seed=plan.seed)

    def results(self, condition: Condition) -> list[Result]:
        """Score a condition and, where the manifest describes the people, its groups."""
        table = self._table(condition)
        scored = {name: self._scores(name, table, condition) for name in self._voices.vectors}
        everything = np.ones(len(table.trials), dtype=bool)
        found = [self._result(condition, table, scored, everything)]
        if condition.group == "main" and condition.listing == MAIN_SET:
            for group, mask in groups_of(table.trials, self._pack.speaker, self._pack).items():
                if (self._targets(table) & mask).sum() >= LEAST_TARGETS:
                    found.append(self._result(condition, table, scored, mask, group))
        return found

    def _table(self, condition: Condition) -> _Table:
        heard = [
            self._voices.vectors[name].get(condition.probe, {}) for name in self._voices.vectors
        ]
        wanted = self._plan.trials_of(condition)
        trials = tuple(t for t in wanted if all(t.test_path in one for one in heard))
        enrolments = {trial.enrol_id: trial for trial in trials}
        probes = {trial.test_path: None for trial in trials}
        rows = {name: place for place, name in enumerate(enrolments)}
        columns = {name: place for place, name in enumerate(probes)}
        number, speaker = self._persons[condition.listing], self._pack.speaker
        return _Table(
            trials=trials,
            enrolments=tuple(enrolments.values()),
            probes=tuple(probes),
            enrol_place=np.array([rows[t.enrol_id] for t in trials]),
            probe_place=np.array([columns[t.test_path] for t in trials]),
            persons=(
                np.array([number[speaker[t.enrol_paths[0]]] for t in trials]),
                np.array([number[speaker[t.test_path]] for t in trials]),
            ),
            lost=len(wanted) - len(trials),
        )

    def _scores(
        self, system: str, table: _Table, condition: Condition
    ) -> dict[str, NDArray[np.float64]]:
        """All scores of a system; ratios without support are NaN."""
        vectors = self._voices.vectors[system]
        enrolled = np.stack(
            [
                unit(np.mean([vectors[condition.enrol][path] for path in one.enrol_paths], axis=0))
                for one in table.enrolments
            ]
        )
        probes = np.stack([unit(vectors[condition.probe][path]) for path in table.probes])
        place = (table.enrol_place, table.probe_place)
        cosines = (enrolled @ probes.T).astype(np.float64)
        scores = {
            COSINE: cosines[place],
            ASNORM: _normalised(self._norms[system], cosines, enrolled, probes)[place],
        }
        if system in self._shipped:
            shipped = self._shipped[system]
            norm = normaliser(shipped.calibration.normalisation, shipped.cohort)
            raw = _normalised(norm, cosines, enrolled, probes)[place]
            scores |= _calibrated(shipped.calibration, raw, self._conditions(table, condition))
        return scores

    def _conditions(self, table: _Table, condition: Condition) -> list[Compared]:
        """Tell under which conditions each trial's sides are compared, as the engine sees them."""
        enrol, probe = (self._voices.facts[view] for view in (condition.enrol, condition.probe))
        seconds = {
            one.enrol_id: sum(enrol[path].net_seconds for path in one.enrol_paths)
            for one in table.enrolments
        }
        return [
            Compared(
                condition.bandwidth,
                probe[trial.test_path].net_seconds,
                seconds[trial.enrol_id],
                probe[trial.test_path].snr_db,
            )
            for trial in table.trials
        ]

    def _norm(self, system: str) -> AdaptiveNorm:
        heard = self._voices.vectors[system]["cohort"]
        return AdaptiveNorm(np.stack([heard[name] for name in self._plan.cohort]), TOP)

    def _targets(self, table: _Table) -> NDArray[np.bool_]:
        return np.array([trial.target for trial in table.trials])

    def _result(
        self,
        condition: Condition,
        table: _Table,
        scored: Mapping[str, Mapping[str, NDArray[np.float64]]],
        mask: NDArray[np.bool_],
        group: str = "",
    ) -> Result:
        times = self._times[condition.listing]
        target = self._targets(table)[mask]
        one, other = (side[mask] for side in table.persons)
        figures: dict[str, dict[str, Figures]] = {}
        rates: dict[tuple[str, str], ByDraw] = {}
        kept: dict[str, Trials] = {}
        for system, scores in scored.items():
            figures[system] = {}
            for scoring in SCORINGS:
                trials = Trials(scores[scoring][mask], target, one, other)
                figures[system][scoring], rates[system, scoring] = _figures(trials, times)
                kept[system] = trials
            if CALIBRATED in scores:
                stated = {name: values[mask] for name, values in scores.items()}
                figures[system][CALIBRATED] = _worth(stated, target, (one, other), times)
        seconds = [self._voices.facts[condition.probe][path].net_seconds for path in table.probes]
        return Result(
            name=f"{condition.name}|{group}" if group else condition.name,
            title=f"{condition.title}: {group}" if group else condition.title,
            group=f"groups {condition.name}" if group else condition.group,
            people=len(np.unique(np.concatenate([one, other]))),
            targets=int(target.sum()),
            impostors=int((~target).sum()),
            lost=0 if group else table.lost,
            net_seconds=float(np.median(seconds)),
            figures=figures,
            ratios=_ratios(rates),
            ahead=_ahead(figures),
            trials=kept,
        )


def better(figures: Mapping[str, Figures]) -> str:
    """Return the scoring with the lower EER of the two that every system has."""
    return min(SCORINGS, key=lambda scoring: figures[scoring]["eer"].value)


def _normalised(
    norm: AdaptiveNorm | None,
    cosines: NDArray[np.float64],
    enrolled: NDArray[np.float32],
    probes: NDArray[np.float32],
) -> NDArray[np.float64]:
    if norm is None:
        return cosines
    return norm.normalise(cosines, norm.statistics(enrolled), norm.statistics(probes))


def _calibrated(
    calibration: Calibration,
    raw: NDArray[np.float64],
    compared: Sequence[Compared],
) -> dict[str, NDArray[np.float64]]:
    """Ratios and stated false-match rates of raw scores; NaN where the tables have no support."""
    scores = [calibration.score(float(one), how) for one, how in zip(raw, compared, strict=True)]
    unknown = float("nan")
    return {
        CALIBRATED: np.array([unknown if s.llr is None else s.llr for s in scores]),
        "stated": np.array(
            [unknown if s.false_match_rate is None else s.false_match_rate for s in scores]
        ),
    }


def _figures(trials: Trials, times: Times) -> tuple[Figures, ByDraw]:
    """The figures that need no calibration, and the EER of each draw."""
    rates = bootstrap.sweep(trials, times)
    equal = bootstrap.equal_error_rates(rates)
    found = {
        "eer": bootstrap.interval(equal),
        "min_dcf": bootstrap.interval(bootstrap.min_costs(rates)),
    }
    for point in OPERATING_POINTS:
        missed = bootstrap.false_non_matches_at(rates, point)
        found[f"fnmr_at_{point:g}"] = bootstrap.interval(missed)
    return found, equal


def _worth(
    scores: Mapping[str, NDArray[np.float64]],
    target: NDArray[np.bool_],
    persons: tuple[NDArray[np.int64], NDArray[np.int64]],
    times: Times,
) -> Figures:
    """What the calibrated ratios and the stated rates are worth, over the trials with support."""
    known = np.isfinite(scores[CALIBRATED])
    share = float(known.mean())
    found = {"supported": Interval(share, share, share)}
    if not (known & target).any() or not (known & ~target).any():
        return found
    ratios = Trials(scores[CALIBRATED][known], target[known], persons[0][known], persons[1][known])
    some = times[:, : 1 + MIN_CLLR_DRAWS]
    found["cllr"] = bootstrap.interval(bootstrap.cllrs(ratios, times))
    found["min_cllr"] = bootstrap.interval(bootstrap.min_cllrs(bootstrap.sweep(ratios, some)))
    for point in OPERATING_POINTS:
        let_in = (scores["stated"][known] <= point).astype(np.float64)
        passed = bootstrap.means(let_in, ratios, times, ~ratios.target)
        found[f"fmr_where_{point:g}_is_stated"] = bootstrap.interval(passed)
    return found


def _ratios(rates: Mapping[tuple[str, str], ByDraw]) -> dict[str, Interval]:
    """Our EER over that of CAM++, like with like, and the fair one that the targets are about.

    That one takes ours normalised, as the engine scores, and CAM++ in whichever scoring is better
    for it in this very condition.
    """
    if (CAMPPLUS, COSINE) not in rates or (OURS, COSINE) not in rates:
        return {}
    best = min(SCORINGS, key=lambda scoring: float(rates[CAMPPLUS, scoring][0]))
    pairs = {name: (rates[OURS, name], rates[CAMPPLUS, name]) for name in SCORINGS}
    pairs["best"] = (rates[OURS, ASNORM], rates[CAMPPLUS, best])
    return {name: bootstrap.interval(bootstrap.ratios(*pair)) for name, pair in pairs.items()}


def _ahead(figures: Mapping[str, Mapping[str, Figures]]) -> bool | None:
    if OURS not in figures or GE2E not in figures:
        return None
    least = min(figures[GE2E][scoring]["eer"].value for scoring in SCORINGS)
    return figures[OURS][ASNORM]["eer"].value < least
