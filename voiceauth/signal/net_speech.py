# SPDX-License-Identifier: Apache-2.0
"""The room's front door for live audio: bytes of one stream in, spans of net speech out."""

from voiceauth.errors import BadAudioError, SettingsError
from voiceauth.signal.bandwidth import FormatMeter
from voiceauth.signal.cutter import BLOCK_SECONDS, SpeechCutter
from voiceauth.signal.decoder import StreamDecoder, bytes_per_frame
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.vad import HOP_SECONDS
from voiceauth.types import AudioFormat, Bandwidth, Quality, Span
from voiceauth.units import Seconds

__all__ = ["NetSpeech", "SpeechOptions"]


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
        self._decoder = StreamDecoder(audio_format)
        self._cutter = SpeechCutter(audio_format.rate_hz, options)
        self._format_meter = FormatMeter(audio_format)
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
        return self._cutter.net_seconds

    @property
    def bandwidth(self) -> Bandwidth:
        """True bandwidth of the source; wideband only once it was heard."""
        return self._cutter.bandwidth

    def quality(self) -> Quality | None:
        """Quality of all speech so far, None before any."""
        return self._cutter.quality(self._format_meter.issues)

    def push(self, data: bytes) -> list[Span]:
        """Take bytes of any number, return the spans that they complete.

        Raises:
            BadAudioError: the stream begins with the header of an audio file.
        """
        self._received_bytes += len(data)
        self._waiting += data
        spans: list[Span] = []
        whole = len(self._waiting) - len(self._waiting) % self._block_bytes
        for start in range(0, whole, self._block_bytes):
            spans += self._block(bytes(self._waiting[start : start + self._block_bytes]))
        del self._waiting[:whole]
        return spans

    def gap(self, lost_seconds: Seconds) -> list[Span]:
        """Note lost audio: speech on both sides is not joined.

        Raises:
            BadAudioError: the audio before the gap ends inside a sample, or a negative length.
        """
        if not 0.0 <= lost_seconds < float("inf"):
            raise BadAudioError("A gap's length must be finite and not negative.")
        spans = self._rest()
        self._decoder.finish()
        spans += self._cutter.close(lost_seconds, self._format_meter.issues)
        self._lost_seconds += lost_seconds
        return spans

    def dtmf(self, seconds: Seconds) -> list[Span]:
        """Note a key press signalled beside the audio: the audio near it does not count.

        Raises:
            BadAudioError: a negative or infinite length.
        """
        if not 0.0 <= seconds < float("inf"):
            raise BadAudioError("A key press must have a finite length that is not negative.")
        self._cutter.exclude(self.heard_seconds + self._lost_seconds, seconds)
        return []

    def cut_every(self, span_seconds: Seconds) -> None:
        """Close spans after this much net speech from now on, the open one included.

        Raises:
            SettingsError: not a length.
        """
        if not HOP_SECONDS <= span_seconds < float("inf"):
            raise SettingsError("A span must have a finite length.")
        self._cutter.cut_every(span_seconds)

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
        samples = self._decoder.push(data)
        if len(data) == self._block_bytes:
            self._format_meter.push(data)
        return self._cutter.take(samples, self._format_meter.issues)
