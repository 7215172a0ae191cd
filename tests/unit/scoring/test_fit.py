# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import InternalError, SettingsError
from voiceauth.scoring.fit import (
    FitChoices,
    balanced,
    effective_trials,
    fit_affine,
    fit_line,
    fit_node,
)
from voiceauth.scoring.metrics import equal_error_rate, roc_of
from voiceauth.scoring.trials import Compared, Trials, Weights, speaker_interval
from voiceauth.scoring.validation import worth_of

GRID = np.arange(-15.0, 15.01, 0.25)
QUICK = FitChoices(draws=50)


def _gaussian_trials(people: int = 20, each: int = 10, seed: int = 1) -> Trials:
    """Targets N(1, 1/2) and impostors N(-1, 1/2): the true ratio is 4 times the score."""
    rng = np.random.default_rng(seed)
    enrolled, probed = (
        side.ravel() for side in np.meshgrid(np.arange(people), np.repeat(np.arange(people), each))
    )
    target = enrolled == probed
    scores = np.where(target, 1.0, -1.0) + np.sqrt(0.5) * rng.standard_normal(target.shape)
    return Trials(scores, target, enrolled.astype(np.int64), probed.astype(np.int64))


def _compared(trials: Trials, seed: int = 4) -> Compared:
    """Conditions at random: they say nothing about the scores."""
    rng = np.random.default_rng(seed)
    low, high = np.array([2.0, 2.0, 8.0]), np.array([20.0, 30.0, 30.0])
    conditions = low + (high - low) * rng.random((len(trials.scores), 3))
    return Compared(trials, conditions, (conditions[:, 0] > 5.0).astype(np.int64))


def _ratios(trials: Trials, choices: FitChoices | None = None) -> Trials:
    """The same trials with ratios for scores."""
    compared = _compared(trials)
    found = fit_line(compared, choices).ratios(trials.scores, compared.conditions)
    return Trials(found, *_parts(trials)[1:])


USUAL = (3.0, 20.0, 20.0)


@pytest.mark.parametrize("prior", [0.01, 0.1, 0.5])
def test_the_line_of_known_distributions_is_found(prior: float) -> None:
    """For two Gaussians the ratio is 4 times the score, whatever the prior of the fit."""
    compared = _compared(_gaussian_trials(people=40, each=60))

    scale, offset = fit_line(compared, FitChoices(terms=("1",), prior=prior)).at(USUAL)

    assert scale == pytest.approx(4.0, abs=0.5)
    assert offset == pytest.approx(0.0, abs=0.6)


def test_a_condition_that_says_nothing_changes_little() -> None:
    """All terms together find the same line when the scores do not depend on the conditions."""
    compared = _compared(_gaussian_trials(people=40, each=60))

    for corner in ((2.0, 2.0, 10.0), USUAL, (20.0, 30.0, 30.0)):
        scale, _ = fit_line(compared).at(corner)
        assert scale == pytest.approx(4.0, abs=0.8)


def test_a_condition_that_moves_scores_is_found() -> None:
    """Scores that rise by 1 every 10 dB have an offset that falls by the slope every 10 dB."""
    plain = _compared(_gaussian_trials(people=40, each=60))
    moved = plain.trials.scores + plain.conditions[:, 2] / 10.0
    trials = Trials(moved, *_parts(plain.trials)[1:])

    line = fit_line(Compared(trials, plain.conditions, plain.group))

    (slope, quiet), (_, noisy) = line.at((3.0, 20.0, 30.0)), line.at((3.0, 20.0, 10.0))
    assert noisy - quiet == pytest.approx(2.0 * slope, rel=0.25)


def test_the_line_does_not_depend_on_the_number_of_impostors() -> None:
    """Taking every impostor twice changes nothing."""
    one = _compared(_gaussian_trials())
    places = np.concatenate([np.arange(len(one.group)), np.flatnonzero(~one.trials.target)])
    scores, target, enrolled, probed = (part[places] for part in _parts(one.trials))
    twice = Compared(
        Trials(scores, target, enrolled, probed), one.conditions[places], one.group[places]
    )

    # The scores' own centre moves with the impostors, and with it what the ridge calls 0.
    np.testing.assert_allclose(fit_line(one).at(USUAL), fit_line(twice).at(USUAL), rtol=0.02)


def test_an_affine_correction_undoes_a_stretch() -> None:
    """Ratios that were stretched and shifted come back."""
    trials = _ratios(_gaussian_trials(people=40, each=30))
    weights = balanced(_compared(trials), 0.1)

    scale, offset = fit_affine(trials.scores * 0.5 + 2.0, trials.target, weights, 0.1)

    assert scale == pytest.approx(2.0, rel=0.15)
    assert offset == pytest.approx(-4.0, abs=0.8)


def test_separated_trials_are_refused() -> None:
    """Where nobody errs any slope fits: too few trials to calibrate with."""
    trials = _gaussian_trials()
    apart = Trials(np.where(trials.target, 9.0, -9.0), *_parts(trials)[1:])

    with pytest.raises(SettingsError, match="separated"):
        fit_line(_compared(apart))
    with pytest.raises(SettingsError, match="separated"):
        fit_affine(apart.scores, apart.target, balanced(_compared(apart), 0.5), 0.5)


def test_scores_that_point_the_wrong_way_are_refused() -> None:
    """A model that is worse than chance is not calibrated into a good one."""
    trials = _gaussian_trials()
    wrong = Trials(-trials.scores, trials.target, trials.enrolled, trials.probed)

    with pytest.raises(SettingsError, match="not higher"):
        fit_line(_compared(wrong))
    with pytest.raises(SettingsError, match="not higher"):
        fit_affine(wrong.scores, wrong.target, balanced(_compared(wrong), 0.1), 0.1)


