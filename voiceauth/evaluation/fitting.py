# SPDX-License-Identifier: Apache-2.0
"""From heard calls to calibration tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InputError
from voiceauth.evaluation.recordings import Piece
from voiceauth.evaluation.sessions import Channel, Session
from voiceauth.scoring.asnorm import AdaptiveNorm
from voiceauth.scoring.calibration import Node, Table
from voiceauth.scoring.combine import centroid
from voiceauth.scoring.fit import FitChoices, fit_node
from voiceauth.scoring.trials import Trials
from voiceauth.types import Bandwidth
from voiceauth.units import Seconds

GRID: NDArray[np.float64] = np.round(np.arange(-16.0, 16.01, 0.2), 6)
LEAST_ENROLMENT_SECONDS: Seconds = 8.0
_SUPPORT_MARGIN = 0.95
"""Support begins a little below the mean length of the first node's probes, which vary a little."""
_LEAST_TARGETS = 200
_SAME_LENGTH = 0.25
_ENROLMENTS_ACROSS = 2

Probes = Callable[[Sequence[Piece]], list[list[Piece]]]


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One side of the comparisons.

    Attributes:
        voices: unit rows, shape (count, dimension).
        keys: person, division, half, channel and turn as numbers, int64, shape (count, 5).
    """

    voices: NDArray[np.float32]
    keys: NDArray[np.int64]


def _first(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The first span of a call, which closes early."""
    return [list(pieces[:1])]


def _runs(count: int, least: Seconds) -> Probes:
    """Runs of full spans from later in a call, without overlap, as if it began there."""

    def runs(pieces: Sequence[Piece]) -> list[list[Piece]]:
        later = list(pieces[1:])
        groups = [later[at : at + count] for at in range(0, len(later) - count + 1, count)]
        return [one for one in groups if sum(piece.net_seconds for piece in one) >= least]

    return runs


def _whole(least: Seconds) -> Probes:
    """The whole call, if it is long."""

    def whole(pieces: Sequence[Piece]) -> list[list[Piece]]:
        long = sum(piece.net_seconds for piece in pieces) >= least
        return [list(pieces)] if long else []

    return whole


NODES: tuple[Probes, ...] = (_first, _runs(1, 2.7), _runs(2, 5.5), _runs(3, 8.5), _whole(12.0))
"""How probes of rising length are taken from a call; those too rare to calibrate are dropped."""


def fit_table(
    sessions: Sequence[Session],
    bandwidth: Bandwidth,
    norm: AdaptiveNorm | None,
    choices: FitChoices | None = None,
) -> Table:
    """Fit the table of one bandwidth.

    Narrowband probes meet enrolments over other simulated lines; wideband ones meet both wideband
    and telephone enrolments, as a wideband caller may have enrolled either way.

    Args:
        sessions: heard calls of many people.
        bandwidth: of the probes, as it was measured.
        norm: score normalisation, None for plain cosines.
        choices: of the fit.

    Raises:
        InputError: too few calls of this bandwidth to calibrate with.
    """
    probing = [one for one in sessions if one.voice.bandwidth is bandwidth]
    enrolled = _enrolments(sessions, bandwidth)
    nodes: list[Node] = []
    for probes in NODES:
        node = _node(enrolled, probing, probes, norm, choices)
        if node is not None:
            nodes.append(node)
    nodes = _pooled(_rising(nodes))
    if not nodes:
        raise InputError(f"There are too few {bandwidth.value} calls to calibrate with.")
    return Table(
        bandwidth=bandwidth,
        least_seconds=_SUPPORT_MARGIN * nodes[0].net_seconds,
        nodes=tuple(nodes),
        conditions=CONDITIONS[bandwidth],
    )


CONDITIONS = {
    Bandwidth.NARROWBAND: "probe and enrolment over different simulated telephone lines",
    Bandwidth.WIDEBAND: "wideband probe with noise; enrolment wideband or by simulated telephone",
}


