# SPDX-License-Identifier: Apache-2.0
"""Further voices out of recorded ones: other speeds, other formants.

A few hundred people are few, and a student learns them by heart. Playing a recording at another
speed moves pitch and formants together; warping the spectral envelope moves the formants alone.
Each combination counts as another voice, and the teacher says where it belongs.

The envelope is the cepstrally smoothed spectrum (quefrencies below 1.3 ms, so that the harmonics
of the highest voices stay out of it); the fine structure and the phases are left as they are.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
import soxr
from numpy.typing import NDArray

from voiceauth.units import Hertz, Seconds

FloatArray = NDArray[np.float32]

WINDOW_SECONDS: Seconds = 0.032
SMOOTH_SECONDS: Seconds = 0.0013
BEND_HZ = (300.0, 900.0, 1800.0, 3000.0, 5000.0)
"""Where a bent frequency axis has factors of its own; between them they are interpolated."""
LARGEST_GAIN = 2.0
"""Natural logarithm of the largest change of any frequency, about 17 dB."""


@dataclass(frozen=True)
class Variant:
    """How a voice is changed.

    Args:
        speed: above 1 is faster and higher.
        formants: above 1 is a shorter vocal tract, at the same pitch.
    """

    speed: float = 1.0
    formants: float = 1.0


VARIANTS = (
    Variant(),
    Variant(0.85),
    Variant(0.92),
    Variant(1.09),
    Variant(1.18),
    Variant(1.0, 0.88),
    Variant(1.0, 1.13),
    Variant(0.9, 1.1),
    Variant(1.1, 0.9),
    Variant(0.8, 0.97),
    Variant(1.25, 1.03),
    Variant(0.95, 0.93),
    Variant(1.06, 1.08),
)
"""The first is the recording itself; a voice and a variant make a pseudo-speaker."""


def vary(waveform: FloatArray, variant: Variant, rate_hz: Hertz, to_hz: Hertz) -> FloatArray:
    """Change a voice and resample it on the way.

    Args:
        waveform: float32, shape (samples,).
        variant: how.
        rate_hz: rate of the waveform.
        to_hz: rate of the result.

    Returns:
        float32, shape (about samples * to_hz / rate_hz / speed,).
    """
    if variant.formants != 1.0:
        waveform = warp_formants(waveform, variant.formants, rate_hz)
    if variant.speed == 1.0 and rate_hz == to_hz:
        return waveform
    return np.asarray(
        soxr.resample(waveform, rate_hz * variant.speed, to_hz, quality="MQ"), dtype=np.float32
    )


def warp_formants(waveform: FloatArray, factor: float, rate_hz: Hertz) -> FloatArray:
    """Move the spectral envelope along the frequency axis and leave the pitch alone.

    Args:
        waveform: float32, shape (samples,).
        factor: above 1 moves formants up.
        rate_hz: sample rate.

    Returns:
        float32, shape (samples,).
    """
    return _move(waveform, _places(_window(rate_hz) // 2 + 1, factor), rate_hz)


@dataclass(frozen=True)
class Bend:
    """A frequency axis that is stretched differently from place to place.

    Args:
        factors: as ``warp_formants`` takes, at the frequencies of ``BEND_HZ``.
    """

    factors: tuple[float, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Bend":
        """A vocal tract at random: one length, and each formant's deviation from it."""
        length = rng.uniform(-0.13, 0.13)
        own = np.clip(rng.normal(0.0, 0.05, len(BEND_HZ)), -0.1, 0.1)
        return cls(tuple(float(f) for f in np.exp(length + own)))


def bend(waveform: FloatArray, by: Bend, rate_hz: Hertz) -> FloatArray:
    """Move each part of the spectral envelope by a factor of its own; the pitch stays.

    Args:
        waveform: float32, shape (samples,).
        by: how.
        rate_hz: sample rate.

    Returns:
        float32, shape (samples,).
    """
    bins = _window(rate_hz) // 2 + 1
    hertz = np.arange(bins) * rate_hz / 2.0 / (bins - 1)
    return _move(waveform, _split(np.arange(bins) / np.interp(hertz, BEND_HZ, by.factors)), rate_hz)


def _window(rate_hz: Hertz) -> int:
    return round(WINDOW_SECONDS * rate_hz) // 2 * 2


def _move(
    waveform: FloatArray, places: tuple[NDArray[np.int64], FloatArray], rate_hz: Hertz
) -> FloatArray:
    """Give every bin the envelope of another place; float32, shape (samples,)."""
    window = _window(rate_hz)
    hop = window // 2
    shape = np.sqrt(np.hanning(window + 1)[:-1]).astype(np.float32)
    padded = np.pad(waveform, (hop, window + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * shape
    spectrum = scipy.fft.rfft(frames, axis=1)
    logarithm = np.log(np.abs(spectrum) + 1e-5)
    cepstrum = scipy.fft.irfft(logarithm, n=window, axis=1)
    keep = max(2, round(SMOOTH_SECONDS * rate_hz))
    cepstrum[:, keep : window - keep + 1] = 0.0
    envelope = scipy.fft.rfft(cepstrum, axis=1).real
    low, share = places
    moved = envelope[:, low] * (1.0 - share) + envelope[:, low + 1] * share
    spectrum *= np.exp(np.clip(moved - envelope, -LARGEST_GAIN, LARGEST_GAIN))
    pieces = scipy.fft.irfft(spectrum, n=window, axis=1) * shape
    sums = np.zeros((len(pieces) + 1) * hop, np.float32)
    sums[:-hop] += pieces[:, :hop].reshape(-1)
    sums[hop:] += pieces[:, hop:].reshape(-1)
    return sums[hop : hop + len(waveform)]


@lru_cache(maxsize=32)
def _places(bins: int, factor: float) -> tuple[NDArray[np.int64], FloatArray]:
    return _split(np.arange(bins) / factor)


def _split(places: NDArray[np.floating]) -> tuple[NDArray[np.int64], FloatArray]:
    """For each bin, the bin whose envelope it takes and the share of the one above it."""
    place = np.clip(places, 0.0, len(places) - 1.001)
    low = np.floor(place).astype(np.int64)
    return low, (place - low).astype(np.float32)
