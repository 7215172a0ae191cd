# SPDX-License-Identifier: Apache-2.0
"""Gathers decided frames into spans and keeps the account of net speech."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from voiceauth.signal.detector import Frames
from voiceauth.signal.masks import Mask
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.quality import DISQUALIFYING, Sums, judge
from voiceauth.signal.vad import HOP_SECONDS
from voiceauth.types import Bandwidth, Quality, Reason, Samples, Span
from voiceauth.units import Seconds


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of the whole stream."""

    bandwidth: Bandwidth
    issues: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """Decided frames as they are gathered.

    Attributes:
        samples: shape (frames, hop).
        tone: None where there is none.
        digits: None where there is none.
        counted: speech frames up to each, itself included.
        sums: what is summed over speech, in the order of ``Sums``, shape (frames, 5).
    """

    samples: Samples
    kept: Mask
    tone: Mask | None
    digits: Mask | None
    speech: Mask
    counted: NDArray[np.int64]
    sums: NDArray[np.float64]


class Gatherer:
    """Fills one span after the other; a span closes at the frame that completes it.

    Args:
        options: lengths and limits.
    """

    def __init__(self, options: SpeechOptions) -> None:
        self._options = options
        self._all = Sums()
        self._counted_frames = 0
        self._opened_spans = 0
        self._excluded: list[tuple[Seconds, Seconds]] = []
        self._origin = 0.0
        self._next_frame = 0
        self._frames = 0
        self._tone_frames = 0
        self._digit_frames = 0
        self._lines: list[NDArray[np.float64]] = []
        self._pieces: list[Samples] = []
        self._places: list[NDArray[np.int64]] = []
        self._first_frame = 0
        self._last_frame = 0

    @property
    def net_seconds(self) -> Seconds:
        """Net speech of counted spans and of what is gathered."""
        return float((self._counted_frames + self._frames) * HOP_SECONDS)

    @property
    def missing_seconds(self) -> Seconds:
        """Net speech that the open span still lacks."""
        return float((self._wanted() - self._frames) * HOP_SECONDS)

    def quality(self, source: Source) -> Quality | None:
        """Quality of all speech so far, None before any."""
        sums = self._all.plus(self._sums())
        if sums.frames == 0:
            return None
        return judge(sums, self._options, source.bandwidth, source.issues)

    def cut_every(self, span_seconds: Seconds) -> None:
        """Close spans after this much net speech from now on, the open one included."""
        self._options = replace(self._options, span_seconds=span_seconds)

    def start_section(self, origin_seconds: Seconds) -> None:
        """Begin at a stream time with nothing gathered."""
        self._origin = origin_seconds
        self._next_frame = 0
        self._empty()

    def exclude(self, start_seconds: Seconds, end_seconds: Seconds) -> None:
        """Do not count the audio between two stream times."""
        if self._excluded and self._excluded[-1][1] >= start_seconds:
            last_start, last_end = self._excluded.pop()
            start_seconds = min(start_seconds, last_start)
            end_seconds = max(end_seconds, last_end)
        self._excluded.append((start_seconds, end_seconds))

    def take(
        self, frames: Frames, hops: NDArray[np.float64], sources: Sequence[Source]
    ) -> list[Span]:
        """Gather the frames of a run of blocks, return the spans that they complete.

        Args:
            frames: as decided, in order.
            hops: clipped fraction and offset of each at the source, shape (frames, 2).
            sources: at each block, for the quality of the spans.
        """
        speech, kept, digits = frames.speech, frames.kept, frames.dtmf
        if self._excluded:
            marked = self._marked(len(speech))
            speech, kept, digits = speech & ~marked, kept & ~marked, digits | marked
        lines = _Lines(
            samples=frames.samples,
            kept=kept,
            tone=frames.tone if frames.tone.any() else None,
            digits=digits if digits.any() else None,
            speech=speech,
            counted=np.cumsum(speech),
            sums=np.concatenate([frames.powers, hops], axis=1),
        )
        spans: list[Span] = []
        alike = all(one == sources[0] for one in sources)
        start, stop = 0, 0
        for source, count in zip(sources, frames.counts, strict=True):
            first, stop = stop, stop + count
            # What an empty span may keep as its lead is told block by block; an open one may take
            # all that is there.
            while start < stop:
                end = len(speech) if alike and self._frames else stop
                start = self._fill(lines, start, end, first, source, spans)
        self._next_frame += len(speech)
        return spans

    def _fill(  # noqa: PLR0917 - one step of ``take``
        self,
        lines: "_Lines",
        start: int,
        end: int,
        block: int,
        source: Source,
        spans: list[Span],
    ) -> int:
        """Gather frames from ``start`` until the span is full, at most to ``end``; return where."""
        spoken = int(lines.counted[start - 1]) if start else 0
        wanted = spoken + self._wanted() - self._frames
        stop = int(np.searchsorted(lines.counted[:end], wanted)) + 1
        full = stop <= end
        stop = min(stop, end)
        self._add(lines, slice(start, stop), int(lines.counted[stop - 1]) - spoken)
        self._drop_stale_context(self._next_frame + block)
        if full:
            spans.append(self._close(source))
        return stop

    def close(self, source: Source) -> list[Span]:
        """Return what is gathered as a last span if it is long enough; drop it otherwise."""
        if self._frames >= round(self._options.least_span_seconds / HOP_SECONDS):
            return [self._close(source)]
        self._empty()
        return []

    def _wanted(self) -> int:
        first = self._opened_spans == 0
        seconds = self._options.first_span_seconds if first else self._options.span_seconds
        return max(1, round(seconds / HOP_SECONDS))

    def _marked(self, count: int) -> Mask:
        """Tell which of the next frames are excluded, and forget what has passed."""
        times = self._origin + (self._next_frame + np.arange(count)) * HOP_SECONDS
        marked = np.zeros(count, dtype=bool)
        for start, end in self._excluded:
            marked |= (times >= start) & (times < end)
        if count:
            self._excluded = [pair for pair in self._excluded if pair[1] > times[-1]]
        return marked

    def _add(self, lines: "_Lines", part: slice, frames: int) -> None:
        tones, digits = self._tones(lines, part)
        self._tone_frames += tones
        self._digit_frames += digits
        if frames:
            self._frames += frames
            self._lines.append(lines.sums[part][lines.speech[part]])
        kept = np.flatnonzero(lines.kept[part])
        if len(kept):
            index = self._next_frame + part.start + kept
            if not self._pieces:
                self._first_frame = int(index[0])
            self._last_frame = int(index[-1])
            self._pieces.append(lines.samples[part][kept].reshape(-1))
            self._places.append(index + round(self._origin / HOP_SECONDS))

    def _sums(self) -> Sums:
        """Sum up the open span: over all its frames at once, however they came."""
        if not self._lines:
            return Sums(tones=self._tone_frames, digits=self._digit_frames)
        self._lines = [np.concatenate(self._lines)]
        power, band, noise, clipped, offset = self._lines[0].sum(axis=0).tolist()
        tones, digits = self._tone_frames, self._digit_frames
        return Sums(self._frames, power, band, noise, clipped, offset, tones, digits)

    def _tones(self, lines: "_Lines", part: slice) -> tuple[int, int]:
        """Count the frames of tones and digits of a part that count against its span."""
        if lines.tone is None and lines.digits is None:
            return 0, 0
        # Tones count against a span only once its speech has begun: ring-back precedes every call.
        begun = (np.cumsum(lines.speech[part]) > 0) | (self._frames > 0)
        tones = 0 if lines.tone is None else int((lines.tone[part] & begun).sum())
        digits = 0 if lines.digits is None else int((lines.digits[part] & begun).sum())
        return tones, digits

    def _drop_stale_context(self, block: int) -> None:
        """Without speech only the lead before speech to come is worth keeping, not an old tail."""
        if self._frames == 0 and self._pieces and self._last_frame < block:
            self._pieces, self._places = [], []

    def _close(self, source: Source) -> Span:
        sums = self._sums()
        quality = judge(sums, self._options, source.bandwidth, source.issues)
        counted = not DISQUALIFYING.intersection(quality.issues)
        span = Span(
            samples=self._joined(),
            net_seconds=self._frames * HOP_SECONDS,
            start_seconds=self._origin + self._first_frame * HOP_SECONDS,
            end_seconds=self._origin + (self._last_frame + 1) * HOP_SECONDS,
            quality=quality,
            counted=counted,
            hops=np.concatenate(self._places).astype(np.int64, copy=False),
        )
        self._counted_frames += self._frames if counted else 0
        self._opened_spans += 1
        self._empty()
        return span

    def _joined(self) -> Samples:
        return np.ascontiguousarray(np.concatenate(self._pieces), dtype=np.float32)

    def _empty(self) -> None:
        self._all = self._all.plus(self._sums())
        self._frames, self._tone_frames, self._digit_frames = 0, 0, 0
        self._lines, self._pieces, self._places = [], [], []
        self._first_frame = 0
        self._last_frame = 0
