# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_engine import NOBODY, TENANT, consenting, make_engine, span

from voiceauth.errors import StorageError, StreamTooLongError, UnknownPolicyError
from voiceauth.types import (
    AudioFormat,
    CallId,
    Decision,
    Encoding,
    Evidence,
    Progress,
    Reason,
    SubjectId,
    Verdict,
)
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.verify_call import VerifyCall

MULAW = AudioFormat(Encoding.MULAW)
ANNA, STRANGER = 7, 8


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an engine in which the subject anna is enrolled with her voice."""
    built = make_engine(tmp_path)
    enrol(built, consenting(built, "anna"), ANNA)
    yield built
    built.vault.close()


def enrol(engine: Engine, subject: SubjectId, voice: int) -> None:
    """Store a voiceprint of nine seconds."""
    call = EnrolCall(engine, EnrolmentRequest(CallId("enrol"), TENANT, subject, MULAW))
    call.load()
    for _ in range(3):
        call.weigh(span(voice), engine.embedder.embed(span(voice).samples))
    call.conclude()


def claim(name: str = "anna", policy: str = "") -> Claim:
    """Return a claim to be somebody."""
    return Claim(CallId("call-1"), TENANT, SubjectId(name), MULAW, policy)


def speak(engine: Engine, call: VerifyCall, voice: int, *seconds: float) -> list[Evidence]:
    """Let a voice speak spans of so many seconds and return the evidence after each."""
    return [
        call.weigh(span(voice, one), engine.embedder.embed(span(voice).samples)) for one in seconds
    ]


def verify(engine: Engine, name: str, voice: int, *seconds: float) -> Verdict:
    """Run a whole call."""
    call = VerifyCall(engine, claim(name))
    call.load()
    speak(engine, call, voice, *seconds)
    return call.conclude()


def test_the_enrolled_voice_is_accepted_before_the_call_ends(engine: Engine) -> None:
    """The claimed subject's own voice decides at the first look, and the record is durable."""
    call = VerifyCall(engine, claim())
    call.load()

    evidence = speak(engine, call, ANNA, 2.0)[-1]
    verdict = call.conclude()

    assert call.decided
    assert evidence.progress is Progress.DECIDED
    assert verdict.decision is Decision.ACCEPT
    assert verdict.record_id == engine.vault.ledger()[-1].sequence


def test_another_voice_is_rejected(engine: Engine) -> None:
    """A stranger who claims to be anna is rejected."""
    assert verify(engine, "anna", STRANGER, 2.0).decision is Decision.REJECT


def test_below_the_floor_there_is_no_score(engine: Engine) -> None:
    """Under two seconds of net speech no score exists, and the end is INCONCLUSIVE."""
    call = VerifyCall(engine, claim())
    call.load()

    evidence = speak(engine, call, ANNA, 1.9)[-1]
    verdict = call.conclude()

    assert evidence.score is None
    assert evidence.progress is Progress.LISTENING
    assert verdict.decision is Decision.INCONCLUSIVE
    assert verdict.evidence.reasons == (Reason.NOT_ENOUGH_SPEECH,)


def test_a_call_without_any_speech_is_inconclusive(engine: Engine) -> None:
    """Silence decides nothing."""
    assert verify(engine, "anna", ANNA).decision is Decision.INCONCLUSIVE


@pytest.mark.parametrize("who", ["unknown", "unenrolled"])
def test_a_subject_that_cannot_be_verified_is_never_accepted(engine: Engine, who: str) -> None:
    """Even the very voice that stands in for the missing voiceprint is not accepted."""
    if who != "unknown":
        consenting(engine, who)

    as_stand_in = verify(engine, who, NOBODY, 3.0, 3.0)
    as_stranger = verify(engine, who, STRANGER, 3.0)

    assert as_stand_in.decision is Decision.STEP_UP
    assert as_stand_in.evidence.reasons == (Reason.UNCERTAIN,)
    assert as_stranger.decision is Decision.REJECT


