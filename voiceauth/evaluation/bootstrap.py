# SPDX-License-Identifier: Apache-2.0
"""Error rates with bootstrap intervals over people, many draws at once, and paired ratios.

The same draws of people serve every system and every scoring, so that a ratio of two systems is
taken draw by draw: what makes a draw hard makes it hard for both.

A trial counts as often as its people were drawn: a target trial once per drawing of its person, an
impostor trial by the product of both. The first column of everything is the sample itself.

Example:
    >>> trials = Trials(
    ...     scores=np.array([1.0, 3.0, 0.0, 2.0]),
    ...     target=np.array([True, True, False, False]),
    ...     enrolled=np.array([0, 1, 0, 1]),
    ...     probed=np.array([0, 1, 1, 0]),
    ... )
    >>> float(equal_error_rates(sweep(trials, draw_people(2, draws=10)))[0])
    0.5
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InternalError
from voiceauth.scoring.metrics import pool_adjacent_violators
from voiceauth.scoring.trials import Interval, Trials
from voiceauth.units import Rate

DRAWS = 1000
LEVEL = 0.9
_COLUMNS = 250
"""Draws that are worked on at once: bounds the memory."""

Times = NDArray[np.float32]
"""How often each person was drawn, shape (people, 1 + draws); the first column is all ones."""
ByDraw = NDArray[np.float64]
"""One figure per draw, shape (1 + draws,); NaN where a draw has no trials of one kind."""


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Both error rates at every threshold that can be best for something.

    These are the target scores and one beyond all: between two target scores a higher threshold
    lets in fewer impostors and misses nobody more.

    Attributes:
        false_match: falling down the rows, shape (targets + 1, 1 + draws).
        false_non_match: rising down the rows, same shape.
    """

    false_match: NDArray[np.float64]
    false_non_match: NDArray[np.float64]


def draw_people(people: int, *, draws: int = DRAWS, seed: int = 20_26) -> Times:
    """Draw as many people as there are, with return, many times over."""
    drawn = np.random.default_rng(seed).integers(people, size=(draws, people))
    times = np.stack([np.bincount(row, minlength=people) for row in drawn], axis=1)
    return np.concatenate([np.ones((people, 1)), times], axis=1).astype(np.float32)


