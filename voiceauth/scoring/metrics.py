# SPDX-License-Identifier: Apache-2.0
"""Figures of merit of a set of trials. Every one takes weights, for the bootstrap over people.

A threshold t accepts scores at or above t: the false-match rate is the share of impostor scores
>= t, the false-non-match rate the share of target scores < t.

Example:
    >>> target, impostor = np.array([1.0, 3.0, 4.0]), np.array([0.0, 2.0])
    >>> sweep = roc(target, impostor)
    >>> [round(float(rate), 3) for rate in sweep.false_non_match]
    [0.0, 0.0, 0.333, 0.333, 0.667, 1.0]
    >>> round(equal_error_rate(sweep), 3)
    0.333
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InternalError
from voiceauth.scoring.trials import Trials, Weights
from voiceauth.units import Rate

Rates = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """Both error rates at every threshold that makes a difference, thresholds rising.

    Attributes:
        thresholds: each distinct score and one beyond all, shape (points,).
        false_match: falling from 1 to 0, shape (points,).
        false_non_match: rising from 0 to 1, shape (points,).
    """

    thresholds: NDArray[np.float64]
    false_match: Rates
    false_non_match: Rates


def roc(
    target: NDArray[np.floating],
    impostor: NDArray[np.floating],
    target_weights: Weights | None = None,
    impostor_weights: Weights | None = None,
) -> Roc:
    """Sweep the threshold over all scores.

    Args:
        target: same-speaker scores, shape (targets,).
        impostor: different-speaker scores, shape (impostors,).
        target_weights: non-negative, same shape; None counts each once.
        impostor_weights: the same.

    Raises:
        InternalError: one kind is empty or weighs nothing.
    """
    scores = np.concatenate([target, impostor]).astype(np.float64)
    weights_t = np.ones(len(target)) if target_weights is None else target_weights
    weights_i = np.ones(len(impostor)) if impostor_weights is None else impostor_weights
    total_t, total_i = float(weights_t.sum()), float(weights_i.sum())
    if not (total_t > 0.0 and total_i > 0.0):
        raise InternalError(detail="error rates need trials of both kinds")
    thresholds, place = np.unique(scores, return_inverse=True)
    at_t = np.bincount(place[: len(target)], weights_t, len(thresholds))
    at_i = np.bincount(place[len(target) :], weights_i, len(thresholds))
    # Entry k is the weight strictly below threshold k; the last one is everything.
    below_t = np.concatenate([[0.0], np.cumsum(at_t)]) / total_t
    below_i = np.concatenate([[0.0], np.cumsum(at_i)]) / total_i
    return Roc(
        thresholds=np.append(thresholds, np.inf),
        false_match=np.clip(1.0 - below_i, 0.0, 1.0),
        false_non_match=np.clip(below_t, 0.0, 1.0),
    )


def roc_of(trials: Trials, weights: Weights | None = None) -> Roc:
    """Sweep the threshold over scored trials, optionally weighted, shape (trials,)."""
    same = trials.target
    if weights is None:
        return roc(trials.scores[same], trials.scores[~same])
    return roc(trials.scores[same], trials.scores[~same], weights[same], weights[~same])


def equal_error_rate(sweep: Roc) -> Rate:
    """Rate at which both errors are equally frequent.

    Between the two thresholds where the curves cross, both are joined by a straight line.
    """
    gap = sweep.false_non_match - sweep.false_match
    after = int(np.argmax(gap >= 0.0))
    before = max(after - 1, 0)
    rise = gap[after] - gap[before]
    share = 0.0 if rise == 0.0 else -gap[before] / rise
    miss = sweep.false_non_match
    return float(miss[before] + share * (miss[after] - miss[before]))


def min_dcf(sweep: Roc, *, target_prior: Rate = 0.01) -> float:
    """Smallest normalised detection cost with unit costs; 1 is what no system at all costs."""
    cost = target_prior * sweep.false_non_match + (1.0 - target_prior) * sweep.false_match
    return float(cost.min() / min(target_prior, 1.0 - target_prior))


def false_non_match_at(sweep: Roc, false_match: Rate) -> Rate:
    """False-non-match rate at the lowest threshold whose false-match rate is within a limit."""
    within = int(np.argmax(sweep.false_match <= false_match))
    return float(sweep.false_non_match[within])


def cllr(
    target: NDArray[np.floating],
    impostor: NDArray[np.floating],
    target_weights: Weights | None = None,
    impostor_weights: Weights | None = None,
) -> float:
    """Cost of log-likelihood ratios in bits: 0 is perfect, 1 is what always saying 0 costs.

    Args:
        target: natural-log ratios of same-speaker trials, shape (targets,).
        impostor: of different-speaker trials, shape (impostors,).
        target_weights: non-negative, same shape; None counts each once.
        impostor_weights: the same.

    Source:
        Brummer and du Preez 2006, "Application-independent evaluation of speaker detection".
    """
    of_targets = np.average(np.logaddexp(0.0, -target), weights=target_weights)
    of_impostors = np.average(np.logaddexp(0.0, impostor), weights=impostor_weights)
    return float((of_targets + of_impostors) / (2.0 * np.log(2.0)))


def min_cllr(
    target: NDArray[np.floating],
    impostor: NDArray[np.floating],
    target_weights: Weights | None = None,
    impostor_weights: Weights | None = None,
) -> float:
    """Cost that the best monotone calibration of these very trials would have, in bits.

    Arguments as ``cllr``; the scores may have any scale.
    """
    weights_t = np.ones(len(target)) if target_weights is None else target_weights
    weights_i = np.ones(len(impostor)) if impostor_weights is None else impostor_weights
    scores = np.concatenate([target, impostor])
    levels, place = np.unique(scores, return_inverse=True)
    # Each kind as a whole weighs one half, so that a posterior's logit is the ratio itself.
    ones = _shares(place[: len(target)], weights_t, len(levels))
    others = _shares(place[len(target) :], weights_i, len(levels))
    mass = ones + others
    counted = mass > 0.0
    pooled = pool_adjacent_violators(ones[counted] / mass[counted], mass[counted])
    # A pool of one kind only has an infinite ratio, which costs nothing on the right side.
    with np.errstate(divide="ignore"):
        cost_t, cost_i = -np.log(pooled), -np.log1p(-pooled)
    # Half of the cost of each kind at even priors; 0 * inf stands for trials that are not there.
    total = _where_any(ones[counted], cost_t) + _where_any(others[counted], cost_i)
    return float(total / (2.0 * np.log(2.0)))


def _shares(places: NDArray[np.intp], weights: Weights, levels: int) -> Weights:
    shares = np.bincount(places, weights / weights.sum(), levels)
    return np.asarray(shares, dtype=np.float64)


def _where_any(masses: NDArray[np.floating], costs: Rates) -> float:
    there = masses > 0.0
    return float(masses[there] @ costs[there])


def pool_adjacent_violators(values: Rates, weights: Weights) -> Rates:
    """Fit the closest non-decreasing sequence in weighted least squares; shape (values,)."""
    means: list[float] = []
    masses: list[float] = []
    lengths: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, length = value, weight, 1
        while means and means[-1] >= mean:
            mean = (mean * mass + means.pop() * masses[-1]) / (mass + masses[-1])
            mass += masses.pop()
            length += lengths.pop()
        means.append(mean)
        masses.append(mass)
        lengths.append(length)
    return np.repeat(np.asarray(means), lengths)
