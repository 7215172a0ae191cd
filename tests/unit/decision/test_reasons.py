# SPDX-License-Identifier: Apache-2.0
import pytest

from voiceauth.decision.policy import Policy
from voiceauth.decision.verdict import Decider
from voiceauth.errors import SettingsError
from voiceauth.types import (
    Decision,
    FactorKind,
    Liveness,
    LivenessSlot,
    LivenessState,
    Reason,
    Route,
    Score,
)

SUSPECT = Liveness(synthetic=LivenessSlot(LivenessState.SUSPECT, -9.0, 0.9, 0.4))
SPEECH = Score(raw=0.5, llr=0.1, false_match_rate=0.4, false_non_match_rate=0.4)


@pytest.mark.parametrize(
    ("score", "seconds", "reason"),
    [
        (None, 5.0, Reason.NOT_ENOUGH_SPEECH),
        (SPEECH, 1.9, Reason.NOT_ENOUGH_SPEECH),
        (Score(0.5, None, None, 0.1), 5.0, Reason.NO_CALIBRATION_SUPPORT),
        (Score(0.5, None, 0.1, None), 5.0, Reason.NO_CALIBRATION_SUPPORT),
        (SPEECH, 5.0, Reason.UNCERTAIN),
    ],
)
def test_a_suspicion_is_told_before_what_else_is_lacking(
    score: Score | None, seconds: float, reason: Reason
) -> None:
    """Too little speech or calibration hides no suspicion of an attack."""
    outcome = Decider(Policy("p")).look(score, net_seconds=seconds, final=True, liveness=SUSPECT)

    assert outcome.reasons == (Reason.SPOOF_SUSPECTED, reason)
    assert outcome.decision is not Decision.ACCEPT


def test_at_the_floor_there_is_a_score() -> None:
    """The floor itself is speech enough, and the full length itself is the end."""
    looked = Decider(Policy("p")).look(SPEECH, net_seconds=2.0, final=False)
    ended = Decider(Policy("p")).look(SPEECH, net_seconds=15.0, final=False)

    assert (looked.decision, looked.reasons) == (None, (Reason.UNCERTAIN,))
    assert ended.decision is Decision.STEP_UP


def test_the_borderline_rate_is_a_mismatch() -> None:
    """A rate equal to the share of a single look is within it, and one above is not."""
    policy = Policy("p", floor_seconds=3.0, full_seconds=3.0, target_false_non_match_rate=0.02)
    edge = Score(raw=0.1, llr=-4.0, false_match_rate=0.5, false_non_match_rate=0.02)
    above = Score(raw=0.1, llr=-4.0, false_match_rate=0.5, false_non_match_rate=0.0201)

    assert Decider(policy).look(edge, net_seconds=3.0, final=True).decision is Decision.REJECT
    assert Decider(policy).look(above, net_seconds=3.0, final=True).decision is Decision.STEP_UP


def test_the_borderline_rate_reaches_a_route() -> None:
    """A voice at the rate that a route asks for is enough beside its factor, one above is not."""
    routes = (Route(frozenset({FactorKind.PIN}), 0.01), Route(frozenset({FactorKind.TOTP})))
    policy = Policy("p", floor_seconds=3.0, full_seconds=3.0, routes=routes)
    reached = []
    for rate in (0.01, 0.0101):
        decider = Decider(policy)
        score = Score(raw=0.5, llr=4.0, false_match_rate=rate, false_non_match_rate=0.5)
        decider.look(score, net_seconds=3.0, final=True)
        reached.append(decider.reached)

    assert reached == [(0.01,), ()]


@pytest.mark.parametrize(("rate", "allowed"), [(0.0, False), (0.5, True), (0.5001, False)])
def test_the_rate_of_a_route_lies_between_nothing_and_a_coin_toss(
    rate: float, allowed: bool
) -> None:
    """As every rate of a policy: one half is a rate, zero could never be shown."""
    routes = (Route(frozenset({FactorKind.PIN}), rate), Route(frozenset({FactorKind.TOTP})))
    if allowed:
        assert Policy("p", routes=routes).voice_rates == (rate,)
        return
    with pytest.raises(SettingsError, match="rate"):
        Policy("p", routes=routes)
