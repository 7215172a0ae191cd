# SPDX-License-Identifier: Apache-2.0
"""Batches of telephone crops with their teacher targets, drawn without end.

Rules:

- One crop length per batch, so that nothing is padded; a clip that is too short repeats.
- A speaker is drawn with the square root of its seconds: many-utterance speakers do not drown the
  rest, single-utterance speakers are not learnt by heart.
- About 15 % of the crops pass no channel at all: wideband enrolment must work as well.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from voiceauth.testing.channel import Severity, Sounds, apply, draw_channel
from voiceauth.training.corpus import RATE_HZ, Corpus
from voiceauth.training.objective import UNLABELLED
from voiceauth.training.teacher import TeacherStore
from voiceauth.training.voices import VARIANTS, Variant, vary
from voiceauth.units import Rate, Seconds

PHONE_HZ = 8000
UTTERANCE_SHARE: Rate = 0.85
"""Of the utterance's own embedding in its target; the rest is its speaker's centroid."""
FloatArray = NDArray[np.float32]


CALLS = Severity(snr_db=(8.0, 35.0), response_db=3.0, reverberant=0.3, slow_codecs=0.22)
"""Calls of the training crops: a small network in a short run learns little from harder ones."""


@dataclass(frozen=True)
class CropPlan:
    """How batches are drawn.

    Args:
        batch: crops per batch.
        shortest: seconds of the shortest crop.
        longest: seconds of the longest crop.
        clean: share of crops without a channel.
        original: share of labelled crops of the recorded voice; the others are variants of it.
        views: crops of one utterance that the teacher hears live (``endless``); 0 takes the
            stored labels.
        severity: of the simulated calls.
    """

    batch: int = 48
    shortest: Seconds = 1.0
    longest: Seconds = 3.0
    clean: Rate = 0.15
    original: Rate = 0.4
    views: int = 0
    severity: Severity = field(default_factory=lambda: CALLS)


@dataclass(frozen=True)
class Voice:
    """One source of crops: a labelled speaker, or one unlabelled clip.

    Args:
        clips: indices into the corpus.
        classes: pseudo-speaker class by variant; ``UNLABELLED`` where there is none.
        weight: how often it is drawn.
    """

    clips: tuple[int, ...]
    classes: tuple[int, ...]
    weight: float


@dataclass(frozen=True)
class Targets:
    """Where the student should place each crop.

    Args:
        clip: unit vectors by clip, float32, shape (clips, 192); zero rows were not embedded.
        centroid: unit vectors by class, float32, shape (classes, 192).
        voices: what crops are drawn from.
        own: class of each clip's recorded voice, int64, shape (clips,); ``UNLABELLED`` without one.
        centre: mean that was removed from the teacher's embeddings, float32, shape (192,).
    """

    clip: FloatArray
    centroid: FloatArray
    voices: tuple[Voice, ...]
    own: NDArray[np.int64]
    centre: FloatArray


def unit(vectors: FloatArray) -> FloatArray:
    """Rows scaled to unit length, shape unchanged; zero rows stay zero."""
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norm, 1e-9), dtype=np.float32)


def build_targets(corpus: Corpus, store: TeacherStore) -> Targets:
    """Turn stored teacher embeddings into targets, centroids and voices.

    The mean over the speakers is removed from every teacher embedding. It makes up two fifths of
    their energy and says nothing about who speaks; a student that is asked for it learns it first
    and little else for a long time.

    Classes are numbered speaker by speaker, ``len(VARIANTS)`` each, whether or not variants are
    stored yet: a run can go on with more variants and keep its class directions.
    """
    speakers = {name: n for n, name in enumerate(corpus.speakers())}
    own = np.full(len(corpus.clips), UNLABELLED)
    for i, clip in enumerate(corpus.clips):
        if clip.speaker:
            own[i] = speakers[clip.speaker] * len(VARIANTS)
    sums = np.zeros((len(speakers) * len(VARIANTS), store.embedding.shape[1]), np.float32)
    labelled = own[store.clip] != UNLABELLED
    centre = _centre(store, own)
    embedding = unit(store.embedding - centre)
    np.add.at(sums, (own[store.clip] + store.variant)[labelled], embedding[labelled])
    centroid = unit(sums)
    rows = np.zeros((len(corpus.clips), store.embedding.shape[1]), np.float32)
    recorded = store.variant == 0
    rows[store.clip[recorded]] = embedding[recorded]
    embedded = np.flatnonzero(np.linalg.norm(rows, axis=1) > 0)
    known = embedded[own[embedded] != UNLABELLED]
    share = UTTERANCE_SHARE
    rows[known] = unit(share * rows[known] + (1.0 - share) * centroid[own[known]])
    return Targets(rows, centroid, _voices(corpus, own, embedded, centroid), own, centre)


def _centre(store: TeacherStore, own: NDArray[np.int64]) -> FloatArray:
    """Mean over the speakers' recordings, float32, shape (192,)."""
    recorded = (own[store.clip] != UNLABELLED) & (store.variant == 0)
    classes = own[store.clip[recorded]]
    sums = np.zeros((int(classes.max()) + 1, store.embedding.shape[1]), np.float32)
    np.add.at(sums, classes, store.embedding[recorded])
    speakers = unit(sums[np.unique(classes)])
    return np.asarray(speakers.mean(axis=0), dtype=np.float32)


