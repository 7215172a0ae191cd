# SPDX-License-Identifier: Apache-2.0
"""The voice activity detector's memory of each stream, and the detection of many streams at once.

Rules:

* Streams whose blocks and pasts are equally long are decided in one pass of ``vad``'s functions; in
  blocks of equal length nearly all are. What comes out for one does not depend on the others.
* A stream keeps 1.1 s of features and 0.4 s of samples, however long it lasts.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from voiceauth.signal.masks import Mask
from voiceauth.signal.vad import (
    BANDS,
    BLOCKS_REMEMBERED,
    FEATURES,
    FLOOR_BIAS_DB,
    FUTURE_FRAMES,
    HOP_SECONDS,
    PAST_FRAMES,
    POWER,
    Floats,
    analysis,
    decide,
    low_quantile_db,
    measure,
)
from voiceauth.types import Samples
from voiceauth.units import Hertz, Seconds


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames with their decision.

    Attributes:
        samples: shape (frames, hop).
        speech: net speech, shape (frames,).
        kept: speech with its context, without tones, shape (frames,).
        tone: any tone, shape (frames,).
        dtmf: a DTMF digit, shape (frames,).
        powers: mean square of the samples, power inside the bands, and power of the noise floor
            inside the bands, shape (frames, 3).
    """

    samples: Samples
    speech: Mask
    kept: Mask
    tone: Mask
    dtmf: Mask
    powers: Floats

    def of(self, stream: int) -> Self:
        """Return the frames of one stream, where these are of several."""
        return type(self)(
            self.samples[stream],
            self.speech[stream],
            self.kept[stream],
            self.tone[stream],
            self.dtmf[stream],
            self.powers[stream],
        )


@dataclass(slots=True, eq=False)
class Context:
    """What one stream needs of its past.

    Attributes:
        samples: that no complete window begins at yet.
        features: of decided frames that later ones look back at, and of undecided ones.
        hops: samples of the undecided frames, shape (undecided, hop).
        lows: low quantiles of the last blocks in dB, infinite before there are so many.
    """

    samples: Samples
    features: Floats = field(default_factory=lambda: np.zeros((0, FEATURES), dtype=np.float32))
    hops: Samples = field(default_factory=lambda: np.zeros((0, 1), dtype=np.float32))
    lows: Floats = field(
        default_factory=lambda: np.full((BLOCKS_REMEMBERED, BANDS), np.inf, dtype=np.float32)
    )


class Detector:
    """The voice activity detector of one stream; push blocks of about 0.2 s.

    Args:
        rate_hz: of the samples, a multiple of 100, at least 8000.
        lead_seconds: context to keep before speech, at most 0.1.
        tail_seconds: context to keep after speech, at most 0.3.
    """

    def __init__(self, rate_hz: Hertz, lead_seconds: Seconds, tail_seconds: Seconds) -> None:
        self.rate_hz = rate_hz
        self.lead_frames = round(lead_seconds / HOP_SECONDS)
        self.tail_frames = round(tail_seconds / HOP_SECONDS)
        self._use = analysis(rate_hz)
        self.context = self._fresh()

    def push(self, samples: Samples) -> Frames:
        """Take a block, return the frames that are now decided (they lag by 0.4 s)."""
        return detect([self], [samples])[0]

    def flush(self) -> Frames:
        """Decide all that is left and restart behind a break; the noise floor is kept."""
        # An incomplete last hop is dropped: less than 10 ms of sound cannot be judged.
        rest = np.zeros(self._use.size - self._use.hop - self._before, dtype=np.float32)
        frames = detect([self], [rest], held_back=0)[0]
        lows = self.context.lows
        self.context = self._fresh()
        self.context.lows = lows
        return frames

    @property
    def _before(self) -> int:
        return (self._use.size - self._use.hop) // 2

    def _fresh(self) -> Context:
        return Context(
            samples=np.zeros(self._before, dtype=np.float32),
            hops=np.zeros((0, self._use.hop), dtype=np.float32),
        )


