# SPDX-License-Identifier: Apache-2.0
"""Vectorised bootstrap over people: it says what the plain metrics say, draw by draw."""

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import InternalError
from voiceauth.evaluation.bootstrap import (
    cllrs,
    draw_people,
    equal_error_rates,
    false_non_matches_at,
    interval,
    means,
    min_cllrs,
    min_costs,
    ratios,
    sweep,
)
from voiceauth.scoring.metrics import (
    cllr,
    equal_error_rate,
    false_non_match_at,
    min_cllr,
    min_dcf,
    roc_of,
)
from voiceauth.scoring.trials import Trials

PEOPLE, PROBES = 12, 5


def made_up(separation: float, seed: int = 3) -> Trials:
    """Every probe of everybody against everybody, scores drawn around 0 and a separation."""
    rng = np.random.default_rng(seed)
    enrolled = np.repeat(np.arange(PEOPLE), PEOPLE * PROBES)
    probed = np.tile(np.repeat(np.arange(PEOPLE), PROBES), PEOPLE)
    target = enrolled == probed
    scores = rng.normal(0.0, 1.0, len(target)) + separation * target
    return Trials(scores, target, enrolled, probed)


def weights_of(trials: Trials, times: NDArray[np.float32]) -> NDArray[np.float64]:
    """One draw's weights, the slow and obvious way."""
    return np.array(
        [
            times[one] if same else times[one] * times[other]
            for same, one, other in zip(trials.target, trials.enrolled, trials.probed, strict=True)
        ],
        dtype=np.float64,
    )


@pytest.mark.parametrize("separation", [0.0, 1.5, 3.0, 9.0])
def test_each_draw_has_the_figures_of_the_plain_metrics(separation: float) -> None:
    """Equal error rate, cost and misses of every draw equal those of a weighted sweep."""
    trials = made_up(separation)
    times = draw_people(PEOPLE, draws=20)
    rates = sweep(trials, times)
    found = np.stack(
        [equal_error_rates(rates), min_costs(rates), false_non_matches_at(rates, 0.05)]
    )
    for column in range(times.shape[1]):
        plain = roc_of(trials, weights_of(trials, times[:, column]))
        expected = [
            equal_error_rate(plain),
            min_dcf(plain),
            false_non_match_at(plain, 0.05),
        ]
        np.testing.assert_allclose(found[:, column], expected, atol=1e-9)


def test_costs_of_ratios_equal_the_plain_ones() -> None:
    """Cllr of every draw, and the least Cllr of the sample, equal those of the plain metrics."""
    trials = made_up(2.0)
    times = draw_people(PEOPLE, draws=5)
    costs = cllrs(trials, times)
    same = trials.target
    for column in range(times.shape[1]):
        weights = weights_of(trials, times[:, column])
        plain = cllr(trials.scores[same], trials.scores[~same], weights[same], weights[~same])
        assert costs[column] == pytest.approx(plain)
    least = min_cllrs(sweep(trials, times))
    assert least[0] == pytest.approx(min_cllr(trials.scores[same], trials.scores[~same]))
    assert (least <= costs + 1e-9).all()


def test_the_first_column_is_the_sample() -> None:
    """A figure is that of all trials, whatever the draws say."""
    trials = made_up(1.0)
    many, few = draw_people(PEOPLE, draws=50), draw_people(PEOPLE, draws=2, seed=9)
    assert interval(equal_error_rates(sweep(trials, many))).value == pytest.approx(
        equal_error_rate(roc_of(trials))
    )
    assert equal_error_rates(sweep(trials, few))[0] == equal_error_rates(sweep(trials, many))[0]


def test_an_interval_holds_its_share_of_the_draws() -> None:
    """Nine tenths of the draws lie inside a 90 % interval, and those without a figure nowhere."""
    values = np.concatenate([[50.0], np.arange(101.0), np.full(7, np.nan)])
    found = interval(values)
    assert (found.value, found.low, found.high) == (50.0, 5.0, 95.0)


def test_a_ratio_is_paired() -> None:
    """A system that errs exactly half as often has a ratio of one half without any spread."""
    theirs = np.random.default_rng(0).uniform(0.05, 0.2, 100)
    found = interval(ratios(0.5 * theirs, theirs))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_same_system_twice_has_a_ratio_of_one() -> None:
    """Also in draws without any error, where nothing can be divided."""
    rates = equal_error_rates(sweep(made_up(5.5), draw_people(PEOPLE, draws=30)))
    assert (rates == 0.0).any()
    assert set(ratios(rates, rates).tolist()) == {1.0}


def test_a_peer_without_errors_makes_an_infinite_ratio() -> None:
    """The interval says so instead of failing."""
    ours, theirs = np.full(100, 0.1), np.full(100, 0.05)
    theirs[50:] = 0.0
    found = interval(ratios(ours, theirs))
    assert (found.value, found.low, found.high) == (2.0, 2.0, np.inf)


def test_a_mean_over_chosen_trials_is_weighted_by_people() -> None:
    """A person drawn twice counts twice, an impostor trial by both its people."""
    trials = Trials(
        np.zeros(3), np.array([True, False, False]), np.array([0, 0, 1]), np.array([0, 1, 0])
    )
    times = np.array([[1, 2], [1, 0]], dtype=np.float32)
    chosen = np.array([True, True, False])
    found = means(np.array([1.0, 4.0, 100.0]), trials, times, chosen)
    assert found.tolist() == [2.5, 1.0]


def test_a_draw_without_impostors_has_no_figure() -> None:
    """Where one person was drawn only, nobody meets another one."""
    trials = made_up(1.0)
    alone = np.zeros((PEOPLE, 2), dtype=np.float32)
    alone[:, 0], alone[0, 1] = 1.0, PEOPLE
    assert np.isnan(equal_error_rates(sweep(trials, alone))).tolist() == [False, True]


def test_draws_for_fewer_people_are_refused() -> None:
    """Draws and trials that do not belong together are an error, not a wrong figure."""
    with pytest.raises(InternalError):
        sweep(made_up(1.0), draw_people(PEOPLE - 1, draws=1))
