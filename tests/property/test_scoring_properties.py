# SPDX-License-Identifier: Apache-2.0
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from voiceauth.scoring.calibration import Calibration, Node, Normalisation, Table
from voiceauth.scoring.combine import centroid
from voiceauth.scoring.condition import Condition, Line, Range, Support
from voiceauth.scoring.cosine import cosine
from voiceauth.scoring.metrics import equal_error_rate, pool_adjacent_violators, roc
from voiceauth.types import Bandwidth, ModelHash

VECTORS = arrays(
    np.float32, 6, elements=st.floats(-10, 10, width=32).filter(lambda x: x == 0 or abs(x) > 0.01)
).filter(lambda vector: float(np.linalg.norm(vector)) > 0.1)
SCALES = st.floats(0.01, 100.0)
SCORES = arrays(np.float64, st.integers(1, 30), elements=st.floats(-5, 5))
NARROW = Bandwidth.NARROWBAND
untimed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine must not fail a property."""


@untimed
@given(one=VECTORS, other=VECTORS)
def test_the_cosine_is_symmetric_and_bounded(
    one: NDArray[np.float32], other: NDArray[np.float32]
) -> None:
    """Who enrolled and who called does not matter, and no score leaves -1 to 1."""
    score = cosine(one, other)

    assert score == cosine(other, one)
    assert -1.0 <= score <= 1.0


@untimed
@given(one=VECTORS, other=VECTORS, scale=SCALES)
def test_loudness_of_an_embedding_does_not_matter(
    one: NDArray[np.float32], other: NDArray[np.float32], scale: float
) -> None:
    """Only the direction of an embedding counts."""
    assert abs(cosine(one * np.float32(scale), other) - cosine(one, other)) < 1e-5


@untimed
@given(vector=VECTORS, weights=st.lists(st.floats(0.1, 60.0), min_size=1, max_size=6))
def test_the_mean_of_one_direction_is_that_direction(
    vector: NDArray[np.float32], weights: list[float]
) -> None:
    """A voice that always sounds the same is itself, whatever the weights."""
    mean = centroid([(vector, weight) for weight in weights])

    assert cosine(mean, vector) > 1.0 - 1e-5


@st.composite
def _calibrations(draw: st.DrawFn) -> Calibration:
    grid = np.arange(-5.0, 5.5, 1.0)
    rates = arrays(np.float64, len(grid), elements=st.floats(1e-5, 1.0))
    seconds = sorted(draw(st.sets(st.integers(2, 40), min_size=1, max_size=4)))
    nodes = tuple(
        Node(
            net_seconds=float(one),
            false_match=np.sort(draw(rates))[::-1],
            false_non_match=np.sort(draw(rates)),
            target_trials=1,
            impostor_trials=1,
        )
        for one in seconds
    )
    support = Support(
        Range(nodes[0].net_seconds, nodes[-1].net_seconds), Range(2.0, 60.0), Range(5.0, 35.0)
    )
    # Over this support net, enrolled and snr stay within 3, 3 and 2: the slope is always positive.
    line = Line(
        ("1", "net", "enrolled", "snr", "net*snr"),
        (draw(st.floats(20.0, 50.0)), *(draw(st.floats(-1.0, 1.0)) for _ in range(4))),
        tuple(draw(st.floats(-5.0, 5.0)) for _ in range(5)),
    )
    table = Table(NARROW, support, line, nodes, "drawn")
    return Calibration(
        "drawn", ModelHash("0"), Normalisation(), "drawn", "0", 1, 0.95, grid, (table,)
    )


@untimed
@given(
    calibration=_calibrations(),
    seconds=st.floats(2.0, 60.0),
    raws=st.lists(st.floats(-3.0, 3.0), min_size=2, max_size=12),
    enrolled=st.none() | st.floats(2.0, 200.0),
    snr_db=st.none() | st.floats(5.0, 60.0),
)
def test_a_better_score_never_has_a_worse_rate(
    calibration: Calibration,
    seconds: float,
    raws: list[float],
    enrolled: float | None,
    snr_db: float | None,
) -> None:
    """Under any condition ratio and rates are monotone in the raw score, and are rates."""
    condition = Condition(NARROW, seconds, enrolled, snr_db)
    scores = [calibration.score(raw, condition) for raw in sorted(raws)]
    if seconds < calibration.tables[0].support.net_seconds.least:
        assert all(score.false_match_rate is None for score in scores)
        return

    ratios = [score.llr or 0.0 for score in scores]
    assert ratios == sorted(ratios)
    match = [score.false_match_rate or 0.0 for score in scores]
    miss = [score.false_non_match_rate or 0.0 for score in scores]
    assert all(0.0 < rate <= 1.0 for rate in (*match, *miss))
    assert match == sorted(match, reverse=True)
    assert miss == sorted(miss)


@untimed
@given(
    calibration=_calibrations(),
    seconds=st.floats(0.1, 60.0),
    raw=st.floats(-3.0, 3.0),
    enrolled=st.floats(0.1, 200.0),
    snr_db=st.floats(-20.0, 60.0),
)
def test_not_knowing_never_helps(
    calibration: Calibration, seconds: float, raw: float, enrolled: float, snr_db: float
) -> None:
    """A rate stated without knowing noise and enrolment is at least the one stated with them."""
    known = calibration.score(raw, Condition(NARROW, seconds, enrolled, snr_db))
    unknown = calibration.score(raw, Condition(NARROW, seconds))

    supported = min(seconds - calibration.tables[0].support.net_seconds.least, enrolled - 2.0)
    assert (known.llr is not None) == (min(supported, snr_db - 5.0) >= 0.0)
    if known.false_match_rate is not None and known.false_non_match_rate is not None:
        assert (unknown.false_match_rate or 0.0) >= known.false_match_rate
        assert (unknown.false_non_match_rate or 0.0) >= known.false_non_match_rate


@untimed
@given(target=SCORES, impostor=SCORES, shift=st.integers(-3, 3), scale=st.sampled_from([0.5, 2.0]))
def test_the_equal_error_rate_only_sees_the_order(
    target: NDArray[np.float64], impostor: NDArray[np.float64], shift: int, scale: float
) -> None:
    """Any rising change of the scores leaves the error rate, and it is a rate."""
    # Rounded, so that shifting cannot merge two different scores.
    target, impostor = np.round(target, 3), np.round(impostor, 3)
    rate = equal_error_rate(roc(target, impostor))

    assert 0.0 <= rate <= 1.0
    changed = (np.round((part + shift) * scale, 6) for part in (target, impostor))
    assert abs(equal_error_rate(roc(*changed)) - rate) < 1e-9


@untimed
@given(values=arrays(np.float64, st.integers(1, 40), elements=st.floats(-5, 5)))
def test_pooling_rises_and_keeps_the_mean(values: NDArray[np.float64]) -> None:
    """The pooled sequence never falls, keeps the sum, and leaves a rising one alone."""
    pooled = pool_adjacent_violators(values, np.ones(len(values)))

    assert np.all(np.diff(pooled) >= -1e-12)
    np.testing.assert_allclose(pooled.sum(), values.sum(), atol=1e-9)
    np.testing.assert_allclose(
        pool_adjacent_violators(np.sort(values), np.ones(len(values))), np.sort(values), atol=1e-12
    )
