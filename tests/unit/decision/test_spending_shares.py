# SPDX-License-Identifier: Apache-2.0
import pytest

from voiceauth.decision.policy import Policy
from voiceauth.decision.spending import LAST_SHARE, Spending, planned_looks
from voiceauth.decision.verdict import Decider
from voiceauth.errors import InternalError


@pytest.mark.parametrize(
    ("looks", "early", "last"),
    [(1, [0.0], 0.01), (2, [0.005, 0.0], 0.005), (3, [0.0025, 0.0025, 0.0], 0.005)],
)
def test_half_of_the_rate_is_for_the_last_look_and_the_rest_is_shared(
    looks: int, early: list[float], last: float
) -> None:
    """Planned early looks have equal shares, unplanned ones nothing, and the last one its half."""
    account = Spending(0.01, looks)

    assert [account.next_target(final=False) for _ in early] == early
    assert account.next_target(final=True) == last
    assert account.next_target(final=True) == 0.0
    assert LAST_SHARE == 0.5


@pytest.mark.parametrize(
    ("floor", "full", "step", "looks"),
    [(2.0, 2.0, 3.0, 1), (2.0, 5.0, 3.0, 2), (2.0, 5.1, 3.0, 3), (2.0, 15.0, 3.0, 6)],
)
def test_looks_are_counted_from_the_floor_to_the_full_length(
    floor: float, full: float, step: float, looks: int
) -> None:
    """One for the floor and one for each step begun after it."""
    assert planned_looks(floor, full, step) == looks


def test_rounding_plans_no_look_too_many() -> None:
    """Three steps of a third are one whole, whatever binary fractions say."""
    assert planned_looks(0.1, 0.1 + 3 * 0.1, 0.1) == 4
    assert planned_looks(3.0, 2.0, 1.0) == 1


def test_a_second_decision_is_told_as_what_it_is() -> None:
    """The log names the mistake of whoever drives the call."""
    decider = Decider(Policy("p"))
    decider.look(None, net_seconds=0.0, final=True)

    with pytest.raises(InternalError) as caught:
        decider.look(None, net_seconds=0.0, final=True)
    assert caught.value.detail == "a decided call was looked at again"
