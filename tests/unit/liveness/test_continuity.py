# SPDX-License-Identifier: Apache-2.0
"""Continuity rules: what is an alarm, what is forgiven, and what file is refused."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceauth.errors import IntegrityError, InternalError
from voiceauth.liveness.continuity import (
    ChangeDetector,
    ChangeLine,
    ContinuityCalibration,
    format_continuity,
    parse_continuity,
)
from voiceauth.types import LivenessState, ModelHash

LINE = ChangeLine((10.0,), -5.0, -6.0, 6.0, 1.0, 7.0)
BOTH = replace(LINE, weights=(5.0, 5.0))
CALIBRATION = ContinuityCalibration(ModelHash("ab" * 32), 2.0, 1.0, 5.0, 0.01, LINE, LINE, BOTH)
SAME, OTHER = [1.0], [0.0]


def run(*stretches: list[float], share: float = 1.0) -> ChangeDetector:
    """Add stretches, one second apart from second 10."""
    detector = ChangeDetector(LINE, share)
    for place, one in enumerate(stretches):
        detector.add(one, 10.0 + place)
    return detector


def test_a_voice_that_stays_strange_raises_the_alarm() -> None:
    """Two strange stretches in a row are a hand-over, which began with the first of them."""
    detector = run(SAME, SAME, OTHER, OTHER)

    assert detector.slot().state is LivenessState.SUSPECT
    assert detector.changed_at_seconds == 12.0


def test_one_strange_stretch_is_forgiven() -> None:
    """A cough or a laugh is no other person, and what follows clears it."""
    detector = run(SAME, OTHER, SAME, SAME, OTHER, SAME)

    assert detector.slot().state is LivenessState.LIVE
    assert detector.changed_at_seconds is None


def test_an_alarm_stays() -> None:
    """Handing back does not undo a hand-over."""
    detector = run(SAME, OTHER, OTHER, SAME, SAME, SAME, SAME)

    assert detector.slot().state is LivenessState.SUSPECT
    assert detector.changed_at_seconds == 11.0


def test_overlapping_stretches_count_by_what_is_new_in_them() -> None:
    """Hearing the same second twice is not hearing it twice as sure."""
    assert run(SAME, OTHER, OTHER, share=0.5).changed_at_seconds is None
    assert run(SAME, *[OTHER] * 4, share=0.5).changed_at_seconds == 11.0


def test_a_sum_that_reaches_the_alarm_raises_it() -> None:
    """The alarm is fitted as the first sum that is too much."""
    edge = ChangeDetector(replace(LINE, alarm=4.0))
    edge.add(OTHER, 1.0)

    assert edge.sum == pytest.approx(4.0)
    assert edge.changed_at_seconds == 1.0


def test_nothing_compared_is_not_measured() -> None:
    """Before the first stretch there is no word, and no pass."""
    slot = ChangeDetector(LINE).slot()

    assert slot.state is LivenessState.NOT_MEASURED
    assert slot.llr is None


@given(st.floats(-100.0, 100.0))
def test_no_ratio_is_stronger_than_what_was_measured(similarity: float) -> None:
    """However strange or alike, the ratio stays within the support."""
    assert -6.0 <= LINE.llr([similarity]) <= 6.0


@given(st.lists(st.floats(-2.0, 2.0), max_size=30))
def test_the_sum_is_never_negative(similarities: list[float]) -> None:
    """A long call of one person earns no credit that a stranger could spend."""
    detector = ChangeDetector(LINE)
    for place, one in enumerate(similarities):
        detector.add([one], float(place))
        assert detector.sum >= 0.0


@pytest.mark.parametrize("similarities", [[], [1.0, 1.0], [math.nan], [math.inf]])
def test_similarities_that_do_not_fit_are_a_fault(similarities: list[float]) -> None:
    """NaN must not pass for the same voice."""
    with pytest.raises(InternalError):
        ChangeDetector(LINE).add(similarities, 0.0)


def test_a_calibration_survives_its_text() -> None:
    """What is written is read."""
    assert parse_continuity(format_continuity(CALIBRATION)) == CALIBRATION


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"surplus": 1},
        {"model": 5},
        {"window_seconds": "2"},
        {"window_seconds": True},
        {"hop_seconds": 3.0},
        {"hop_seconds": 0.0},
        {"reference_seconds": 0.0},
        {"false_alarm_rate": 1.0},
        {"spans": None},
        {"call": {}},
    ],
)
def test_a_calibration_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    """A damaged file must not watch anybody."""
    content = {**json.loads(format_continuity(CALIBRATION)), **change}

    with pytest.raises(IntegrityError):
        parse_continuity(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        {"weights": []},
        {"weights": [-1.0]},
        {"weights": [1.0, 1.0]},
        {"weights": 1.0},
        {"alarm": 0.0},
        {"alarm": math.nan},
        {"lowest": -0.5},
        {"highest": 0.0},
        {"allowance": -1.0},
        {"surplus": 1},
    ],
)
def test_a_line_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    """A line that rewards strangers, or alarms over nothing, is no line."""
    content = json.loads(format_continuity(CALIBRATION))
    content["call"].update(change)

    with pytest.raises(IntegrityError):
        parse_continuity(json.dumps(content))


@pytest.mark.parametrize("text", ["", "[1]", "{", '"x"'])
def test_what_is_no_object_is_refused(text: str) -> None:
    """Whatever stands in the file, only the engine's own error comes out."""
    with pytest.raises(IntegrityError):
        parse_continuity(text)
