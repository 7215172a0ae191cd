# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from voiceauth.errors import IntegrityError
from voiceauth.liveness.rates import (
    RateTable,
    format_rates,
    measured_rates,
    parse_rates,
    rated_slot,
)
from voiceauth.types import LivenessState

TABLE = RateTable((-2.0, 0.0, 2.0), (0.9, 0.2, 0.01), (0.02, 0.1, 0.8))
GOOD = {"grid": [0.0, 1.0], "false_accept": [0.5, 0.1], "false_reject": [0.1, 0.6]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"grid": []},
        {"grid": [1.0, 0.0]},
        {"grid": [0.0, 0.0]},
        {"grid": [0.0, math.nan]},
        {"grid": "01"},
        {"grid": [True, 2.0]},
        {"grid": None},
        {"false_accept": [0.1, 0.5]},
        {"false_accept": [0.5]},
        {"false_accept": [0.5, 0.0]},
        {"false_reject": [0.6, 0.1]},
        {"false_reject": [0.6, 1.1]},
        {"more": 1},
    ],
)
def test_a_table_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    """A damaged table must not imply any rate."""
    with pytest.raises(IntegrityError):
        parse_rates({**GOOD, **wrong})


@pytest.mark.parametrize("content", [None, [], "x", {"grid": [0.0]}])
def test_what_is_no_table_is_refused(content: object) -> None:
    """Other JSON values and missing fields are no table."""
    with pytest.raises(IntegrityError):
        parse_rates(content)


def test_a_table_survives_its_text() -> None:
    """What is written is read."""
    assert parse_rates(format_rates(TABLE)) == TABLE


def test_a_table_is_read_on_the_side_that_overstates() -> None:
    """Between grid points the worse neighbour holds; beyond an end nothing better is stated."""
    assert [TABLE.accept(llr) for llr in (-3.0, -2.0, 1.9, 2.0, 99.0)] == [
        1.0,
        0.9,
        0.2,
        0.01,
        0.01,
    ]
    assert [TABLE.reject(llr) for llr in (-99.0, -2.0, -1.9, 2.0, 2.1)] == [
        0.02,
        0.02,
        0.1,
        0.8,
        1.0,
    ]


def test_without_a_table_the_ratio_bounds_both_rates() -> None:
    """An attack reaches a calibrated ratio of t with a chance of at most exp(-t)."""
    high, low = rated_slot(3.0), rated_slot(-3.0)

    assert (high.state, low.state) == (LivenessState.LIVE, LivenessState.SUSPECT)
    assert high.false_accept_rate == low.false_reject_rate == pytest.approx(math.exp(-3.0))
    assert high.false_reject_rate == low.false_accept_rate == 1.0


def test_the_table_speaks_where_there_is_one() -> None:
    """Measured rates take the place of the ratio's own bound."""
    slot = rated_slot(2.0, TABLE)

    assert (slot.false_accept_rate, slot.false_reject_rate) == (0.01, 0.8)


@pytest.mark.parametrize("llr", [math.nan, math.inf])
def test_a_ratio_that_is_not_finite_is_a_fault(llr: float) -> None:
    """NaN compares as neither; it must not slip through as live."""
    with pytest.raises(IntegrityError):
        rated_slot(llr)


def test_measured_rates_never_reach_zero() -> None:
    """No error among few presentations still leaves room for some."""
    table = measured_rates([5.0] * 50, {"a": [-5.0] * 50}, [-1.0, 0.0, 1.0], 1.28)

    assert 0.02 < table.accept(1.0) < 0.05
    assert 0.02 < table.reject(-1.0) < 0.05


def test_species_weigh_alike() -> None:
    """A rare species that always gets through is half of the rate beside a common one."""
    table = measured_rates([5.0] * 9, {"a": [-5.0] * 990, "b": [5.0] * 10}, [0.0], 1.28)

    assert table.accept(0.0) == pytest.approx(0.5, abs=0.03)


def test_bounds_cover_what_was_measured() -> None:
    """At every grid point the stated rate is at least the observed one."""
    generator = np.random.default_rng(5)
    living, attack = generator.normal(2, 2, 200).tolist(), generator.normal(-2, 2, 200).tolist()
    table = measured_rates(living, {"a": attack}, np.linspace(-4, 4, 17).tolist(), 1.28)

    for llr in (-3.3, -1.0, 0.2, 2.7):
        assert table.accept(llr) >= np.mean(np.array(attack) >= llr)
        assert table.reject(llr) >= np.mean(np.array(living) <= llr)


@pytest.mark.parametrize(
    ("living", "attacks"), [([], {"a": [1.0]}), ([1.0], {}), ([1.0], {"a": []})]
)
def test_nothing_to_measure_on_is_refused(
    living: list[float], attacks: dict[str, list[float]]
) -> None:
    """Without presentations there is no rate."""
    with pytest.raises(IntegrityError):
        measured_rates(living, attacks, [0.0], 1.28)
