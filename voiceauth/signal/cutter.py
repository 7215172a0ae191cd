# SPDX-License-Identifier: Apache-2.0
"""Cuts blocks of source samples into spans of net speech: the one path for streams and files."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.signal.bandwidth import BandwidthMeter
from voiceauth.signal.gather import Gatherer, Source
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.resample import Resampler
from voiceauth.signal.vad import (
    HOP_SECONDS,
    MOST_LEAD_SECONDS,
    MOST_TAIL_SECONDS,
    Detector,
    Frames,
)
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
        self._rate_hz = rate_hz
        self._resampler = Resampler(rate_hz, options.rate_hz)
        self._detector = Detector(options.rate_hz, options.lead_seconds, options.tail_seconds)
        self._meter = BandwidthMeter(rate_hz)
        self._gatherer = Gatherer(options)
        self._offset: float | None = None
        self._origin = 0.0
        self._section_samples = 0
        self._source_hops: NDArray[np.float64] = np.zeros((0, 2))

    @property
    def net_seconds(self) -> Seconds:
        """Net speech that counts, gathered speech included."""
        return self._gatherer.net_seconds

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
        if len(block) == 0:
            return []
        self._meter.push(block)
        self._note_hops(block)
        self._section_samples += len(block)
        samples = self._resampler.push(self._without_offset(block))
        return self._gather(self._detector.push(samples), issues)

    def cut_every(self, span_seconds: Seconds) -> None:
        """Close spans after this much net speech from now on, the open one included."""
        self._gatherer.cut_every(span_seconds)

    def exclude(self, at_seconds: Seconds, seconds: Seconds) -> None:
        """Do not count the audio around a mark at a stream time and of a length."""
        start = at_seconds - _BEFORE_MARK_SECONDS
        self._gatherer.exclude(start, at_seconds + seconds + _AFTER_MARK_SECONDS)

    def close(self, lost_seconds: Seconds = 0.0, issues: tuple[Reason, ...] = ()) -> list[Span]:
        """End the section (at a gap, or the end); what follows is not joined to it."""
        spans = self._gather(self._detector.push(self._resampler.flush()), issues)
        spans += self._gather(self._detector.flush(), issues)
        spans += self._gatherer.close(self._source(issues))
        self._origin += self._section_samples / self._rate_hz + lost_seconds
        self._section_samples = 0
        self._source_hops = self._source_hops[:0]
        self._gatherer.start_section(self._origin)
        return spans

    def _source(self, issues: tuple[Reason, ...]) -> Source:
        return Source(self._meter.bandwidth, issues + self._meter.issues)

    def _gather(self, frames: Frames, issues: tuple[Reason, ...]) -> list[Span]:
        count = len(frames.speech)
        hops, self._source_hops = self._source_hops[:count], self._source_hops[count:]
        # The resampler may round the last hop up.
        hops = np.concatenate([hops, np.zeros((count - len(hops), 2))])
        return self._gatherer.take(frames, hops, self._source(issues))

    def _note_hops(self, block: Samples) -> None:
        """Queue the clipped fraction and the mean of each 10 ms of the source."""
        count = max(1, round(len(block) / (self._rate_hz * HOP_SECONDS)))
        edges = np.arange(count) * len(block) // count
        sizes = np.diff(np.append(edges, len(block)))
        clipped = np.add.reduceat((np.abs(block) >= _RAIL).astype(np.float64), edges) / sizes
        means = np.add.reduceat(block.astype(np.float64), edges) / sizes
        found = np.stack([clipped, means], axis=1)
        self._source_hops = np.concatenate([self._source_hops, found])

    def _without_offset(self, block: Samples) -> Samples:
        """Subtract a slow running mean, ramped over the block so that nothing clicks."""
        mean = float(block.mean())
        before = mean if self._offset is None else self._offset
        self._offset = before + _OFFSET_PACE * (mean - before)
        ramp = np.linspace(before, self._offset, len(block), endpoint=False, dtype=np.float32)
        return block - ramp
