# SPDX-License-Identifier: Apache-2.0
"""Morphology on frame masks: growing and opening runs, vectorised."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def counts(mask: Mask, before: int, after: int) -> NDArray[np.int64]:
    """Count the set frames from ``before`` frames earlier to ``after`` later; shape (frames,)."""
    total = np.concatenate([[0], np.cumsum(mask)])
    index = np.arange(len(mask))
    last = np.minimum(index + after + 1, len(mask))
    return np.asarray(total[last] - total[np.maximum(index - before, 0)], dtype=np.int64)


def grow(mask: Mask, before: int, after: int) -> Mask:
    """Extend every run by ``before`` frames to the past and ``after`` to the future."""
    return counts(mask, after, before) > 0


def keep_long_runs(mask: Mask, least: int) -> Mask:
    """Clear the runs shorter than ``least`` frames."""
    starts = counts(mask, 0, least - 1) == least
    return grow(starts, 0, least - 1)
