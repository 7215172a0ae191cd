# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import InternalError, SettingsError
from voiceauth.scoring.fit import FitChoices, effective_trials, fit_node, logistic_line
from voiceauth.scoring.metrics import equal_error_rate, roc_of
from voiceauth.scoring.trials import Trials, Weights, speaker_interval

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


@pytest.mark.parametrize("prior", [0.01, 0.1, 0.5])
def test_the_line_of_known_distributions_is_found(prior: float) -> None:
    """For two Gaussians the ratio is 4 times the score, whatever the prior of the fit."""
    trials = _gaussian_trials(people=40, each=60)

    scale, offset = logistic_line(trials.scores, trials.target, prior)

    assert scale == pytest.approx(4.0, abs=0.5)
    assert offset == pytest.approx(0.0, abs=0.6)


def test_the_line_does_not_depend_on_the_number_of_impostors() -> None:
    """Taking every impostor twice changes nothing."""
    trials = _gaussian_trials()
    twice = np.concatenate([trials.scores, trials.scores[~trials.target]])
    labels = np.concatenate([trials.target, np.zeros(int((~trials.target).sum()), dtype=bool)])

    np.testing.assert_allclose(
        logistic_line(trials.scores, trials.target, 0.1),
        logistic_line(twice, labels, 0.1),
        rtol=1e-5,
    )


def test_a_shifted_and_stretched_score_gives_the_same_ratios() -> None:
    """The unit of the raw score does not matter."""
    trials = _gaussian_trials()
    scale, offset = logistic_line(trials.scores, trials.target, 0.1)

    scale_2, offset_2 = logistic_line(trials.scores * 0.01 + 5.0, trials.target, 0.1)

    ratios = scale * trials.scores + offset
    np.testing.assert_allclose(
        scale_2 * (trials.scores * 0.01 + 5.0) + offset_2, ratios, rtol=1e-4, atol=1e-4
    )


def test_separated_trials_are_refused() -> None:
    """Where nobody errs any slope fits: too few trials to calibrate with."""
    with pytest.raises(SettingsError, match="separated"):
        logistic_line(np.array([0.0, 1.0]), np.array([False, True]), 0.5)


def test_scores_that_point_the_wrong_way_are_refused() -> None:
    """A model that is worse than chance is not calibrated into a good one."""
    trials = _gaussian_trials()
    wrong = Trials(-trials.scores, trials.target, trials.enrolled, trials.probed)

    with pytest.raises(SettingsError, match="not higher"):
        fit_node(wrong, 3.0, GRID, QUICK)


def test_the_curves_bound_the_shares_that_were_seen() -> None:
    """No stated rate is below the share of errors among the trials themselves."""
    trials = _gaussian_trials()
    node = fit_node(trials, 3.0, GRID, QUICK)
    ratios = node.scale * trials.scores + node.offset

    for place, ratio in enumerate(GRID):
        reached = np.mean(ratios[~trials.target] >= ratio)
        missed = np.mean(ratios[trials.target] <= ratio)
        assert node.false_match[place] >= reached - 1e-12
        assert node.false_non_match[place] >= missed - 1e-12


def test_no_rate_goes_below_thirty_errors_worth_of_trials() -> None:
    """The rule of 30 holds on both curves, and the trial counts are stated."""
    trials = _gaussian_trials()
    node = fit_node(trials, 3.0, GRID, QUICK)

    assert node.impostor_trials == 20 * 19 * 10
    assert node.target_trials == 20 * 10
    assert node.false_match.min() >= 30 / node.impostor_trials
    assert node.false_non_match.min() >= 30 / node.target_trials


def test_many_trials_of_few_people_do_not_support_small_rates() -> None:
    """A hundred copies of every trial lower no rate below what people or the ratio support."""
    trials = _gaussian_trials()
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
    node = fit_node(_gaussian_trials(people=2, each=200), 3.0, GRID, QUICK)

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
