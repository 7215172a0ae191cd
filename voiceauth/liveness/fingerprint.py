# SPDX-License-Identifier: Apache-2.0
"""A keyed acoustic fingerprint: 32 bits every 32 ms that survive a telephone line.

How it is made:

(1) Powers of 48 mel bands from 200 to 3000 Hz, windows of 256 ms every 16 ms: fine enough for the
    lower harmonics, so that the same words said again differ in their pitch.
(2) Patches of 0.6 s, in decibels over their own mean; each band's mean over the patch is taken
    off. So neither the level nor the colour of a line remains, and a bit depends on 0.9 s alone.
(3) Each patch is projected on learned directions, in which recordings differ and lines do not; the
    directions are public and lie beside this file.
(4) A rotation that only the key knows mixes the directions; of each result the sign is kept.

A patch that is mostly pause gives no bits: 32 zeros.

What the key does: fingerprints under different keys cannot be compared, and without it the bits
say nothing. With it they tell a coarse, smoothed spectrum, no phase and no waveform; whether a
rough likeness of the speech could be made from that was not studied, so they are stored encrypted.
"""

import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import BadAudioError, InternalError
from voiceauth.types import Fingerprint, Samples
from voiceauth.units import Hertz, Seconds

RATE_HZ: Hertz = 8000
FRAME_SECONDS: Seconds = 0.032
BITS = 32
KEY_BYTES = 32
DIRECTIONS_FILE = "fingerprint-directions.npy"
SUPPORT = 2048 + 39 * 128
"""Samples that one frame rests on."""
WINDOW = 2048
_HOP = 128
_HOPS_PER_FRAME = 2
FRAME_SAMPLES = _HOP * _HOPS_PER_FRAME
BANDS = 48
_LOW_HZ, _HIGH_HZ = 200.0, 3000.0
_PATCH, _PATCH_STEP = 40, 4
PATCH_ROWS, PATCH_STRIDE = _PATCH // _PATCH_STEP, _PATCH_STEP // _HOPS_PER_FRAME
"""A patch is made of 10 rows, two frames apart: a frame never looks between the rows of frames."""
_FLOOR = 1e-3
LEAST_SPEECH = 0.5

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """The learned part.

    Attributes:
        matrix: columns are directions, float32, shape (patch values, directions).
        version: first 16 hex digits of the file's SHA-256; fingerprints carry it.
    """

    matrix: Floats
    version: str


@lru_cache(maxsize=1)
def shipped_directions() -> Directions:
    """Return the directions that lie beside this file."""
    content = resources.files(__package__).joinpath(DIRECTIONS_FILE).read_bytes()
    matrix = np.load(io.BytesIO(content), allow_pickle=False).astype(np.float32)
    return Directions(matrix, hashlib.sha256(content).hexdigest()[:16])


