# SPDX-License-Identifier: Apache-2.0
"""Telephone crops of recorded and synthetic speech for the spoof detector, drawn without end.

Crops come in groups of four that pass the same call: a recording, a copy of that very stretch by
some vocoder, a stretch of a reading voice, and another person's recording. Room, noise, codec and
level thus say nothing about the class, and between the first two nothing but the synthesis does.
Both classes have the same limits on pauses and the same changes of speed.

A simulated call costs more than a training step on it, so each one serves several batches: fresh
groups replace the oldest of a pool, and batches are drawn from the pool.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.testing.acoustics import coloured
from voiceauth.testing.channel import Severity, Sounds, apply, draw_channel
from voiceauth.testing.codecs import Codec, Coding, transcode
from voiceauth.training.copying import KEEPS_PHASE
from voiceauth.training.corpus import RATE_HZ, Corpus
from voiceauth.training.crops import PHONE_HZ
from voiceauth.training.pauses import limit_pauses
from voiceauth.training.voices import Variant, vary
from voiceauth.units import Rate, Seconds

FloatArray = NDArray[np.float32]
CALLS = Severity(snr_db=(8.0, 35.0), response_db=3.0, reverberant=0.15, slow_codecs=0.5)
GROUP = 4
"""Recording, its copy, a reading voice, another recording."""
LABELS = (0.0, 1.0, 1.0, 0.0)
_LIMIT_WEIGHT = 0.3
"""How often systems that keep recorded phases are drawn; the others have 1."""
_WEIGHTS = {"hifigan": 3.0}
"""Drawn more often: most neural voices speak through it, and not every recording has its copy."""


@dataclass(frozen=True)
class SpoofCropPlan:
    """How batches are drawn.

    Args:
        batch: crops per batch, a multiple of ``GROUP``.
        seconds: of every crop that passes a call.
        shortest: seconds of the shortest batch; each batch is cut to a drawn length.
        reuse: batches that a simulated call serves on average.
        pool: groups kept.
        neural: share of the reading voices that are the recorded pack's neural systems.
        speeds: range of the change of speed that both classes pass.
        recoded: share of the groups that pass a speech coder of a file or a message first.
        severity: of the simulated calls.
    """

    batch: int = 40
    seconds: Seconds = 3.0
    shortest: Seconds = 2.0
    reuse: int = 4
    pool: int = 3000
    neural: Rate = 0.65
    speeds: tuple[float, float] = (0.9, 1.12)
    recoded: Rate = 0.2
    severity: Severity = field(default_factory=lambda: CALLS)


@dataclass(frozen=True)
class Source:
    """Clips that are drawn alike: one system, or one set of recorded speech.

    Args:
        corpus: where the clips lie.
        clips: indices into it.
        weight: how often it is drawn, among its like.
    """

    corpus: Corpus
    clips: tuple[int, ...]
    weight: float


@dataclass(frozen=True)
class Copied:
    """A recording with its copies.

    Args:
        corpus: of the copies.
        original: index into the corpus of originals.
        copies: index into the corpus of copies, by system.
    """

    corpus: Corpus
    original: int
    copies: dict[str, int]


@dataclass(frozen=True)
class Sources:
    """All that groups are drawn from.

    Args:
        people: recorded speech by set.
        readers: reading voices by system.
        originals: recordings that were copied.
        copied: those recordings with their copies.
        systems: copying systems in use, with their weights.
    """

    people: tuple[Source, ...]
    readers: tuple[Source, ...]
    originals: Corpus
    copied: tuple[Copied, ...]
    systems: dict[str, float]


def systems_of(root: Path, column: str = "system") -> dict[str, str]:
    """System (or another column) by path, from a pack's manifest; empty for recorded speech."""
    with (root / "manifest.csv").open(encoding="utf-8", newline="") as handle:
        return {row["path"]: row[column] for row in csv.DictReader(handle)}


