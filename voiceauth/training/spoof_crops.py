# SPDX-License-Identifier: Apache-2.0
"""Telephone crops of recorded and synthetic speech for the spoof detector, drawn without end.

Both classes pass the same hands: the same limits on pauses (``corpus``), the same changes of
speed, the same simulated calls, the same levels. Half of a batch is recorded speech. The synthetic
half is drawn by system, so that the system with most files does not rule what is learnt.

A simulated call costs more than a training step on it, so each one serves several batches: fresh
crops replace the oldest of a pool, and batches are drawn from the pool.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.testing.channel import Severity, Sounds, apply, draw_channel
from voiceauth.training.corpus import RATE_HZ, Corpus
from voiceauth.training.voices import Variant, vary
from voiceauth.units import Rate, Seconds

FloatArray = NDArray[np.float32]
PHONE_HZ = 8000
CALLS = Severity(snr_db=(8.0, 35.0), response_db=3.0, reverberant=0.25, slow_codecs=0.4)


@dataclass(frozen=True)
class SpoofCropPlan:
    """How batches are drawn.

    Args:
        batch: crops per batch, half of them recorded.
        seconds: of every crop.
        reuse: batches that a simulated call serves on average.
        pool: crops kept.
        neural: share of the synthetic half that comes from the recorded pack's neural systems.
        speeds: range of the change of speed that both classes pass.
        severity: of the simulated calls.
    """

    batch: int = 32
    seconds: Seconds = 3.0
    reuse: int = 4
    pool: int = 2048
    neural: Rate = 0.55
    speeds: tuple[float, float] = (0.92, 1.08)
    severity: Severity = field(default_factory=lambda: CALLS)


@dataclass(frozen=True)
class Source:
    """Clips that are drawn alike: one system, or recorded speech.

    Args:
        corpus: where the clips lie.
        clips: indices into it.
        synthetic: the label.
        weight: how often it is drawn, within its label.
    """

    corpus: Corpus
    clips: tuple[int, ...]
    synthetic: bool
    weight: float


def systems_of(root: Path) -> dict[str, str]:
    """System by path, from the manifest of a pack; empty for recorded speech."""
    with (root / "manifest.csv").open(encoding="utf-8", newline="") as handle:
        return {row["path"]: row["system"] for row in csv.DictReader(handle)}


def by_system(
    corpus: Corpus, systems: dict[str, str], leave_out: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Clip numbers by system, without the systems left out."""
    found: dict[str, list[int]] = {}
    for i, clip in enumerate(corpus.clips):
        found.setdefault(systems[clip.path], []).append(i)
    return {name: tuple(clips) for name, clips in found.items() if name not in leave_out}


def build_sources(
    speech: Corpus,
    neural: tuple[Corpus, dict[str, str]],
    made: tuple[Corpus, dict[str, str]],
    plan: SpoofCropPlan,
    leave_out: Sequence[str] = (),
) -> tuple[Source, ...]:
    """Sources of both labels.

    Args:
        speech: recorded train speech.
        neural: the recorded pack's synthetic speech and its systems by path.
        made: the attack pack's and its systems by path.
        plan: shares.
        leave_out: systems that are never drawn.

    Raises:
        SettingsError: a pack has no system left.
    """
    sources = []
    for name in sorted({clip.source for clip in speech.clips}):
        own = tuple(i for i, clip in enumerate(speech.clips) if clip.source == name)
        seconds = sum(speech.clips[i].length for i in own) / RATE_HZ
        sources.append(Source(speech, own, synthetic=False, weight=float(np.sqrt(seconds))))
    for (corpus, systems), share in ((neural, plan.neural), (made, 1.0 - plan.neural)):
        groups = by_system(corpus, systems, leave_out)
        if not groups:
            raise SettingsError("A pack of synthetic speech has no system left to learn from.")
        # The root keeps a system of one clip from being learnt by heart.
        roots = {name: len(clips) ** 0.5 for name, clips in groups.items()}
        for name, clips in sorted(groups.items()):
            weight = share * roots[name] / sum(roots.values())
            sources.append(Source(corpus, clips, synthetic=True, weight=weight))
    return tuple(sources)


class SpoofStream(torch.utils.data.IterableDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Endless batches of fresh crops: waveform [fresh, samples] and label [fresh]."""

    def __init__(
        self, sources: tuple[Source, ...], sounds: Sounds, plan: SpoofCropPlan, seed: int
    ) -> None:
        super().__init__()
        self.sources, self.sounds, self.plan, self.seed = sources, sounds, plan, seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield a batch's share of fresh crops, recorded and synthetic in turn."""
        torch.set_num_threads(1)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        fresh = max(2, self.plan.batch // self.plan.reuse)
        while True:
            labels = [k % 2 == 1 for k in range(fresh)]
            crops = np.stack([draw_crop(rng, self, label) for label in labels])
            yield torch.from_numpy(crops), torch.tensor(labels, dtype=torch.float32)


def draw_crop(rng: np.random.Generator, stream: SpoofStream, synthetic: bool) -> FloatArray:
    """One simulated call of the wanted label; float32, shape (samples,)."""
    plan = stream.plan
    sources = [one for one in stream.sources if one.synthetic == synthetic]
    weights = np.array([one.weight for one in sources])
    source = sources[int(rng.choice(len(sources), p=weights / weights.sum()))]
    clip = source.corpus.clips[source.clips[int(rng.integers(len(source.clips)))]]
    speed = float(rng.uniform(*plan.speeds))
    samples = round(plan.seconds * speed * RATE_HZ)
    start = clip.start + int(rng.integers(max(1, clip.length - samples + 1)))
    piece = source.corpus.block[start : min(start + samples, clip.start + clip.length)]
    wide = np.resize(piece.astype(np.float32) / np.float32(32767.0), samples)
    speech = vary(wide, Variant(speed), RATE_HZ, PHONE_HZ)
    wanted = round(plan.seconds * PHONE_HZ)
    speech = np.pad(speech, (0, max(0, wanted - len(speech))))[:wanted]
    return apply(draw_channel(rng, stream.sounds, plan.severity), speech, stream.sounds)


class Pool:
    """The latest crops, from which batches of equal classes are drawn.

    Args:
        plan: sizes.
        rng: draws the batches.
    """

    def __init__(self, plan: SpoofCropPlan, rng: np.random.Generator) -> None:
        self._plan, self._rng = plan, rng
        self._waves: list[torch.Tensor] = []
        self._labels: list[torch.Tensor] = []
        self._next = 0

    def __len__(self) -> int:
        """Crops held."""
        return len(self._waves)

    def add(self, waves: torch.Tensor, labels: torch.Tensor) -> None:
        """Take fresh crops in, each over the oldest of a full pool."""
        for wave, label in zip(waves, labels, strict=True):
            if len(self._waves) < self._plan.pool:
                self._waves.append(wave)
                self._labels.append(label)
            else:
                self._waves[self._next], self._labels[self._next] = wave, label
                self._next = (self._next + 1) % self._plan.pool

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch [batch, samples] with its labels [batch]."""
        picks = self._rng.integers(len(self._waves), size=self._plan.batch)
        return (
            torch.stack([self._waves[i] for i in picks]),
            torch.stack([self._labels[i] for i in picks]),
        )