def detect(
    detectors: Sequence[Detector], blocks: Sequence[Samples], held_back: int = FUTURE_FRAMES
) -> list[Frames]:
    """Give each stream its block, and return the frames of each that are now decided.

    Streams at the same place (in blocks of equal length nearly all are) are worked on at once; what
    comes out for one does not depend on the others.

    Args:
        detectors: of the streams, each once.
        blocks: of each stream, shape (samples,).
        held_back: undecided frames to keep, those that lack what follows them.
    """
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, (one, block) in enumerate(zip(detectors, blocks, strict=True)):
        now = one.context
        lengths = (len(now.samples) + len(block), len(now.features), len(now.hops))
        groups[one.rate_hz, one.lead_frames, one.tail_frames, *lengths].append(place)
    found: dict[int, Frames] = {}
    for places in groups.values():
        alike = [detectors[place] for place in places]
        frames = _detect_alike(alike, [blocks[place] for place in places], held_back)
        found.update((place, frames.of(number)) for number, place in enumerate(places))
    return [found[place] for place in range(len(detectors))]


def _detect_alike(
    detectors: Sequence[Detector], blocks: Sequence[Samples], held_back: int
) -> Frames:
    first = detectors[0]
    contexts = [one.context for one in detectors]
    features, hops, lows = _measured(first.rate_hz, contexts, blocks)
    floor = lows.min(axis=1)
    floor = np.where(np.isfinite(floor), floor, 0.0).astype(np.float32)
    floor_db = floor + np.float32(FLOOR_BIAS_DB)
    speech, kept, tone, dtmf = decide(
        features, floor_db, first.rate_hz, first.lead_frames, first.tail_frames
    )
    total, undecided = features.shape[1], hops.shape[1]
    start, stop = total - undecided, max(total - held_back, total - undecided)
    powers = np.empty((len(detectors), stop - start, 3), dtype=np.float32)
    powers[..., 0] = np.square(hops[:, : stop - start]).mean(axis=-1)
    powers[..., 1] = features[:, start:stop, POWER]
    powers[..., 2] = np.sum(10.0 ** (floor_db / 10.0), axis=1)[:, np.newaxis]
    for number, context in enumerate(contexts):
        # Copies: a stream that pauses must not hold the arrays of all others.
        context.features = features[number, max(stop - PAST_FRAMES, 0) :].copy()
        context.hops = hops[number, stop - start :].copy()
        context.lows = lows[number].copy()
    return Frames(
        samples=hops[:, : stop - start],
        speech=speech[:, start:stop],
        kept=kept[:, start:stop],
        tone=tone[:, start:stop],
        dtmf=dtmf[:, start:stop],
        powers=powers,
    )


def _measured(
    rate_hz: Hertz, contexts: Sequence[Context], blocks: Sequence[Samples]
) -> tuple[Floats, Samples, Floats]:
    """Return features with their past, hops that are undecided, and the low quantiles."""
    use = analysis(rate_hz)
    pairs = zip(contexts, blocks, strict=True)
    joined = np.stack([np.concatenate([one.samples, block]) for one, block in pairs])
    past = np.stack([one.features for one in contexts])
    waiting = np.stack([one.hops for one in contexts])
    lows = np.stack([one.lows for one in contexts])
    count = (joined.shape[1] - use.size) // use.hop + 1
    if count > 0:
        windows = sliding_window_view(joined, use.size, axis=1)[:, :: use.hop][:, :count]
        new = measure(windows, rate_hz)
        before = (use.size - use.hop) // 2
        hops = joined[:, before : before + count * use.hop].reshape(len(joined), count, use.hop)
        past = np.concatenate([past, new], axis=1)
        waiting = np.concatenate([waiting, hops], axis=1)
        lows = np.concatenate([lows[:, 1:], low_quantile_db(new[..., :BANDS])[:, np.newaxis]], 1)
    for number, context in enumerate(contexts):
        context.samples = joined[number, max(count, 0) * use.hop :].copy()
    return past, waiting, lows
