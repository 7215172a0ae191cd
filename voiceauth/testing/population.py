# SPDX-License-Identifier: Apache-2.0
"""Synthetic voiceprints by the million, scattered as real ones are: for measurements of search.

A person is a real person of a cohort, moved part of the way towards a random draw from the cohort's
own spread: so people come in clusters, as they do, and no two are the same. A voiceprint is the
person with what is left of one call's disturbance after averaging, a probe has all of it. How one
person's embeddings scatter is measured, not assumed: the caller hands in what repeated calls of
some people differed by.

Nobody's voice is made here. These are points where voices are, and of no use for accuracy.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

OWN_SHARE = 0.6
"""Share of a synthetic person's variance that is its own; the rest is that of a cohort member."""
_SHRINKAGE = 0.1
"""Part of a covariance that is spread evenly: it is estimated from few people."""
_LEAST_LEFT = 0.1
"""Square of the shortest mean of a person's embeddings; shorter is no person."""


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """What synthetic people are drawn from.

    Attributes:
        cohort: unit embeddings of real people, shape (people, dimension).
        spread: factor of the covariance between people, shape (dimension, dimension).
        disturbance: factor of the covariance within a person, shape (dimension, dimension).
    """

    cohort: FloatArray
    spread: FloatArray
    disturbance: FloatArray

    def people(self, count: int, seed: int) -> FloatArray:
        """Draw people, shape (count, dimension): what calls scatter around.

        They are shorter than one by what the disturbance adds, as means of unit vectors are.
        """
        rng = np.random.default_rng(seed)
        centre = self.cohort.mean(axis=0)
        near = self.cohort[rng.integers(len(self.cohort), size=count)] - centre
        own = rng.standard_normal(near.shape, dtype=np.float32) @ self.spread
        drawn = centre + np.sqrt(1 - OWN_SHARE) * near + np.sqrt(OWN_SHARE) * own
        left = 1.0 - float(np.square(self.disturbance).sum())
        people: FloatArray = (np.sqrt(max(left, _LEAST_LEFT)) * drawn).astype(np.float32)
        return people

    def heard(self, people: FloatArray, seed: int, calls: int = 1) -> FloatArray:
        """Hear each person once, shape (people, dimension), unit rows.

        Args:
            people: from ``people``.
            seed: of the disturbance.
            calls: pieces of speech that are averaged: 1 for a probe, more for a voiceprint.
        """
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal(people.shape, dtype=np.float32) @ self.disturbance
        heard = people + noise / np.float32(np.sqrt(calls))
        unit: FloatArray = heard / np.linalg.norm(heard, axis=1, keepdims=True)
        return unit


def population(cohort: FloatArray, differences: FloatArray) -> Population:
    """Fit a population.

    Args:
        cohort: unit embeddings of real people, shape (people, dimension).
        differences: embeddings of pieces of speech less their person's mean, of several people,
            shape (pieces, dimension).
    """
    spread = cohort - cohort.mean(axis=0)
    return Population(cohort.astype(np.float32), _factor(spread), _factor(differences))


def _factor(rows: FloatArray) -> FloatArray:
    """Return F with F.T @ F the shrunken covariance of centred rows."""
    covariance = rows.T.astype(np.float64) @ rows / max(1, len(rows) - 1)
    even = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh((1 - _SHRINKAGE) * covariance + _SHRINKAGE * even)
    factor: FloatArray = (np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T).astype(np.float32)
    return factor
