# SPDX-License-Identifier: Apache-2.0
"""Synthetic-speech rules: when there is a ratio, how strong it may be, whose it is."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceauth.errors import IntegrityError, ModelHashMismatchError
from voiceauth.liveness.rates import RateTable
from voiceauth.liveness.synthetic import (
    SpanScore,
    SyntheticCalibration,
    format_calibration,
    parse_calibration,
    synthetic_llr,
    synthetic_slot,
)
from voiceauth.types import LivenessState, ModelHash

MODEL = ModelHash("a" * 64)
LINE = SyntheticCalibration(MODEL, -0.8, 0.5, -4.0, 5.0, 2.0)
SCORES = st.floats(-100.0, 100.0)
SECONDS = st.floats(0.1, 60.0)


def test_too_little_speech_gives_no_ratio() -> None:
    """Below the minimum of net speech the result is absent, not zero."""
    assert synthetic_llr([], MODEL, LINE) is None
    assert synthetic_llr([SpanScore(1.0, 0.9), SpanScore(1.0, 1.0)], MODEL, LINE) is None
    assert synthetic_llr([SpanScore(1.0, 1.0), SpanScore(1.0, 1.0)], MODEL, LINE) is not None


def test_spans_weigh_by_their_net_speech() -> None:
    """Three seconds count three times as much as one."""
    found = synthetic_llr([SpanScore(2.0, 3.0), SpanScore(-2.0, 1.0)], MODEL, LINE)
    assert found == pytest.approx(-0.8 * 1.0 + 0.5)


@given(st.lists(st.builds(SpanScore, SCORES, SECONDS), min_size=1, max_size=6))
def test_no_ratio_is_stronger_than_what_was_measured(spans: list[SpanScore]) -> None:
    """Whatever the scores, the ratio stays within the calibration's support."""
    found = synthetic_llr(spans, MODEL, dataclasses.replace(LINE, least_seconds=0.01))
    assert found is not None
    assert -0.8 * 5.0 + 0.5 - 1e-9 <= found <= 0.8 * 4.0 + 0.5 + 1e-9


@given(SCORES, SCORES, st.floats(2.0, 60.0))
def test_a_more_synthetic_score_never_raises_the_ratio(
    one: float, other: float, net: float
) -> None:
    """The ratio falls, or stays, as the score rises."""
    low, high = sorted((one, other))
    least = synthetic_llr([SpanScore(high, net)], MODEL, LINE)
    most = synthetic_llr([SpanScore(low, net)], MODEL, LINE)
    assert least is not None
    assert most is not None
    assert least <= most


@given(st.lists(st.builds(SpanScore, SCORES, SECONDS), min_size=1, max_size=6))
def test_order_of_spans_does_not_matter(spans: list[SpanScore]) -> None:
    """Spans may come in any order."""
    backwards = spans[::-1]
    assert synthetic_llr(spans, MODEL, LINE) == synthetic_llr(backwards, MODEL, LINE)


def test_another_models_scores_are_refused() -> None:
    """A calibration says nothing about another model's scores."""
    with pytest.raises(ModelHashMismatchError):
        synthetic_llr([SpanScore(0.0, 5.0)], ModelHash("b" * 64), LINE)


@pytest.mark.parametrize(
    "span", [SpanScore(math.nan, 3.0), SpanScore(0.0, math.inf), SpanScore(0.0, -1.0)]
)
def test_impossible_spans_are_refused(span: SpanScore) -> None:
    """NaN, infinity and negative lengths raise and never count as live."""
    with pytest.raises(IntegrityError):
        synthetic_llr([span, SpanScore(0.0, 5.0)], MODEL, LINE)


def test_a_calibration_survives_its_file() -> None:
    """What was written is read back unchanged."""
    assert parse_calibration(format_calibration(LINE)) == LINE


@pytest.mark.parametrize(
    "change",
    [
        {"slope": 0.8},
        {"slope": "steep"},
        {"offset": True},
        {"lowest": 6.0},
        {"least_seconds": 0.0},
        {"format": 2},
        {"model": 3},
        {"more": 1},
    ],
)
def test_a_calibration_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    """A line that rewards synthesis, a missing minimum and unknown fields are all refused."""
    content = json.loads(format_calibration(LINE)) | change
    with pytest.raises(IntegrityError):
        parse_calibration(json.dumps(content))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"slope": NaN}'])
def test_a_file_of_something_else_is_refused(text: str) -> None:
    """Anything but the expected object is refused."""
    with pytest.raises(IntegrityError):
        parse_calibration(text)


def test_an_infinite_number_is_refused() -> None:
    """JSON's Infinity does not pass as an offset."""
    content = json.loads(format_calibration(LINE)) | {"offset": math.inf}
    with pytest.raises(IntegrityError):
        parse_calibration(json.dumps(content))


def test_the_layer_is_pending_until_it_has_heard_enough() -> None:
    """Too little speech for the model is no word for either side, and holds back."""
    assert synthetic_slot([], 5.0, MODEL, LINE).state is LivenessState.PENDING
    assert synthetic_slot([SpanScore(-4.0, 1.9)], 1.9, MODEL, LINE).state is LivenessState.PENDING


def test_speech_that_the_model_did_not_hear_is_not_covered_by_what_it_heard() -> None:
    """Short spans escape the model; a call that is mostly of them has not been looked at."""
    heard = [SpanScore(-4.0, 3.0)]

    assert synthetic_slot(heard, 6.1, MODEL, LINE).state is LivenessState.PENDING
    assert synthetic_slot(heard, 6.0, MODEL, LINE).state is LivenessState.LIVE


def test_the_word_carries_ratio_and_rates() -> None:
    """A synthetic score is suspect, with the rates that its ratio implies."""
    slot = synthetic_slot([SpanScore(4.0, 3.0)], 3.0, MODEL, LINE)

    assert slot.state is LivenessState.SUSPECT
    assert slot.llr == pytest.approx(-2.7)
    assert slot.false_reject_rate == pytest.approx(math.exp(-2.7))


def test_measured_rates_travel_with_the_calibration() -> None:
    """A calibration with a table is written and read with it, and the table speaks."""
    rates = RateTable((0.0,), (0.25,), (0.5,))
    line = parse_calibration(format_calibration(dataclasses.replace(LINE, rates=rates)))

    assert line.rates == rates
    assert synthetic_slot([SpanScore(-4.0, 3.0)], 3.0, MODEL, line).false_accept_rate == 0.25
