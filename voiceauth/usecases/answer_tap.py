# SPDX-License-Identifier: Apache-2.0
"""The audio of an answer: what was said after a prompt, cut out of the running call."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from voiceauth.liveness.challenge import (
    FRAME_SECONDS,
    AnswerTiming,
    ChallengeOptions,
    find_answer,
    vocabulary,
)
from voiceauth.ports import Recognizer
from voiceauth.signal.cutter import BLOCK_SECONDS
from voiceauth.signal.decoder import StreamDecoder, bytes_per_frame
from voiceauth.signal.detector import Detector
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.resample import Resampler
from voiceauth.types import AudioFormat, Challenge, ChallengeCause, Recognition, Samples
from voiceauth.units import Hertz, Seconds

_MARGIN_SECONDS: Seconds = 0.3
"""Audio around the answer that the recogniser gets."""


class AnswerTap:
    """The audio of a call from shortly before a prompt's end. Not thread-safe.

    Args:
        audio_format: of the stream.
        options: of the signal room, for the model in use.
        context: bytes before the mark, whole sample frames.
    """

    def __init__(self, audio_format: AudioFormat, options: SpeechOptions, context: bytes) -> None:
        self._decoder = StreamDecoder(audio_format)
        self._resampler = Resampler(audio_format.rate_hz, options.rate_hz)
        self._detector = Detector(options.rate_hz, options.lead_seconds, options.tail_seconds)
        self._hop = round(options.rate_hz * FRAME_SECONDS)
        self._rate_hz = options.rate_hz
        self._pieces: list[Samples] = []
        self._speech: list[NDArray[np.bool_]] = []
        self._kept: list[NDArray[np.bool_]] = []
        frame = bytes_per_frame(audio_format)
        self._block_bytes = round(audio_format.rate_hz * BLOCK_SECONDS) * frame
        self._waiting = bytearray()
        self.mark = round(len(context) / frame / audio_format.rate_hz / FRAME_SECONDS)
        self.hear(context)

    def hear(self, data: bytes) -> None:
        """Take bytes that follow."""
        self._waiting += data
        while len(self._waiting) >= self._block_bytes:
            block = bytes(self._waiting[: self._block_bytes])
            del self._waiting[: self._block_bytes]
            self._take(self._resampler.push(self._decoder.push(block)))

    def finish(self) -> None:
        """Decide what is left: no more audio will come."""
        self._take(self._resampler.push(self._decoder.push(bytes(self._waiting))))
        self._waiting.clear()
        self._take(self._resampler.flush())
        frames = self._detector.flush()
        self._keep(frames.samples, frames.speech, frames.kept)

    def timing(self, options: ChallengeOptions, *, ended: bool) -> AnswerTiming:
        """Find the answer in what is decided so far."""
        return find_answer(self._joined(self._speech), self.mark, options, ended=ended)

    @property
    def heard_frames(self) -> int:
        """Frames that are decided."""
        return sum(len(part) for part in self._speech)

    def cut(self, start: int, stop: int) -> tuple[Samples, Samples, Seconds]:
        """Return the answer with its margin, its speech alone, and the seconds of net speech."""
        samples = np.concatenate(self._pieces)
        margin = round(_MARGIN_SECONDS / FRAME_SECONDS)
        whole = samples[max(0, start - margin) : stop + margin].reshape(-1)
        kept = self._joined(self._kept)[start:stop]
        net = float(self._joined(self._speech)[start:stop].sum()) * FRAME_SECONDS
        spoken = samples[start:stop][kept].reshape(-1)
        return np.ascontiguousarray(whole), np.ascontiguousarray(spoken), net

    @property
    def rate_hz(self) -> Hertz:
        """Of what ``cut`` returns."""
        return self._rate_hz

    def _take(self, samples: Samples) -> None:
        if len(samples):
            frames = self._detector.push(samples)
            self._keep(frames.samples, frames.speech, frames.kept)

    def _keep(self, samples: Samples, speech: NDArray[np.bool_], kept: NDArray[np.bool_]) -> None:
        self._pieces.append(samples.reshape(-1, self._hop))
        self._speech.append(speech)
        self._kept.append(kept)

    @staticmethod
    def _joined(parts: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
        return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What is to be judged.

    Attributes:
        challenge: what was asked.
        cause: why there is nothing to recognise; None if there is.
        onset_seconds: from the end of the prompt; None without an answer.
        samples: the answer with its margin, shape (samples,).
        spoken: its speech alone, for the speaker model, shape (samples,).
        net_seconds: speech in it.
        rate_hz: of both.
        recognition: the client's own result, if it sent one.
        recogniser: the engine's; None where it has none or the client's result is used.
    """

    challenge: Challenge
    cause: ChallengeCause | None
    onset_seconds: Seconds | None
    samples: Samples = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    spoken: Samples = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    net_seconds: Seconds = 0.0
    rate_hz: Hertz = 8000
    recognition: Recognition | None = None
    recogniser: Recognizer | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The vocabulary that the answer is told apart from."""
        return vocabulary(self.challenge.kind)
