# SPDX-License-Identifier: Apache-2.0
"""What a match means where the policy wants another factor: the default."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_engine import TENANT, consenting, make_engine, span

from voiceauth.decision.policy import Policy
from voiceauth.errors import InputError
from voiceauth.types import AudioFormat, CallId, Decision, Encoding, Reason, SubjectId, Verdict
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.explain_verdict import explain
from voiceauth.usecases.identifiers import calling_number
from voiceauth.usecases.verify_call import VerifyCall

MULAW = AudioFormat(Encoding.MULAW)
ANNA, STRANGER = 7, 8


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an engine with the default policy in which anna is enrolled."""
    built = replace(make_engine(tmp_path), policies={"standard": Policy("standard")})
    call = EnrolCall(
        built, EnrolmentRequest(CallId("enrol"), TENANT, consenting(built, "anna"), MULAW)
    )
    call.load()
    for _ in range(3):
        call.weigh(span(ANNA), built.embedder.embed(span(ANNA).samples))
    call.conclude()
    yield built
    built.vault.close()


def verified(engine: Engine, voice: int, number: str = "") -> Verdict:
    """Run a whole call of anna's."""
    claim = Claim(CallId("call-1"), TENANT, SubjectId("anna"), MULAW, number=number)
    call = VerifyCall(engine, claim)
    call.load()
    call.weigh(span(voice), engine.embedder.embed(span(voice).samples))
    return call.conclude()


def body(engine: Engine) -> dict[str, object]:
    """Return the newest record."""
    found: dict[str, object] = json.loads(engine.vault.ledger()[-1].body)
    return found


def test_no_voice_is_accepted_unless_the_operator_chose_so(engine: Engine) -> None:
    """The default policy answers the right voice with STEP_UP, and says why."""
    verdict = verified(engine, ANNA)

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.reasons[:2] == (Reason.VOICE_NOT_ACCEPTABLE_ALONE, Reason.MATCH)


def test_a_match_that_was_stepped_up_can_be_derived_again(engine: Engine) -> None:
    """The record holds that the policy wanted another factor."""
    verified(engine, ANNA)
    found = explain(engine.vault.ledger()[-1])

    assert found.agrees
    assert found.derived is Decision.STEP_UP


def test_a_wrong_voice_is_still_rejected(engine: Engine) -> None:
    """Asking for another factor does not make the voice worth less against an impostor."""
    assert verified(engine, STRANGER).decision is Decision.REJECT


@pytest.mark.parametrize(("voice", "remembered"), [(ANNA, 1), (STRANGER, 0)])
def test_a_matching_call_is_remembered_against_replays(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, voice: int, remembered: int
) -> None:
    """What an attacker would play again is the call that matched, whoever decided in the end."""
    seen = []
    monkeypatch.setattr(
        "voiceauth.usecases.replay_ear.ReplayEar.remember", lambda *_: seen.append(1)
    )
    verified(engine, voice)

    assert len(seen) == remembered


def test_the_calling_number_is_recorded_as_a_pseudonym_of_its_own(engine: Engine) -> None:
    """Neither the number nor the stand-in of a subject of that name appears in the record."""
    verified(engine, ANNA, "+4930123456")
    told = str(body(engine)["number"])

    assert "4930123456" not in engine.vault.ledger()[-1].body
    assert len(told) == 26
    assert told != engine.pseudonym(TENANT, SubjectId("+4930123456"))


def test_a_withheld_number_is_recorded_as_none(engine: Engine) -> None:
    """Calls without a number are not one caller's."""
    verified(engine, ANNA)

    assert body(engine)["number"] is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", ""),
        ("+49 (30) 123-456", "+4930123456"),
        ("030/123456", "030123456"),
        (" +1.555.0100", "+15550100"),
        ("+", ""),
        ("*31#", "*31#"),
    ],
)
def test_a_calling_number_has_one_form(text: str, number: str) -> None:
    """The same number written differently is the same number."""
    assert calling_number(text) == number


@pytest.mark.parametrize("text", ["anna", "1" * 41, "+49\n1", "sip:1@host"])
def test_what_is_no_number_is_refused(text: str) -> None:
    """Nothing odd reaches a key or a record by way of the number."""
    with pytest.raises(InputError):
        calling_number(text)
