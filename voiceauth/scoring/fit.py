# SPDX-License-Identifier: Apache-2.0
"""Fit the tables of one bandwidth from compared voices.

(1) The line from score to ratio: one logistic regression over all conditions, whose slope and
    offset are sums of condition terms. Every group of trials (a length of probe) and both kinds
    weigh as the prior says, so that the number of impostor trials does not matter. The weights of
    the terms other than the constant are held near 0 by a small ridge: where few people were heard
    under a condition, its ratio is that of the usual one.
(2) The curves: shares of trials at each grid ratio, each replaced by its upper confidence bound
    over people. Many trials of few people are not many observations, and the bound says so.
(3) Where nobody errs any more, the bootstrap over people is silent. There the rate is bounded by
    what nobody erring still leaves possible (rule of 3) among the effective number of trials, or by
    the ratio itself, whichever is smaller: an impostor reaches a calibrated ratio of t with a
    chance of at most 1/t, and a speaker falls to 1/t with a chance of at most 1/t.
(4) The floor: no curve goes below 30 errors' worth of trials (rule of 30).
(5) A rate holds in noise as in quiet, and with little enrolment as with much: beside all trials,
    (2) is done for the noisy, the middle and the quiet third alone and for the shorter and the
    longer half of the enrolments, and the largest bound is stated.

The effective number is what the spread between people implies: the number of independent trials
whose rate would vary as much as the bootstrap over people makes it vary.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.scoring.calibration import Curve, Node
from voiceauth.scoring.condition import CONSTANT, Line, terms_of
from voiceauth.scoring.trials import Compared, Trials, Weights, person_weights
from voiceauth.units import Seconds

_NEWTON_STEPS = 60
_CONVERGED = 1e-10
_RIDGE = 1e-9
ERRORS_BEHIND_A_RATE = 30.0
"""Doddington's rule: with 30 errors a rate is within 30 % of the truth, nine times out of ten."""
ERRORS_UNSEEN = 3.0
"""With none seen in n independent trials, the rate is below 3/n nineteen times out of twenty."""
TERMS = ("1", "net", "enrolled", "snr", "net*enrolled")
"""Chosen by cross-validation over people, see docs/calibration.md."""
_PARTS = ((1, 2), (2, 3))
"""Columns of the conditions, and in how many parts of the trials by it the rates must hold."""
_EFFECT_RATES = (0.005, 0.05)
"""Rates at which the effective number of trials is measured: rare, but seen in many people."""


@dataclass(frozen=True, slots=True)
class FitChoices:
    """How a table is fitted.

    Attributes:
        terms: of the conditions, in slope and offset.
        ridge: how strongly the weights of the terms but the constant are held near 0.
        prior: weight of same-speaker trials in the regression. Below one half it fits best where
            false matches are rare, which is where policies stand.
        confidence: one-sided confidence of the stated rates, over people.
        draws: bootstrap draws.
        seed: of the draws.
    """

    terms: tuple[str, ...] = TERMS
    ridge: float = 1e-4
    prior: float = 0.1
    confidence: float = 0.95
    draws: int = 400
    seed: int = 20_26


def fit_line(compared: Compared, choices: FitChoices | None = None) -> Line:
    """Fit the line of one bandwidth (1).

    Args:
        compared: raw scores with their conditions.
        choices: how.

    Raises:
        SettingsError: the kinds do not overlap, so that any steep line is as good as another, or
            the scores do not separate them in the right direction.
    """
    choices = choices or FitChoices()
    scores, target = compared.trials.scores, compared.trials.target
    if float(scores[target].min()) > float(scores[~target].max()):
        raise SettingsError("The trials are perfectly separated: too few to calibrate with.")
    if not float(scores[target].mean()) > float(scores[~target].mean()):
        raise SettingsError("The trials' scores are not higher for the same speaker.")
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    values = terms_of(choices.terms, compared.conditions)
    design = np.concatenate([values * ((scores - centre) / spread)[:, np.newaxis], values], axis=1)
    constant = np.array([term == CONSTANT for term in choices.terms] * 2)
    weights = regression(
        design,
        target,
        balanced(compared, choices.prior),
        choices.prior,
        np.where(constant, _RIDGE, choices.ridge),
    )
    slope, offset = np.split(weights, 2)
    return Line(
        choices.terms,
        tuple((slope / spread).tolist()),
        tuple((offset - slope * centre / spread).tolist()),
    )


def fit_affine(
    ratios: NDArray[np.float64], target: NDArray[np.bool_], weights: Weights, prior: float
) -> tuple[float, float]:
    """Fit ratio = scale * ratio + offset, for ratios that mean something else on other lines.

    Args:
        ratios: shape (trials,).
        target: shape (trials,).
        weights: of the trials, sum 1, shape (trials,).
        prior: weight of the same-speaker trials, in (0, 1).

    Returns:
        Scale and offset.

    Raises:
        SettingsError: the kinds do not overlap, or the scores separate them the wrong way round.
    """
    if float(ratios[target].min()) > float(ratios[~target].max()):
        raise SettingsError("The trials are perfectly separated: too few to calibrate with.")
    centre, spread = float(ratios.mean()), float(ratios.std()) or 1.0
    design = np.stack([(ratios - centre) / spread, np.ones(len(ratios))], axis=1)
    found = regression(design, target, weights, prior, np.full(2, _RIDGE))
    scale = float(found[0] / spread)
    if not scale > 0.0:
        raise SettingsError("The trials' scores are not higher for the same speaker.")
    return scale, float(found[1] - scale * centre)


