# SPDX-License-Identifier: Apache-2.0
"""Finds signalling tones and DTMF among frames: one or two steady lines that hold all the power.

Dial tone, ring-back and busy tone (ITU-T E.180: 400 to 450 Hz, one line or two close ones) and
DTMF digits (ITU-T Q.23, two lines) keep their lines for 40 ms (Q.24) and more. Voices rarely do.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceauth.signal.masks import Mask, grow, keep_long_runs
from voiceauth.units import Hertz

Floats = NDArray[np.float32]

_LOBE: Final = 3
"""Bins on each side of a line that its Hann lobe (and a second line within 60 Hz) reaches."""
_TONE_SHARE: Final = 0.995
"""Power of the two lines over all, for 10 frames: 0.6 % of the frames of clean speech do that,
where 0.98 for 5 frames took 9 % (close vowels of high voices)."""
_DTMF_SHARE: Final = 0.98
"""Less suffices where both lines stand at DTMF's frequencies."""
_LEAST_POWER: Final = 1e-6
"""Mean square of -60 dBFS: fainter lines cannot pass for speech."""
_LEAST_FRAMES: Final = 10
_LEAST_DTMF_FRAMES: Final = 3
"""Q.24 asks receivers to take 40 ms, which three frames see whole or nearly so."""
_EDGE_FRAMES: Final = 4
"""A tone's onset splatters over the frames that it fills only in part: window over hop, up."""
_MOST_BINS: Final = 256
"""More than lie in the telephone band."""
_LOW_GROUP_HZ: Final = (697.0, 770.0, 852.0, 941.0)
_HIGH_GROUP_HZ: Final = (1209.0, 1336.0, 1477.0, 1633.0)


def lines(spectrum: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Find the two strongest lines of each frame.

    Args:
        spectrum: power, shape (frames, bins).

    Returns:
        Share of the frame's power in both lines, shape (frames,), and their bins, strongest
        first, shape (frames, 2).
    """
    rows = np.arange(len(spectrum))[:, None]
    reach = np.arange(-_LOBE, _LOBE + 1)
    rest = spectrum.copy()
    peaks = []
    for _ in range(2):
        peak = rest.argmax(axis=1)
        peaks.append(peak)
        rest[rows, np.clip(peak[:, None] + reach, 0, rest.shape[1] - 1)] = 0.0
    total = spectrum.sum(axis=1) + 1e-12
    share = 1.0 - rest.sum(axis=1) / total
    return share.astype(np.float32), np.stack(peaks, axis=1)


def find_tones(
    share: Floats, peaks: NDArray[np.int64], power: Floats, bin_hz: float, first_hz: Hertz
) -> tuple[Mask, Mask]:
    """Mark the frames of any tone, and those of DTMF digits; both of shape (..., frames).

    Args:
        share: from ``lines``, shape (..., frames).
        peaks: from ``lines``, shape (..., frames, 2).
        power: mean square of the frames, shape (..., frames).
        bin_hz: spacing of the bins.
        first_hz: frequency of bin 0 in ``peaks``.
    """
    loud = power > _LEAST_POWER
    low_line, high_line = peaks.min(axis=-1), peaks.max(axis=-1)
    # The stronger line must stand still; the weaker one is noise where there is one line only.
    still = _still(peaks[..., 0])
    # Two lines of like strength may change places from frame to frame.
    steady = loud & (still | (_still(low_line) & _still(high_line)))
    low = _near(_LOW_GROUP_HZ, bin_hz, first_hz)[low_line]
    high = _near(_HIGH_GROUP_HZ, bin_hz, first_hz)[high_line]
    dtmf = keep_long_runs(steady & low & high & (share > _DTMF_SHARE), _LEAST_DTMF_FRAMES)
    tone = keep_long_runs(steady & (share > _TONE_SHARE), _LEAST_FRAMES) | dtmf
    return grow(tone, _EDGE_FRAMES, _EDGE_FRAMES), dtmf


def _still(bins: NDArray[np.int64]) -> Mask:
    """Mark frames whose line is where it was in the frame before; the first one is."""
    found = np.ones(bins.shape, dtype=bool)
    found[..., 1:] = np.abs(bins[..., 1:] - bins[..., :-1]) <= 1
    return found


@lru_cache(maxsize=8)
def _near(group: tuple[float, ...], bin_hz: float, first_hz: Hertz) -> Mask:
    """Say of each bin whether a frequency of the group is no farther away than the next bin."""
    hertz = np.arange(_MOST_BINS) * bin_hz + first_hz
    return np.asarray((np.abs(hertz[:, np.newaxis] - np.array(group)) <= bin_hz).any(axis=1))
