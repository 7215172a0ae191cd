# SPDX-License-Identifier: Apache-2.0
"""Adaptive symmetric score normalisation against a cohort of other people.

A voice that is close to many others gets high scores from everybody. Each side's score is measured
in standard deviations of that side's scores against its nearest cohort members, and the two are
averaged.

Source:
    Matejka et al. 2017, "Analysis of score normalization in multilingual speaker recognition".
"""

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InternalError, SettingsError
from voiceauth.scoring.cosine import unit
from voiceauth.types import Embedding
from voiceauth.units import Cosine

_LEAST_DEVIATION = 1e-3
"""A side whose cohort scores hardly vary would make any score infinite."""


class AdaptiveNorm:
    """Normalises scores against a fixed cohort. Immutable, safe from several threads.

    Args:
        cohort: shape (people, dimension), any norms but zero.
        top: how many nearest members each side is measured against.

    Raises:
        SettingsError: fewer than 2 members or ``top`` outside 2 to the number of members.
    """

    def __init__(self, cohort: NDArray[np.floating], top: int) -> None:
        if cohort.ndim != 2 or not 2 <= top <= len(cohort):  # noqa: PLR2004 - a deviation needs two
            raise SettingsError(f"A cohort of shape {cohort.shape} has no {top} nearest members.")
        self._cohort = unit(cohort)
        self._top = top

    def statistics(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return mean and deviation of embeddings' scores against their nearest cohort members.

        Args:
            embeddings: unit rows, shape (count, dimension).

        Returns:
            float64, shape (count, 2).

        Raises:
            InternalError: another dimension than the cohort's.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self._cohort.shape[1]:  # noqa: PLR2004
            raise InternalError(detail=f"embeddings of shape {embeddings.shape} met the cohort")
        scores = embeddings.astype(np.float32) @ self._cohort.T
        nearest = np.partition(scores, -self._top, axis=1)[:, -self._top :].astype(np.float64)
        deviation = np.maximum(nearest.std(axis=1), _LEAST_DEVIATION)
        return np.stack([nearest.mean(axis=1), deviation], axis=1)

    def normalise(
        self,
        scores: NDArray[np.floating],
        one: NDArray[np.float64],
        other: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Normalise a matrix of cosines.

        Args:
            scores: shape (ones, others).
            one: ``statistics`` of the rows, shape (ones, 2).
            other: ``statistics`` of the columns, shape (others, 2).

        Returns:
            float64, shape (ones, others); symmetric in the two sides.
        """
        by_row = (scores - one[:, :1]) / one[:, 1:]
        by_column = (scores - other[:, 0]) / other[:, 1]
        return np.asarray(0.5 * (by_row + by_column), dtype=np.float64)

    def score(self, cosine: Cosine, one: Embedding, other: Embedding) -> float:
        """Normalise one cosine of two unit embeddings, each of shape (dimension,)."""
        sides = self.statistics(np.stack([one, other]))
        return float(self.normalise(np.array([[cosine]]), sides[:1], sides[1:])[0, 0])
