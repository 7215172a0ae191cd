# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import InternalError
from voiceauth.scoring.combine import WeightedMean, centroid
from voiceauth.scoring.cosine import cosine

X = np.array([1.0, 0.0, 0.0], dtype=np.float32)
Y = np.array([0.0, 1.0, 0.0], dtype=np.float32)


def test_the_cosine_of_known_angles_is_right() -> None:
    """0, 60, 90 and 180 degrees give 1, 0.5, 0 and -1."""
    half = np.array([0.5, np.sqrt(0.75), 0.0], dtype=np.float32)

    assert cosine(X, X) == pytest.approx(1.0)
    assert cosine(X, half) == pytest.approx(0.5, abs=1e-6)
    assert cosine(X, Y) == pytest.approx(0.0, abs=1e-6)
    assert cosine(X, -X) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    "bad", [np.zeros(3), np.array([np.nan, 1.0, 0.0]), np.array([np.inf, 0.0, 0.0]), np.ones(2)]
)
def test_a_cosine_with_an_impossible_embedding_is_refused(bad: NDArray[np.float64]) -> None:
    """No direction, no number or another dimension never gives a score."""
    with pytest.raises(InternalError):
        cosine(X, bad.astype(np.float32))
    with pytest.raises(InternalError):
        cosine(bad.astype(np.float32), X)


def test_the_mean_weighs_by_net_seconds() -> None:
    """Three seconds along x and four along y point along (3, 4)."""
    np.testing.assert_allclose(centroid([(X, 3.0), (Y, 4.0)]), [0.6, 0.8, 0.0], atol=1e-6)


def test_a_running_mean_equals_the_mean_of_all() -> None:
    """Adding span by span gives the centroid, and counts the seconds."""
    rng = np.random.default_rng(3)
    parts = [(rng.standard_normal(5).astype(np.float32), float(s)) for s in rng.uniform(1, 4, 7)]
    mean = WeightedMean()
    for embedding, seconds in parts:
        mean.add(embedding, seconds)

    np.testing.assert_array_equal(mean.mean(), centroid(parts))
    assert mean.net_seconds == pytest.approx(sum(seconds for _, seconds in parts))
    assert np.linalg.norm(mean.mean()) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_weight_is_refused(seconds: float) -> None:
    """A span without speech cannot weigh anything."""
    with pytest.raises(InternalError):
        WeightedMean().add(X, seconds)


def test_the_mean_of_nothing_is_refused() -> None:
    """Without a span, or with spans that cancel out, there is no voice."""
    with pytest.raises(InternalError):
        centroid([])
    with pytest.raises(InternalError):
        centroid([(X, 1.0), (-X, 1.0)])


def test_embeddings_of_two_models_do_not_mix() -> None:
    """Different dimensions cannot be averaged."""
    with pytest.raises(InternalError):
        centroid([(X, 1.0), (np.ones(2, dtype=np.float32), 1.0)])
