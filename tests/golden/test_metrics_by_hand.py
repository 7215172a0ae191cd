# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from voiceauth.errors import InternalError
from voiceauth.scoring.metrics import (
    cllr,
    equal_error_rate,
    false_non_match_at,
    min_cllr,
    min_dcf,
    pool_adjacent_violators,
    roc,
)

# Four of each kind, worked out on paper:
#   threshold    1     2     3     4     5     6     7     8   inf
#   score of     i     i     t     i     t     i     t     t
#   FMR          1    3/4   2/4   2/4   1/4   1/4    0     0    0
#   FNMR         0     0     0    1/4   1/4   2/4   2/4   3/4   1
TARGET = np.array([3.0, 5.0, 7.0, 8.0])
IMPOSTOR = np.array([1.0, 2.0, 4.0, 6.0])
SWEEP = roc(TARGET, IMPOSTOR)


def test_the_sweep_is_the_one_on_paper() -> None:
    """Both rates at every threshold agree with the table above."""
    np.testing.assert_allclose(SWEEP.false_match, np.array([4, 3, 2, 2, 1, 1, 0, 0, 0]) / 4)
    np.testing.assert_allclose(SWEEP.false_non_match, np.array([0, 0, 0, 1, 1, 2, 2, 3, 4]) / 4)


def test_the_equal_error_rate_is_where_both_are_a_quarter() -> None:
    """At threshold 5 one of four errs on each side."""
    assert equal_error_rate(SWEEP) == pytest.approx(0.25)


def test_the_equal_error_rate_between_two_points_is_interpolated() -> None:
    """Three targets and two impostors cross between (0, 1/2) and (1/3, 1/2): 1/2; by hand."""
    sweep = roc(np.array([1.0, 3.0, 4.0]), np.array([0.0, 2.0]))

    # Points (FMR, FNMR): (1, 0) (1/2, 0) (1/2, 1/3) (0, 1/3) ...; the crossing lies on the step
    # from (1/2, 1/3) to (0, 1/3), where FNMR stays 1/3.
    assert equal_error_rate(sweep) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("target", "impostor", "expected"),
    [([2.0, 3.0], [0.0, 1.0], 0.0), ([0.0, 1.0], [2.0, 3.0], 1.0), ([1.0, 1.0], [1.0, 1.0], 0.5)],
    ids=["perfect", "inverted", "all-equal"],
)
def test_the_equal_error_rate_of_the_extremes(
    target: list[float], impostor: list[float], expected: float
) -> None:
    """Perfect, inverted and useless scores give 0, 1 and 1/2."""
    assert equal_error_rate(roc(np.array(target), np.array(impostor))) == pytest.approx(expected)


def test_the_detection_cost_is_the_one_on_paper() -> None:
    """With a prior of 0.2 the best threshold is 7: 0.2 * 1/2 + 0.8 * 0 = 0.1, over 0.2: 0.5."""
    assert min_dcf(SWEEP, target_prior=0.2) == pytest.approx(0.5)


def test_the_detection_cost_never_exceeds_no_system_at_all() -> None:
    """Always rejecting costs 1."""
    assert min_dcf(roc(IMPOSTOR, TARGET), target_prior=0.01) == pytest.approx(1.0)


@pytest.mark.parametrize(("limit", "expected"), [(1.0, 0.0), (0.5, 0.0), (0.3, 0.25), (0.0, 0.5)])
def test_the_miss_rate_at_a_false_match_rate(limit: float, expected: float) -> None:
    """The lowest threshold within the limit is taken: read off the table above."""
    assert false_non_match_at(SWEEP, limit) == pytest.approx(expected)


def test_weights_count_a_trial_several_times() -> None:
    """A weight of 2 is the same as the trial standing there twice."""
    weighted = roc(TARGET, IMPOSTOR, np.array([2.0, 1, 1, 1]), np.array([1.0, 1, 1, 3]))
    repeated = roc(np.append(TARGET, 3.0), np.append(IMPOSTOR, [6.0, 6.0]))

    np.testing.assert_allclose(weighted.false_match, repeated.false_match)
    np.testing.assert_allclose(weighted.false_non_match, repeated.false_non_match)


def test_the_cost_of_saying_nothing_is_one_bit() -> None:
    """Ratios of 0 cost 1; good ratios less; confident wrong ones more."""
    zero = np.zeros(3)

    assert cllr(zero, zero) == pytest.approx(1.0)
    assert cllr(np.array([np.log(3.0)]), np.array([-np.log(3.0)])) == pytest.approx(np.log2(4 / 3))
    assert cllr(np.array([-20.0]), np.array([20.0])) > 20.0
    assert cllr(np.array([800.0]), np.array([-800.0])) == pytest.approx(0.0, abs=1e-9)


def test_pooling_is_the_one_on_paper() -> None:
    """1, 3, 2 becomes 1, 2.5, 2.5; a falling sequence becomes its weighted mean."""
    np.testing.assert_allclose(
        pool_adjacent_violators(np.array([1.0, 3.0, 2.0]), np.ones(3)), [1.0, 2.5, 2.5]
    )
    np.testing.assert_allclose(
        pool_adjacent_violators(np.array([4.0, 1.0]), np.array([1.0, 2.0])), [2.0, 2.0]
    )


def test_the_best_cost_of_the_paper_scores() -> None:
    """Pools i,i | t,i | t,i | t,t: four trials at posterior 1/2, one bit each, the rest free."""
    assert min_cllr(TARGET, IMPOSTOR) == pytest.approx(0.5)


def test_the_best_cost_of_perfect_and_useless_scores() -> None:
    """Separated scores cost nothing, equal ones a bit."""
    assert min_cllr(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == pytest.approx(0.0, abs=1e-9)
    assert min_cllr(np.ones(4), np.ones(2)) == pytest.approx(1.0)


def test_rates_of_one_kind_only_are_refused() -> None:
    """Without impostors there is no false-match rate."""
    with pytest.raises(InternalError):
        roc(TARGET, np.array([]))
