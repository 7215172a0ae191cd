# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from voiceauth.decision.policy import Policy
from voiceauth.decision.verdict import Decider, Outcome
from voiceauth.errors import SettingsError
from voiceauth.types import (
    Decision,
    Liveness,
    LivenessLayer,
    LivenessSlot,
    LivenessState,
    Reason,
    Score,
)

ONE_LOOK = Policy(
    "one",
    floor_seconds=3.0,
    full_seconds=3.0,
    max_spoof_false_accept=0.05,
    accept_on_voice_alone=True,
    synthetic_seconds=0.0,
)
NEEDED = replace(ONE_LOOK, require_liveness=frozenset({LivenessLayer.SYNTHETIC}))
"""The same where the layer against synthetic speech must exclude its attack."""
MATCH = Score(raw=0.8, llr=9.0, false_match_rate=1e-5, false_non_match_rate=0.6)
MISMATCH = Score(raw=0.0, llr=-9.0, false_match_rate=0.7, false_non_match_rate=1e-5)
LIVE = LivenessSlot(LivenessState.LIVE, 6.0, 1e-4, 0.9)
OPEN = LivenessSlot(LivenessState.LIVE, 1.0, 0.2, 0.3)
DOUBTFUL = LivenessSlot(LivenessState.SUSPECT, -1.0, 0.04, 0.04)
SPOOF = LivenessSlot(LivenessState.SUSPECT, -9.0, 0.9, 1e-5)
PENDING = LivenessSlot(LivenessState.PENDING)
ABSENT = LivenessSlot()


def judge(liveness: Liveness, *, policy: Policy = ONE_LOOK, score: Score = MATCH) -> Outcome:
    """Look once, and finally."""
    return Decider(policy).look(score, net_seconds=3.0, final=True, liveness=liveness)


@pytest.mark.parametrize(
    ("liveness", "reason"),
    [
        (Liveness(synthetic=OPEN), Reason.SYNTHETIC_NOT_EXCLUDED),
        (Liveness(replay=OPEN), Reason.REPLAY_NOT_EXCLUDED),
        (Liveness(synthetic=LIVE, replay=OPEN), Reason.REPLAY_NOT_EXCLUDED),
    ],
)
def test_an_attack_that_is_not_excluded_holds_a_match_back(
    liveness: Liveness, reason: Reason
) -> None:
    """A rate above the policy's is STEP_UP at the end, and the reason names the layer."""
    outcome = judge(liveness, policy=NEEDED if liveness.synthetic != ABSENT else ONE_LOOK)

    assert outcome.decision is Decision.STEP_UP
    assert outcome.reasons == (reason,)


def test_excluded_attacks_leave_a_match_accepted() -> None:
    """Every layer within the policy's rate, and the voice too: ACCEPT."""
    assert judge(Liveness(LIVE, LIVE)).decision is Decision.ACCEPT


def test_a_rate_at_the_limit_is_within_it() -> None:
    """The borderline belongs to the policy's promise."""
    edge = Liveness(synthetic=replace(OPEN, false_accept_rate=0.05))
    above = Liveness(synthetic=replace(OPEN, false_accept_rate=0.0501))

    assert judge(edge, policy=NEEDED).decision is Decision.ACCEPT
    assert judge(above, policy=NEEDED).decision is Decision.STEP_UP


def test_looks_share_the_rate_of_accepted_attacks() -> None:
    """A rate that would do for one look does not for the first of many; the call goes on."""
    policy = Policy(
        "many",
        max_spoof_false_accept=0.05,
        accept_on_voice_alone=True,
        synthetic_seconds=0.0,
        require_liveness=frozenset({LivenessLayer.SYNTHETIC}),
    )
    within_total = Liveness(synthetic=replace(LIVE, false_accept_rate=0.02))
    decider = Decider(policy)

    first = decider.look(MATCH, net_seconds=2.0, final=False, liveness=within_total)
    last = decider.look(MATCH, net_seconds=5.0, final=True, liveness=within_total)

    assert first.decision is None
    assert first.reasons == (Reason.SYNTHETIC_NOT_EXCLUDED,)
    assert last.decision is Decision.ACCEPT


