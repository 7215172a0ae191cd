# SPDX-License-Identifier: Apache-2.0
"""The pairs of a trial list, compared at several lengths of probe.

A recording probes as a call does while it grows: its first span, runs of later ones, and the whole.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.evaluation.comparing import PROBES
from voiceauth.evaluation.recordings import Piece, Voice
from voiceauth.evaluation.trials import Trial, speakers_of
from voiceauth.scoring.asnorm import AdaptiveNorm
from voiceauth.scoring.combine import centroid, mean_level
from voiceauth.scoring.trials import Compared, Trials
from voiceauth.types import Bandwidth


@dataclass(frozen=True, slots=True, eq=False)
class HeardTrials:
    """An operator's trials and what was heard of them.

    Attributes:
        name: of the list, for people.
        trials: as listed.
        enrolled: enrolment id to what its recordings gave.
        tested: test path to what was heard.
    """

    name: str
    trials: tuple[Trial, ...]
    enrolled: Mapping[str, Voice]
    tested: Mapping[str, Voice]


def compared_trials(
    heard: HeardTrials, bandwidth: Bandwidth, norm: AdaptiveNorm | None
) -> list[Compared]:
    """Compare the listed pairs, one result per length of probe.

    Args:
        heard: the trials.
        bandwidth: of the probes, as it was measured.
        norm: score normalisation, None for plain cosines.

    Returns:
        One group per way of taking probes that has both kinds of trials, by rising length.
    """
    enrolled = {name: voice for name, voice in heard.enrolled.items() if voice.pieces}
    if not enrolled:
        return []
    names = {name: place for place, name in enumerate(enrolled)}
    prints = np.stack([voice.mean() for voice in enrolled.values()])
    by_path: dict[str, list[Trial]] = {}
    for trial in heard.trials:
        if trial.enrol_id in enrolled:
            by_path.setdefault(trial.test_path, []).append(trial)
    found = []
    for group, probes in enumerate(PROBES):
        taken = [
            (path, pieces)
            for path, voice in heard.tested.items()
            if voice.bandwidth is bandwidth and path in by_path
            for pieces in probes(voice.pieces)
            if mean_level((piece.snr_db, piece.net_seconds) for piece in pieces) is not None
        ]
        pairs = [
            (names[trial.enrol_id], column, trial)
            for column, (path, _) in enumerate(taken)
            for trial in by_path[path]
        ]
        kinds = {trial.target for _, _, trial in pairs}
        if len(kinds) == 2:  # noqa: PLR2004 - both kinds
            scores = _scores(prints, _means([pieces for _, pieces in taken]), norm)
            lengths = np.array([voice.net_seconds for voice in enrolled.values()])
            found.append(_compared(heard, pairs, scores, _sides(taken, lengths), group))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Sides:
    """Lengths of enrolments, shape (enrolments,); lengths and noise of probes, shape (probes,)."""

    enrolled_seconds: NDArray[np.float64]
    net_seconds: NDArray[np.float64]
    snr_db: NDArray[np.float64]


def _sides(
    taken: Sequence[tuple[str, Sequence[Piece]]], enrolled_seconds: NDArray[np.float64]
) -> _Sides:
    levels = [mean_level((one.snr_db, one.net_seconds) for one in some) for _, some in taken]
    return _Sides(
        enrolled_seconds,
        np.array([sum(piece.net_seconds for piece in pieces) for _, pieces in taken]),
        np.array([np.nan if level is None else level for level in levels]),
    )


def _compared(
    heard: HeardTrials,
    pairs: Sequence[tuple[int, int, Trial]],
    scores: NDArray[np.float64],
    sides: _Sides,
    group: int,
) -> Compared:
    people = _people(heard)
    speaker = speakers_of(heard.trials)
    row, column = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    enrolled = np.array([people[trial.enrol_id] for _, _, trial in pairs], dtype=np.int64)
    # A recording that is a target of two enrolments is of one person, whichever is named first.
    probed = np.array(
        [people[t.enrol_id if t.target else speaker[t.test_path]] for _, _, t in pairs],
        dtype=np.int64,
    )
    target = np.array([trial.target for _, _, trial in pairs])
    conditions = np.stack(
        [sides.net_seconds[column], sides.enrolled_seconds[row], sides.snr_db[column]], axis=1
    )
    trials = Trials(scores[row, column], target, enrolled, probed)
    return Compared(trials, conditions, np.full(len(pairs), group))


def _people(heard: HeardTrials) -> dict[str, int]:
    """Number everybody: enrolments, and test recordings that are nobody's target."""
    names = {trial.enrol_id for trial in heard.trials} | set(speakers_of(heard.trials).values())
    return {name: place for place, name in enumerate(sorted(names))}


def _means(probes: Sequence[Sequence[Piece]]) -> NDArray[np.float32]:
    return np.stack(
        [centroid((piece.embedding, piece.net_seconds) for piece in pieces) for pieces in probes]
    )


def _scores(
    prints: NDArray[np.float32], probes: NDArray[np.float32], norm: AdaptiveNorm | None
) -> NDArray[np.float64]:
    scores = np.asarray(np.clip(prints @ probes.T, -1.0, 1.0), dtype=np.float64)
    if norm is None:
        return scores
    return norm.normalise(scores, norm.statistics(prints), norm.statistics(probes))


def digest_of(heard: HeardTrials) -> str:
    """Hash what was heard of whom, without paths or names."""
    digest = hashlib.sha256()
    order = {name: place for place, name in enumerate(heard.enrolled)}
    files = {path: place for place, path in enumerate(heard.tested)}
    for trial in heard.trials:
        key = (order[trial.enrol_id], files[trial.test_path], trial.target)
        digest.update(repr(key).encode())
    for voice in (*heard.enrolled.values(), *heard.tested.values()):
        for piece in voice.pieces:
            digest.update(piece.embedding.tobytes())
    return digest.hexdigest()
