# SPDX-License-Identifier: Apache-2.0
"""Tables refitted on an operator's own trials.

The present tables know how a score's worth follows net speech, enrolment and noise, from more
calls than most operators have labelled. What they do not know are the operator's lines and people.
So their line is kept in shape: two numbers per bandwidth, a stretch and a shift of its ratio, are
fitted to the trials. The error rates and the support are not corrected but measured anew, with
bounds over the operator's people; nothing of the old rates is left in a refitted table.

Rules:

* Only the listed pairs are compared: who lists them knows which recordings share a handset.
* A recording probes at several lengths, as a call does while it grows.
* Too few people or trials are refused. Rates from a handful of voices would be guesses.
* A bandwidth without trials keeps its table. With another cohort it loses it, because scores that
  were normalised by another cohort are on another scale.
* Costs are those on people that a fit did not see, the earlier tables' on the very same trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InputError, SettingsError
from voiceauth.evaluation.calibrate import named
from voiceauth.evaluation.fitting import nodes_of, support_of, table_of, thinned, usable
from voiceauth.evaluation.listed import HeardTrials, compared_trials, digest_of
from voiceauth.scoring.asnorm import AdaptiveNorm
from voiceauth.scoring.calibration import Calibration, Normalisation, Table
from voiceauth.scoring.condition import CONSTANT, Line, Support
from voiceauth.scoring.fit import FitChoices, balanced, fit_affine
from voiceauth.scoring.trials import Compared
from voiceauth.scoring.validation import Fit, Ratios, worth_of
from voiceauth.types import Bandwidth

LEAST_PEOPLE = 10
LEAST_TARGETS = 50
"""Per length of probe; with fewer no miss rate below 60 % could be stated (rule of 30)."""
LEAST_IMPOSTORS = 1000
"""Per length of probe; with fewer no false-match rate below 3 % could be stated (rule of 30)."""


@dataclass(frozen=True, slots=True, eq=False)
class Normalised:
    """How raw scores come about.

    Attributes:
        described: what the tables state of it.
        norm: the normalisation itself; None for plain cosines.
    """

    described: Normalisation
    norm: AdaptiveNorm | None


@dataclass(frozen=True, slots=True, eq=False)
class Refit:
    """New tables and what became of each bandwidth.

    Attributes:
        calibration: the new tables.
        refitted: bandwidths that the trials have.
        kept: bandwidths whose table is the one from before.
        dropped: bandwidths that had a table and have none now.
    """

    calibration: Calibration
    refitted: tuple[Bandwidth, ...]
    kept: tuple[Bandwidth, ...] = field(default=())
    dropped: tuple[Bandwidth, ...] = field(default=())


def refit(
    heard: HeardTrials,
    present: Calibration,
    before: Normalised,
    after: Normalised,
    choices: FitChoices | None = None,
) -> Refit:
    """Refit tables on an operator's trials.

    Args:
        heard: the trials.
        present: the tables from before.
        before: the normalisation that they were made with.
        after: the one that the new tables are to read.
        choices: of the fit; its confidence is that of the present tables.

    Raises:
        InputError: too few people or trials of every bandwidth, or trials that do not support a
            table.
    """
    choices = replace(choices or FitChoices(), confidence=present.confidence)
    changed = before.described != after.described
    tables: dict[Bandwidth, Table] = {}
    refused: list[str] = []
    for bandwidth in Bandwidth:
        groups = compared_trials(heard, bandwidth, after.norm)
        problem = shortage(groups, bandwidth)
        if problem is not None:
            refused.append(problem)
            continue
        kept = usable(groups, LEAST_TARGETS)
        old = present.table(bandwidth)
        if old is None:
            tables[bandwidth] = table_of(kept, bandwidth, heard.name, choices, present.grid)
            continue
        # The same lengths of probe, so that the same trials stand in both.
        lengths = {int(one.group[0]) for one in kept}
        earlier = compared_trials(heard, bandwidth, before.norm) if changed else groups
        chosen = [one for one in earlier if int(one.group[0]) in lengths]
        tables[bandwidth] = _refitted(
            kept, chosen, old, name=heard.name, choices=choices, grid=present.grid
        )
    if not tables:
        raise InputError(f"Too little to calibrate with. {' '.join(refused)}")
    left = [one for one in present.tables if one.bandwidth not in tables]
    kept_tables = [] if changed else left
    everything = [*tables.values(), *kept_tables]
    calibration = replace(
        present,
        normalisation=after.described,
        data=_data(heard, present, [one.bandwidth for one in kept_tables]),
        data_sha256=digest_of(heard),
        speakers=len({trial.enrol_id for trial in heard.trials if trial.target}),
        tables=tuple(sorted(everything, key=lambda one: list(Bandwidth).index(one.bandwidth))),
    )
    return Refit(
        named(calibration),
        tuple(tables),
        tuple(one.bandwidth for one in kept_tables),
        tuple(one.bandwidth for one in left if changed),
    )


def shortage(groups: Sequence[Compared], bandwidth: Bandwidth) -> str | None:
    """Say in a sentence what a bandwidth's trials lack; None if they are enough."""
    people = {int(one) for group in groups for one in group.trials.enrolled[group.trials.target]}
    targets = max((int(one.trials.target.sum()) for one in groups), default=0)
    impostors = max((int((~one.trials.target).sum()) for one in groups), default=0)
    enough = len(people) >= LEAST_PEOPLE and targets >= LEAST_TARGETS
    if enough and impostors >= LEAST_IMPOSTORS and usable(groups, LEAST_TARGETS):
        return None
    return (
        f"{bandwidth.value.capitalize()}: {len(people)} people in {targets} target and {impostors} "
        f"impostor comparisons of one length; needed are {LEAST_PEOPLE}, {LEAST_TARGETS} and "
        f"{LEAST_IMPOSTORS}."
    )