@pytest.mark.parametrize(
    ("liveness", "reason"),
    [
        (Liveness(synthetic=DOUBTFUL), Reason.SPOOF_SUSPECTED),
        (Liveness(synthetic=LIVE, replay=DOUBTFUL), Reason.REPLAY_SUSPECTED),
    ],
)
def test_a_negative_ratio_is_never_accepted_whatever_its_rates(
    liveness: Liveness, reason: Reason
) -> None:
    """Evidence that favours an attack holds back even where attacks rarely get that far."""
    outcome = judge(liveness, policy=NEEDED)

    assert outcome.decision is Decision.STEP_UP
    assert outcome.reasons == (reason,)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (LivenessState.SUSPECT, Reason.SPOOF_SUSPECTED),
        (LivenessState.LIVE, Reason.SYNTHETIC_NOT_EXCLUDED),
    ],
)
def test_a_synthetic_layer_that_is_not_required_holds_the_lowest_share_of_the_living(
    state: LivenessState, reason: Reason
) -> None:
    """What few living callers sound like is held back, and no more of them than the policy says."""
    at = Liveness(synthetic=LivenessSlot(state, 0.0, 0.3, 0.05))
    above = Liveness(synthetic=LivenessSlot(state, 0.0, 0.3, 0.0501))

    held = judge(at)

    assert held.decision is Decision.STEP_UP
    assert held.reasons == (reason,)
    assert judge(above).decision is Decision.ACCEPT


def test_replays_are_excluded_whether_required_or_not() -> None:
    """Only the layer against synthetic speech is lenient: recordings have to be excluded."""
    unlikely = LivenessSlot(LivenessState.LIVE, 0.5, 0.3, 0.6)

    assert judge(Liveness(synthetic=unlikely)).decision is Decision.ACCEPT
    assert judge(Liveness(replay=unlikely)).decision is Decision.STEP_UP


def test_the_share_of_held_callers_is_not_split_among_looks() -> None:
    """A call that is held goes on, and whoever sounds alive later is accepted."""
    policy = Policy("many", accept_on_voice_alone=True, synthetic_seconds=0.0)
    decider = Decider(policy)
    held = Liveness(synthetic=LivenessSlot(LivenessState.LIVE, 0.4, 0.2, 0.05))

    first = decider.look(MATCH, net_seconds=3.0, final=False, liveness=held)
    second = decider.look(MATCH, net_seconds=6.0, final=False, liveness=Liveness(synthetic=LIVE))

    assert first.decision is None
    assert first.reasons == (Reason.SYNTHETIC_NOT_EXCLUDED,)
    assert second.decision is Decision.ACCEPT


@pytest.mark.parametrize("state", [LivenessState.LIVE, LivenessState.SUSPECT])
def test_a_voice_alone_needs_more_speech_than_the_layer_does(state: LivenessState) -> None:
    """Before the policy's seconds a match waits, and a call that ends then is stepped up."""
    policy = Policy("alone", accept_on_voice_alone=True, synthetic_seconds=6.0)
    clear = Liveness(synthetic=LivenessSlot(state, 0.1, 0.1, 0.3))
    reason = Reason.SYNTHETIC_NOT_EXCLUDED
    if state is LivenessState.SUSPECT:
        reason = Reason.SPOOF_SUSPECTED

    going, short = Decider(policy), Decider(policy)
    waits = going.look(MATCH, net_seconds=5.9, final=False, liveness=clear)
    done = going.look(MATCH, net_seconds=6.0, final=False, liveness=clear)
    ended = short.look(MATCH, net_seconds=5.9, final=True, liveness=clear)

    assert (waits.decision, waits.reasons) == (None, (reason,))
    assert done.decision is Decision.ACCEPT
    assert (ended.decision, ended.reasons[0]) == (Decision.STEP_UP, reason)


def test_a_short_policy_does_not_wait_for_longer_than_it_listens() -> None:
    """Where all is over after four seconds, four have to do."""
    policy = Policy("short", accept_on_voice_alone=True, full_seconds=4.0, synthetic_seconds=6.0)
    outcome = Decider(policy).look(
        MATCH, net_seconds=4.0, final=False, liveness=Liveness(synthetic=LIVE)
    )

    assert outcome.decision is Decision.ACCEPT


def test_without_the_layer_or_beside_a_factor_nothing_is_waited_for() -> None:
    """An absent layer gets no better with time; a match beside a factor is told as before."""
    alone = Policy("alone", accept_on_voice_alone=True)
    beside = Policy("beside")

    absent = Decider(alone).look(MATCH, net_seconds=3.0, final=False)
    told = Decider(beside).look(
        MATCH, net_seconds=3.0, final=False, liveness=Liveness(synthetic=LIVE)
    )

    assert absent.decision is Decision.ACCEPT
    assert told.decision is Decision.STEP_UP
    assert Reason.MATCH in told.reasons


