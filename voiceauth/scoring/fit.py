# SPDX-License-Identifier: Apache-2.0
"""Fit one node of a calibration table from scored trials.

(1) The line from score to ratio: logistic regression with the two kinds weighted to a prior, so
    that the number of impostor trials does not matter.
(2) The curves: shares of trials at each grid ratio, each replaced by its upper confidence bound
    over people. Many trials of few people are not many observations, and the bound says so.
(3) Where nobody errs any more, the bootstrap over people is silent. There the rate is bounded by
    what nobody erring still leaves possible (rule of 3) among the effective number of trials, or by
    the ratio itself, whichever is smaller: an impostor reaches a calibrated ratio of t with a
    chance of at most 1/t, and a speaker falls to 1/t with a chance of at most 1/t.
(4) The floor: no curve goes below 30 errors' worth of trials (rule of 30).

The effective number is what the spread between people implies: the number of independent trials
whose rate would vary as much as the bootstrap over people makes it vary.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.scoring.calibration import Curve, Node
from voiceauth.scoring.trials import Trials, person_weights
from voiceauth.units import Seconds

_NEWTON_STEPS = 60
_CONVERGED = 1e-10
_RIDGE = 1e-9
ERRORS_BEHIND_A_RATE = 30.0
"""Doddington's rule: with 30 errors a rate is within 30 % of the truth, nine times out of ten."""
ERRORS_UNSEEN = 3.0
"""With none seen in n independent trials, the rate is below 3/n nineteen times out of twenty."""
_EFFECT_RATES = (0.005, 0.05)
"""Rates at which the effective number of trials is measured: rare, but seen in many people."""


@dataclass(frozen=True, slots=True)
class FitChoices:
    """How a node is fitted.

    Attributes:
        prior: weight of same-speaker trials in the regression. Below one half it fits best where
            false matches are rare, which is where policies stand.
        confidence: one-sided confidence of the stated rates, over people.
        draws: bootstrap draws.
        seed: of the draws.
    """

    prior: float = 0.1
    confidence: float = 0.95
    draws: int = 400
    seed: int = 20_26


def fit_node(
    trials: Trials,
    net_seconds: Seconds,
    grid: NDArray[np.float64],
    choices: FitChoices | None = None,
) -> Node:
    """Fit one node.

    Args:
        trials: raw scores of probes of about one length.
        net_seconds: that length.
        grid: rising ratios at which the curves are wanted, shape (grid,).
        choices: how.

    Raises:
        SettingsError: the scores do not separate the two kinds in the right direction.
    """
    choices = choices or FitChoices()
    scale, offset = logistic_line(trials.scores, trials.target, choices.prior)  # (1)
    if not scale > 0.0:
        raise SettingsError("The trials' scores are not higher for the same speaker.")
    ratios = scale * trials.scores + offset
    impostors = ~trials.target
    reached = np.searchsorted(grid, ratios, side="right")
    missed = np.searchsorted(grid, ratios, side="left")
    false_match = _bounded(  # (2) to (4)
        _tallies(trials, impostors, reached, len(grid)).reach(), choices, np.exp(-grid)
    )
    false_non_match = _bounded(
        _tallies(trials, trials.target, missed, len(grid)).stay(), choices, np.exp(grid)
    )
    return Node(
        net_seconds=net_seconds,
        scale=scale,
        offset=offset,
        false_match=false_match,
        false_non_match=false_non_match,
        target_trials=int(trials.target.sum()),
        impostor_trials=int(impostors.sum()),
    )


def logistic_line(
    scores: NDArray[np.floating], target: NDArray[np.bool_], prior: float
) -> tuple[float, float]:
    """Fit ratio = scale * score + offset by logistic regression.

    Args:
        scores: shape (trials,).
        target: shape (trials,).
        prior: weight of the same-speaker trials, in (0, 1).

    Returns:
        Scale and offset.

    Raises:
        SettingsError: the kinds do not overlap, so that any steep line is as good as another.
    """
    if float(scores[target].min()) > float(scores[~target].max()):
        raise SettingsError("The trials are perfectly separated: too few to calibrate with.")
    weights = np.where(target, prior / target.sum(), (1.0 - prior) / (~target).sum())
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    design = np.stack([(scores - centre) / spread, np.ones_like(scores, dtype=np.float64)], axis=1)
    shift = float(np.log(prior / (1.0 - prior)))
    line = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        posterior = 0.5 * (1.0 + np.tanh(0.5 * (design @ line + shift)))
        gradient = design.T @ (weights * (posterior - target))
        curvature = (design * (weights * posterior * (1.0 - posterior))[:, np.newaxis]).T @ design
        step = np.linalg.solve(curvature + _RIDGE * np.eye(2), gradient)
        line = line - step * min(1.0, 5.0 / float(np.abs(step).max() + 1e-300))
        if float(np.abs(step).max()) < _CONVERGED:
            break
    return float(line[0] / spread), float(line[1] - line[0] * centre / spread)