def sweep(trials: Trials, times: Times) -> Sweep:
    """Sweep the threshold in every draw.

    Args:
        trials: scored comparisons.
        times: from ``draw_people``, for at least as many people.

    Raises:
        InternalError: the draws are for fewer people.
    """
    if len(times) < trials.people:
        raise InternalError(detail=f"draws of {len(times)} people met {trials.people}")
    same = trials.target
    order = np.argsort(trials.scores[same], kind="stable")
    thresholds = trials.scores[same][order]
    persons = trials.enrolled[same][order]
    ranked = np.argsort(trials.scores[~same], kind="stable")
    below = np.searchsorted(trials.scores[~same][ranked], thresholds, side="left")
    one, other = trials.enrolled[~same][ranked], trials.probed[~same][ranked]
    # Behind the last target score no impostor is let in.
    below = np.append(below, len(ranked))
    parts = [
        (
            _risen(times[one, at : at + _COLUMNS] * times[other, at : at + _COLUMNS])[below],
            _risen(times[persons, at : at + _COLUMNS]),
        )
        for at in range(0, times.shape[1], _COLUMNS)
    ]
    refused = np.concatenate([part[0] for part in parts], axis=1).astype(np.float64)
    missed = np.concatenate([part[1] for part in parts], axis=1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return Sweep(1.0 - refused / refused[-1], missed / missed[-1])


def _risen(weights: Times) -> Times:
    """Sums of the first 0, 1, 2 … rows; whole numbers far below 2 to the 24, hence exact."""
    sums = np.empty((len(weights) + 1, weights.shape[1]), dtype=np.float32)
    sums[0] = 0.0
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def equal_error_rates(rates: Sweep) -> ByDraw:
    """Rate at which both errors are equally frequent, as ``metrics.equal_error_rate``.

    On the way from one target score to the next, first the misses rise and then the false matches
    fall; the curves cross on one of the two legs.
    """
    match, miss = rates.false_match, rates.false_non_match
    after = np.argmax(miss >= match, axis=0)
    columns = np.arange(match.shape[1])
    before = np.maximum(after - 1, 0)
    found = np.minimum(miss[after, columns], match[before, columns])
    return _known(rates, found)


def min_costs(rates: Sweep, *, target_prior: Rate = 0.01) -> ByDraw:
    """Smallest normalised detection cost with unit costs, as ``metrics.min_dcf``."""
    costs = target_prior * rates.false_non_match + (1.0 - target_prior) * rates.false_match
    return _known(rates, costs.min(axis=0) / min(target_prior, 1.0 - target_prior))


def false_non_matches_at(rates: Sweep, false_match: Rate) -> ByDraw:
    """False-non-match rate where the false-match rate is within a limit, as ``metrics``."""
    within = np.argmax(rates.false_match <= false_match, axis=0)
    return _known(rates, rates.false_non_match[within, np.arange(within.size)])


def _known(rates: Sweep, values: NDArray[np.float64]) -> ByDraw:
    """Leave out the draws without trials of one kind."""
    gone = np.isnan(rates.false_match[-1]) | np.isnan(rates.false_non_match[-1])
    return np.where(gone, np.nan, values)


def means(
    values: NDArray[np.float64], trials: Trials, times: Times, chosen: NDArray[np.bool_]
) -> ByDraw:
    """Mean of a value over some trials, in every draw.

    Args:
        values: one per trial, shape (trials,).
        trials: the comparisons.
        times: from ``draw_people``.
        chosen: which trials count, shape (trials,).
    """
    weights = times[trials.enrolled[chosen]].astype(np.float64)
    weights *= np.where(trials.target[chosen, None], 1.0, times[trials.probed[chosen]])
    with np.errstate(invalid="ignore"):
        return np.asarray(values[chosen] @ weights / weights.sum(axis=0), dtype=np.float64)


def cllrs(trials: Trials, times: Times) -> ByDraw:
    """Cost of scores that are natural-log ratios, in bits, as ``metrics.cllr``."""
    same = trials.target
    costs = np.logaddexp(0.0, np.where(same, -trials.scores, trials.scores)) / np.log(2.0)
    return 0.5 * (means(costs, trials, times, same) + means(costs, trials, times, ~same))


def min_cllrs(rates: Sweep) -> ByDraw:
    """Cost that the best monotone calibration of each draw's own trials would have, in bits.

    The impostors between two target scores are one block: no monotone calibration tells them apart
    to any use.
    """
    impostors = -np.diff(rates.false_match, axis=0, prepend=1.0)
    targets = np.diff(rates.false_non_match, axis=0)
    columns = zip(impostors.T, targets.T, strict=True)
    return _known(rates, np.array([_least_cllr(*column) for column in columns]))


def _least_cllr(impostors: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    """Cost of one draw.

    Args:
        impostors: share of the impostors up to each threshold, shape (targets + 1,).
        targets: share of the targets at each threshold, shape (targets,).
    """
    if np.isnan(impostors).any() or np.isnan(targets).any():
        return float("nan")
    # Blocks by rising score: impostors below the first target, that target, and so on. Both kinds
    # weigh the same altogether, so that a block's posterior is its ratio.
    mass = np.zeros(2 * len(targets) + 1)
    mass[0::2], mass[1::2] = np.maximum(impostors, 0.0), np.maximum(targets, 0.0)
    ones = np.zeros(len(mass))
    ones[1::2] = 1.0
    there = mass > 0.0
    posterior = pool_adjacent_violators(ones[there], mass[there])
    with np.errstate(divide="ignore"):
        bits = np.where(ones[there] > 0, -np.log2(posterior), -np.log2(1.0 - posterior))
    return float(0.5 * mass[there] @ bits)


def interval(values: ByDraw, *, level: float = LEVEL) -> Interval:
    """Turn draws into the figure and the ends of its interval; draws without a figure are left out.

    An end may be infinite: a ratio over draws in which the peer makes no error.
    """
    tail = (1.0 - level) / 2.0
    known = np.sort(values[~np.isnan(values)])
    # Neighbouring draws instead of interpolation: infinity minus infinity is no number.
    low = known[int(np.floor(tail * (len(known) - 1)))]
    high = known[int(np.ceil((1.0 - tail) * (len(known) - 1)))]
    return Interval(float(values[0]), float(low), float(high))


def ratios(ours: ByDraw, theirs: ByDraw) -> ByDraw:
    """Divide two systems' figures draw by draw; two without errors are even.

    Args:
        ours: figures of the same draws.
        theirs: the same; zero makes an infinite ratio.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = ours / theirs
    return np.where((ours == 0.0) & (theirs == 0.0), 1.0, found)