def _voices(
    corpus: Corpus, own: NDArray[np.int64], embedded: NDArray[np.int64], centroid: FloatArray
) -> tuple[Voice, ...]:
    by_class: dict[int, list[int]] = defaultdict(list)
    voices = []
    for i in embedded.tolist():
        if own[i] == UNLABELLED:
            # Some fifty people recorded these clips; each clip carries its share of a person.
            weight = float(np.sqrt(corpus.clips[i].length / RATE_HZ)) / 4.0
            voices.append(Voice((i,), (UNLABELLED,), weight))
        else:
            by_class[int(own[i])].append(i)
    for first, clips in by_class.items():
        seconds = sum(corpus.clips[i].length for i in clips) / RATE_HZ
        classes = tuple(
            first + s if np.any(centroid[first + s]) else UNLABELLED for s in range(len(VARIANTS))
        )
        voices.append(Voice(tuple(clips), classes, float(np.sqrt(seconds))))
    return tuple(voices)


class VoiceStream(torch.utils.data.IterableDataset[dict[str, torch.Tensor]]):
    """What streams of batches share: whose clip comes next, drawn by weight.

    Args:
        corpus: train speech.
        targets: from ``build_targets``.
        sounds: recorded material for the calls.
        plan: how batches are drawn.
        seed: of lengths and crops.
        rank: of this process among those that share every step. All of them draw the same lengths,
            since each step waits for the longest crops, and different crops.
    """

    def __init__(
        self,
        corpus: Corpus,
        targets: Targets,
        sounds: Sounds,
        plan: CropPlan,
        *,
        seed: int,
        rank: int = 0,
    ) -> None:
        super().__init__()
        self.corpus, self.targets, self.sounds = corpus, targets, sounds
        self.plan, self.seed, self.rank = plan, seed, rank
        weights = np.array([voice.weight for voice in targets.voices])
        self.cumulative = np.cumsum(weights / weights.sum())

    def drawn(self, rng: np.random.Generator) -> tuple[Voice, int]:
        """Draw a voice, and one of its clips as an index into the corpus."""
        pick = int(np.searchsorted(self.cumulative, rng.random()))
        voice = self.targets.voices[min(pick, len(self.targets.voices) - 1)]
        return voice, voice.clips[int(rng.integers(len(voice.clips)))]