def test_an_unknown_subject_gives_the_same_shape_as_a_known_one(engine: Engine) -> None:
    """A stranger meets the same evidence and verdict on an unknown subject as on anna."""
    known = verify(engine, "anna", STRANGER, 2.0)
    unknown = verify(engine, "ghost", STRANGER, 2.0)

    assert replace(unknown, record_id=None, evidence=known.evidence) == replace(
        known, record_id=None
    )
    assert unknown.evidence.reasons == known.evidence.reasons
    assert unknown.evidence.progress == known.evidence.progress
    assert (unknown.evidence.score is None) == (known.evidence.score is None)


def test_an_unknown_subject_always_meets_the_same_stand_in(engine: Engine) -> None:
    """Two calls on one unknown subject score alike, as they would on a real one."""
    first = verify(engine, "ghost", STRANGER, 2.0)
    second = verify(engine, "ghost", STRANGER, 2.0)

    assert first.evidence.score == second.evidence.score


def test_a_fault_is_step_up_even_after_a_match(engine: Engine) -> None:
    """What was found before a fault does not count."""
    call = VerifyCall(engine, claim())
    call.load()
    speak(engine, call, ANNA, 3.0)

    verdict = call.conclude(fault=True)

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.reasons[0] is Reason.ENGINE_FAULT


def test_no_record_no_verdict(engine: Engine) -> None:
    """If the decision record cannot be written there is an error, never an acceptance."""
    call = VerifyCall(engine, claim())
    call.load()
    speak(engine, call, ANNA, 3.0)
    engine.vault.close()

    with pytest.raises(StorageError):
        call.conclude()


def test_the_record_explains_the_decision_and_names_nobody(engine: Engine) -> None:
    """The ledger entry holds score, policy and versions, and only pseudonyms."""
    verify(engine, "anna", ANNA, 3.0)

    entry = engine.vault.ledger()[-1]
    body = json.loads(entry.body)

    assert entry.event == "verify.verdict"
    assert body["decision"] == "accept"
    assert body["model"] == engine.embedder.model
    assert body["calibration"] == engine.scorer.version
    assert body["policy"] == "standard"
    assert body["score"]["false_match_rate"] == 1e-6
    with engine.vault.read() as view:
        assert body["subject"] == engine.subject_pseudonym(view, TENANT, SubjectId("anna"))
    assert body["subject"] != engine.pseudonym(TENANT, "anna")
    assert "anna" not in entry.body
    assert "call-1" not in entry.body


def test_an_abandoned_call_is_recorded_without_a_verdict(engine: Engine) -> None:
    """A lost call leaves an entry of its own kind."""
    call = VerifyCall(engine, claim())
    call.load()
    call.abandon()

    assert engine.vault.ledger()[-1].event == "verify.abandoned"


def test_an_undefined_policy_is_refused(engine: Engine) -> None:
    """A policy name that the settings do not define opens no call."""
    with pytest.raises(UnknownPolicyError):
        VerifyCall(engine, claim(policy="wishful"))


def test_more_audio_than_a_stream_may_carry_is_refused(engine: Engine) -> None:
    """Audio beyond the limit ends the stream with an error, gaps included."""
    call = VerifyCall(replace(engine, max_audio_seconds=2.0), claim())
    call.hear(b"\xff" * 8000)

    with pytest.raises(StreamTooLongError):
        call.gap(1.5)


def test_looks_are_one_step_apart(engine: Engine) -> None:
    """Short spans add speech, but a look is taken only after a step of new speech.

    Four seconds of an in-between voice are weighed; one look at two seconds, the next due at five.
    """
    call = VerifyCall(engine, claim())
    call.load()
    speak(engine, call, ANNA, 1.0)
    mixed = speak(engine, call, STRANGER, 1.0, 1.0, 1.0)

    assert not call.decided
    assert mixed[0].progress is Progress.UNDECIDED
    assert mixed[-1].net_speech_needed_seconds == pytest.approx(15.0 - 4.0)
