# SPDX-License-Identifier: Apache-2.0
"""Decoding of raw streams: chunks, channels, refusals."""

import numpy as np
import pytest

from voiceauth.errors import BadAudioError, UnsupportedFormatError
from voiceauth.signal.decoder import StreamDecoder
from voiceauth.types import AudioFormat, Encoding


def test_stereo_frames_split_across_one_byte_chunks() -> None:
    """Samples and stereo frames may be split anywhere; only the caller's channel comes out."""
    pcm = np.array([[1, 100], [2, -200], [3, 300]], dtype="<i2")
    decoder = StreamDecoder(AudioFormat(Encoding.PCM16LE, 8000, 2, 1))

    parts = [decoder.push(bytes([byte])) for byte in pcm.tobytes()]
    decoder.finish()

    np.testing.assert_array_equal(np.concatenate(parts) * 32768, [100, -200, 300])


def test_dangling_sample_is_refused_at_the_end() -> None:
    """A stream that ends inside a sample is bad audio."""
    decoder = StreamDecoder(AudioFormat(Encoding.PCM16LE))
    decoder.push(b"\x01\x02\x03")

    with pytest.raises(BadAudioError, match="inside a sample"):
        decoder.finish()


@pytest.mark.parametrize(
    "audio_format",
    [
        AudioFormat(Encoding.MULAW, 16000),
        AudioFormat(Encoding.ALAW, 48000),
        AudioFormat(Encoding.PCM16LE, 8001),
        AudioFormat(Encoding.PCM16LE, 0),
        AudioFormat(Encoding.PCM16LE, 8000, 3),
        AudioFormat(Encoding.PCM16LE, 8000, 0),
        AudioFormat(Encoding.PCM16LE, 8000, 1, 1),
        AudioFormat(Encoding.PCM16LE, 8000, 2, -1),
    ],
)
def test_impossible_formats_are_refused(audio_format: AudioFormat) -> None:
    """A format that cannot exist or is not supported is refused before any audio."""
    with pytest.raises(UnsupportedFormatError):
        StreamDecoder(audio_format)


@pytest.mark.parametrize("header", [b"RIFF....WAVE", b"OggS\0\0", b"fLaC\0", b"ID3\4", b".snd\0"])
@pytest.mark.parametrize("chunk", [1, 100])
def test_file_headers_are_refused_and_named(header: bytes, chunk: int) -> None:
    """A stream that begins with a file's header is refused however it is split."""
    decoder = StreamDecoder(AudioFormat(Encoding.MULAW))

    def send() -> None:
        for start in range(0, len(header), chunk):
            decoder.push(header[start : start + chunk])

    with pytest.raises(BadAudioError, match="file header"):
        send()
