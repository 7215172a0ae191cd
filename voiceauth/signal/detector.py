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
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

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
    Analysis,
    Floats,
    analysis,
    decide,
    low_quantile_db,
    measure,
)
from voiceauth.types import Samples
from voiceauth.units import Hertz, Seconds

_Masks = tuple[Mask, Mask, Mask, Mask]
"""Speech, kept, tone and dtmf of some frames."""


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
        counts: how many of the frames each block decided.
    """

    samples: Samples
    speech: Mask
    kept: Mask
    tone: Mask
    dtmf: Mask
    powers: Floats
    counts: Sequence[int]


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
        return detect([self], [[samples]])[0]

    def flush(self) -> Frames:
        """Decide all that is left and restart behind a break; the noise floor is kept."""
        # An incomplete last hop is dropped: less than 10 ms of sound cannot be judged.
        rest = np.zeros(self._use.size - self._use.hop - self._use.before, dtype=np.float32)
        frames = detect([self], [[rest]], held_back=0)[0]
        lows = self.context.lows
        self.context = self._fresh()
        self.context.lows = lows
        return frames

    def _fresh(self) -> Context:
        return Context(
            samples=np.zeros(self._use.before, dtype=np.float32),
            hops=np.zeros((0, self._use.hop), dtype=np.float32),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """One stream's blocks as they are worked on.

    Attributes:
        features: with those of the past, shape (frames, FEATURES).
        hops: samples of the frames that were undecided before, shape (undecided, hop).
        floors_db: noise level at each block, shape (blocks, bands).
        totals: frames of ``features`` that were measured after each block.
        stops: frames of ``features`` that are decided before the blocks, and after each.
    """

    features: Floats
    hops: Samples
    floors_db: Floats
    totals: Sequence[int]
    stops: Sequence[int]

    @property
    def counts(self) -> list[int]:
        """Frames that each block decides."""
        return [after - before for before, after in pairwise(self.stops)]


def detect(
    detectors: Sequence[Detector],
    runs: Sequence[Sequence[Samples]],
    held_back: int = FUTURE_FRAMES,
) -> list[Frames]:
    """Give each stream its next blocks, and return the frames of each that are now decided.

    All blocks of all streams are worked on at once; what comes out for one stream does not depend
    on the others, nor on how many of its blocks come together.

    Args:
        detectors: of the streams, each once.
        runs: of each stream its blocks in order, each of shape (samples,).
        held_back: undecided frames to keep, those that lack what follows them.
    """
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, one in enumerate(detectors):
        groups[one.rate_hz, one.lead_frames, one.tail_frames].append(place)
    found: dict[int, Frames] = {}
    for places in groups.values():
        alike = [detectors[place] for place in places]
        frames = _detect_alike(alike, [runs[place] for place in places], held_back)
        found.update(zip(places, frames, strict=True))
    return [found[place] for place in range(len(detectors))]


def _detect_alike(
    detectors: Sequence[Detector], runs: Sequence[Sequence[Samples]], held_back: int
) -> list[Frames]:
    first = detectors[0]
    contexts = [one.context for one in detectors]
    turns = _measured(first.rate_hz, contexts, runs, held_back)
    masks = _decided(first, turns)
    return [
        _finished(context, turn, own)
        for context, turn, own in zip(contexts, turns, masks, strict=True)
    ]


def _measured(
    rate_hz: Hertz, contexts: Sequence[Context], runs: Sequence[Sequence[Samples]], held_back: int
) -> list[_Turn]:
    """Measure every new frame, and bring it together with its stream's past."""
    use = analysis(rate_hz)
    windows: list[Samples] = []
    hops: list[Samples] = []
    ends: list[list[int]] = []
    for context, blocks in zip(contexts, runs, strict=True):
        samples = np.concatenate([context.samples, *blocks])
        heard = len(context.samples) + np.cumsum([len(block) for block in blocks])
        ends.append(np.maximum((heard - use.size) // use.hop + 1, 0).tolist())
        count = ends[-1][-1]
        if count:
            windows.append(_windows(samples, use, count))
        new = samples[use.before : use.before + count * use.hop].reshape(count, use.hop)
        hops.append(np.concatenate([context.hops, new]))
        context.samples = samples[count * use.hop :].copy()
    measured = measure(windows, rate_hz)
    sizes = [np.diff([0, *own]) for own in ends]
    lows = _low_levels(measured, np.concatenate(sizes))
    turns: list[_Turn] = []
    frame, block = 0, 0
    for number, context in enumerate(contexts):
        new_sizes, own_ends = sizes[number], ends[number]
        own_lows = lows[block : block + len(new_sizes)][new_sizes > 0]
        past = len(context.features)
        totals = [past + end for end in own_ends]
        stops = [past - len(context.hops)]
        for total in totals:
            stops.append(max(total - held_back, stops[-1]))
        turns.append(
            _Turn(
                features=np.concatenate([context.features, measured[frame : frame + own_ends[-1]]]),
                hops=hops[number],
                floors_db=_floors_db(context, own_lows, np.cumsum(new_sizes > 0)),
                totals=totals,
                stops=stops,
            )
        )
        frame += own_ends[-1]
        block += len(new_sizes)
    return turns


def _windows(samples: Samples, use: Analysis, count: int) -> Samples:
    """Return the first windows of a signal, which overlap in memory, shape (count, size)."""
    step = samples.strides[0]
    shape, strides = (count, use.size), (use.hop * step, step)
    return as_strided(samples, shape, strides, writeable=False)


def _low_levels(measured: Floats, sizes: NDArray[np.int64]) -> Floats:
    """Return the low quantile of each block that lie one behind the other, shape (blocks, bands).

    Args:
        measured: frames of all blocks, shape (frames, FEATURES).
        sizes: frames of each block; of an empty one nothing is said.
    """
    starts = np.cumsum(sizes) - sizes
    lows = np.empty((len(sizes), BANDS), dtype=np.float32)
    for size in {int(size) for size in sizes} - {0}:
        alike = sizes == size
        frames = starts[alike][:, np.newaxis] + np.arange(size)
        lows[alike] = low_quantile_db(measured[frames, :BANDS])
    return lows


def _floors_db(context: Context, lows: Floats, known: NDArray[np.int64]) -> Floats:
    """Remember new low quantiles; return the noise level at each block, shape (blocks, bands).

    Args:
        context: of the stream.
        lows: of its new blocks, shape (new, bands).
        known: how many of them are known at each block.
    """
    remembered = np.concatenate([context.lows, lows])
    context.lows = remembered[len(lows) :].copy()
    floors = remembered[known[:, np.newaxis] + np.arange(BLOCKS_REMEMBERED)].min(axis=1)
    return np.where(np.isfinite(floors), floors, 0.0).astype(np.float32) + np.float32(FLOOR_BIAS_DB)


def _decided(detector: Detector, turns: Sequence[_Turn]) -> list[_Masks]:
    """Decide what each block can decide: every block against its own floor, all at once."""
    groups: dict[tuple[int, int, int], list[tuple[int, int]]] = defaultdict(list)
    for number, turn in enumerate(turns):
        for block, (start, stop) in enumerate(pairwise(turn.stops)):
            if stop > start:
                first = max(start - PAST_FRAMES, 0)
                key = (turn.totals[block] - first, start - first, stop - start)
                groups[key].append((number, block))
    masks = [_none_set(sum(turn.counts)) for turn in turns]
    for (length, start, count), which in groups.items():
        firsts = [turns[number].stops[block] - start for number, block in which]
        pairs = list(zip(which, firsts, strict=True))
        features = np.stack(
            [turns[number].features[first : first + length] for (number, _), first in pairs]
        )
        floors_db = np.stack([turns[number].floors_db[block] for number, block in which])
        found = decide(
            features, floors_db, detector.rate_hz, detector.lead_frames, detector.tail_frames
        )
        for row, (number, block) in enumerate(which):
            at = turns[number].stops[block] - turns[number].stops[0]
            for mask, new in zip(masks[number], found, strict=True):
                mask[at : at + count] = new[row, start : start + count]
    return masks


def _none_set(count: int) -> _Masks:
    speech, kept, tone, dtmf = np.zeros((4, count), dtype=bool)
    return speech, kept, tone, dtmf


def _finished(context: Context, turn: _Turn, masks: _Masks) -> Frames:
    """Bring together what was decided of a stream, and keep what its next blocks need."""
    start, stop = turn.stops[0], turn.stops[-1]
    speech, kept, tone, dtmf = masks
    hops = turn.hops[: stop - start]
    powers = np.empty((stop - start, 3), dtype=np.float32)
    powers[:, 0] = np.einsum("ij,ij->i", hops, hops) / max(hops.shape[1], 1)
    powers[:, 1] = turn.features[start:stop, POWER]
    powers[:, 2] = np.repeat(np.sum(10.0 ** (turn.floors_db / 10.0), axis=1), turn.counts)
    # Copies: a stream that pauses must not hold the arrays of all others.
    context.features = turn.features[max(stop - PAST_FRAMES, 0) :].copy()
    context.hops = turn.hops[stop - start :].copy()
    return Frames(hops, speech, kept, tone, dtmf, powers, turn.counts)