def balanced(compared: Compared, prior: float) -> Weights:
    """Weigh each group of trials alike, and in it the kinds by a prior; shape (trials,), sum 1.

    A group with trials of one kind only does not count.
    """
    target, group = compared.trials.target, compared.group
    weights = np.zeros(len(target))
    for one in np.unique(group):
        mine = group == one
        kinds = (mine & target, mine & ~target)
        if kinds[0].any() and kinds[1].any():
            for kind, share in zip(kinds, (prior, 1.0 - prior), strict=True):
                weights[kind] = share / float(kind.sum())
    total = float(weights.sum())
    if not total > 0.0:
        raise SettingsError("No length of probe has trials of both kinds.")
    return weights / total


def regression(
    design: NDArray[np.float64],
    target: NDArray[np.bool_],
    trial_weights: Weights,
    prior: float,
    ridge: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Fit a logistic regression by Newton's method.

    Args:
        design: shape (trials, columns).
        target: shape (trials,).
        trial_weights: sum 1, shape (trials,).
        prior: that the weights give to same-speaker trials, in (0, 1).
        ridge: penalty of each column's squared weight, halved, shape (columns,).

    Returns:
        The columns' weights in the natural-log ratio, shape (columns,).
    """
    shift = float(np.log(prior / (1.0 - prior)))
    found = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        posterior = 0.5 * (1.0 + np.tanh(0.5 * (design @ found + shift)))
        gradient = design.T @ (trial_weights * (posterior - target)) + ridge * found
        spread = (trial_weights * posterior * (1.0 - posterior))[:, np.newaxis]
        step = np.linalg.solve((design * spread).T @ design + np.diag(ridge), gradient)
        largest = float(np.abs(step).max())
        found = found - step * min(1.0, 5.0 / (largest + 1e-300))
        if largest < _CONVERGED:
            break
    return found


def fit_node(
    ratios: Trials,
    net_seconds: Seconds,
    grid: NDArray[np.float64],
    choices: FitChoices | None = None,
    conditions: NDArray[np.float64] | None = None,
) -> Node:
    """Fit the rates at one length of speech (2) to (5).

    Args:
        ratios: trials whose scores are ratios already, of probes of about one length.
        net_seconds: that length.
        grid: rising ratios at which the curves are wanted, shape (grid,).
        choices: how.
        conditions: of the trials, as in ``Compared``; None to leave out (5).
    """
    choices = choices or FitChoices()
    impostors = ~ratios.target
    reached = np.searchsorted(grid, ratios.scores, side="right")
    missed = np.searchsorted(grid, ratios.scores, side="left")
    false_match = _bounded(  # (2) to (4)
        _tallies(ratios, impostors, reached, len(grid)).reach(), choices, np.exp(-grid)
    )
    false_non_match = _bounded(
        _tallies(ratios, ratios.target, missed, len(grid)).stay(), choices, np.exp(grid)
    )
    for part in _parts(conditions):  # (5)
        for chosen, bins, curve in (
            (impostors & part, reached, false_match),
            (ratios.target & part, missed, false_non_match),
        ):
            if chosen.any():
                tallies = _tallies(ratios, chosen, bins, len(grid))
                seen = tallies.reach() if curve is false_match else tallies.stay()
                np.maximum(curve, _bound(seen, choices)[0], out=curve)
    return Node(
        net_seconds=net_seconds,
        false_match=false_match,
        false_non_match=false_non_match,
        target_trials=int(ratios.target.sum()),
        impostor_trials=int(impostors.sum()),
    )


def _parts(conditions: NDArray[np.float64] | None) -> list[NDArray[np.bool_]]:
    """Divide the trials by noise and by enrolment, bool, each of shape (trials,)."""
    parts: list[NDArray[np.bool_]] = []
    if conditions is None:
        return parts
    for column, count in _PARTS:
        values = conditions[:, column]
        edges = np.quantile(values, np.linspace(0.0, 1.0, count + 1))
        parts += [(values >= low) & (values <= high) for low, high in itertools.pairwise(edges)]
    return parts


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
    bound, rates = _bound(tallies, choices)
    point = tallies.errors.sum(axis=0) / tallies.trials.sum()
    number = float(tallies.trials.sum())
    unseen = np.minimum(ERRORS_UNSEEN / effective_trials(point, rates, number), by_ratio)
    stated = np.maximum(np.maximum(bound, unseen), ERRORS_BEHIND_A_RATE / number)
    return np.asarray(np.clip(stated, 0.0, 1.0), dtype=np.float64)


def _bound(tallies: _Tallies, choices: FitChoices) -> tuple[Curve, NDArray[np.float64]]:
    """Bound the rates over people (2), shape (grid,); and the draws, shape (draws, grid)."""
    rng = np.random.default_rng(choices.seed)
    same = tallies.enrolled == tallies.probed
    drawn = []
    for _ in range(choices.draws):
        times = person_weights(rng, tallies.people)
        weights = np.where(same, 1.0, times[tallies.probed]) * times[tallies.enrolled]
        total = float(weights @ tallies.trials)
        if total > 0.0:
            drawn.append(weights @ tallies.errors / total)
    point = tallies.errors.sum(axis=0) / tallies.trials.sum()
    rates = np.stack(drawn) if drawn else point[np.newaxis]
    return np.maximum(np.quantile(rates, choices.confidence, axis=0), point), rates


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
