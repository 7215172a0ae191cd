# SPDX-License-Identifier: Apache-2.0
"""Audio from a file or from standard input, as the chunks that go over the wire.

A file in a container (WAV, FLAC, Opus and what else libsndfile reads) is sent as linear PCM at its
own rate, its caller's channel alone. Raw audio is sent as it is.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from voiceauth.errors import BadAudioError, InputError, UnsupportedFormatError
from voiceauth.types import AudioFormat, Encoding
from voiceauth.units import Hertz, Seconds

STANDARD_INPUT = "-"
WIRE_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_HIGHEST_HZ = 48_000
_FRAME_SECONDS = 0.02
_BLOCK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class RawAudio:
    """How raw audio is laid out.

    Attributes:
        encoding: None means that a file is read by its own header.
        rate_hz: samples per second and channel.
        channels: interleaved.
        channel: zero-based index of the caller's channel, in raw audio and in files.
    """

    encoding: Encoding | None = None
    rate_hz: Hertz = 8000
    channels: int = 1
    channel: int = 0


@dataclass(frozen=True, slots=True)
class SoundSource:
    """Audio that is ready to be sent.

    Attributes:
        audio_format: declared to the server.
        chunks: bytes in stream order.
        blocking: reading a chunk may take time and belongs off the event loop.
    """

    audio_format: AudioFormat
    chunks: Iterator[bytes]
    blocking: bool = True

    def seconds(self, chunk: bytes) -> Seconds:
        """Return how long a chunk lasts."""
        width = 2 if self.audio_format.encoding is Encoding.PCM16LE else 1
        return len(chunk) / (width * self.audio_format.channels * self.audio_format.rate_hz)


def open_sound(source: str, raw: RawAudio, *, realtime: bool) -> SoundSource:
    """Open an audio file, or standard input for ``-``.

    Args:
        source: path or ``-``.
        raw: its layout, if it has no header.
        realtime: cut into 20 ms frames instead of larger blocks.

    Raises:
        InputError: there is no such file.
        BadAudioError: the file is none that can be read.
        UnsupportedFormatError: the caller's channel is not there.
    """
    block = _FRAME_SECONDS if realtime else _BLOCK_SECONDS
    if source == STANDARD_INPUT:
        return _raw(sys.stdin.buffer, raw, block)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"There is no audio file {source}.")
    if raw.encoding is not None:
        return _raw(path.open("rb"), raw, block)
    return _decoded(path, raw.channel, block)


def _raw(stream: BinaryIO, raw: RawAudio, block: Seconds) -> SoundSource:
    encoding = raw.encoding or Encoding.MULAW
    width = 2 if encoding is Encoding.PCM16LE else 1
    size = max(1, round(block * raw.rate_hz)) * width * raw.channels

    def chunks() -> Iterator[bytes]:
        with stream:
            while data := stream.read(size):
                yield data

    return SoundSource(AudioFormat(encoding, raw.rate_hz, raw.channels, raw.channel), chunks())


def _decoded(path: Path, channel: int, block: Seconds) -> SoundSource:
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise BadAudioError(
            f"{path} is no audio file that can be read; for raw audio give --encoding and --rate.",
            detail=str(error),
        ) from error
    if channel >= file.channels:
        file.close()
        raise UnsupportedFormatError(f"{path} has {file.channels} channel(s); check --channel.")
    rate = file.samplerate if file.samplerate in WIRE_RATES_HZ else _HIGHEST_HZ
    resampler = soxr.ResampleStream(file.samplerate, rate, 1) if rate != file.samplerate else None

    def chunks() -> Iterator[bytes]:
        with file:
            size = max(1, round(block * file.samplerate))
            try:
                for samples in file.blocks(size, dtype="float32", always_2d=True):
                    mono = samples[:, channel]
                    if resampler is not None:
                        mono = resampler.resample_chunk(np.ascontiguousarray(mono))
                    if len(mono):
                        yield pcm16(mono)
                if resampler is not None:
                    rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
                    if len(rest):
                        yield pcm16(rest)
            except soundfile.LibsndfileError as error:
                raise BadAudioError(f"{path} is damaged.", detail=str(error)) from error

    return SoundSource(AudioFormat(Encoding.PCM16LE, rate), chunks())


def pcm16(samples: np.typing.NDArray[np.float32]) -> bytes:
    """Code samples as 16-bit little-endian PCM, rounded and clipped at full scale.

    Args:
        samples: shape (samples,), full scale 1; NaN becomes silence.
    """
    finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    scaled = np.clip(finite * 32768.0, -32768, 32767)
    coded: bytes = np.rint(scaled).astype("<i2").tobytes()
    return coded
