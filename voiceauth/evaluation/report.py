# SPDX-License-Identifier: Apache-2.0
"""From scored trials to the figures that people read, as text and as JSON."""

import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.evaluation.run import Scored
from voiceauth.scoring.metrics import (
    cllr,
    equal_error_rate,
    false_non_match_at,
    min_cllr,
    min_dcf,
    roc_of,
)
from voiceauth.scoring.trials import Interval, Trials, Weights, speaker_interval
from voiceauth.units import Rate, Seconds

OPERATING_POINTS = (0.01, 0.001)
_LEVELS = 4000
"""Scores are told apart this finely where the least Cllr is bootstrapped."""
_RULE_OF_30 = 30
"""False matches behind a figure that needs no word of caution."""
_RULE_OF_3 = 3
"""With fewer than this many false matches to be expected, there is no figure."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a false-match rate costs, and whether the calibration keeps what it states.

    Attributes:
        false_match: the rate asked for.
        false_non_match: rate of missed targets there; None if there are too few impostor trials
            to expect three false matches; below 30 a figure is only a hint.
        stated_kept: share of impostors that were let in where the calibration stated at most this
            rate; None without calibration.
        stated_missed: share of targets that were not let in there; None without calibration.
    """

    false_match: Rate
    false_non_match: Interval | None
    stated_kept: Rate | None
    stated_missed: Rate | None


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one evaluation. Intervals are 90 % bootstrap intervals over people.

    Attributes:
        condition: how the recordings were heard, in words.
        people: different people in the trials.
        target_trials: scored ones.
        impostor_trials: scored ones.
        lost_trials: (target, impostor) trials without enough speech on a side.
        unheard: recordings and enrolments without enough usable speech.
        median_net_seconds: net speech of the scored test recordings.
        equal_error_rate: with its interval.
        min_dcf: smallest normalised cost at a target prior of 0.01.
        cllr: cost of the calibrated ratios in bits, over the trials with support; None without.
        min_cllr: what the best monotone calibration of the same trials would cost; without
            calibration, that of the plain scores.
        supported: share of trials for which the calibration has support.
        points: operating points.
    """

    condition: str
    people: int
    target_trials: int
    impostor_trials: int
    lost_trials: tuple[int, int]
    unheard: tuple[str, ...]
    median_net_seconds: Seconds
    equal_error_rate: Interval
    min_dcf: Interval
    cllr: Interval | None
    min_cllr: Interval
    supported: float
    points: tuple[OperatingPoint, ...]

    def to_json(self) -> str:
        """Write the figures as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"


def summarise(scored: Scored, condition: str, *, draws: int = 200) -> Report:
    """Compute the figures of scored trials.

    Args:
        scored: from ``run.evaluate``.
        condition: how the recordings were heard, in words.
        draws: of the bootstrap.
    """
    trials = scored.trials
    same = trials.target
    ratios = _ratios(scored)
    least = trials if ratios is None else ratios
    supported = [score.llr is not None for score in scored.scores]
    return Report(
        condition=condition,
        people=len(np.unique(np.concatenate([trials.enrolled, trials.probed]))),
        target_trials=int(same.sum()),
        impostor_trials=int((~same).sum()),
        lost_trials=scored.lost,
        unheard=scored.unheard,
        median_net_seconds=float(np.median(scored.net_seconds)),
        equal_error_rate=speaker_interval(_equal, trials, draws=draws),
        min_dcf=speaker_interval(_cost, trials, draws=draws),
        cllr=None if ratios is None else speaker_interval(_ratio_cost, ratios, draws=draws),
        min_cllr=speaker_interval(_least_ratio_cost, _levelled(least), draws=draws),
        supported=float(np.mean(supported)) if supported else 0.0,
        points=tuple(_point(scored, rate, draws) for rate in OPERATING_POINTS),
    )


