# SPDX-License-Identifier: Apache-2.0
"""A score-normalisation cohort from an operator's own traffic.

The shipped cohort holds people of the training set over simulated lines. Callers of the operator's
own, over the operator's own lines, are nearer to whoever calls next, and that is what the
normalisation measures against.

Rules:

* One row per person: the mean of what the engine hears in that person's recordings.
* The file holds no names, and no order that leads back to them. It holds voiceprints all the same,
  which identify people: erasing a subject does not reach into it.
* The file names its model, and is named after its content.
* Tables that were made with another cohort do not fit it. It comes into use with a refit only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import BadAudioError, InputError
from voiceauth.evaluation.recordings import (
    LINE_HZ,
    line_seed,
    listen,
    read_recording,
    simulated_line,
)
from voiceauth.ports import SpeakerEmbedder
from voiceauth.scoring.combine import WeightedMean
from voiceauth.scoring.cosine import unit
from voiceauth.signal.options import SpeechOptions
from voiceauth.types import Embedding
from voiceauth.units import Seconds

LEAST_PEOPLE = 20
"""Half of them are the nearest of a score: fewer have no deviation worth dividing by."""
LEAST_SECONDS: Seconds = 3.0
"""Net speech of a person; a voice of less is more noise than voice."""
MOST_RECORDINGS = 8
"""Of one person: more of the same voice move its mean by little."""

Progress = Callable[[int, int], None]
"""Told how many people are done, of how many."""


@dataclass(frozen=True, slots=True)
class CohortChoices:
    """How the recordings are heard.

    Attributes:
        by_line: send each through a simulated telephone line of its own, for recordings that did
            not come over one.
        seed: of lines and of the order.
        speech: options of the signal room.
    """

    by_line: bool = False
    seed: int = 20_26
    speech: SpeechOptions = field(default_factory=SpeechOptions)


@dataclass(frozen=True, slots=True, eq=False)
class OwnCohort:
    """What was heard.

    Attributes:
        embeddings: unit rows in random order, float32, shape (people, dimension).
        left_out: how many people had too little speech.
    """

    embeddings: NDArray[np.float32]
    left_out: int


def build_cohort(
    people: Mapping[str, tuple[Path, ...]],
    embedder: SpeakerEmbedder,
    choices: CohortChoices | None = None,
    progress: Progress | None = None,
) -> OwnCohort:
    """Hear everybody and average each voice.

    Args:
        people: person to recordings.
        embedder: the speaker model.
        choices: how recordings are heard.
        progress: called after each person.

    Raises:
        BadAudioError: a recording cannot be read; the message names it.
        InputError: fewer than 20 people with enough speech.
        ModelOutputError: the model failed.
    """
    choices = choices or CohortChoices()
    rows: list[Embedding] = []
    for done, paths in enumerate(people.values(), start=1):
        mean = WeightedMean()
        for path in paths[:MOST_RECORDINGS]:
            _add(mean, path, embedder, choices)
        if mean.net_seconds >= LEAST_SECONDS:
            rows.append(mean.mean())
        if progress is not None:
            progress(done, len(people))
    if len(rows) < LEAST_PEOPLE:
        raise InputError(
            f"A cohort needs {LEAST_PEOPLE} people with {LEAST_SECONDS:g} s of net speech; "
            f"{len(rows)} of {len(people)} have it."
        )
    order = np.random.default_rng(choices.seed).permutation(len(rows))
    return OwnCohort(unit(np.stack(rows))[order].astype(np.float32), len(people) - len(rows))


def _add(mean: WeightedMean, path: Path, embedder: SpeakerEmbedder, choices: CohortChoices) -> None:
    samples, rate = read_recording(path)
    if choices.by_line:
        samples = simulated_line(samples, rate, line_seed(choices.seed, path.name))
        rate = LINE_HZ
    try:
        voice = listen(samples, rate, embedder, choices.speech)
    except BadAudioError as error:
        raise BadAudioError(f"{path.name}: {error.public}", detail=error.detail) from error
    for piece in voice.pieces:
        mean.add(piece.embedding, piece.net_seconds)


def nearest_of(people: int, wanted: int) -> int:
    """Say how many nearest members a cohort of so many people can give.

    Args:
        people: in the cohort.
        wanted: what a large cohort would give.
    """
    return min(wanted, people // 2)
