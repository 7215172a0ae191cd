# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from voiceauth.decision.policy import Policy
from voiceauth.decision.presentation import suspicions
from voiceauth.decision.verdict import FAULTED, Decider
from voiceauth.errors import InternalError, SettingsError
from voiceauth.types import (
    Decision,
    Evidence,
    Liveness,
    LivenessSlot,
    LivenessState,
    ModelHash,
    Progress,
    Reason,
    Score,
    Verdict,
)

POLICY = Policy(
    "alone",
    target_false_match_rate=0.01,
    target_false_non_match_rate=0.01,
    accept_on_voice_alone=True,
    synthetic_seconds=0.0,
)
MATCH = Score(raw=0.8, llr=9.0, false_match_rate=1e-5, false_non_match_rate=0.6)
MISMATCH = Score(raw=0.0, llr=-9.0, false_match_rate=0.7, false_non_match_rate=1e-5)
UNSURE = Score(raw=0.4, llr=0.0, false_match_rate=0.1, false_non_match_rate=0.1)
UNSUPPORTED = Score(raw=0.9, llr=None, false_match_rate=None, false_non_match_rate=None)


def suspect(layer: str) -> Liveness:
    """Return liveness in which one layer suspects an attack."""
    return Liveness(**{layer: LivenessSlot(LivenessState.SUSPECT, -4.0)})


def test_a_match_within_the_first_share_is_accepted_early() -> None:
    """A score whose implied false-match rate is far below the target decides before the end."""
    outcome = Decider(POLICY).look(MATCH, net_seconds=2.0, final=False)

    assert outcome.decision is Decision.ACCEPT
    assert outcome.reasons == (Reason.MATCH,)


def test_a_mismatch_is_rejected_early() -> None:
    """A score that the true speaker would almost never give ends in REJECT."""
    outcome = Decider(POLICY).look(MISMATCH, net_seconds=2.0, final=False)

    assert outcome.decision is Decision.REJECT
    assert outcome.reasons == (Reason.MISMATCH,)


def test_an_unsure_call_goes_on_and_ends_in_step_up() -> None:
    """Between the two targets the machine listens on, and asks for another factor at the end."""
    decider = Decider(POLICY)

    assert decider.look(UNSURE, net_seconds=3.0, final=False).decision is None
    last = decider.look(UNSURE, net_seconds=6.0, final=True)

    assert last.decision is Decision.STEP_UP
    assert last.reasons == (Reason.UNCERTAIN,)


def test_the_full_length_ends_the_call_without_final() -> None:
    """At the policy's full length an undecided call ends although audio goes on."""
    outcome = Decider(POLICY).look(UNSURE, net_seconds=POLICY.full_seconds, final=False)

    assert outcome.decision is Decision.STEP_UP


def test_below_the_floor_nothing_is_decided() -> None:
    """However good a score, less net speech than the floor is INCONCLUSIVE at the end."""
    decider = Decider(POLICY)

    assert decider.look(MATCH, net_seconds=1.9, final=False).decision is None
    last = decider.look(MATCH, net_seconds=1.9, final=True)

    assert last.decision is Decision.INCONCLUSIVE
    assert last.reasons == (Reason.NOT_ENOUGH_SPEECH,)


def test_no_score_is_inconclusive() -> None:
    """Without any score the end is INCONCLUSIVE even beyond the floor."""
    outcome = Decider(POLICY).look(None, net_seconds=9.0, final=True)

    assert outcome.decision is Decision.INCONCLUSIVE


@pytest.mark.parametrize(
    "score",
    [
        UNSUPPORTED,
        Score(raw=0.9, llr=3.0, false_match_rate=None, false_non_match_rate=0.5),
        Score(raw=0.9, llr=3.0, false_match_rate=1e-6, false_non_match_rate=None),
    ],
)
def test_without_calibration_support_the_end_is_step_up(score: Score) -> None:
    """A similarity outside the tables never decides, whichever rate is missing."""
    decider = Decider(POLICY)

    assert decider.look(score, net_seconds=5.0, final=False).decision is None
    last = decider.look(score, net_seconds=5.0, final=True)

    assert last.decision is Decision.STEP_UP
    assert last.reasons == (Reason.NO_CALIBRATION_SUPPORT,)


def test_a_claim_that_cannot_be_accepted_looks_like_an_uncertain_call() -> None:
    """A stand-in that matches by chance goes on like any unsure call and never accepts."""
    decider = Decider(POLICY, may_accept=False)

    assert decider.look(MATCH, net_seconds=3.0, final=False).decision is None
    last = decider.look(MATCH, net_seconds=3.0, final=True)

    assert last.decision is Decision.STEP_UP
    assert last.reasons == (Reason.UNCERTAIN,)