def render(report: Report) -> str:
    """Write the figures as a plain table."""
    lost = sum(report.lost_trials)
    lines = [
        ("condition", report.condition),
        ("people", f"{report.people}"),
        ("trials", f"{report.target_trials} target, {report.impostor_trials} impostor"),
        (
            "not enough speech",
            f"{len(report.unheard)} recordings, {lost} trials",
        ),
        ("net speech", f"{report.median_net_seconds:.1f} s in the median test recording"),
        ("EER", _percent(report.equal_error_rate)),
        ("minDCF (0.01)", f"{report.min_dcf.value:.3f}"),
        ("Cllr", "not calibrated" if report.cllr is None else _bits(report.cllr)),
        ("min Cllr", _bits(report.min_cllr)),
    ]
    for point in report.points:
        missed = (
            "too few trials" if point.false_non_match is None else _percent(point.false_non_match)
        )
        matches = point.false_match * report.impostor_trials
        if point.false_non_match is not None and matches < _RULE_OF_30:
            missed += f", on {matches:.0f} false matches only: a hint"
        lines.append((f"FNMR at FMR {100 * point.false_match:g} %", missed))
        if point.stated_kept is not None and point.stated_missed is not None:
            stated = f"{100 * point.stated_kept:.3f} % false matches, "
            stated += f"{100 * point.stated_missed:.1f} % missed"
            lines.append((f"  where {100 * point.false_match:g} % is stated", stated))
    return "\n".join(f"{name:26} {value}" for name, value in lines)


def _percent(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.value:.2f} % ({low:.2f} to {high:.2f})"


def _bits(interval: Interval) -> str:
    return f"{interval.value:.3f} bit ({interval.low:.3f} to {interval.high:.3f})"


def _equal(trials: Trials, weights: Weights) -> float:
    return equal_error_rate(roc_of(trials, weights))


def _cost(trials: Trials, weights: Weights) -> float:
    return min_dcf(roc_of(trials, weights))


def _ratio_cost(trials: Trials, weights: Weights) -> float:
    return cllr(*_sides(trials, weights))


def _least_ratio_cost(trials: Trials, weights: Weights) -> float:
    return min_cllr(*_sides(trials, weights))


def _sides(
    trials: Trials, weights: Weights
) -> tuple[NDArray[np.float64], NDArray[np.float64], Weights, Weights]:
    same = trials.target
    return trials.scores[same], trials.scores[~same], weights[same], weights[~same]


def _levelled(trials: Trials) -> Trials:
    """Merge scores into many levels of equal count: pooling is done anew for every draw."""
    if len(trials.scores) <= _LEVELS:
        return trials
    edges = np.unique(np.quantile(trials.scores, np.linspace(0.0, 1.0, _LEVELS + 1)))
    levels = np.searchsorted(edges, trials.scores).astype(np.float64)
    return Trials(levels, trials.target, trials.enrolled, trials.probed)


def _ratios(scored: Scored) -> Trials | None:
    """The trials with support, by their ratios; None if one kind has none."""
    if not scored.scores:
        return None
    ratios = np.array([np.nan if one.llr is None else one.llr for one in scored.scores])
    known, trials = np.isfinite(ratios), scored.trials
    if not (known & trials.target).any() or not (known & ~trials.target).any():
        return None
    return Trials(ratios[known], trials.target[known], trials.enrolled[known], trials.probed[known])


def _point(scored: Scored, rate: Rate, draws: int) -> OperatingPoint:
    trials = scored.trials
    missed = None
    if rate * int((~trials.target).sum()) >= _RULE_OF_3:

        def at_rate(trials: Trials, weights: Weights) -> float:
            return false_non_match_at(roc_of(trials, weights), rate)

        missed = speaker_interval(at_rate, trials, draws=draws)
    if not scored.scores:
        return OperatingPoint(rate, missed, None, None)
    let_in = np.array(
        [s.false_match_rate is not None and s.false_match_rate <= rate for s in scored.scores]
    )
    return OperatingPoint(
        false_match=rate,
        false_non_match=missed,
        stated_kept=float(let_in[~trials.target].mean()),
        stated_missed=float(1.0 - let_in[trials.target].mean()),
    )
