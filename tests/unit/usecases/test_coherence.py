# SPDX-License-Identifier: Apache-2.0
import math

import pytest

from voiceauth.types import Score
from voiceauth.usecases.coherence import fits
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
