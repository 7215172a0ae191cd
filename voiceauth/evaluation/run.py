# SPDX-License-Identifier: Apache-2.0
"""Score a trial list by the engine's own path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from voiceauth.errors import BadAudioError, InputError
from voiceauth.evaluation.recordings import (
    LINE_HZ,
    Voice,
    line_seed,
    listen,
    read_recording,
    simulated_line,
)
from voiceauth.evaluation.trials import Trial, TrialList, speakers_of
from voiceauth.ports import Scorer, SpeakerEmbedder
from voiceauth.scoring.cosine import cosine
from voiceauth.scoring.trials import Trials
from voiceauth.signal.options import SpeechOptions
from voiceauth.types import Embedding, Score
from voiceauth.units import Seconds

Progress = Callable[[int, int], None]
"""Told how many recordings are done, of how many."""


@dataclass(frozen=True, slots=True)
class EvaluationChoices:
    """How recordings are heard.

    Attributes:
        enrol_by_line: send each enrolment through a simulated telephone line of its own.
        test_by_line: send each test recording through one of its own.
        seed: of the simulated lines.
        speech: options of the signal room.
    """

    enrol_by_line: bool = False
    test_by_line: bool = False
    seed: int = 1
    speech: SpeechOptions = field(default_factory=SpeechOptions)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The scores of a trial list.

    Attributes:
        trials: those that could be scored; people are numbered.
        scores: the calibrated scores of the same trials, in order; empty without a scorer.
        net_seconds: net speech per test recording that was scored.
        unheard: recordings and enrolments without enough usable speech, by name.
        lost: trials that need one of them, (target, non-target).
    """

    trials: Trials
    scores: tuple[Score, ...]
    net_seconds: tuple[Seconds, ...]
    unheard: tuple[str, ...]
    lost: tuple[int, int]


def evaluate(
    listing: TrialList,
    embedder: SpeakerEmbedder,
    scorer: Scorer | None,
    choices: EvaluationChoices | None = None,
    progress: Progress | None = None,
) -> Scored:
    """Hear every recording once and score every trial.

    Args:
        listing: the trials.
        embedder: the speaker model.
        scorer: calibrated comparison; None scores by the plain cosine.
        choices: how recordings are heard.
        progress: called after each recording.

    Raises:
        BadAudioError: a recording cannot be read; the message names it.
        InputError: so many recordings are without speech that one kind of trial is left out.
        ModelOutputError: the model failed.
    """
    choices = choices or EvaluationChoices()
    trials = listing.trials
    enrolled, tested = hear_all(listing, embedder, choices, progress)
    speaker = speakers_of(trials)
    numbers = {name: place for place, name in enumerate(_people(trials, speaker))}
    heard = [bool(enrolled[t.enrol_id].pieces and tested[t.test_path].pieces) for t in trials]
    kept = [trial for trial, both in zip(trials, heard, strict=True) if both]
    lost = [trial for trial, both in zip(trials, heard, strict=True) if not both]
    if len({trial.target for trial in kept}) < 2:  # noqa: PLR2004 - both kinds
        raise InputError("Too few recordings have enough speech to be evaluated.")
    means = {name: voice.mean() for name, voice in enrolled.items() if voice.pieces}
    probes = {name: voice.mean() for name, voice in tested.items() if voice.pieces}
    scores = _calibrated(kept, (enrolled, means), (tested, probes), scorer)
    raw = [one.raw for one in scores] or [
        cosine(probes[trial.test_path], means[trial.enrol_id]) for trial in kept
    ]
    return Scored(
        trials=Trials(
            scores=np.array(raw, dtype=np.float64),
            target=np.array([trial.target for trial in kept]),
            enrolled=np.array([numbers[trial.enrol_id] for trial in kept], dtype=np.int64),
            probed=np.array([numbers[speaker[trial.test_path]] for trial in kept], dtype=np.int64),
        ),
        scores=tuple(scores),
        net_seconds=tuple(voice.net_seconds for voice in tested.values() if voice.pieces),
        unheard=tuple(
            name
            for voices in (enrolled, tested)
            for name, voice in voices.items()
            if not voice.pieces
        ),
        lost=(sum(t.target for t in lost), sum(not t.target for t in lost)),
    )


def _people(trials: tuple[Trial, ...], speaker: Mapping[str, str]) -> list[str]:
    return sorted({trial.enrol_id for trial in trials} | set(speaker.values()))


def hear_all(
    listing: TrialList,
    embedder: SpeakerEmbedder,
    choices: EvaluationChoices,
    progress: Progress | None,
) -> tuple[dict[str, Voice], dict[str, Voice]]:
    """Hear each enrolment's recordings and each test recording, every recording once.

    Args:
        listing: the trials.
        embedder: the speaker model.
        choices: how recordings are heard.
        progress: called after each recording.

    Returns:
        Voices by enrolment id, and by test path; without pieces where there is too little speech.

    Raises:
        BadAudioError: a recording cannot be read; the message names it.
        ModelOutputError: the model failed.
    """
    enrolments = {trial.enrol_id: trial.enrol_paths for trial in listing.trials}
    tests = dict.fromkeys(trial.test_path for trial in listing.trials)
    total = sum(len(paths) for paths in enrolments.values()) + len(tests)
    done = 0

    def hear(path: str, line: str | None) -> Voice:
        nonlocal done
        voice = _hear(listing.root / path, line, embedder, choices)
        done += 1
        if progress is not None:
            progress(done, total)
        return voice

    enrolled = {}
    for name, paths in enrolments.items():
        # One enrolment is one call: all its recordings come over the same line.
        line = f"enrol {name}" if choices.enrol_by_line else None
        parts = [hear(path, line) for path in paths]
        bandwidths = [part.bandwidth for part in parts if part.bandwidth is not None]
        pieces = tuple(piece for part in parts for piece in part.pieces)
        enrolled[name] = Voice(pieces, bandwidths[-1] if bandwidths else None)
    tested = {path: hear(path, f"test {path}" if choices.test_by_line else None) for path in tests}
    return enrolled, tested


def _hear(
    path: Path, line: str | None, embedder: SpeakerEmbedder, choices: EvaluationChoices
) -> Voice:
    samples, rate = read_recording(path)
    if line is not None:
        samples = simulated_line(samples, rate, line_seed(choices.seed, line))
        rate = LINE_HZ
    try:
        return listen(samples, rate, embedder, choices.speech)
    except BadAudioError as error:
        raise BadAudioError(f"{path.name}: {error.public}", detail=error.detail) from error


def _calibrated(
    trials: list[Trial],
    enrolled: tuple[Mapping[str, Voice], Mapping[str, Embedding]],
    tested: tuple[Mapping[str, Voice], Mapping[str, Embedding]],
    scorer: Scorer | None,
) -> list[Score]:
    """Score trials; each side is what was heard, and its mean."""
    if scorer is None:
        return []
    prints, means = enrolled
    voices, probes = tested
    scores = []
    for trial in trials:
        voice = voices[trial.test_path]
        if voice.bandwidth is None:
            raise InputError(f"{trial.test_path} has no speech.")
        scores.append(
            scorer.score(
                probes[trial.test_path],
                means[trial.enrol_id],
                net_seconds=voice.net_seconds,
                bandwidth=voice.bandwidth,
                enrolled_seconds=prints[trial.enrol_id].net_seconds,
                snr_db=voice.snr_db,
            )
        )
    return scores
