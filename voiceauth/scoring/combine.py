# SPDX-License-Identifier: Apache-2.0
"""Several stretches of one voice become one, weighted by the speech behind each."""

from collections.abc import Iterable

import numpy as np

from voiceauth.errors import InternalError
from voiceauth.scoring.cosine import unit
from voiceauth.types import Embedding
from voiceauth.units import Decibels, Seconds


class WeightedMean:
    """A running mean of span embeddings: a new span costs the same, however long the call."""

    def __init__(self) -> None:
        self._sum: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None = None
        self._net_seconds: Seconds = 0.0

    @property
    def net_seconds(self) -> Seconds:
        """Net speech in the mean."""
        return self._net_seconds

    def add(self, embedding: Embedding, net_seconds: Seconds) -> None:
        """Count one span.

        Args:
            embedding: shape (dimension,), any norm but zero; only its direction counts.
            net_seconds: its weight, more than 0.

        Raises:
            InternalError: a bad weight, or an embedding that does not fit the others.
        """
        if not 0.0 < net_seconds < np.inf:
            raise InternalError(detail=f"a span of {net_seconds} net seconds cannot be weighted")
        weighted = unit(embedding).astype(np.float64) * net_seconds
        if self._sum is not None and self._sum.shape != weighted.shape:
            raise InternalError(detail="embeddings of different dimensions cannot be averaged")
        self._sum = weighted if self._sum is None else self._sum + weighted
        self._net_seconds += net_seconds

    def mean(self) -> Embedding:
        """Return the mean so far, unit norm, shape (dimension,).

        Raises:
            InternalError: nothing was added, or the spans cancel out.
        """
        if self._sum is None:
            raise InternalError(detail="the mean of no embeddings was asked for")
        return unit(self._sum)


class MeanLevel:
    """A running mean of decibels over speech; stretches that were not measured do not count."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._net_seconds: Seconds = 0.0

    def add(self, level_db: Decibels | None, net_seconds: Seconds) -> None:
        """Count one stretch with the speech in it."""
        if level_db is not None:
            self._sum += level_db * net_seconds
            self._net_seconds += net_seconds

    def mean(self) -> Decibels | None:
        """Return the mean so far, None if nothing was measured."""
        return self._sum / self._net_seconds if self._net_seconds > 0.0 else None


def mean_level(parts: Iterable[tuple[Decibels | None, Seconds]]) -> Decibels | None:
    """Average decibels by net seconds; None if nothing was measured."""
    mean = MeanLevel()
    for level_db, net_seconds in parts:
        mean.add(level_db, net_seconds)
    return mean.mean()


def centroid(parts: Iterable[tuple[Embedding, Seconds]]) -> Embedding:
    """Average embeddings by net seconds.

    Args:
        parts: (embedding, net seconds) pairs, at least one.

    Returns:
        Unit norm, float32, shape (dimension,).

    Raises:
        InternalError: no parts, a bad weight, or parts that cancel out.
    """
    mean = WeightedMean()
    for embedding, net_seconds in parts:
        mean.add(embedding, net_seconds)
    return mean.mean()