def test_a_suspicion_without_rates_ends_a_match() -> None:
    """A layer that suspects and cannot say how surely is never overruled."""
    outcome = judge(Liveness(synthetic=LivenessSlot(LivenessState.SUSPECT, -1.0)))

    assert outcome.decision is Decision.STEP_UP
    assert outcome.reasons == (Reason.SPOOF_SUSPECTED,)


@pytest.mark.parametrize("score", [MATCH, MISMATCH])
@pytest.mark.parametrize(
    ("liveness", "reason"),
    [
        (Liveness(synthetic=SPOOF), Reason.SPOOF_SUSPECTED),
        (Liveness(replay=SPOOF), Reason.REPLAY_SUSPECTED),
    ],
)
def test_a_certain_attack_is_rejected(liveness: Liveness, reason: Reason, score: Score) -> None:
    """A ratio that living callers nearly never give is REJECT, whoever the voice is."""
    outcome = judge(liveness, score=score)

    assert outcome.decision is Decision.REJECT
    assert outcome.reasons[0] is reason
    assert (Reason.MISMATCH in outcome.reasons) is (score is MISMATCH)


def test_rejections_of_the_living_are_shared_among_the_layers() -> None:
    """Two layers may each err, so each has half of the policy's rate."""
    policy = replace(ONE_LOOK, max_live_rejected=0.01)
    above_half = Liveness(synthetic=replace(SPOOF, false_reject_rate=0.006))
    half = Liveness(synthetic=replace(SPOOF, false_reject_rate=0.005))

    assert judge(above_half, policy=policy).decision is Decision.STEP_UP
    assert judge(half, policy=policy).decision is Decision.REJECT


def test_an_absent_layer_that_is_not_required_lets_pass() -> None:
    """The default policy works where no spoof model is installed; the slot names the absence."""
    assert judge(Liveness()).decision is Decision.ACCEPT


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (LivenessLayer.SYNTHETIC, Reason.SYNTHETIC_NOT_MEASURED),
        (LivenessLayer.REPLAY, Reason.REPLAY_NOT_MEASURED),
        (LivenessLayer.CHALLENGE, Reason.CHALLENGE_UNANSWERED),
        (LivenessLayer.CONTINUITY, Reason.CONTINUITY_NOT_MEASURED),
    ],
)
def test_a_required_layer_that_is_absent_holds_back(layer: LivenessLayer, reason: Reason) -> None:
    """Absent is not passed where the policy needs the layer."""
    policy = replace(ONE_LOOK, require_liveness=frozenset({layer}))

    outcome = judge(Liveness(), policy=policy)

    assert outcome.decision is Decision.STEP_UP
    assert outcome.reasons == (reason,)


@pytest.mark.parametrize("layer", list(LivenessLayer))
def test_a_layer_that_has_not_heard_enough_holds_back(layer: LivenessLayer) -> None:
    """Speech that is too short for a running layer is no way around it, required or not."""
    assert judge(Liveness(**{layer.value: PENDING})).decision is Decision.STEP_UP


@pytest.mark.parametrize("layer", ["synthetic", "replay"])
def test_a_rated_layer_without_a_rate_is_not_passed(layer: str) -> None:
    """A layer that calls a voice live without saying at what rate has excluded nothing."""
    bare = Liveness(**{layer: LivenessSlot(LivenessState.LIVE, 9.0)})

    assert judge(bare).decision is Decision.STEP_UP


@pytest.mark.parametrize("layer", ["challenge", "continuity"])
def test_a_layer_of_yes_or_no_passes_with_its_yes(layer: str) -> None:
    """The challenge and continuity have no rates: LIVE is all they can say."""
    passed = Liveness(**{layer: LivenessSlot(LivenessState.LIVE)})

    assert judge(passed).decision is Decision.ACCEPT


def test_a_claim_that_cannot_be_accepted_is_never_accepted_by_liveness() -> None:
    """A living voice changes nothing about a subject that is not there."""
    decider = Decider(ONE_LOOK, may_accept=False)

    outcome = decider.look(MATCH, net_seconds=3.0, final=True, liveness=Liveness(LIVE, LIVE))

    assert outcome.decision is Decision.STEP_UP


@pytest.mark.parametrize("field", ["max_spoof_false_accept", "max_live_rejected", "max_live_held"])
@pytest.mark.parametrize("rate", [0.0, -0.1, 0.51, 1.0])
def test_a_spoof_rate_that_is_no_rate_is_refused(field: str, rate: float) -> None:
    """A policy that cannot mean anything does not come into being."""
    with pytest.raises(SettingsError):
        Policy("bad", **{field: rate})  # type: ignore[arg-type]