def trials_of(
    enrolled: Sequence[Session],
    probing: Sequence[Session],
    probes: Probes,
    norm: AdaptiveNorm | None,
) -> tuple[Trials, Seconds] | None:
    """Compare all enrolments with all probes that share no recording and no channel with them.

    Returns:
        The trials and the probes' mean net seconds; None if there is not one of each kind.
    """
    probe_pieces = [(one, piece) for one in probing for piece in probes(one.voice.pieces)]
    if not probe_pieces or not enrolled:
        return None
    rows = _Side(np.stack([one.voice.mean() for one in enrolled]), _keys(enrolled))
    columns = _Side(
        np.stack(
            [centroid((p.embedding, p.net_seconds) for p in some) for _, some in probe_pieces]
        ),
        _keys([one for one, _ in probe_pieces]),
    )
    scores = np.clip(rows.voices @ columns.voices.T, -1.0, 1.0).astype(np.float64)
    if norm is not None:
        sides = norm.statistics(rows.voices), norm.statistics(columns.voices)
        scores = norm.normalise(scores, *sides)
    same = rows.keys[:, :1] == columns.keys[:, 0]
    one_division = rows.keys[:, 1:2] == columns.keys[:, 1]
    other_half = rows.keys[:, 2:3] != columns.keys[:, 2]
    other_line = np.any(rows.keys[:, np.newaxis, 3:] != columns.keys[:, 3:], axis=2)
    used = ~same | (one_division & other_half & other_line)
    if not (same & used).any() or not (~same).any():
        return None
    row, column = np.nonzero(used)
    trials = Trials(
        scores[row, column], same[row, column], rows.keys[row, 0], columns.keys[column, 0]
    )
    lengths = [sum(piece.net_seconds for piece in some) for _, some in probe_pieces]
    return trials, float(np.mean(lengths))


def _enrolments(sessions: Sequence[Session], bandwidth: Bandwidth) -> list[Session]:
    long = [one for one in sessions if one.voice.net_seconds >= LEAST_ENROLMENT_SECONDS]
    telephone = [one for one in long if one.channel is Channel.TELEPHONE]
    if bandwidth is Bandwidth.NARROWBAND:
        return telephone
    # About as many telephone enrolments as wideband ones that a probe may meet.
    across = [one for one in telephone if one.turn < _ENROLMENTS_ACROSS]
    return [one for one in long if one.channel is Channel.MICROPHONE] + across


def _node(
    enrolled: Sequence[Session],
    probing: Sequence[Session],
    probes: Probes,
    norm: AdaptiveNorm | None,
    choices: FitChoices | None,
) -> Node | None:
    found = trials_of(enrolled, probing, probes, norm)
    if found is None:
        return None
    trials, net_seconds = found
    if int(trials.target.sum()) < _LEAST_TARGETS:
        return None
    return fit_node(trials, net_seconds, GRID, choices)


def _rising(nodes: list[Node]) -> list[Node]:
    """Drop a node that is hardly longer than the one before it."""
    rising = nodes[:1]
    for before, node in pairwise(nodes):
        if node.net_seconds > max(before.net_seconds, rising[-1].net_seconds) + _SAME_LENGTH:
            rising.append(node)
    return rising


def _pooled(nodes: list[Node]) -> list[Node]:
    """Bound each node's rates by those of the shorter ones.

    At one ratio, longer speech errs no more often than shorter speech, and short probes are many:
    a few long calls need not show again what many short ones have shown.
    """
    pooled = nodes[:1]
    for node in nodes[1:]:
        shorter = pooled[-1]
        pooled.append(
            replace(
                node,
                false_match=np.minimum(node.false_match, shorter.false_match),
                false_non_match=np.minimum(node.false_non_match, shorter.false_non_match),
            )
        )
    return pooled


def _keys(sessions: Sequence[Session]) -> NDArray[np.int64]:
    kinds = list(Channel)
    return np.array(
        [(s.person, s.division, s.half, kinds.index(s.channel), s.turn) for s in sessions],
        dtype=np.int64,
    )