class Fingerprinter:
    """Makes the frames of one recording, piece by piece; each depends on its own 0.9 s only.

    Args:
        key: 32 secret bytes; the same one for what is to be compared.
        speed: play the recording this much faster first, pitch included.

    Raises:
        InternalError: the key does not have 32 bytes.
    """

    def __init__(self, key: bytes, *, speed: float = 1.0) -> None:
        self._speed = speed
        self._projection = projection(key)
        self._audio = np.zeros(0, dtype=np.float32)
        self._speech: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._begin = 0.0

    def push(self, audio: Samples, speech: NDArray[np.bool_]) -> Floats:
        """Take the audio that follows, and return the frames that it completes.

        Args:
            audio: 8 kHz, shape (samples,).
            speech: of each sample, whether it is speech and not a pause, shape (samples,).

        Returns:
            -1 and 1, or 0 throughout a frame that is mostly pause, float32, shape (frames, 32).

        Raises:
            BadAudioError: not one-dimensional, not finite, or lengths that differ.
        """
        check_audio(audio, speech)
        self._audio = np.concatenate([self._audio, audio])
        self._speech = np.concatenate([self._speech, speech])
        step = FRAME_SAMPLES
        room = (len(self._audio) - 1 - self._begin) / self._speed
        count = max(0, int((room - SUPPORT) // step) + 1)
        if count == 0:
            return np.zeros((0, BITS), dtype=np.float32)
        indices = np.arange(SUPPORT + (count - 1) * step, dtype=np.float64)
        places = np.asarray(self._begin + indices * self._speed, dtype=np.float64)
        rows = band_powers(self._played(places), hop=step)
        windows = np.lib.stride_tricks.sliding_window_view(rows, _PATCH // _HOPS_PER_FRAME, axis=0)
        found = shapes(windows[:count, :, ::PATCH_STRIDE]) @ self._projection
        frames = np.where(found > 0.0, np.float32(1.0), np.float32(-1.0))
        frames[self._spoken(places, count, step) < LEAST_SPEECH] = 0.0
        self._forget(self._begin + count * step * self._speed)
        return frames

    def _played(self, places: NDArray[np.float64]) -> Samples:
        """Read the audio between its samples: linear is exact enough below 3 kHz."""
        if self._speed == 1.0:
            return self._audio[int(places[0]) : int(places[0]) + len(places)]
        found = np.interp(places, np.arange(len(self._audio)), self._audio)
        return np.asarray(found, dtype=np.float32)

    def _spoken(self, places: NDArray[np.float64], count: int, step: int) -> NDArray[np.float64]:
        """Share of speech in the support of each frame."""
        sums = np.concatenate([[0.0], np.cumsum(self._speech, dtype=np.float64)])
        starts = places[np.arange(count) * step].astype(np.int64)
        stops = starts + round(SUPPORT * self._speed)
        stops = np.minimum(stops, len(sums) - 1)
        return np.asarray((sums[stops] - sums[starts]) / (stops - starts))

    def _forget(self, begin: float) -> None:
        whole = int(begin)
        self._audio, self._speech = self._audio[whole:].copy(), self._speech[whole:].copy()
        self._begin = begin - whole


def projection(key: bytes) -> Floats:
    """Return what turns a patch into bits under a key, float32, shape (patch values, 32).

    Raises:
        InternalError: the key does not have 32 bytes.
    """
    if len(key) != KEY_BYTES:
        raise InternalError(detail=f"a fingerprint key must have {KEY_BYTES} bytes")
    matrix = shipped_directions().matrix
    return np.asarray(matrix @ _rotation(key, matrix.shape[1]), dtype=np.float32)


def check_audio(audio: Samples, speech: NDArray[np.bool_]) -> None:
    """Raise BadAudioError for what is not finite samples, each with its mark."""
    if audio.ndim != 1 or audio.shape != speech.shape or not np.isfinite(audio).all():
        raise BadAudioError(detail="a fingerprint takes finite samples of shape (samples,)")


def fingerprint(waveform: Samples, key: bytes, *, speed: float = 1.0) -> Fingerprint:
    """Compute the fingerprint of a whole recording, all of it speech. Raises as ``push``."""
    speech = np.ones(waveform.shape, dtype=np.bool_)
    return packed(Fingerprinter(key, speed=speed).push(waveform, speech))


def packed(frames: Floats) -> Fingerprint:
    """Pack frames as ``Fingerprinter`` gives them."""
    bits = np.packbits(frames > 0.0).tobytes()
    return Fingerprint(shipped_directions().version, len(frames), bits)


def frames_of(print_: Fingerprint) -> Floats:
    """Unpack a fingerprint to -1 and 1, and 0 for pauses; float32, shape (frames, 32).

    Raises:
        InternalError: the bytes do not fit the number of frames.
    """
    if len(print_.bits) != print_.frames * BITS // 8:
        raise InternalError(detail="a fingerprint's bytes do not fit its frames")
    bits = np.unpackbits(np.frombuffer(print_.bits, dtype=np.uint8)).reshape(print_.frames, BITS)
    frames = bits.astype(np.float32) * np.float32(2.0) - np.float32(1.0)
    frames[~bits.any(axis=1)] = 0.0
    return frames


def band_powers(waveform: Samples, *, hop: int = _HOP) -> Floats:
    """Powers of the mel bands, float32, shape (hops, 48)."""
    if len(waveform) < WINDOW:
        return np.zeros((0, BANDS), dtype=np.float32)
    return np.asarray(spectra(waveform, hop) @ bands(1.0))


def spectra(waveform: Samples, hop: int) -> Floats:
    """Power spectra of the windows, float32, shape (hops, 1025); at least one window of audio."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::hop]
    # Only with a norm that numpy holds as a float32 is the transform computed in float32, six times
    # as fast; the window makes up for it.
    spectrum = np.fft.rfft(frames * _window(), axis=1, norm="forward")
    return np.asarray(np.square(spectrum.real) + np.square(spectrum.imag), dtype=np.float32)


def patches(powers: Floats, *, every: int = _HOPS_PER_FRAME) -> Floats:
    """Cut patches of 0.6 s without level and colour, float32, shape (frames, patch values).

    Args:
        powers: bands every 16 ms, shape (hops, 48).
        every: hops from one patch to the next.
    """
    if len(powers) < _PATCH:
        return np.zeros((0, BANDS * PATCH_ROWS), dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(powers, _PATCH, axis=0)
    return shapes(windows[::every, :, ::_PATCH_STEP])


def shapes(thinned: Floats, *, moments: int = 2) -> Floats:
    """Take level and colour off patches, float32, shape (patches, patch values).

    Args:
        thinned: band powers, shape (patches, 48, 10), or (patches, 10, 48) with ``moments`` 1.
        moments: the axis of the 10 moments.
    """
    found = thinned / (thinned.mean(axis=(1, 2), keepdims=True) + np.float32(1e-9))
    found += np.float32(_FLOOR)
    np.log(found, out=found)
    found -= found.mean(axis=moments, keepdims=True)
    return np.asarray(found.reshape(len(found), -1), dtype=np.float32)


def _rotation(key: bytes, size: int) -> Floats:
    """Orthonormal columns that depend on the key alone, float32, shape (size, 32)."""
    count = size * BITS
    stream = hashlib.shake_256(b"voiceauth fingerprint 1" + key).digest(count * 16)
    uniform = (np.frombuffer(stream, dtype="<u8").reshape(2, count) >> np.uint64(11)) * 2.0**-53
    normal = np.sqrt(-2.0 * np.log(1.0 - uniform[0])) * np.cos(2.0 * np.pi * uniform[1])
    columns, upper = np.linalg.qr(normal.reshape(size, BITS))
    # Libraries differ in the signs of a decomposition; this fixes them.
    return np.asarray(columns * np.sign(np.diag(upper)), dtype=np.float32)


@lru_cache(maxsize=1)
def _window() -> Floats:
    return (WINDOW * np.hanning(WINDOW)).astype(np.float32)


@lru_cache(maxsize=16)
def bands(speed: float) -> Floats:
    """Weights of the mel bands as they lie in audio that is yet to be played at a speed.

    Args:
        speed: 1.05 makes every frequency 5 per cent higher, so its bands lie 5 per cent lower.

    Returns:
        float32, shape (1025, 48).
    """
    edges = np.linspace(_mel(_LOW_HZ), _mel(_HIGH_HZ), BANDS + 2)
    centres = 700.0 * (np.power(10.0, edges / 2595.0) - 1.0)
    grid = speed * np.linspace(0.0, RATE_HZ / 2, WINDOW // 2 + 1)[:, np.newaxis]
    rising = (grid - centres[:-2]) / (centres[1:-1] - centres[:-2])
    falling = (centres[2:] - grid) / (centres[2:] - centres[1:-1])
    return np.clip(np.minimum(rising, falling), 0.0, None).astype(np.float32)


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))