@dataclass(frozen=True, slots=True, eq=False)
class _Tallies:
    """How many trials of each pair of people erred at each grid ratio.

    Attributes:
        errors: shape (pairs, grid).
        trials: shape (pairs,).
        enrolled: shape (pairs,).
        probed: shape (pairs,); equal to ``enrolled`` for same-speaker trials.
        people: how many there are.
    """

    errors: NDArray[np.float64]
    trials: NDArray[np.float64]
    enrolled: NDArray[np.int64]
    probed: NDArray[np.int64]
    people: int

    def reach(self) -> "_Tallies":
        """From counts per bin to counts of impostors who reach each grid ratio."""
        at_or_above = np.cumsum(self.errors[:, ::-1], axis=1)[:, ::-1][:, 1:]
        return _Tallies(at_or_above, self.trials, self.enrolled, self.probed, self.people)

    def stay(self) -> "_Tallies":
        """From counts per bin to counts of speakers who stay at or below each grid ratio."""
        at_or_below = np.cumsum(self.errors, axis=1)[:, :-1]
        return _Tallies(at_or_below, self.trials, self.enrolled, self.probed, self.people)


def _tallies(
    trials: Trials, chosen: NDArray[np.bool_], bins: NDArray[np.int64], grid: int
) -> _Tallies:
    people = trials.people
    pair = trials.enrolled[chosen] * people + trials.probed[chosen]
    pairs, place = np.unique(pair, return_inverse=True)
    width = grid + 1
    counts = np.bincount(place * width + bins[chosen], minlength=len(pairs) * width)
    errors = counts.reshape(len(pairs), width).astype(np.float64)
    return _Tallies(errors, errors.sum(axis=1), pairs // people, pairs % people, people)


def _bounded(tallies: _Tallies, choices: FitChoices, by_ratio: Curve) -> Curve:
    """Upper confidence bound of the error rate over people, not below the floor; shape (grid,).

    Args:
        tallies: errors at each grid ratio.
        choices: of the bootstrap.
        by_ratio: the bound that each grid ratio itself implies, shape (grid,).
    """
    rng = np.random.default_rng(choices.seed)
    drawn = []
    for _ in range(choices.draws):
        times = person_weights(rng, tallies.people)
        same = tallies.enrolled == tallies.probed
        weights = np.where(same, 1.0, times[tallies.probed]) * times[tallies.enrolled]
        total = float(weights @ tallies.trials)
        if total > 0.0:
            drawn.append(weights @ tallies.errors / total)
    rates = np.stack(drawn)
    point = tallies.errors.sum(axis=0) / tallies.trials.sum()
    bound = np.maximum(np.quantile(rates, choices.confidence, axis=0), point)
    number = float(tallies.trials.sum())
    unseen = np.minimum(ERRORS_UNSEEN / effective_trials(point, rates, number), by_ratio)
    stated = np.maximum(np.maximum(bound, unseen), ERRORS_BEHIND_A_RATE / number)
    return np.asarray(np.clip(stated, 0.0, 1.0), dtype=np.float64)


def effective_trials(
    point: NDArray[np.float64], drawn: NDArray[np.float64], trials: float
) -> float:
    """How many independent trials would have the spread that the draws over people have.

    Args:
        point: rates on all trials, shape (grid,).
        drawn: rates per draw, shape (draws, grid).
        trials: their actual number, which is never exceeded.

    Returns:
        At least 1; the median over the grid ratios at which errors are rare but not single.
    """
    low, high = _EFFECT_RATES
    rare = (point >= low) & (point <= high)
    variance = drawn.var(axis=0)
    rare &= variance > 0.0
    if not rare.any():
        return max(1.0, min(trials, ERRORS_BEHIND_A_RATE))
    numbers = point[rare] * (1.0 - point[rare]) / variance[rare]
    return float(np.clip(np.median(numbers), 1.0, trials))
