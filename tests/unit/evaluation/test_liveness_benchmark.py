# SPDX-License-Identifier: Apache-2.0
"""Figures of the liveness benchmark, on made-up calls."""

import pytest
from liveness_sections.continuity import figures
from liveness_sections.tandem import COSTS, PRIORS, Tally, costs

from voiceauth.evaluation.continuity import Found
from voiceauth.evaluation.handovers import WatchedCall
from voiceauth.types import Decision

A, S, R = Decision.ACCEPT, Decision.STEP_UP, Decision.REJECT


def tally(score: float, decision: Decision, people: int = 20) -> Tally:
    """Return one presentation per person, all alike."""
    return Tally([score] * people, [decision] * people, list(range(people)))


def test_a_perfect_system_costs_nothing() -> None:
    """Targets above everything else, and only they accepted."""
    least, policy, equal = costs(tally(5, A), tally(-5, R), {"clone": tally(-4, S)})

    values = [one["value"] for one in (least, policy, equal)]
    assert values == pytest.approx([0.0, 0.0, 0.0])


def test_a_clone_that_passes_is_in_every_figure() -> None:
    """One species that nothing tells from the target spoils the equal error rate and the cost."""
    clones = {"clone": tally(5, A), "clumsy": tally(-9, R)}
    least, policy, equal = costs(tally(5, A), tally(-5, R), clones)

    spoof = COSTS["false accept"] * PRIORS["spoof"] * 0.5
    accept_all = COSTS["false accept"] * (PRIORS["spoof"] + PRIORS["nontarget"])
    assert policy["value"] == pytest.approx(spoof / min(accept_all, PRIORS["target"]))
    assert least["value"] <= policy["value"]
    assert equal["value"] > 0.1


def test_refusing_everybody_costs_one() -> None:
    """The cost is normalised by the better of accepting and refusing everybody."""
    _, policy, _ = costs(tally(5, S), tally(-5, R), {"clone": tally(-4, S)})

    accept_all = COSTS["false accept"] * (PRIORS["spoof"] + PRIORS["nontarget"])
    assert policy["value"] == pytest.approx(PRIORS["target"] / min(accept_all, PRIORS["target"]))


def test_hand_overs_are_counted_by_when_they_were_found() -> None:
    """Within three seconds, later, never, and before the hand-over are four different things."""
    delays = [1.0, 3.0, 3.5, float("inf"), -1.0]
    calls = [WatchedCall(place, 9, 10.0, (), ()) for place in range(5)]
    calls += [WatchedCall(place, None, 10.0, (), ()) for place in range(5)]
    found = [Found(delay, 5.0, None) for delay in delays]
    found += [Found(float("inf"), 0.0, None)] * 4 + [Found(2.0, 5.0, None)]

    rows = figures(calls, found)

    assert rows["hand-overs found within 3 s"]["value"] == pytest.approx(2 / 5)
    assert rows["hand-overs found at all"]["value"] == pytest.approx(3 / 5)
    assert rows["calls of one person with an alarm"]["value"] == pytest.approx(1 / 5)
    assert rows["median delay in net seconds"]["value"] == pytest.approx(3.0)
