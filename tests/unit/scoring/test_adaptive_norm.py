# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from voiceauth.errors import InternalError, SettingsError
from voiceauth.scoring.asnorm import AdaptiveNorm
from voiceauth.scoring.cosine import cosine, unit

RNG = np.random.default_rng(5)
COHORT = unit(RNG.standard_normal((40, 8)))
ONE, OTHER = unit(RNG.standard_normal((2, 8)))


def test_the_norm_is_that_of_the_nearest_members() -> None:
    """A hand-made cohort in the plane: mean and deviation over the two nearest only."""
    degrees = np.deg2rad([0.0, 60.0, 180.0])
    cohort = np.stack([np.cos(degrees), np.sin(degrees)], axis=1)
    norm = AdaptiveNorm(cohort, top=2)

    (mean, deviation), *_ = norm.statistics(np.array([[1.0, 0.0]], dtype=np.float32))

    assert mean == pytest.approx(0.75, abs=1e-6)
    assert deviation == pytest.approx(0.25, abs=1e-6)


def test_a_normalised_score_averages_both_sides() -> None:
    """The score is the mean of the two z-scores, computed here in plain arithmetic."""
    raw = cosine(ONE, OTHER)
    expected = []
    for side in (ONE, OTHER):
        nearest = np.sort(COHORT @ side)[-10:]
        expected.append((raw - nearest.mean()) / nearest.std())

    assert AdaptiveNorm(COHORT, 10).score(raw, ONE, OTHER) == pytest.approx(
        float(np.mean(expected)), rel=1e-4
    )


def test_the_norm_is_symmetric() -> None:
    """Who enrolled and who called does not matter."""
    norm = AdaptiveNorm(COHORT, 10)

    assert norm.score(0.3, ONE, OTHER) == pytest.approx(norm.score(0.3, OTHER, ONE))


def test_order_and_scale_of_the_cohort_do_not_matter() -> None:
    """A cohort is a set of directions."""
    shuffled = RNG.permutation(COHORT) * 3.0

    assert AdaptiveNorm(shuffled, 10).score(0.3, ONE, OTHER) == pytest.approx(
        AdaptiveNorm(COHORT, 10).score(0.3, ONE, OTHER), rel=1e-5
    )


def test_a_higher_cosine_is_a_higher_score() -> None:
    """Normalisation never turns the order of two scores of one pair."""
    norm = AdaptiveNorm(COHORT, 10)

    scores = [norm.score(raw, ONE, OTHER) for raw in np.linspace(-1, 1, 9)]

    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)


def test_a_matrix_is_normalised_like_its_cells() -> None:
    """Many comparisons at once give the same as one by one."""
    norm = AdaptiveNorm(COHORT, 10)
    rows, columns = unit(RNG.standard_normal((3, 8))), unit(RNG.standard_normal((4, 8)))
    scores = rows @ columns.T

    matrix = norm.normalise(scores, norm.statistics(rows), norm.statistics(columns))

    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            assert matrix[i, j] == pytest.approx(norm.score(float(scores[i, j]), row, column))


def test_identical_cohort_members_do_not_make_scores_infinite() -> None:
    """A cohort without spread is bounded, not divided by zero."""
    norm = AdaptiveNorm(np.tile(ONE, (5, 1)), 5)

    assert np.isfinite(norm.score(0.9, ONE, OTHER))


@pytest.mark.parametrize("top", [0, 1, 41])
def test_an_impossible_number_of_members_is_refused(top: int) -> None:
    """The nearest members must be two at least and there."""
    with pytest.raises(SettingsError):
        AdaptiveNorm(COHORT, top)


def test_an_embedding_of_another_model_is_refused() -> None:
    """The cohort belongs to one model; another dimension never meets it."""
    with pytest.raises(InternalError):
        AdaptiveNorm(COHORT, 10).statistics(np.ones((1, 9), dtype=np.float32))