def test_a_claim_that_cannot_be_accepted_can_still_be_rejected() -> None:
    """Impostors on unknown subjects meet the same rejections as on known ones."""
    outcome = Decider(POLICY, may_accept=False).look(MISMATCH, net_seconds=3.0, final=False)

    assert outcome.decision is Decision.REJECT


def test_a_voice_alone_is_not_accepted_unless_the_policy_says_so() -> None:
    """Voice-only acceptance is off by default: the match is a reason, the decision is STEP_UP."""
    outcome = Decider(Policy("standard")).look(MATCH, net_seconds=3.0, final=False)

    assert outcome.decision is Decision.STEP_UP
    assert outcome.reasons == (Reason.VOICE_NOT_ACCEPTABLE_ALONE, Reason.MATCH)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("synthetic", Reason.SPOOF_SUSPECTED),
        ("replay", Reason.REPLAY_SUSPECTED),
        ("challenge", Reason.CHALLENGE_FAILED),
        ("continuity", Reason.SPEAKER_CHANGED),
    ],
)
def test_a_suspect_layer_never_accepts(layer: str, reason: Reason) -> None:
    """One suspecting liveness layer is enough to turn a match into STEP_UP, naming the layer."""
    outcome = Decider(POLICY).look(MATCH, net_seconds=5.0, final=False, liveness=suspect(layer))

    assert outcome.decision is Decision.STEP_UP
    assert outcome.reasons == (reason,)


def test_suspicions_stay_in_the_reasons_of_other_outcomes() -> None:
    """A rejection and an unsure end name the suspecting layer too."""
    live = suspect("replay")

    reject = Decider(POLICY).look(MISMATCH, net_seconds=5.0, final=False, liveness=live)
    unsure = Decider(POLICY).look(UNSURE, net_seconds=5.0, final=True, liveness=live)

    assert reject.reasons == (Reason.MISMATCH, Reason.REPLAY_SUSPECTED)
    assert unsure.reasons == (Reason.REPLAY_SUSPECTED, Reason.UNCERTAIN)


def test_layers_that_did_not_measure_are_not_suspicious() -> None:
    """Absent is neither passed nor failed."""
    assert suspicions(Liveness()) == ()


def test_looking_again_after_the_decision_is_a_fault() -> None:
    """A decided call cannot be decided again."""
    decider = Decider(POLICY)
    decider.look(MATCH, net_seconds=3.0, final=False)

    with pytest.raises(InternalError):
        decider.look(MATCH, net_seconds=3.0, final=True)


def test_a_fault_is_step_up() -> None:
    """The answer to a broken engine is another factor, never an acceptance."""
    assert FAULTED.decision is Decision.STEP_UP
    assert FAULTED.reasons == (Reason.ENGINE_FAULT,)


def test_the_borderline_rate_is_a_match() -> None:
    """A rate equal to the target of a single-look policy is within it."""
    policy = replace(POLICY, floor_seconds=3.0, full_seconds=3.0)
    edge = Score(raw=0.5, llr=4.0, false_match_rate=0.01, false_non_match_rate=0.5)
    above = Score(raw=0.5, llr=4.0, false_match_rate=0.0101, false_non_match_rate=0.5)

    assert Decider(policy).look(edge, net_seconds=3.0, final=True).decision is Decision.ACCEPT
    assert Decider(policy).look(above, net_seconds=3.0, final=True).decision is Decision.STEP_UP


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_false_match_rate": 0.0},
        {"target_false_match_rate": 0.51},
        {"target_false_non_match_rate": -1.0},
        {"floor_seconds": 0.0},
        {"floor_seconds": 20.0, "full_seconds": 10.0},
        {"step_seconds": 0.0},
    ],
)
def test_an_impossible_policy_is_refused(wrong: dict[str, float]) -> None:
    """A policy that cannot mean anything does not come into being."""
    with pytest.raises(SettingsError):
        Policy("bad", **wrong)  # type: ignore[arg-type]


def test_a_verdict_has_no_truth_value() -> None:
    """``if verdict:`` cannot be written, so a rejection cannot be read as success."""
    evidence = Evidence(Progress.DECIDED, 1.0, 1.0, 0.0)
    verdict = Verdict(Decision.REJECT, evidence, "p", 0.01, 1, ModelHash("0"), "c")

    with pytest.raises(TypeError):
        bool(verdict)
