# SPDX-License-Identifier: Apache-2.0
"""What a way of calibrating is worth on people that it was not fitted on.

People are divided into folds. Each fold's trials among its own people are calibrated by a fit on
trials among all other people; trials between a fold and the others are used by neither.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.scoring.calibration import Worth
from voiceauth.scoring.fit import balanced
from voiceauth.scoring.metrics import cllr, min_cllr
from voiceauth.scoring.trials import Compared, Trials

Ratios = NDArray[np.float64]
Fit = Callable[[Compared], Callable[[Compared], Ratios]]
"""Fits on some trials and returns what turns others into ratios, shape (trials,)."""

FOLDS = 5
_EVEN = 0.5


def cross_validated(compared: Compared, fit: Fit, seed: int = 20_26) -> tuple[Compared, Ratios]:
    """Calibrate every person's trials by a fit on other people.

    Args:
        compared: raw scores of at least ten people.
        fit: the way of calibrating.
        seed: of the folds.

    Returns:
        The trials that were calibrated, and their ratios, shape (trials,).

    Raises:
        SettingsError: so few trials that a fold has one kind only, or cannot be fitted.
    """
    trials = compared.trials
    people = np.unique(np.concatenate([trials.enrolled, trials.probed]))
    order = np.random.default_rng(seed).permutation(people)
    tested = np.zeros(len(trials.scores), dtype=bool)
    ratios = np.zeros(len(trials.scores))
    for fold in np.array_split(order, FOLDS):
        enrolled, probed = np.isin(trials.enrolled, fold), np.isin(trials.probed, fold)
        here, elsewhere = enrolled & probed, ~enrolled & ~probed
        for chosen in (here, elsewhere):
            if not trials.target[chosen].any() or trials.target[chosen].all():
                raise SettingsError("There are too few people or trials to cross-validate with.")
        ratios[here] = fit(compared.only(elsewhere))(compared.only(here))
        tested |= here
    return compared.only(tested), ratios[tested]


def costs(compared: Compared, ratios: Ratios) -> tuple[float, float]:
    """Return Cllr and minimum Cllr in bits, every group of trials weighing alike."""
    same = compared.trials.target
    weights = balanced(compared, _EVEN)
    sides = ratios[same], ratios[~same], weights[same], weights[~same]
    return cllr(*sides), min_cllr(*sides)


def worth_of(compared: Compared, fit: Fit, earlier: tuple[Compared, Ratios] | None = None) -> Worth:
    """Measure a way of calibrating, and ratios that were fitted on other people altogether.

    Args:
        compared: raw scores of at least ten people.
        fit: the way of calibrating.
        earlier: the same trials in the same order, perhaps with other raw scores, and the ratios
            that the tables before gave them, shape (trials,); None if there were none.

    Raises:
        SettingsError: too few people or trials.
    """
    after, least = costs(*cross_validated(compared, fit))
    if earlier is None:
        return Worth(round(after, 6), round(least, 6))
    trials, ratios = earlier
    stated = Trials(ratios, trials.trials.target, trials.trials.enrolled, trials.trials.probed)
    # The same folds choose the same trials; nothing is fitted on the others.
    known = Compared(stated, trials.conditions, trials.group)
    before = costs(*cross_validated(known, lambda _: lambda other: other.trials.scores))
    return Worth(round(after, 6), round(least, 6), *(round(cost, 6) for cost in before))