def test_cross_validated_cost_is_that_of_a_good_calibration() -> None:
    """On people left out of the fit the ratios cost little more than the best ones could."""
    compared = _compared(_gaussian_trials(people=20, each=30))

    def fit(some: Compared) -> Callable[[Compared], NDArray[np.float64]]:
        line = fit_line(some)
        return lambda other: line.ratios(other.trials.scores, other.conditions)

    worth = worth_of(compared, fit, (compared, compared.trials.scores))

    assert worth.min_cllr <= worth.cllr < worth.min_cllr + 0.05
    assert worth.before is not None
    assert worth.before > worth.cllr  # a plain score is no ratio
    # The true ratio is a multiple of the score: what order is worth does not change.
    assert worth.least_before == pytest.approx(worth.min_cllr, abs=0.02)


def test_a_rate_holds_in_every_part_of_the_noise() -> None:
    """Impostors who pass in noise only are not averaged away by the quiet ones."""
    trials = _ratios(_gaussian_trials(people=20, each=30))
    compared = _compared(trials)
    noisy = compared.conditions[:, 2] <= np.quantile(compared.conditions[:, 2], 1 / 3)
    scores = np.where(~trials.target & noisy, trials.scores + 3.0, trials.scores)
    shifted = Trials(scores, *_parts(trials)[1:])

    node = fit_node(shifted, 3.0, GRID, QUICK, compared.conditions)

    for place, ratio in enumerate(GRID):
        reached = np.mean(scores[~trials.target & noisy] >= ratio)
        assert node.false_match[place] >= reached - 1e-12


def test_the_curves_bound_the_shares_that_were_seen() -> None:
    """No stated rate is below the share of errors among the trials themselves."""
    trials = _ratios(_gaussian_trials())
    node = fit_node(trials, 3.0, GRID, QUICK)
    ratios = trials.scores

    for place, ratio in enumerate(GRID):
        reached = np.mean(ratios[~trials.target] >= ratio)
        missed = np.mean(ratios[trials.target] <= ratio)
        assert node.false_match[place] >= reached - 1e-12
        assert node.false_non_match[place] >= missed - 1e-12


def test_no_rate_goes_below_thirty_errors_worth_of_trials() -> None:
    """The rule of 30 holds on both curves, and the trial counts are stated."""
    trials = _ratios(_gaussian_trials())
    node = fit_node(trials, 3.0, GRID, QUICK)

    assert node.impostor_trials == 20 * 19 * 10
    assert node.target_trials == 20 * 10
    assert node.false_match.min() >= 30 / node.impostor_trials
    assert node.false_non_match.min() >= 30 / node.target_trials


def test_many_trials_of_few_people_do_not_support_small_rates() -> None:
    """A hundred copies of every trial lower no rate below what people or the ratio support."""
    trials = _ratios(_gaussian_trials())
    places = np.tile(np.arange(len(trials.scores)), 100)
    scores, target, enrolled, probed = _parts(trials)
    many = Trials(scores[places], target[places], enrolled[places], probed[places])

    once, often = (fit_node(one, 3.0, GRID, QUICK) for one in (trials, many))

    supported = np.minimum(once.false_match / 4, np.exp(-GRID) / 1.01)
    assert np.all(often.false_match >= np.maximum(supported, 30 / often.impostor_trials))


def _parts(
    trials: Trials,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    return trials.scores, trials.target, trials.enrolled, trials.probed


def test_the_effective_number_of_independent_trials_is_their_number() -> None:
    """Draws with binomial spread give back the number of trials that they were drawn with."""
    rng = np.random.default_rng(2)
    point = np.array([0.5, 0.02, 0.01, 0.001])
    drawn = rng.binomial(2000, point, size=(4000, 4)) / 2000

    assert effective_trials(point, drawn, 1e6) == pytest.approx(2000, rel=0.1)
    assert effective_trials(point, drawn, 500) == 500


def test_without_rare_errors_few_trials_are_assumed() -> None:
    """Where the spread between people cannot be measured, the number is taken as small."""
    always = np.ones(3)

    assert effective_trials(always, np.ones((5, 3)), 1e6) == 30
    assert effective_trials(always, np.ones((5, 3)), 4) == 4


def test_two_people_are_enough_to_fit_and_support_hardly_anything() -> None:
    """Bootstrap draws of one person only have no impostor trial and are left out."""
    node = fit_node(_ratios(_gaussian_trials(people=2, each=200)), 3.0, GRID, QUICK)

    assert node.false_match_floor >= 30 / node.impostor_trials


def test_an_interval_holds_the_figure_and_narrows_with_people() -> None:
    """The bootstrap interval contains the value, and more people make it smaller."""

    def metric(trials: Trials, weights: Weights) -> float:
        return equal_error_rate(roc_of(trials, weights))

    few, many = (
        speaker_interval(metric, _gaussian_trials(people, 5), draws=60) for people in (6, 40)
    )

    assert few.low <= few.value <= few.high
    assert many.low <= many.value <= many.high
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize("kept", [True, False])
def test_trials_of_one_kind_are_refused(kept: bool) -> None:
    """Error rates need both kinds."""
    trials = _gaussian_trials()
    mask = trials.target == kept

    with pytest.raises(InternalError):
        Trials(*(part[mask] for part in _parts(trials)))


def test_trials_with_a_score_that_is_no_number_are_refused() -> None:
    """NaN sorts anywhere and would move every rate."""
    trials = _gaussian_trials()
    scores = trials.scores.copy()
    scores[0] = np.nan

    with pytest.raises(InternalError):
        Trials(scores, *_parts(trials)[1:])