def _refitted(
    groups: Sequence[Compared],
    earlier: Sequence[Compared],
    old: Table,
    *,
    name: str,
    choices: FitChoices,
    grid: NDArray[np.float64],
) -> Table:
    """Refit one table; ``earlier`` are the same trials as the old table read them."""
    support = support_of(groups)
    few, before = thinned(groups), thinned(earlier)
    fit = _stretch(old.line, support, choices)
    stated = old.line.ratios(before.trials.scores, old.support.clipped(before.conditions))
    try:
        return Table(
            bandwidth=old.bandwidth,
            support=support,
            line=stretched(few, old.line, support, choices),
            nodes=nodes_of(groups, fit(few), choices, grid),
            conditions=name,
            worth=worth_of(few, fit, (before, stated)),
        )
    except SettingsError as error:
        raise InputError(
            f"The {old.bandwidth.value} trials cannot be calibrated with: {error.public}"
        ) from error


def stretched(compared: Compared, line: Line, support: Support, choices: FitChoices) -> Line:
    """Stretch and shift a line's ratio as the trials want it.

    Raises:
        SettingsError: the trials do not overlap, or their scores point the wrong way.
    """
    ratios = line.ratios(compared.trials.scores, support.clipped(compared.conditions))
    weights = balanced(compared, choices.prior)
    scale, shift = fit_affine(ratios, compared.trials.target, weights, choices.prior)
    terms = line.terms if CONSTANT in line.terms else (*line.terms, CONSTANT)
    missing = (0.0,) * (len(terms) - len(line.terms))
    added = [shift if term == CONSTANT else 0.0 for term in terms]
    return Line(
        terms,
        tuple(scale * weight for weight in (*line.slope, *missing)),
        tuple(
            scale * weight + more
            for weight, more in zip((*line.offset, *missing), added, strict=True)
        ),
    )


def _stretch(line: Line, support: Support, choices: FitChoices) -> Fit:
    """Return the fit as cross-validation wants it."""

    def fit(compared: Compared) -> "_Ratio":
        return _Ratio(stretched(compared, line, support, choices), support)

    return fit


@dataclass(frozen=True, slots=True)
class _Ratio:
    """A line as a function of trials."""

    line: Line
    support: Support

    def __call__(self, compared: Compared) -> Ratios:
        return self.line.ratios(compared.trials.scores, self.support.clipped(compared.conditions))


def _data(heard: HeardTrials, present: Calibration, kept: Sequence[Bandwidth]) -> str:
    told = f"{len(heard.trials)} trials of {heard.name}, refitted from {present.version}"
    return told + "".join(f", {one.value} as there" for one in kept)
