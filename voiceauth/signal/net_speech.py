# SPDX-License-Identifier: Apache-2.0
"""The room's front door for live audio: bytes of one stream in, spans of net speech out."""

from collections.abc import Sequence

from voiceauth.errors import BadAudioError, EngineError, SettingsError
from voiceauth.signal.bandwidth import FormatMeter, weigh_formats
from voiceauth.signal.cutter import BLOCK_SECONDS, SpeechCutter, take_together
from voiceauth.signal.decoder import StreamDecoder, bytes_per_frame, decode_together
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.vad import HOP_SECONDS
from voiceauth.types import AudioFormat, Bandwidth, Quality, Span
from voiceauth.units import Seconds

__all__ = ["NetSpeech", "SpeechOptions", "push_together"]

MOST_BLOCKS = 25
"""Five seconds: a longer piece is taken in several turns, so that its arrays stay small."""
_ROUNDING_SECONDS: Seconds = HOP_SECONDS / 2
"""Lengths are whole frames; their sums in floating point are not."""


class NetSpeech:
    """Net speech of one live stream. Not thread-safe: a stream has one reader.

    Args:
        audio_format: as declared.
        options: of the room, for the model in use.

    Raises:
        UnsupportedFormatError: the format is impossible or not supported.
        SettingsError: options out of range.
    """

    def __init__(
        self,
        audio_format: AudioFormat,
        options: SpeechOptions = SpeechOptions(),  # noqa: B008 - frozen
    ) -> None:
        self.decoder = StreamDecoder(audio_format)
        self.cutter = SpeechCutter(audio_format.rate_hz, options)
        self.format_meter = FormatMeter(audio_format)
        self._rate_hz = audio_format.rate_hz
        self._frame_bytes = bytes_per_frame(audio_format)
        self._block_bytes = round(audio_format.rate_hz * BLOCK_SECONDS) * self._frame_bytes
        self._waiting = bytearray()
        self._received_bytes = 0
        self._lost_seconds = 0.0

    @property
    def heard_seconds(self) -> Seconds:
        """Audio received, without gaps."""
        return self._received_bytes // self._frame_bytes / self._rate_hz

    @property
    def net_seconds(self) -> Seconds:
        """Net speech that counts, including what is gathered but not yet in a span."""
        return self.cutter.net_seconds

    @property
    def bandwidth(self) -> Bandwidth:
        """True bandwidth of the source; wideband only once it was heard."""
        return self.cutter.bandwidth

    def quality(self) -> Quality | None:
        """Quality of all speech so far, None before any."""
        return self.cutter.quality(self.format_meter.issues)

    def push(self, data: bytes) -> list[Span]:
        """Take bytes of any number, return the spans that they complete.

        Raises:
            BadAudioError: the stream begins with the header of an audio file.
        """
        spans = push_together([self], [data])[0]
        if isinstance(spans, EngineError):
            raise spans
        return spans

    def receive(self, data: bytes) -> None:
        """Keep bytes until ``next_blocks`` asks for them. Raises BadAudioError as ``push``."""
        self.decoder.check_head(data)
        self._received_bytes += len(data)
        self._waiting += data

    def seconds_of(self, size: int) -> Seconds:
        """Return how long so many bytes are."""
        return size / self._frame_bytes / self._rate_hz

    @property
    def missing_bytes(self) -> int:
        """Bytes until the next block is whole: with fewer, nothing can come of a push."""
        return self._block_bytes - len(self._waiting)

    @property
    def block_bytes(self) -> int:
        """Bytes of a block."""
        return self._block_bytes

    def may_complete(self, size: int) -> bool:
        """Say whether so many further bytes may complete a span, if all of them were speech."""
        blocks = (len(self._waiting) + size) // self._block_bytes
        return self.cutter.missing_seconds <= blocks * BLOCK_SECONDS + _ROUNDING_SECONDS

    def next_blocks(self) -> list[bytes]:
        """Return the whole blocks of what was received, in order, at most ``MOST_BLOCKS``."""
        count = min(len(self._waiting) // self._block_bytes, MOST_BLOCKS)
        size = self._block_bytes
        blocks = [bytes(self._waiting[at : at + size]) for at in range(0, count * size, size)]
        del self._waiting[: count * size]
        return blocks

    def gap(self, lost_seconds: Seconds) -> list[Span]:
        """Note lost audio: speech on both sides is not joined.

        Raises:
            BadAudioError: the audio before the gap ends inside a sample, or a negative length.
        """
        if not 0.0 <= lost_seconds < float("inf"):
            raise BadAudioError("A gap's length must be finite and not negative.")
        spans = self._rest()
        self.decoder.finish()
        spans += self.cutter.close(lost_seconds, self.format_meter.issues)
        self._lost_seconds += lost_seconds
        return spans

    def dtmf(self, seconds: Seconds) -> list[Span]:
        """Note a key press signalled beside the audio: the audio near it does not count.

        Raises:
            BadAudioError: a negative or infinite length.
        """
        if not 0.0 <= seconds < float("inf"):
            raise BadAudioError("A key press must have a finite length that is not negative.")
        self.cutter.exclude(self.heard_seconds + self._lost_seconds, seconds)
        return []

    def cut_every(self, span_seconds: Seconds) -> None:
        """Close spans after this much net speech from now on, the open one included.

        Raises:
            SettingsError: not a length.
        """
        if not HOP_SECONDS <= span_seconds < float("inf"):
            raise SettingsError("A span must have a finite length.")
        self.cutter.cut_every(span_seconds)

    def finish(self) -> list[Span]:
        """End the stream and return the last spans.

        Raises:
            BadAudioError: the audio ends inside a sample.
        """
        return self.gap(0.0)

    def _rest(self) -> list[Span]:
        rest = bytes(self._waiting)
        self._waiting.clear()
        return self._block(rest)

    def _block(self, data: bytes) -> list[Span]:
        samples = self.decoder.push(data)
        return self.cutter.take(samples, self.format_meter.issues)


def push_together(
    streams: Sequence[NetSpeech], chunks: Sequence[bytes]
) -> list[list[Span] | EngineError]:
    """Push bytes to each of several streams, as ``NetSpeech.push`` does to one.

    Blocks that are there at the same time are worked on in one pass, which costs little more than a
    single one; each stream's spans are those that it would have alone.

    Args:
        streams: each once.
        chunks: bytes of each, any number.

    Returns:
        Of each stream its spans, or the error that ends it.
    """
    found: list[list[Span]] = [[] for _ in streams]
    failed: dict[int, EngineError] = {}
    for place, (stream, chunk) in enumerate(zip(streams, chunks, strict=True)):
        try:
            stream.receive(chunk)
        except EngineError as error:
            failed[place] = error
    running = [place for place in range(len(streams)) if place not in failed]
    while running:
        turns = [(place, streams[place].next_blocks()) for place in running]
        running = [place for place, blocks in turns if blocks]
        runs = [blocks for _, blocks in turns if blocks]
        heard = _round([streams[place] for place in running], runs) if running else []
        for place, spans in zip(running, heard, strict=True):
            found[place] += spans
    return [failed.get(place, spans) for place, spans in enumerate(found)]


def _round(streams: Sequence[NetSpeech], runs: Sequence[Sequence[bytes]]) -> list[list[Span]]:
    """Give each stream its next whole blocks."""
    samples = decode_together([one.decoder for one in streams], [b"".join(run) for run in runs])
    blocks = [all_.reshape(len(run), -1) for all_, run in zip(samples, runs, strict=True)]
    issues = weigh_formats([one.format_meter for one in streams], runs)
    return take_together([one.cutter for one in streams], blocks, issues)
