# SPDX-License-Identifier: Apache-2.0
"""Pause limiter: gives training audio the same treatment of silence as serving.

Serving embeds speech segments that its voice activity detector approved, each with up to 100 ms
before and 200 ms after, so no pause longer than 0.3 s ever reaches the speaker model. A model
trained with other pauses scores worse, hence training cuts long pauses the same way. The gate
here is a plain level gate: training recordings are clean, and speed matters more than subtlety.
"""

import numpy as np
from numpy.typing import NDArray

from voiceauth.units import Decibels, Hertz, Seconds

FRAME_SECONDS: Seconds = 0.01
BEFORE_SECONDS: Seconds = 0.1
AFTER_SECONDS: Seconds = 0.2
GATE_DB: Decibels = 32.0
"""How far below the loud frames (95th percentile) a frame may lie and still count as speech."""


def limit_pauses(
    waveform: NDArray[np.float32], rate_hz: Hertz, gate_db: Decibels = GATE_DB
) -> NDArray[np.float32]:
    """Cut every pause longer than 0.3 s to 0.3 s; the ends to 0.1 s before and 0.2 s after.

    Args:
        waveform: float32, shape (samples,), in [-1, 1].
        rate_hz: sample rate.
        gate_db: gate below the loud frames, in decibels.

    Returns:
        float32, shape (kept samples,); the input itself where it is shorter than one frame
        or silent.
    """
    hop = round(rate_hz * FRAME_SECONDS)
    frames = len(waveform) // hop
    if frames == 0:
        return waveform
    power = np.mean(np.square(waveform[: frames * hop].reshape(frames, hop)), axis=1) + 1e-10
    level_db = 10.0 * np.log10(power)
    speech = level_db > np.percentile(level_db, 95) - gate_db
    keep = _stretch(speech, round(BEFORE_SECONDS / FRAME_SECONDS), backwards=True)
    keep |= _stretch(speech, round(AFTER_SECONDS / FRAME_SECONDS), backwards=False)
    if not keep.any():
        return waveform
    # The incomplete last frame follows the fate of the frame before it.
    samples = np.repeat(keep, hop)
    tail = np.full(len(waveform) - len(samples), keep[-1])
    kept: NDArray[np.float32] = waveform[np.concatenate([samples, tail])]
    return kept


def _stretch(speech: NDArray[np.bool_], frames: int, *, backwards: bool) -> NDArray[np.bool_]:
    """Mark speech and the given number of frames before (or after) it; shape (frames,)."""
    counts = np.concatenate([[0], np.cumsum(speech)])
    index = np.arange(len(speech))
    if backwards:
        return counts[np.minimum(index + frames + 1, len(speech))] > counts[index]
    return counts[index + 1] > counts[np.maximum(index - frames, 0)]
