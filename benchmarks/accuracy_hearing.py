# SPDX-License-Identifier: Apache-2.0
"""Makes the sounds of the accuracy benchmark and has every system embed them, once.

A sound lives only while it is embedded; what stays on disk are embeddings, filed under the system
and the sound's own samples.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from accuracy_plan import make_plan
from accuracy_speech import Sound, Studio, read_pack
from accuracy_systems import System, campplus, ge2e, ours
from numpy.typing import NDArray

from voiceauth.evaluation.embedding_cache import EmbeddingCache, sound_key
from voiceauth.scoring.combine import mean_level
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.waveform import spans_of
from voiceauth.units import Decibels, Seconds

Vector = NDArray[np.float32]
Job = tuple[str, str]
"""Treatment and file."""

OURS, OURS_INT8, CAMPPLUS, GE2E = "ours", "ours int8", "CAM++", "GE2E"
_CHUNK = 10
_SAVED_EVERY = 50
"""Jobs after which the caches are written: an interrupted run goes on from there."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a run, and each of its processes, needs to know.

    Attributes:
        data: the pack.
        models: (system name, model file), for ours.
        peers: names of the peers that take part.
        cache: folder of the embeddings.
        quick: the small plan.
    """

    data: Path
    models: tuple[tuple[str, Path], ...]
    peers: tuple[str, ...]
    cache: Path
    quick: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What the engine's signal room tells of a sound; it decides under which table a score falls.

    Attributes:
        net_seconds: speech in it.
        snr_db: None if the room could not tell.
    """

    net_seconds: Seconds
    snr_db: Decibels | None


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """One sound's embeddings.

    Attributes:
        label: of the sound.
        name: of the file.
        key: of the sound.
        facts: of the sound.
        known: system to an embedding that the cache had.
        found: system to an embedding that was computed.
    """

    label: str
    name: str
    key: bytes
    facts: Facts
    known: dict[str, Vector]
    found: dict[str, Vector]


@dataclass(frozen=True, slots=True, eq=False)
class Voices:
    """All embeddings of a run.

    Attributes:
        vectors: system, label, file to unit embedding.
        facts: label, file to what the engine tells of the sound.
        keys: system to what names its weights.
        computed: system to how many embeddings were not in the cache.
    """

    vectors: dict[str, dict[str, dict[str, Vector]]] = field(default_factory=dict)
    facts: dict[str, dict[str, Facts]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    computed: dict[str, int] = field(default_factory=dict)


class Listener:
    """Hears jobs with all systems; one per process.

    Args:
        choices: of the run.
    """

    def __init__(self, choices: Choices) -> None:
        pack = read_pack(choices.data)
        plan = make_plan(pack, quick=choices.quick)
        apart = frozenset(
            path for listed in plan.trials.values() for t in listed for path in t.enrol_paths
        )
        self._studio = Studio(pack, apart, plan.short)
        self.systems = load_systems(choices)
        self.caches = {one.name: EmbeddingCache(choices.cache, one.key) for one in self.systems}

    def hear(self, job: Job) -> list[Heard]:
        """Make a job's sounds and embed each with every system that does not know it."""
        heard = []
        for label, sound in self._studio.hear(*job).items():
            key = sound_key(sound.samples, sound.rate_hz)
            known = {
                one.name: self.caches[one.name][key]
                for one in self.systems
                if key in self.caches[one.name]
            }
            found = {one.name: one.embed(sound) for one in self.systems if one.name not in known}
            heard.append(Heard(label, job[1], key, facts_of(sound), known, found))
        return heard


def facts_of(sound: Sound) -> Facts:
    """Ask the engine's signal room about a sound, however little speech is in it."""
    spans = spans_of(sound.samples, sound.rate_hz, SpeechOptions(least_span_seconds=0.2))
    return Facts(
        sum(span.net_seconds for span in spans),
        mean_level((span.quality.snr_db, span.net_seconds) for span in spans),
    )


def load_systems(choices: Choices) -> list[System]:
    """Load every system of a run; ours first."""
    peers: dict[str, Callable[[], System]] = {
        CAMPPLUS: partial(campplus, choices.cache),
        GE2E: ge2e,
    }
    return [ours(name, path) for name, path in choices.models] + [
        peers[name]() for name in choices.peers
    ]


def hear_all(
    choices: Choices,
    jobs: Sequence[Job],
    processes: int,
    progress: Callable[[str], None],
) -> Voices:
    """Hear all jobs.

    Args:
        choices: of the run.
        jobs: treatment and file.
        processes: one works in this process.
        progress: told the treatment after each job.
    """
    listener = Listener(choices)
    voices = Voices(
        vectors={one.name: {} for one in listener.systems},
        keys={one.name: one.key for one in listener.systems},
        computed={one.name: 0 for one in listener.systems},
    )
    for done, (view, heard) in enumerate(_stream(choices, listener, jobs, processes), start=1):
        if done % _SAVED_EVERY == 0:
            _save(listener)
        for one in heard:
            _file(one, listener, voices)
        progress(view)
    _save(listener)
    return voices


def _file(heard: Heard, listener: Listener, voices: Voices) -> None:
    voices.facts.setdefault(heard.label, {})[heard.name] = heard.facts
    for system, vector in {**heard.known, **heard.found}.items():
        voices.vectors[system].setdefault(heard.label, {})[heard.name] = vector
    for system, vector in heard.found.items():
        listener.caches[system].add({heard.key: vector})
        voices.computed[system] += 1


def _save(listener: Listener) -> None:
    for cache in listener.caches.values():
        cache.save()


def _stream(
    choices: Choices, listener: Listener, jobs: Sequence[Job], processes: int
) -> Iterator[tuple[str, list[Heard]]]:
    if processes <= 1:
        for job in jobs:
            yield job[0], listener.hear(job)
        return
    chunks = [list(jobs[at : at + _CHUNK]) for at in range(0, len(jobs), _CHUNK)]
    # Spawned, not forked: this process holds threads and loaded models.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for chunk, results in zip(
            chunks, pool.map(_in_worker, [choices] * len(chunks), chunks), strict=True
        ):
            for job, heard in zip(chunk, results, strict=True):
                yield job[0], heard


_worker: dict[Choices, Listener] = {}
"""The listener of this worker process: loaded once, not once per chunk."""


def _in_worker(choices: Choices, jobs: list[Job]) -> list[list[Heard]]:
    if choices not in _worker:
        _worker[choices] = Listener(choices)
    return [_worker[choices].hear(job) for job in jobs]
