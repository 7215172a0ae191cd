# SPDX-License-Identifier: Apache-2.0
"""Calibration calls: labelled recordings of a person become many simulated calls of theirs.

A person's recordings are divided into two halves, in a few different ways. Each half is joined in a
random order and heard through several channels. An enrolment from one half then meets probes from
the other half of the same division, through another channel, so no recording ever meets itself.
"""

import csv
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from voiceauth.errors import InputError, SettingsError
from voiceauth.evaluation.recordings import (
    LINE_HZ,
    Voice,
    listen,
    read_recording,
    simulated_line,
)
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.ports import SpeakerEmbedder
from voiceauth.signal.options import SpeechOptions
from voiceauth.testing.channel import Severity
from voiceauth.testing.codecs import Codec, Coding, transcode
from voiceauth.types import Samples
from voiceauth.units import Decibels, Hertz

LEAST_PEOPLE = 10
LEAST_RECORDINGS = 4
_TEST_SPLIT = "test"
_HALVES = 2
_MICROPHONE_LEVEL_DB = (-34.0, -18.0)
_MICROPHONE_SNR_DB = (0.0, 40.0)
_LINES = (
    Severity(snr_db=(0.0, 10.0)),
    Severity(snr_db=(6.0, 18.0)),
    Severity(snr_db=(12.0, 32.0)),
)
"""Poor, middling and good lines in turn: ratios are fitted to the noise, so all of it is heard."""


class Channel(StrEnum):
    """How a calibration call sounds."""

    TELEPHONE = "telephone"
    """A simulated telephone line: narrowband."""
    MICROPHONE = "microphone"
    """The recording with another level and noise floor: wideband if the recording is."""


@dataclass(frozen=True, slots=True)
class SessionChoices:
    """How many calls are made of each person's recordings.

    Attributes:
        divisions: ways in which the recordings are divided into halves.
        telephone: simulated lines per division; 3 or more: they take turns in how
            noisy they are, and both sides need different ones.
        microphone: wideband calls per division; 0 makes no wideband table.
        seed: of divisions, orders and channels.
        workers: processes.
        speech: options of the signal room.
    """

    divisions: int = 2
    telephone: int = 6
    microphone: int = 3
    seed: int = 20_26
    workers: int = 2
    speech: SpeechOptions = field(default_factory=SpeechOptions)


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One heard half.

    Attributes:
        person: number of the person.
        division: which division of the recordings.
        half: 0 or 1.
        channel: kind of channel.
        turn: which of the channels of that kind.
        voice: what was heard; always with pieces.
    """

    person: int
    division: int
    half: int
    channel: Channel
    turn: int
    voice: Voice


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of a list are used: every named column must have the given value."""

    values: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse the test split: figures on it would no longer be figures."""
        if self.values.get("split") == _TEST_SPLIT:
            raise SettingsError("The test split is for tests; calibrate on another one.")


DEVELOPMENT = Selection({"kind": "speech", "set": "speechocean762", "split": "dev"})
"""The people of the speech pack that everything shipped is calibrated on."""


def labelled_recordings(
    manifest: Path,
    selection: Selection,
    *,
    people: int = LEAST_PEOPLE,
    recordings: int = LEAST_RECORDINGS,
) -> dict[str, tuple[Path, ...]]:
    """Read which recordings are whose.

    Args:
        manifest: CSV file with the columns ``path`` (relative to its folder) and ``speaker``, and
            those of the selection.
        selection: rows to use; those of a split named test never are.
        people: that are needed.
        recordings: of each; people with fewer are left out.

    Returns:
        Person to recordings, both sorted.

    Raises:
        InputError: not readable, a missing column, or too few people with enough recordings.
    """
    found: dict[str, list[Path]] = {}
    try:
        with manifest.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            missing = {"path", "speaker", *selection.values}.difference(reader.fieldnames or ())
            if missing:
                raise InputError(f"{manifest.name} lacks the column {min(missing)}.")
            for row in reader:
                wanted = all(row[name] == value for name, value in selection.values.items())
                # Figures on people of the test split would no longer be figures.
                if wanted and row["speaker"] and row.get("split") != _TEST_SPLIT:
                    found.setdefault(row["speaker"], []).append(manifest.parent / row["path"])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Cannot read the manifest {manifest}.", detail=str(error)) from error
    usable = {
        name: tuple(sorted(paths))
        for name, paths in sorted(found.items())
        if len(paths) >= recordings
    }
    if len(usable) < people:
        raise InputError(
            f"{people} people with {recordings} recording(s) each are needed; {manifest.name} has "
            f"{len(usable)}."
        )
    return usable


def record_sessions(
    people: Mapping[str, tuple[Path, ...]], model: Path, choices: SessionChoices
) -> Iterator[list[Session]]:
    """Make and hear the calls of every person, person by person, in order.

    Args:
        people: from ``labelled_recordings``.
        model: the ONNX file.
        choices: how many calls.

    Raises:
        BadAudioError: a recording cannot be read.
        SettingsError, IntegrityError: the model cannot be loaded.
        MissingExtraError: telephone lines are wanted and the ``codecs`` extra is not installed.
    """
    if choices.telephone:
        # A missing codec package is reported here: the error does not survive a worker process.
        transcode(np.zeros(LINE_HZ, dtype=np.float32), Coding(Codec.AMR))
    tasks = [(number, name, paths) for number, (name, paths) in enumerate(people.items())]
    if choices.workers <= 1:
        embedder = OnnxSpeaker.of_file(model)
        for task in tasks:
            yield sessions_of(*task, embedder, choices)
        return
    # Spawned, not forked: the caller may hold threads and a loaded model.
    with ProcessPoolExecutor(choices.workers, get_context("spawn")) as pool:
        yield from pool.map(_in_worker, tasks, [model] * len(tasks), [choices] * len(tasks))


def sessions_of(
    person: int,
    name: str,
    paths: tuple[Path, ...],
    embedder: SpeakerEmbedder,
    choices: SessionChoices,
) -> list[Session]:
    """Make and hear one person's calls; those without usable speech are left out."""
    recordings = [read_recording(path) for path in paths]
    rates = {rate for _, rate in recordings}
    if len(rates) != 1:
        raise InputError(f"The recordings of {name} have different sampling rates.")
    rate = rates.pop()
    sessions = []
    for division in range(choices.divisions):
        order = np.random.default_rng((choices.seed, person, division)).permutation(len(paths))
        for half in range(_HALVES):
            mine = [recordings[place][0] for place in order[half::_HALVES]]
            for channel, turn in _turns(choices):
                seed = (choices.seed, person, division, half, turn, len(channel))
                heard = _heard_by(mine, rate, (channel, turn), seed)
                voice = listen(*heard, embedder, choices.speech)
                if voice.pieces:
                    sessions.append(Session(person, division, half, channel, turn, voice))
    return sessions


