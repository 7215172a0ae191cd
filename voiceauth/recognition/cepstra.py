# SPDX-License-Identifier: Apache-2.0
"""Cepstra as the bundled US English acoustic model of PocketSphinx takes them.

They are computed here and not by the library, because the library holds the interpreter's lock for
a whole utterance; cepstra can be given to it in small pieces.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceauth.types import Samples
from voiceauth.units import Hertz

RATE_HZ: Final[Hertz] = 16_000
_WINDOW: Final = 410
_HOP: Final = 160
_SIZE: Final = 512
_FILTERS: Final = 25
_COEFFICIENTS: Final = 13
_LOW_HZ: Final = 130.0
_HIGH_HZ: Final = 6800.0
_EMPHASIS: Final = 0.97
_LIFTER: Final = 22
_FULL_SCALE: Final = 32768.0

Floats = NDArray[np.float64]


def cepstra(samples: Samples) -> NDArray[np.float32]:
    """Return mean-free cepstra, shape (frames, 13); no frame for less than 26 ms.

    Args:
        samples: 16 kHz, shape (samples,).
    """
    if len(samples) < _WINDOW:
        return np.zeros((0, _COEFFICIENTS), dtype=np.float32)
    scaled = samples.astype(np.float64) * _FULL_SCALE
    emphasised = np.concatenate([scaled[:1], scaled[1:] - _EMPHASIS * scaled[:-1]])
    count = (len(emphasised) - _WINDOW) // _HOP + 1
    index = np.arange(_WINDOW) + _HOP * np.arange(count)[:, None]
    spectrum = np.fft.rfft(emphasised[index] * np.hamming(_WINDOW), _SIZE)
    levels = np.log(np.abs(spectrum) ** 2 @ _filters().T + 1e-4)
    found = (levels @ _cosines().T) * _lifter()
    return np.asarray(found - found.mean(axis=0), dtype=np.float32)


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


@lru_cache(maxsize=1)
def _filters() -> Floats:
    """Triangles of unit area on the mel scale, shape (25, 257)."""
    low, high = _mel(_LOW_HZ), _mel(_HIGH_HZ)
    bin_hz = RATE_HZ / _SIZE
    mels = low + (high - low) / (_FILTERS + 1) * np.arange(_FILTERS + 2)
    edges = np.round(700.0 * (10.0 ** (mels / 2595.0) - 1.0) / bin_hz) * bin_hz
    bins = np.arange(_SIZE // 2 + 1) * bin_hz
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    shape = np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle))
    return np.asarray(np.maximum(0.0, shape) * 2.0 / (right - left))


@lru_cache(maxsize=1)
def _cosines() -> Floats:
    """The library's ``dct`` transform, shape (13, 25)."""
    order = np.arange(_COEFFICIENTS)[:, None]
    base = np.cos(order * np.pi / _FILTERS * (np.arange(_FILTERS) + 0.5)) * np.sqrt(2 / _FILTERS)
    base[0] = np.sqrt(1.0 / _FILTERS)
    return np.asarray(base)


def _lifter() -> Floats:
    return 1.0 + _LIFTER / 2 * np.sin(np.arange(_COEFFICIENTS) * np.pi / _LIFTER)
