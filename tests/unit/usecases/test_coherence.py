# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from voiceauth.types import Bandwidth, CallId, Embedding, EnrolmentSegment, Score
from voiceauth.usecases.coherence import coherent, fits
from voiceauth.usecases.duplicates import search_rate


@pytest.mark.parametrize(
    ("llr", "rate", "expected"),
    [
        (3.0, 0.9, True),
        (-2.0, 0.05, True),
        (-2.0, 0.009, False),
        (-9.0, 0.08, False),
        (None, 0.5, False),
        (1.0, None, False),
    ],
)
def test_a_segment_fits_unless_its_speaker_would_rarely_sound_so(
    llr: float | None, rate: float | None, *, expected: bool
) -> None:
    """The table's rate decides, below its floor the ratio does, and no support never fits."""
    score = Score(raw=0.1, llr=llr, false_match_rate=0.5, false_non_match_rate=rate)

    assert fits(score, 0.01) is expected


def test_the_rate_of_a_search_grows_with_the_people_searched() -> None:
    """Within the tables the rate is that of at least one false match among all."""
    score = Score(raw=0.5, llr=4.0, false_match_rate=0.01, false_non_match_rate=0.5)

    assert search_rate(score, 1) == pytest.approx(0.01)
    assert search_rate(score, 100) == pytest.approx(1 - 0.99**100)


def test_at_the_tables_floor_the_ratio_bounds_a_search() -> None:
    """Where the tables know no smaller rate, N people reach a ratio of t with at most N/t."""
    score = Score(0.9, 14.0, 1e-3, 0.9, floor_reached=True)

    assert search_rate(score, 1000) == pytest.approx(1000 * math.exp(-14.0))
    assert search_rate(Score(0.9, 2.0, 1e-3, 0.9, floor_reached=True), 10) == pytest.approx(
        1 - 0.999**10
    )


def test_a_search_without_support_has_no_rate() -> None:
    """No calibration support, no rate."""
    assert search_rate(Score(0.9, None, None, None), 10) is None


class CosineScorer:
    """A scorer whose rate falls with the cosine: 0.8 for the same direction, 0 below 0.5.

    Args:
        without_support: for probes along the first axis.
    """

    version = "cosine"

    def __init__(self, *, without_support: bool = False) -> None:
        self._without_support = without_support

    def score(
        self,
        probe: Embedding,
        enrolled: Embedding,
        *,
        net_seconds: float,
        bandwidth: Bandwidth,
        enrolled_seconds: float | None = None,
        snr_db: float | None = None,
    ) -> Score:
        """Return a score that says how far apart the two directions are."""
        del net_seconds, bandwidth, enrolled_seconds, snr_db
        if self._without_support and abs(float(probe[1])) < 1e-3:
            return Score(0.9, None, None, None)
        cosine = float(probe @ enrolled)
        return Score(cosine, 10.0 * (cosine - 0.5), 0.5, max(0.0, 1.6 * (cosine - 0.5)))


def segment(degrees: float) -> EnrolmentSegment:
    """A segment whose embedding points in this direction of a plane."""
    angle = math.radians(degrees)
    embedding = np.array([math.cos(angle), math.sin(angle)], dtype=np.float32)
    return EnrolmentSegment(embedding, 3.0, CallId("call"), 0.0, 3.0, None, Bandwidth.NARROWBAND)


def directions(kept: tuple[EnrolmentSegment, ...]) -> list[int]:
    """Of the segments that are left, in whole degrees."""
    return [
        round(math.degrees(math.atan2(float(one.embedding[1]), float(one.embedding[0]))))
        for one in kept
    ]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ([0], [0]),
        ([0, 5, -5], [0, 5, -5]),
        ([0, 5, 90], [0, 5]),
        ([0, 5, -5, 2, 80, 90], [0, 5, -5, 2]),
        ([90, 0, 80, 5, -5, 2], [0, 5, -5, 2]),
        ([0, 90], []),
    ],
)
def test_what_does_not_fit_goes_one_by_one(given: list[float], left: list[int]) -> None:
    """A stranger's second segment is not excused by the first; of two strangers none is kept."""
    kept = coherent(CosineScorer(), [segment(one) for one in given], 0.1)

    assert directions(kept) == left


def test_what_cannot_be_judged_goes_first() -> None:
    """A segment without calibration support leaves before one that merely fits badly."""
    kept = coherent(
        CosineScorer(without_support=True), [segment(0), segment(40), segment(45), segment(50)], 0.1
    )

    assert directions(kept) == [40, 45, 50]