def _turns(choices: SessionChoices) -> list[tuple[Channel, int]]:
    return [(Channel.TELEPHONE, turn) for turn in range(choices.telephone)] + [
        (Channel.MICROPHONE, turn) for turn in range(choices.microphone)
    ]


def _heard_by(
    recordings: list[Samples], rate_hz: Hertz, which: tuple[Channel, int], seed: tuple[int, ...]
) -> tuple[Samples, Hertz]:
    """Join recordings in a random order and send them through a channel."""
    order = np.random.default_rng(seed).permutation(len(recordings))
    joined = np.concatenate([recordings[place] for place in order])
    channel, turn = which
    if channel is Channel.TELEPHONE:
        return simulated_line(joined, rate_hz, seed, _LINES[turn % len(_LINES)]), LINE_HZ
    return _microphone(joined, seed), rate_hz


def _microphone(samples: Samples, seed: tuple[int, ...]) -> Samples:
    """Another level and noise floor; float32, shape (samples,)."""
    rng = np.random.default_rng((*seed, 1))
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) + 1e-6
    noise = rng.standard_normal(len(samples), dtype=np.float32)
    noisy = samples / level + noise * _gain(-rng.uniform(*_MICROPHONE_SNR_DB))
    levelled = noisy * _gain(rng.uniform(*_MICROPHONE_LEVEL_DB))
    return np.asarray(np.clip(levelled, -1.0, 1.0), dtype=np.float32)


def _gain(level_db: Decibels) -> float:
    return float(10.0 ** (level_db / 20.0))


_worker: dict[Path, OnnxSpeaker] = {}
"""The model of this worker process: loaded once, not once per person."""


def _in_worker(
    task: tuple[int, str, tuple[Path, ...]], model: Path, choices: SessionChoices
) -> list[Session]:
    if model not in _worker:
        _worker[model] = OnnxSpeaker.of_file(model)
    return sessions_of(*task, _worker[model], choices)
