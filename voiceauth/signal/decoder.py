# SPDX-License-Identifier: Apache-2.0
"""Raw audio bytes of one stream to mono samples of the caller's channel.

It does not read containers: a stream that begins with a file header is refused, since its header
would be heard as noise and its declared format is unlikely to be true.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import BadAudioError, UnsupportedFormatError
from voiceauth.signal import g711
from voiceauth.types import AudioFormat, Encoding, Samples
from voiceauth.units import Hertz

RATES_HZ: Final = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})
_G711_RATE_HZ: Final[Hertz] = 8000
_MOST_CHANNELS: Final = 2
_HEADERS: Final = {
    b"RIFF": "WAV",
    b"RIFX": "WAV",
    b"RF64": "WAV",
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"ID3": "MP3",
    b".snd": "AU",
}
_HEADER_BYTES: Final = 4


def check_format(audio_format: AudioFormat) -> None:
    """Raise UnsupportedFormatError unless the declared format can exist and is supported."""
    if audio_format.encoding not in tuple(Encoding):
        raise UnsupportedFormatError("The encoding is not supported.")
    if audio_format.rate_hz not in RATES_HZ:
        raise UnsupportedFormatError(f"Sampling rate must be one of {sorted(RATES_HZ)}.")
    if audio_format.encoding is not Encoding.PCM16LE and audio_format.rate_hz != _G711_RATE_HZ:
        raise UnsupportedFormatError("G.711 audio has 8000 samples per second.")
    if not 1 <= audio_format.channels <= _MOST_CHANNELS:
        raise UnsupportedFormatError("Audio must have 1 or 2 channels.")
    if not 0 <= audio_format.channel < audio_format.channels:
        raise UnsupportedFormatError("The caller's channel index is beyond the channels.")


def bytes_per_frame(audio_format: AudioFormat) -> int:
    """Return the bytes of one sampling instant over all channels."""
    width = 2 if audio_format.encoding is Encoding.PCM16LE else 1
    return width * audio_format.channels


def read(data: bytes, encoding: Encoding) -> Samples:
    """Read whole samples, float32, shape (samples over all channels,), full scale 1."""
    if encoding is Encoding.PCM16LE:
        return np.frombuffer(data, dtype="<i2").astype(np.float32) / np.float32(g711.FULL_SCALE)
    codes: NDArray[np.uint8] = np.frombuffer(data, dtype=np.uint8)
    return g711.decode_mulaw(codes) if encoding is Encoding.MULAW else g711.decode_alaw(codes)


class StreamDecoder:
    """Decodes a stream whose chunks may split samples and stereo frames anywhere.

    Args:
        audio_format: as declared.

    Raises:
        UnsupportedFormatError: the format is impossible or not supported.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        check_format(audio_format)
        self.format = audio_format
        self._frame_bytes = bytes_per_frame(audio_format)
        self._rest = b""
        self._head: bytes | None = b""

    def push(self, data: bytes) -> Samples:
        """Decode what is complete; float32, shape (samples,), of the caller's channel.

        Raises:
            BadAudioError: the stream begins with the header of an audio file.
        """
        self.check_head(data)
        data = self._rest + data
        whole = len(data) - len(data) % self._frame_bytes
        self._rest = data[whole:]
        samples = read(data[:whole], self.format.encoding)
        return samples[self.format.channel :: self.format.channels]

    def finish(self) -> None:
        """Raise BadAudioError if the stream ended inside a sample or a stereo frame."""
        if self._rest:
            raise BadAudioError(
                "The audio ends inside a sample.",
                detail=f"{len(self._rest)} of {self._frame_bytes} bytes",
            )

    def check_head(self, data: bytes) -> None:
        """Raise BadAudioError if the stream begins with the header of an audio file."""
        if self._head is None:
            return
        self._head = (self._head + data)[:_HEADER_BYTES]
        for mark, name in _HEADERS.items():
            if self._head.startswith(mark):
                raise BadAudioError(
                    f"The audio begins with a {name} file header: send raw samples without it."
                )
        if len(self._head) == _HEADER_BYTES:
            self._head = None


def decode_together(decoders: Sequence[StreamDecoder], pieces: Sequence[bytes]) -> list[Samples]:
    """Decode whole frames of each stream; heads were checked, no bytes are left over.

    Returns:
        Of each stream, samples of the caller's channel, float32, shape (samples,).
    """
    groups: dict[AudioFormat, list[int]] = defaultdict(list)
    for place, decoder in enumerate(decoders):
        groups[decoder.format].append(place)
    found: dict[int, Samples] = {}
    for audio_format, places in groups.items():
        joined = read(b"".join([pieces[place] for place in places]), audio_format.encoding)
        samples = joined[audio_format.channel :: audio_format.channels]
        width, start = bytes_per_frame(audio_format), 0
        for place in places:
            stop = start + len(pieces[place]) // width
            found[place], start = samples[start:stop], stop
    return [found[place] for place in range(len(decoders))]
