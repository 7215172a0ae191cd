# SPDX-License-Identifier: Apache-2.0
"""Finds signalling tones and DTMF among frames: one or two steady lines that hold all the power.

Dial tone, ring-back and busy tone (ITU-T E.180: 400 to 450 Hz, one line or two close ones) and
DTMF digits (ITU-T Q.23, two lines) keep their lines for at least 40 ms (Q.24), which voices do not.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceauth.signal.masks import Mask, grow, keep_long_runs
from voiceauth.units import Hertz

Floats = NDArray[np.float32]

_LOBE: Final = 3
"""Bins on each side of a line that its Hann lobe (and a second line within 60 Hz) reaches."""
_LEAST_SHARE: Final = 0.98
"""Power of the two lines over all; speech at 30 Hz resolution reaches this for moments only."""
_LEAST_POWER: Final = 1e-6
"""Mean square of -60 dBFS: fainter lines cannot pass for speech."""
_LEAST_FRAMES: Final = 5
_EDGE_FRAMES: Final = 4
"""A tone's onset splatters over the frames that it fills only in part: window over hop, up."""
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
    """Mark the frames of any tone, and those of DTMF digits; both of shape (frames,).

    Args:
        share: from ``lines``.
        peaks: from ``lines``.
        power: mean square of the frames.
        bin_hz: spacing of the bins.
        first_hz: frequency of bin 0 in ``peaks``.
    """
    if len(share) == 0:
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
    ordered = np.sort(peaks, axis=1)
    pure = (share > _LEAST_SHARE) & (power > _LEAST_POWER)
    # The stronger line must stand still; the weaker one is noise where there is one line only.
    moved = np.abs(np.diff(peaks[:, 0], prepend=peaks[:1, 0])) > 1
    # Two lines of like strength may change places from frame to frame.
    swapped = (np.abs(np.diff(ordered, axis=0, prepend=ordered[:1])) <= 1).all(axis=1)
    tone = keep_long_runs(pure & (~moved | swapped), _LEAST_FRAMES)
    hertz = ordered * bin_hz + first_hz
    dtmf = (
        tone
        & _near(hertz[:, 0], _LOW_GROUP_HZ, bin_hz)
        & _near(hertz[:, 1], _HIGH_GROUP_HZ, bin_hz)
    )
    dtmf = keep_long_runs(dtmf, _LEAST_FRAMES - 2)
    return grow(tone, _EDGE_FRAMES, _EDGE_FRAMES), dtmf


def _near(hertz: NDArray[np.float64], group: tuple[float, ...], tolerance_hz: float) -> Mask:
    distance = np.abs(hertz[:, None] - np.asarray(group))
    return np.asarray(distance.min(axis=1) <= tolerance_hz, dtype=bool)
