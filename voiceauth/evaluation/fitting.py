# SPDX-License-Identifier: Apache-2.0
"""From compared voices to calibration tables."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InputError, SettingsError
from voiceauth.evaluation.comparing import compared_calls
from voiceauth.evaluation.sessions import Session
from voiceauth.scoring.asnorm import AdaptiveNorm
from voiceauth.scoring.calibration import Node, Table
from voiceauth.scoring.condition import Line, Range, Support
from voiceauth.scoring.fit import FitChoices, fit_line, fit_node
from voiceauth.scoring.trials import Compared, Trials
from voiceauth.scoring.validation import Ratios, worth_of
from voiceauth.types import Bandwidth

GRID: NDArray[np.float64] = np.round(np.arange(-16.0, 16.01, 0.2), 6)
SUPPORT_MARGIN = 0.95
"""Support begins a little below the mean length of the first node's probes, which vary a little."""
_SEEN = (0.005, 0.995)
"""Quantiles between which a condition was seen often enough to speak about it."""
_LEAST_TARGETS = 200
_SAME_LENGTH = 0.25
_MOST_IMPOSTORS = 60_000
"""Per length of probe, in the regression: more trials of the same people add only time."""
_THINNING_SEED = 20_26

CONDITIONS = {
    Bandwidth.NARROWBAND: "probe and enrolment over different simulated telephone lines",
    Bandwidth.WIDEBAND: "wideband probe with noise; enrolment wideband or by simulated telephone",
}


def fit_table(
    sessions: Sequence[Session],
    bandwidth: Bandwidth,
    norm: AdaptiveNorm | None,
    choices: FitChoices | None = None,
) -> Table:
    """Fit the table of one bandwidth.

    Args:
        sessions: heard calls of many people.
        bandwidth: of the probes, as it was measured.
        norm: score normalisation, None for plain cosines.
        choices: of the fit.

    Raises:
        InputError: too few calls of this bandwidth to calibrate with.
    """
    choices = choices or FitChoices()
    groups = usable(compared_calls(sessions, bandwidth, norm))
    if not groups:
        raise InputError(f"There are too few {bandwidth.value} calls to calibrate with.")
    return table_of(groups, bandwidth, CONDITIONS[bandwidth], choices)


def table_of(
    groups: Sequence[Compared],
    bandwidth: Bandwidth,
    conditions: str,
    choices: FitChoices,
    grid: NDArray[np.float64] = GRID,
) -> Table:
    """Fit a table from compared voices, one group per length of probe, by rising length.

    Args:
        groups: at least one.
        bandwidth: of the probes.
        conditions: what the trials were, for people.
        choices: of the fit.
        grid: rising ratios at which the rates are stated, shape (grid,).

    Raises:
        InputError: the trials do not support a table.
    """
    support = support_of(groups)
    few = thinned(groups)
    fit = line_fit(support, choices)
    try:
        return Table(
            bandwidth=bandwidth,
            support=support,
            line=fitted_line(few, support, choices),
            nodes=nodes_of(groups, fit(few), choices, grid),
            conditions=conditions,
            worth=worth_of(few, fit),
        )
    except SettingsError as error:
        raise InputError(f"The {bandwidth.value} calls cannot be calibrated with.") from error


def usable(groups: Sequence[Compared], least_targets: int = _LEAST_TARGETS) -> list[Compared]:
    """Drop lengths of probe with few trials, and such as are hardly longer than the one before."""
    kept: list[Compared] = []
    many = [one for one in groups if int(one.trials.target.sum()) >= least_targets]
    lengths = [_length(one) for one in many]
    for one, length, before in zip(many, lengths, [0.0, *lengths], strict=False):
        longest = _length(kept[-1]) if kept else 0.0
        if length > max(before, longest) + (_SAME_LENGTH if kept else 0.0):
            kept.append(one)
    return kept


def support_of(groups: Sequence[Compared]) -> Support:
    """Say under which conditions voices were compared; lengths of probe rise over the groups."""
    conditions = np.concatenate([one.conditions for one in groups])
    enrolled, noise = (np.quantile(conditions[:, column], _SEEN) for column in (1, 2))
    lengths = [_length(one) for one in groups]
    return Support(
        net_seconds=Range(SUPPORT_MARGIN * lengths[0], lengths[-1]),
        enrolled_seconds=Range(SUPPORT_MARGIN * float(enrolled[0]), float(enrolled[1])),
        snr_db=Range(float(noise[0]), float(noise[1])),
    )


def thinned(groups: Sequence[Compared]) -> Compared:
    """Join groups, keeping all target trials and a random part of the impostor trials."""
    rng = np.random.default_rng(_THINNING_SEED)
    parts = []
    for one in groups:
        share = _MOST_IMPOSTORS / max(1, int((~one.trials.target).sum()))
        parts.append(one.only(one.trials.target | (rng.random(len(one.group)) < share)))
    return Compared(
        Trials(
            np.concatenate([one.trials.scores for one in parts]),
            np.concatenate([one.trials.target for one in parts]),
            np.concatenate([one.trials.enrolled for one in parts]),
            np.concatenate([one.trials.probed for one in parts]),
        ),
        np.concatenate([one.conditions for one in parts]),
        np.concatenate([one.group for one in parts]),
    )


def fitted_line(compared: Compared, support: Support, choices: FitChoices) -> Line:
    """Fit a line with the conditions as the support will clip them."""
    conditions = support.clipped(compared.conditions)
    return fit_line(Compared(compared.trials, conditions, compared.group), choices)


def line_fit(
    support: Support, choices: FitChoices
) -> Callable[[Compared], Callable[[Compared], Ratios]]:
    """Return the fit as cross-validation wants it."""

    def fit(compared: Compared) -> Callable[[Compared], Ratios]:
        line = fitted_line(compared, support, choices)
        return lambda other: line.ratios(other.trials.scores, support.clipped(other.conditions))

    return fit


def nodes_of(
    groups: Sequence[Compared],
    ratios: Callable[[Compared], Ratios],
    choices: FitChoices,
    grid: NDArray[np.float64] = GRID,
) -> tuple[Node, ...]:
    """Fit the rates at each length of probe.

    Args:
        groups: compared voices per length of probe.
        ratios: turns them into ratios.
        choices: of the fit.
        grid: rising ratios at which the rates are stated, shape (grid,).
    """
    nodes = []
    for one in groups:
        found = ratios(one)
        trials = Trials(found, one.trials.target, one.trials.enrolled, one.trials.probed)
        nodes.append(fit_node(trials, _length(one), grid, choices, one.conditions))
    return tuple(nodes)


def _length(compared: Compared) -> float:
    return float(compared.conditions[:, 0].mean())
