# SPDX-License-Identifier: Apache-2.0
"""Scored trials with the people on both sides, and bootstrap intervals over people."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InternalError

Weights = NDArray[np.float64]
Metric = Callable[["Trials", Weights], float]


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Comparisons of probes with enrolments, and whose voices met.

    Attributes:
        scores: any scale, higher for more alike, float64, shape (trials,).
        target: True where both sides are one person, bool, shape (trials,).
        enrolled: number of the enrolled person, 0 and up, int64, shape (trials,).
        probed: number of the speaking person, shape (trials,).
    """

    scores: NDArray[np.float64]
    target: NDArray[np.bool_]
    enrolled: NDArray[np.int64]
    probed: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together, and trials of one kind only."""
        shapes = {self.scores.shape, self.target.shape, self.enrolled.shape, self.probed.shape}
        if len(shapes) != 1 or self.scores.ndim != 1 or not np.isfinite(self.scores).all():
            raise InternalError(detail="trials are finite scores with a label and two people each")
        if self.target.all() or not self.target.any():
            raise InternalError(detail="trials need both kinds: same and different people")

    @property
    def people(self) -> int:
        """One more than the highest number of a person."""
        return 1 + int(max(self.enrolled.max(), self.probed.max()))


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Trials with the conditions that they were made under.

    Attributes:
        trials: raw scores.
        conditions: net seconds, enrolled seconds and SNR in decibels, float64, shape (trials, 3).
        group: number of the length of probe that a trial belongs to, int64, shape (trials,).
    """

    trials: Trials
    conditions: NDArray[np.float64]
    group: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse conditions that do not belong to the trials."""
        count = len(self.trials.scores)
        if self.conditions.shape != (count, 3) or self.group.shape != (count,):
            raise InternalError(detail="compared voices have three conditions and a group each")
        if not np.isfinite(self.conditions).all() or not (self.conditions[:, :2] > 0.0).all():
            raise InternalError(detail="compared voices have lengths above 0 and a finite SNR")

    def only(self, kept: NDArray[np.bool_]) -> "Compared":
        """Keep some trials, bool, shape (trials,). Raises InternalError if one kind is lost."""
        some = self.trials
        return Compared(
            Trials(some.scores[kept], some.target[kept], some.enrolled[kept], some.probed[kept]),
            self.conditions[kept],
            self.group[kept],
        )


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float


def speaker_interval(
    metric: Metric,
    trials: Trials,
    *,
    draws: int = 200,
    level: float = 0.9,
    seed: int = 20_26,
) -> Interval:
    """Bootstrap a figure over people: each draw takes as many people as there are, with return.

    A trial counts as often as both its people were drawn together, so that the few people of a
    test set, not its many trials, set the width.

    Args:
        metric: of trials and weights, float64, shape (trials,).
        trials: scored comparisons.
        draws: bootstrap draws; one without a trial of each kind is left out.
        level: share of draws inside the interval.
        seed: of the draws.

    Returns:
        The figure on all trials, with the interval's ends.
    """
    rng = np.random.default_rng(seed)
    value = metric(trials, np.ones(trials.scores.shape))
    found = [value]
    for _ in range(draws):
        times = person_weights(rng, trials.people)
        # A target trial has one person in it, an impostor trial two.
        weights = np.where(
            trials.target, times[trials.enrolled], times[trials.enrolled] * times[trials.probed]
        )
        if weights[trials.target].any() and weights[~trials.target].any():
            found.append(metric(trials, weights))
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(found, [tail, 1.0 - tail])
    return Interval(value, float(low), float(high))


def person_weights(rng: np.random.Generator, people: int) -> Weights:
    """Draw people with return; how often each came, float64, shape (people,)."""
    drawn = rng.integers(people, size=people)
    return np.bincount(drawn, minlength=people).astype(np.float64)
