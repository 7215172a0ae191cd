# SPDX-License-Identifier: Apache-2.0
"""The listening half of every call: bytes and marks in, spans of net speech out."""

from collections.abc import Sequence
from dataclasses import replace

from voiceauth.errors import EngineError, InputError, StreamTooLongError
from voiceauth.signal.net_speech import NetSpeech, SpeechOptions, push_together
from voiceauth.types import AudioFormat, Quality, Span
from voiceauth.units import Seconds

_DTMF_DIGITS = frozenset("0123456789*#ABCD")
_MOST_DTMF_SECONDS = 10.0
Heard = list[Span] | EngineError
"""The spans that a call's bytes completed, or the error that ends it."""


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
        self.speech = NetSpeech(audio_format, replace(options))
        self._limit = max_audio_seconds
        self._lost = 0.0

    def hear(self, data: bytes) -> list[Span]:
        """Take audio bytes of any length.

        Raises:
            BadAudioError: the bytes cannot be what was declared.
            StreamTooLongError: more audio than one stream may carry.
        """
        spans = self.speech.push(data)
        self.check_length()
        return spans

    def gap(self, lost_seconds: Seconds) -> list[Span]:
        """Note lost audio. Raises InputError for a negative or non-finite length."""
        if not 0.0 <= lost_seconds <= self._limit:
            raise InputError("lost_seconds must lie between 0 and the stream's limit.")
        self._lost += lost_seconds
        spans = self.speech.gap(lost_seconds)
        self.check_length()
        return spans

    def dtmf(self, digit: str, seconds: Seconds) -> list[Span]:
        """Note a key press. Raises InputError for what is not a DTMF digit."""
        if digit not in _DTMF_DIGITS or not 0.0 <= seconds <= _MOST_DTMF_SECONDS:
            raise InputError("A DTMF mark is one of 0-9 * # A-D, held for at most 10 s.")
        return self.speech.dtmf(seconds)

    def finish(self) -> list[Span]:
        """End the audio. Raises BadAudioError if it ends inside a sample."""
        return self.speech.finish()

    def cut_every(self, span_seconds: Seconds) -> None:
        """Return spans of this much net speech from now on."""
        self.speech.cut_every(span_seconds)

    @property
    def heard_seconds(self) -> Seconds:
        """Audio received so far."""
        return self.speech.heard_seconds

    @property
    def net_seconds(self) -> Seconds:
        """Speech that counts so far, including what waits for its span to fill."""
        return self.speech.net_seconds

    def quality(self) -> Quality | None:
        """Quality of the speech so far, None before any."""
        return self.speech.quality()

    def check_length(self) -> None:
        """Raise StreamTooLongError once there was more audio than one stream may carry."""
        if self.speech.heard_seconds + self._lost > self._limit:
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
        spans = self.speech.push(data)
        self.heard(data)
        return spans

    @property
    def speech(self) -> NetSpeech:
        """The call's net speech; whoever pushes bytes there tells ``heard`` of them."""
        return self._listener.speech

    @property
    def patient(self) -> bool:
        """True if audio by which no span is completed may be heard a second later."""
        return True

    def heard(self, data: bytes) -> None:
        """Note bytes that ``speech`` has taken. Raises StreamTooLongError."""
        del data
        self._listener.check_length()

    def gap(self, lost_seconds: Seconds) -> list[Span]:
        """Note lost audio."""
        return self._listener.gap(lost_seconds)

    def dtmf(self, digit: str, seconds: Seconds) -> list[Span]:
        """Note a key press."""
        return self._listener.dtmf(digit, seconds)

    def finish(self) -> list[Span]:
        """End the audio."""
        return self._listener.finish()


def hear_together(calls: Sequence[HearingCall], chunks: Sequence[bytes]) -> list[Heard]:
    """Let each of several calls hear its bytes, in one pass of the signal room.

    Args:
        calls: each once.
        chunks: bytes of each.

    Returns:
        Of each what ``HearingCall.hear`` would return or raise.
    """
    found = push_together([one.speech for one in calls], chunks)
    return [
        heard if isinstance(heard, EngineError) else _noted(call, chunk, heard)
        for call, chunk, heard in zip(calls, chunks, found, strict=True)
    ]


def _noted(call: HearingCall, chunk: bytes, spans: list[Span]) -> Heard:
    try:
        call.heard(chunk)
    except EngineError as error:
        return error
    return spans
