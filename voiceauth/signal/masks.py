# SPDX-License-Identifier: Apache-2.0
"""Morphology on frame masks: growing and opening runs, vectorised over frames and streams.

A mask has shape (..., frames); what comes before the last axis are streams of their own.
"""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def counts(mask: Mask, before: int, after: int) -> NDArray[np.int32]:
    """Count the set frames from ``before`` frames earlier to ``after`` later; shape of the mask."""
    frames = mask.shape[-1]
    # Sums run from before the first frame to behind the last one, so that slices need no bounds.
    total = np.zeros((*mask.shape[:-1], before + frames + after + 1), dtype=np.int32)
    np.cumsum(mask, axis=-1, out=total[..., before + 1 : before + 1 + frames])
    if frames:
        total[..., before + 1 + frames :] = total[..., before + frames, np.newaxis]
    ends = total[..., before + after + 1 :]
    return np.asarray(ends - total[..., :frames], dtype=np.int32)


def grow(mask: Mask, before: int, after: int) -> Mask:
    """Extend every run by ``before`` frames to the past and ``after`` to the future."""
    return counts(mask, after, before) > 0


def keep_long_runs(mask: Mask, least: int) -> Mask:
    """Clear the runs shorter than ``least`` frames."""
    starts = counts(mask, 0, least - 1) == least
    return grow(starts, 0, least - 1)
