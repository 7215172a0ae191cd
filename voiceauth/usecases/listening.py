# SPDX-License-Identifier: Apache-2.0
"""The listening half of every call: bytes and marks in, spans of net speech out."""

from dataclasses import replace

from voiceauth.errors import InputError, StreamTooLongError
from voiceauth.signal.net_speech import NetSpeech, SpeechOptions
from voiceauth.types import AudioFormat, Quality, Span
from voiceauth.units import Seconds

_DTMF_DIGITS = frozenset("0123456789*#ABCD")
_MOST_DTMF_SECONDS = 10.0


class Listener:
    """One call's audio. Not thread-safe: a call has one reader.

    Args:
        audio_format: as declared when the call was opened.
        options: of the signal room, for the model in use.
        max_audio_seconds: longest audio, gaps included.

    Raises:
        UnsupportedFormatError: the format is impossible.
    """

    def __init__(
        self, audio_format: AudioFormat, options: SpeechOptions, max_audio_seconds: Seconds
    ) -> None:
        self._speech = NetSpeech(audio_format, replace(options))
        self._limit = max_audio_seconds
        self._lost = 0.0

    def hear(self, data: bytes) -> list[Span]:
        """Take audio bytes of any length.

        Raises:
            BadAudioError: the bytes cannot be what was declared.
            StreamTooLongError: more audio than one stream may carry.
        """
        spans = self._speech.push(data)
        self._check_length()
        return spans

    def gap(self, lost_seconds: Seconds) -> list[Span]:
        """Note lost audio. Raises InputError for a negative or non-finite length."""
        if not 0.0 <= lost_seconds <= self._limit:
            raise InputError("lost_seconds must lie between 0 and the stream's limit.")
        self._lost += lost_seconds
        spans = self._speech.gap(lost_seconds)
        self._check_length()
        return spans

    def dtmf(self, digit: str, seconds: Seconds) -> list[Span]:
        """Note a key press. Raises InputError for what is not a DTMF digit."""
        if digit not in _DTMF_DIGITS or not 0.0 <= seconds <= _MOST_DTMF_SECONDS:
            raise InputError("A DTMF mark is one of 0-9 * # A-D, held for at most 10 s.")
        return self._speech.dtmf(seconds)

    def finish(self) -> list[Span]:
        """End the audio. Raises BadAudioError if it ends inside a sample."""
        return self._speech.finish()

    def cut_every(self, span_seconds: Seconds) -> None:
        """Return spans of this much net speech from now on."""
        self._speech.cut_every(span_seconds)

    @property
    def heard_seconds(self) -> Seconds:
        """Audio received so far."""
        return self._speech.heard_seconds

    @property
    def net_seconds(self) -> Seconds:
        """Speech that counts so far, including what waits for its span to fill."""
        return self._speech.net_seconds

    def quality(self) -> Quality | None:
        """Quality of the speech so far, None before any."""
        return self._speech.quality()

    def _check_length(self) -> None:
        if self._speech.heard_seconds + self._lost > self._limit:
            raise StreamTooLongError


class HearingCall:
    """The half that all calls share: audio and marks go to the call's listener.

    Args:
        listener: of this call.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def hear(self, data: bytes) -> list[Span]:
        """Take audio bytes; return the spans that they completed. Errors as ``Listener.hear``."""
        return self._listener.hear(data)

    def gap(self, lost_seconds: Seconds) -> list[Span]:
        """Note lost audio."""
        return self._listener.gap(lost_seconds)

    def dtmf(self, digit: str, seconds: Seconds) -> list[Span]:
        """Note a key press."""
        return self._listener.dtmf(digit, seconds)

    def finish(self) -> list[Span]:
        """End the audio."""
        return self._listener.finish()