def by_system(
    corpus: Corpus, systems: dict[str, str], leave_out: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Clip numbers by system, without the systems left out."""
    found: dict[str, list[int]] = {}
    for i, clip in enumerate(corpus.clips):
        found.setdefault(systems[clip.path], []).append(i)
    return {name: tuple(clips) for name, clips in found.items() if name not in leave_out}


def build_sources(  # noqa: PLR0917 - packs in their order
    speech: Corpus,
    neural: tuple[Corpus, dict[str, str]],
    originals: Corpus,
    copies: tuple[Corpus, dict[str, str]],
    read: tuple[Corpus, dict[str, str]] | None,
    plan: SpoofCropPlan,
    leave_out: Sequence[str] = (),
) -> Sources:
    """Sources of both labels.

    Args:
        speech: recorded train speech.
        neural: the recorded pack's synthetic speech and its systems by path.
        originals: the recordings that the attack pack's copies were made of.
        copies: the attack pack's copies of them and their systems by path.
        read: its reading voices and their systems by path; None where it has none.
        plan: shares.
        leave_out: systems that are never drawn.

    Raises:
        SettingsError: no reading voice or no copy is left.
    """
    people = []
    for name in sorted({clip.source for clip in speech.clips}):
        own = tuple(i for i, clip in enumerate(speech.clips) if clip.source == name)
        seconds = sum(speech.clips[i].length for i in own) / RATE_HZ
        people.append(Source(speech, own, float(np.sqrt(seconds))))
    corpus, systems = copies
    place = {Path(clip.path).stem: i for i, clip in enumerate(originals.clips)}
    by_stem: dict[str, dict[str, int]] = {}
    for i, clip in enumerate(corpus.clips):
        if systems[clip.path] not in leave_out:
            by_stem.setdefault(Path(clip.path).stem, {})[systems[clip.path]] = i
    copied = tuple(Copied(corpus, place[stem], own) for stem, own in sorted(by_stem.items()))
    readers = []
    for made, share in ((neural, plan.neural), (read, 1.0 - plan.neural)):
        if made is None:
            continue
        pack, known = made
        groups = by_system(pack, known, leave_out)
        # The root keeps a system of one clip from being learnt by heart.
        total = sum(len(clips) ** 0.5 for clips in groups.values())
        for _, clips in sorted(groups.items()):
            readers.append(Source(pack, tuple(clips), share * len(clips) ** 0.5 / total))
    if not readers or not copied:
        raise SettingsError("The packs have no reading voice or no copy left to learn from.")
    used = sorted({name for one in copied for name in one.copies})
    weights = {
        name: _LIMIT_WEIGHT if name in KEEPS_PHASE else _WEIGHTS.get(name, 1.0) for name in used
    }
    return Sources(tuple(people), tuple(readers), originals, copied, weights)


class SpoofStream(torch.utils.data.IterableDataset[torch.Tensor]):
    """Endless fresh groups, int16, shape [GROUP, samples], labelled by ``LABELS``."""

    def __init__(self, sources: Sources, sounds: Sounds, plan: SpoofCropPlan, seed: int) -> None:
        super().__init__()
        self.sources, self.sounds, self.plan, self.seed = sources, sounds, plan, seed

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yield one group after the other."""
        torch.set_num_threads(1)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        while True:
            crops = np.clip(draw_group(rng, self), -1.0, 1.0)
            yield torch.from_numpy(np.round(crops * 32767.0).astype(np.int16))


def draw_group(rng: np.random.Generator, stream: SpoofStream) -> FloatArray:
    """One group after its call; float32, shape (GROUP, samples)."""
    plan, sources = stream.plan, stream.sources
    speed = float(rng.uniform(*plan.speeds))
    samples = round(plan.seconds * speed * RATE_HZ)
    one = sources.copied[int(rng.integers(len(sources.copied)))]
    names = list(one.copies)
    weights = np.array([sources.systems[name] for name in names])
    copy = one.copies[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
    start = int(rng.integers(max(1, sources.originals.clips[one.original].length - samples + 1)))
    pieces = [
        _cut(sources.originals, one.original, start, samples),
        _cut(one.corpus, copy, start, samples),
        _reading(rng, _pick(rng, sources.readers), samples),
        _anywhere(rng, _pick(rng, sources.people), samples),
    ]
    channel = draw_channel(rng, stream.sounds, plan.severity)
    recode = Coding(Codec.OPUS, int(rng.choice([12000, 16000, 24000])))
    recoded = rng.random() < plan.recoded
    wanted = round(plan.seconds * PHONE_HZ)
    crops = []
    for wide in pieces:
        speech = vary(wide, Variant(speed), RATE_HZ, PHONE_HZ)
        speech = np.pad(speech, (0, max(0, wanted - len(speech))))[:wanted]
        if recoded:
            speech = transcode(speech, recode)
        crops.append(apply(channel, speech, stream.sounds))
    return np.stack(crops)


def _pick(rng: np.random.Generator, sources: tuple[Source, ...]) -> tuple[Corpus, int]:
    weights = np.array([source.weight for source in sources])
    source = sources[int(rng.choice(len(sources), p=weights / weights.sum()))]
    return source.corpus, source.clips[int(rng.integers(len(source.clips)))]


def _cut(corpus: Corpus, number: int, start: int, samples: int) -> FloatArray:
    """A stretch of a clip, repeated where the clip is too short; float32, shape (samples,)."""
    clip = corpus.clips[number]
    end = min(clip.start + start + samples, clip.start + clip.length)
    piece = corpus.block[clip.start + start : end]
    return np.resize(piece.astype(np.float32) / np.float32(32767.0), samples)


def _anywhere(rng: np.random.Generator, drawn: tuple[Corpus, int], samples: int) -> FloatArray:
    corpus, number = drawn
    start = int(rng.integers(max(1, corpus.clips[number].length - samples + 1)))
    return _cut(corpus, number, start, samples)


def _reading(rng: np.random.Generator, drawn: tuple[Corpus, int], samples: int) -> FloatArray:
    """A stretch of a reading voice with limited pauses and, half of the time, a room's hiss."""
    corpus, number = drawn
    clip = corpus.clips[number]
    longer = min(2 * samples, clip.length)
    start = int(rng.integers(max(1, clip.length - longer + 1)))
    piece = limit_pauses(_cut(corpus, number, start, longer), RATE_HZ)
    if rng.random() < 0.5:
        # Reading voices come without any background; recordings seldom do.
        hiss = coloured(len(piece), float(rng.uniform(-7.0, 0.0)), rng)
        ratio = 10.0 ** (-float(rng.uniform(22.0, 45.0)) / 20.0)
        piece = piece + hiss * np.float32(ratio * np.std(piece) / max(np.std(hiss), 1e-9))
    return np.resize(piece, samples).astype(np.float32)


class Pool:
    """The latest groups, from which batches are drawn, kept in a file so that a restart has them.

    Args:
        plan: sizes.
        rng: draws the batches.
        path: of the file; created if missing, taken over if it fits the plan.
    """

    def __init__(self, plan: SpoofCropPlan, rng: np.random.Generator, path: Path) -> None:
        self._plan, self._rng = plan, rng
        shape = (plan.pool, GROUP, round(plan.seconds * PHONE_HZ))
        fits = path.exists() and path.stat().st_size == 2 * int(np.prod(shape))
        self._groups = np.memmap(path, np.int16, "r+" if fits else "w+", shape=shape)
        # A call is never digital silence: rows that hold nothing have not been filled.
        filled = self._groups[:, 0, :: shape[2] // 50].any(axis=1)
        self._held = int(np.argmin(filled)) if not filled.all() else plan.pool
        self._next = self._held % plan.pool

    def __len__(self) -> int:
        """Groups held."""
        return self._held

    def add(self, group: torch.Tensor) -> None:
        """Take a fresh group in, over the oldest of a full pool."""
        self._groups[self._next] = group.numpy()
        self._held = max(self._held, self._next + 1)
        self._next = (self._next + 1) % self._plan.pool

    def draw(self) -> torch.Tensor:
        """Crops of a drawn length, float32, shape [batch // GROUP, GROUP, samples]."""
        picks = self._rng.integers(self._held, size=self._plan.batch // GROUP)
        longest = self._groups.shape[2]
        shortest = min(round(self._plan.shortest * PHONE_HZ), longest)
        length = int(self._rng.integers(shortest, longest + 1))
        start = int(self._rng.integers(longest - length + 1))
        some = self._groups[np.sort(picks), :, start : start + length].astype(np.float32)
        return torch.from_numpy(some / np.float32(32767.0))
