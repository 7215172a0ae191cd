# SPDX-License-Identifier: Apache-2.0
"""From heard calls to compared voices: enrolments of all lengths against probes of all lengths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.evaluation.recordings import Piece
from voiceauth.evaluation.sessions import Channel, Session
from voiceauth.scoring.asnorm import AdaptiveNorm
from voiceauth.scoring.combine import centroid, mean_level
from voiceauth.scoring.trials import Compared, Trials
from voiceauth.types import Bandwidth, Embedding
from voiceauth.units import Decibels, Seconds

Probes = Callable[[Sequence[Piece]], list[list[Piece]]]

ENROLMENTS: tuple[Seconds, ...] = (1.0, 5.0, 11.0, float("inf"))
"""Net seconds after which enrolments stop, in turn: a segment, a few of them, a whole call."""
_MOST_RUNS = 3
_ENROLMENTS_ACROSS = 2
_CONDITION_COLUMNS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One side of the comparisons.

    Attributes:
        voices: unit rows, shape (count, dimension).
        keys: person, division, half, channel and turn as numbers, int64, shape (count, 5).
        net_seconds: speech behind each, shape (count,).
        snr_db: of each, shape (count,).
    """

    voices: NDArray[np.float32]
    keys: NDArray[np.int64]
    net_seconds: NDArray[np.float64]
    snr_db: NDArray[np.float64]


def _first(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The first span of a call, which closes early."""
    return [list(pieces[:1])]


def _runs(count: int, least: Seconds) -> Probes:
    """A few runs of full spans from later in a call, without overlap, as if it began there."""

    def runs(pieces: Sequence[Piece]) -> list[list[Piece]]:
        later = list(pieces[1:])
        groups = [later[at : at + count] for at in range(0, len(later) - count + 1, count)]
        long = [one for one in groups if sum(piece.net_seconds for piece in one) >= least]
        # Evenly over the call; more of one call would add little but time.
        places = np.linspace(0, len(long) - 1, _MOST_RUNS).astype(int).tolist() if long else []
        return [long[place] for place in sorted(set(places))]

    return runs


def _whole(least: Seconds) -> Probes:
    """The whole call, if it is long."""

    def whole(pieces: Sequence[Piece]) -> list[list[Piece]]:
        long = sum(piece.net_seconds for piece in pieces) >= least
        return [list(pieces)] if long else []

    return whole


PROBES: tuple[Probes, ...] = (_first, _runs(1, 2.7), _runs(2, 5.5), _runs(3, 8.5), _whole(12.0))
"""How probes of rising length are taken from a call; those too rare to calibrate are dropped."""


def compared_calls(
    sessions: Sequence[Session], bandwidth: Bandwidth, norm: AdaptiveNorm | None
) -> list[Compared]:
    """Compare enrolments with probes of one bandwidth, one result per length of probe.

    Narrowband probes meet enrolments over other simulated lines; wideband ones meet both wideband
    and telephone enrolments, as a wideband caller may have enrolled either way.

    Args:
        sessions: heard calls of many people.
        bandwidth: of the probes, as it was measured.
        norm: score normalisation, None for plain cosines.
    """
    probing = [one for one in sessions if one.voice.bandwidth is bandwidth]
    enrolled = side_of([(one, _enough(one)) for one in sessions if _may_enrol(one, bandwidth)])
    found = []
    for group, probes in enumerate(PROBES):
        heard = [(one, some) for one in probing for some in probes(one.voice.pieces)]
        compared = compare(enrolled, side_of(heard), norm, group)
        if compared is not None:
            found.append(compared)
    return found


def side_of(heard: Sequence[tuple[Session, Sequence[Piece]]]) -> Side | None:
    """Average the pieces of each voice; those without a measured noise floor are left out."""
    parts: list[tuple[Embedding, tuple[int, ...], Seconds, Decibels]] = []
    kinds = list(Channel)
    for session, pieces in heard:
        level = mean_level((piece.snr_db, piece.net_seconds) for piece in pieces)
        if level is None:
            continue
        key = (session.person, session.division, session.half, kinds.index(session.channel))
        mean = centroid((piece.embedding, piece.net_seconds) for piece in pieces)
        seconds = sum(piece.net_seconds for piece in pieces)
        parts.append((mean, (*key, session.turn), seconds, level))
    if not parts:
        return None
    return Side(
        voices=np.stack([one[0] for one in parts]),
        keys=np.array([one[1] for one in parts], dtype=np.int64),
        net_seconds=np.array([one[2] for one in parts]),
        snr_db=np.array([one[3] for one in parts]),
    )


def compare(
    enrolled: Side | None, probing: Side | None, norm: AdaptiveNorm | None, group: int
) -> Compared | None:
    """Compare all enrolments with all probes that share no recording and no channel with them.

    Args:
        enrolled: enrolments.
        probing: probes of about one length.
        norm: score normalisation, None for plain cosines.
        group: number of that length.

    Returns:
        The comparisons; None if there is not one of each kind.
    """
    if enrolled is None or probing is None:
        return None
    scores = np.clip(enrolled.voices @ probing.voices.T, -1.0, 1.0).astype(np.float64)
    if norm is not None:
        sides = norm.statistics(enrolled.voices), norm.statistics(probing.voices)
        scores = norm.normalise(scores, *sides)
    rows, columns = enrolled.keys, probing.keys
    same = rows[:, :1] == columns[:, 0]
    one_division = rows[:, 1:2] == columns[:, 1]
    other_half = rows[:, 2:3] != columns[:, 2]
    other_line = (rows[:, 3:4] != columns[:, 3]) | (rows[:, 4:5] != columns[:, 4])
    used = ~same | (one_division & other_half & other_line)
    if not (same & used).any() or not (~same).any():
        return None
    row, column = np.nonzero(used)
    trials = Trials(scores[row, column], same[row, column], rows[row, 0], columns[column, 0])
    conditions = np.empty((len(row), _CONDITION_COLUMNS))
    conditions[:, 0] = probing.net_seconds[column]
    conditions[:, 1] = enrolled.net_seconds[row]
    conditions[:, 2] = probing.snr_db[column]
    return Compared(trials, conditions, np.full(len(row), group))


def _may_enrol(session: Session, bandwidth: Bandwidth) -> bool:
    if bandwidth is Bandwidth.NARROWBAND:
        return session.channel is Channel.TELEPHONE
    # About as many telephone enrolments as wideband ones that a probe may meet.
    return session.channel is Channel.MICROPHONE or session.turn < _ENROLMENTS_ACROSS


def _enough(session: Session) -> list[Piece]:
    """Take pieces until the enrolment is as long as this call's turn says."""
    turn = session.turn + 2 * session.half + session.division
    wanted = ENROLMENTS[turn % len(ENROLMENTS)]
    pieces: list[Piece] = []
    for piece in session.voice.pieces:
        if sum(one.net_seconds for one in pieces) >= wanted:
            break
        pieces.append(piece)
    return pieces
