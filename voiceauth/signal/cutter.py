# SPDX-License-Identifier: Apache-2.0
"""Cuts blocks of source samples into spans of net speech: the one path for streams and files."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.signal.bandwidth import BandwidthMeter
from voiceauth.signal.detector import Detector, Frames, detect
from voiceauth.signal.gather import Gatherer, Source
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.resample import Resampler
from voiceauth.signal.vad import HOP_SECONDS, MOST_LEAD_SECONDS, MOST_TAIL_SECONDS
from voiceauth.types import Bandwidth, Quality, Reason, Samples, Span
from voiceauth.units import Hertz, Seconds

BLOCK_SECONDS: Final[Seconds] = 0.2
"""What is worked on at once: rare enough for numpy, soon enough for a live call."""
_RAIL: Final = 0.98
"""Largest sample of µ-law is 0.980, of A-law 0.984, of PCM 1."""
_OFFSET_PACE: Final = 0.3
"""Share of a new block in the running offset: it follows within a second, below any pitch."""
_BEFORE_MARK_SECONDS: Final[Seconds] = 0.3
"""A gateway marks a digit some 50 to 200 ms after it began to leak into the audio."""
_AFTER_MARK_SECONDS: Final[Seconds] = 0.2
_RATE_STEP_HZ: Final = 100
_LEAST_RATE_HZ: Final[Hertz] = 8000


def check_options(options: SpeechOptions) -> None:
    """Raise SettingsError for options that the room cannot honour."""
    rate_fits = options.rate_hz >= _LEAST_RATE_HZ and options.rate_hz % _RATE_STEP_HZ == 0
    lead_fits = 0.0 <= options.lead_seconds <= MOST_LEAD_SECONDS
    tail_fits = 0.0 <= options.tail_seconds <= MOST_TAIL_SECONDS
    spans = (options.span_seconds, options.first_span_seconds, options.least_span_seconds)
    if not (rate_fits and lead_fits and tail_fits and min(spans) >= HOP_SECONDS):
        raise SettingsError("The speech options are out of range.", detail=repr(options))


class SpeechCutter:
    """Takes blocks of one stream's samples; give blocks of the same length for the same spans.

    Args:
        rate_hz: of the source.
        options: of the room.

    Raises:
        SettingsError: options out of range.
    """

    def __init__(self, rate_hz: Hertz, options: SpeechOptions) -> None:
        check_options(options)
        self.rate_hz = rate_hz
        self._resampler = Resampler(rate_hz, options.rate_hz)
        self.detector = Detector(options.rate_hz, options.lead_seconds, options.tail_seconds)
        self._meter = BandwidthMeter(rate_hz)
        self._gatherer = Gatherer(options)
        self.offset: float | None = None
        self._origin = 0.0
        self._section_samples = 0
        self._source_hops: NDArray[np.float64] = np.zeros((0, 2))
        self._sources: list[Source] = []

    @property
    def net_seconds(self) -> Seconds:
        """Net speech that counts, gathered speech included."""
        return self._gatherer.net_seconds

    @property
    def missing_seconds(self) -> Seconds:
        """Net speech that the open span still lacks."""
        return self._gatherer.missing_seconds

    @property
    def bandwidth(self) -> Bandwidth:
        """True bandwidth as shown so far."""
        return self._meter.bandwidth

    def quality(self, issues: tuple[Reason, ...] = ()) -> Quality | None:
        """Quality of all speech so far, None before any."""
        return self._gatherer.quality(self._source(issues))

    def take(self, block: Samples, issues: tuple[Reason, ...] = ()) -> list[Span]:
        """Take one block of source samples, shape (samples,).

        Args:
            block: finite samples.
            issues: what is known of the stream beside its bandwidth.
        """
        return take_together([self], [block[np.newaxis]], [[issues]])[0]

    def measured(
        self, run: Samples, hops: NDArray[np.float64], offset: float, free: Samples
    ) -> list[Samples]:
        """Note what was measured on a run of blocks; return each at the model's rate.

        Args:
            run: as it came, shape (blocks, samples).
            hops: clipped fraction and offset of each 10 ms of it, shape (blocks, hops, 2).
            offset: running one at its end.
            free: the run without its offset.
        """
        self.offset = offset
        self._sources = []
        for block in run:
            self._meter.push(block)
            self._sources.append(self._source(()))
        self._source_hops = np.concatenate([self._source_hops, hops.reshape(-1, 2)])
        self._section_samples += run.size
        return [self._resampler.push(block) for block in free]

    def gather(self, frames: Frames, issues: Sequence[tuple[Reason, ...]]) -> list[Span]:
        """Take the decided frames of a run that was ``measured``; return the spans they complete.

        Args:
            frames: with the number that each block decided.
            issues: at each block, what is known of the stream beside its bandwidth.
        """
        pairs = zip(self._sources, issues, strict=True)
        return self._gather(
            frames, [Source(one.bandwidth, more + one.issues) for one, more in pairs]
        )

    def _gather(self, frames: Frames, sources: Sequence[Source]) -> list[Span]:
        count = len(frames.speech)
        hops, self._source_hops = self._source_hops[:count], self._source_hops[count:]
        if len(hops) < count:  # the resampler may round the last hop up
            hops = np.concatenate([hops, np.zeros((count - len(hops), 2))])
        return self._gatherer.take(frames, hops, sources)

    def cut_every(self, span_seconds: Seconds) -> None:
        """Close spans after this much net speech from now on, the open one included."""
        self._gatherer.cut_every(span_seconds)

    def exclude(self, at_seconds: Seconds, seconds: Seconds) -> None:
        """Do not count the audio around a mark at a stream time and of a length."""
        start = at_seconds - _BEFORE_MARK_SECONDS
        self._gatherer.exclude(start, at_seconds + seconds + _AFTER_MARK_SECONDS)

    def close(self, lost_seconds: Seconds = 0.0, issues: tuple[Reason, ...] = ()) -> list[Span]:
        """End the section (at a gap, or the end); what follows is not joined to it."""
        now = [self._source(issues)]
        spans = self._gather(self.detector.push(self._resampler.flush()), now)
        spans += self._gather(self.detector.flush(), now)
        spans += self._gatherer.close(self._source(issues))
        self._origin += self._section_samples / self.rate_hz + lost_seconds
        self._section_samples = 0
        self._source_hops = self._source_hops[:0]
        self._gatherer.start_section(self._origin)
        return spans

    def _source(self, issues: tuple[Reason, ...]) -> Source:
        return Source(self._meter.bandwidth, issues + self._meter.issues)


def take_together(
    cutters: Sequence[SpeechCutter],
    runs: Sequence[Samples],
    issues: Sequence[Sequence[tuple[Reason, ...]]],
) -> list[list[Span]]:
    """Give each stream its next blocks, and return the spans that each one completes.

    Args:
        cutters: of the streams, each once.
        runs: of each, finite source samples, shape (blocks, samples).
        issues: at each of these blocks, what is known of the stream beside its bandwidth.
    """
    groups: dict[tuple[Hertz, int], list[int]] = defaultdict(list)
    for place, (cutter, run) in enumerate(zip(cutters, runs, strict=True)):
        if run.size:
            groups[cutter.rate_hz, run.shape[1]].append(place)
    found: list[list[Span]] = [[] for _ in cutters]
    places = [place for group in groups.values() for place in group]
    samples: list[list[Samples]] = []
    for (rate_hz, _), group in groups.items():
        rows = np.concatenate([runs[place] for place in group])
        counts = [len(runs[place]) for place in group]
        hops = _hops(rows, rate_hz)
        offsets, free = _without_offset(rows, counts, [cutters[place].offset for place in group])
        start = 0
        for place, count, offset in zip(group, counts, offsets, strict=True):
            own = slice(start, start + count)
            samples.append(cutters[place].measured(rows[own], hops[own], offset, free[own]))
            start += count
    frames = detect([cutters[place].detector for place in places], samples)
    for place, decided in zip(places, frames, strict=True):
        found[place] = cutters[place].gather(decided, issues[place])
    return found


def _hops(rows: Samples, rate_hz: Hertz) -> NDArray[np.float64]:
    """Clipped fraction and mean of each 10 ms of blocks, shape (blocks, hops, 2)."""
    length = rows.shape[1]
    count = max(1, round(length / (rate_hz * HOP_SECONDS)))
    edges = np.arange(count) * length // count
    sizes = np.diff(np.append(edges, length))
    found = np.empty((len(rows), count, 2))
    clipped = (np.abs(rows) >= _RAIL).astype(np.float64)
    found[..., 0] = np.add.reduceat(clipped, edges, axis=1) / sizes
    found[..., 1] = np.add.reduceat(rows.astype(np.float64), edges, axis=1) / sizes
    return found


def _without_offset(
    rows: Samples, counts: Sequence[int], before: Sequence[float | None]
) -> tuple[list[float], Samples]:
    """Subtract slow running means, ramped over the blocks so that nothing clicks.

    Args:
        rows: blocks of each stream, one stream behind the other.
        counts: how many are each stream's.
        before: each stream's running mean so far; None before any.

    Returns:
        The means at the end of each stream's blocks, and the blocks without them.
    """
    means = iter(rows.mean(axis=1).astype(np.float64).tolist())
    starts: list[float] = []
    ends: list[float] = []
    last: list[float] = []
    for count, offset in zip(counts, before, strict=True):
        for mean in itertools.islice(means, count):
            starts.append(mean if offset is None else offset)
            offset = starts[-1] + _OFFSET_PACE * (mean - starts[-1])  # noqa: PLW2901 - it runs on
            ends.append(offset)
        last.append(ends[-1])
    length = rows.shape[1]
    first = np.array(starts)[:, np.newaxis]
    steps = (np.array(ends)[:, np.newaxis] - first) / length
    ramps = np.arange(length) * steps + first
    return last, rows - ramps.astype(np.float32)