class CropStream(VoiceStream):
    """Endless batches of crops that the teacher has heard before the run."""

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield ``waveform`` [batch, samples], ``target`` [batch, 192], ``label`` [batch]."""
        torch.set_num_threads(1)
        lengths, rng = (
            np.random.default_rng(self.seed),
            np.random.default_rng((self.seed, self.rank)),
        )
        while True:
            seconds = draw_seconds(lengths, self.plan)
            crops = [self._crop(rng, seconds) for _ in range(self.plan.batch)]
            yield {
                "waveform": torch.from_numpy(np.stack([crop[0] for crop in crops])),
                "target": torch.from_numpy(np.stack([crop[1] for crop in crops])),
                "label": torch.tensor([crop[2] for crop in crops]),
            }

    def _crop(
        self, rng: np.random.Generator, seconds: Seconds
    ) -> tuple[FloatArray, FloatArray, int]:
        voice, clip = self.drawn(rng)
        number = 0
        if rng.random() > self.plan.original and len(voice.classes) > 1:
            number = int(rng.integers(1, len(voice.classes)))
            number = number if voice.classes[number] != UNLABELLED else 0
        label, variant = voice.classes[number], VARIANTS[number]
        target = self.targets.clip[clip] if number == 0 else self.targets.centroid[label]
        piece = piece_of(self.corpus, rng, clip, round(seconds * variant.speed * RATE_HZ))
        speech = vary(piece, variant, RATE_HZ, PHONE_HZ)
        speech = exactly(speech, round(seconds * PHONE_HZ))
        if rng.random() < self.plan.clean:
            return speech * np.float32(10.0 ** rng.uniform(-0.6, 0.2)), target, label
        channel = draw_channel(rng, self.sounds, self.plan.severity)
        return apply(channel, speech, self.sounds), target, label


def draw_seconds(rng: np.random.Generator, plan: CropPlan) -> Seconds:
    """Mostly 1.5 to 2.5 s, with the plan's whole range now and then.

    Quarters of a second only: the processor's kernels are built anew for every length, and
    with a hundred lengths that costs a third of the time.
    """
    low, high = plan.shortest, plan.longest
    if rng.random() < 0.6:
        low, high = min(max(low, 1.5), high), max(low, min(high, 2.5))
    return min(max(round(4.0 * float(rng.uniform(low, high))) / 4.0, low), high)


def piece_of(corpus: Corpus, rng: np.random.Generator, clip: int, samples: int) -> FloatArray:
    """A random stretch of a clip at 16 kHz, shape (samples,); repeats a clip that is too short."""
    where = corpus.clips[clip]
    start = where.start + int(rng.integers(max(1, where.length - samples + 1)))
    stop = min(start + samples, where.start + where.length)
    piece = corpus.block[start:stop].astype(np.float32) / np.float32(32767.0)
    return np.resize(piece, samples)


def phone_rate(waveform: FloatArray) -> FloatArray:
    """Resample 16 kHz speech to 8 kHz; shape (samples,)."""
    return vary(waveform, Variant(), RATE_HZ, PHONE_HZ)


def exactly(waveform: FloatArray, samples: int) -> FloatArray:
    """Cut or zero-pad to a number of samples, shape (samples,)."""
    return np.pad(waveform, (0, max(0, samples - len(waveform))))[:samples]


def build_sounds(noise: Corpus, rooms: Corpus, speech: Corpus, seed: int) -> Sounds:
    """Recorded noise, babble and rooms at 8 kHz for the channel simulator.

    Args:
        noise: the pack's noise of one split.
        rooms: its impulse responses; only rooms are used.
        speech: clips that babble is mixed from.
        seed: of the babble.
    """
    rng = np.random.default_rng(seed)
    babble = []
    for _ in range(60):
        talkers = int(rng.integers(3, 7))
        picks = rng.integers(len(speech.clips), size=talkers)
        pieces = [np.resize(phone_rate(speech.samples(int(i))), 10 * PHONE_HZ) for i in picks]
        babble.append(np.sum([p / (np.std(p) + 1e-6) for p in pieces], axis=0) * np.float32(0.05))
    responses = [i for i, c in enumerate(rooms.clips) if c.path.startswith("ir/room")]
    return Sounds(
        noises=tuple(phone_rate(noise.samples(i)) for i in range(len(noise.clips))),
        babble=tuple(b.astype(np.float32) for b in babble),
        rooms=tuple(phone_rate(rooms.samples(i)) for i in responses),
    )
