# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_engine import TENANT, consenting, make_engine, span

from voiceauth.errors import IntegrityError, NotFoundError, SecondPersonMissingError, TooLargeError
from voiceauth.ledger.actor import acting
from voiceauth.testing.records import made_up_recording
from voiceauth.types import ApprovalId, AudioFormat, CallId, Encoding, Party, SubjectId
from voiceauth.usecases import export_subject as module
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.export_subject import check_export, export_subject
from voiceauth.usecases.second_person import approve, ask, export_plan

ANNA = Party("token:anna", frozenset({"anna"}))
BEN = Party("token:ben", frozenset({"ben"}))
ALICE, NOBODY = SubjectId("alice"), ApprovalId("")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with two enrolled subjects and a remembered call."""
    built = make_engine(tmp_path)
    for voice, name in ((7, "alice"), (8, "bob")):
        consenting(built, name, "vip")
        request = EnrolmentRequest(
            CallId(f"call-{name}"), TENANT, SubjectId(name), AudioFormat(Encoding.MULAW)
        )
        call = EnrolCall(built, request)
        call.load()
        for _ in range(3):
            call.weigh(span(voice), built.embedder.embed(span(voice).samples))
        call.conclude()
    with built.vault.begin() as change:
        change.put_recordings(TENANT, ALICE, [made_up_recording(9, call="call-9")])
    yield built
    built.vault.close()


def approved(engine: Engine, subject: SubjectId = ALICE) -> ApprovalId:
    """Return an approval that Anna asked for and Ben gave."""
    plan = export_plan(TENANT, subject)
    asked = ask(engine.approval_desk, plan, ANNA)
    return approve(engine.approval_desk, asked.approval, plan, BEN).approval


def exported(engine: Engine) -> dict[str, Any]:
    """Return the document about Alice."""
    document: dict[str, Any] = json.loads(
        export_subject(engine, TENANT, ALICE, approved(engine), ANNA)
    )
    return document


def pseudonym(engine: Engine, subject: SubjectId) -> str:
    """Return what stands for a subject in the ledger."""
    with engine.vault.read() as view:
        return engine.subject_pseudonym(view, TENANT, subject)


def test_nobody_exports_alone(engine: Engine) -> None:
    """Without an approval there is no document, and no entry that says so."""
    with pytest.raises(SecondPersonMissingError):
        export_subject(engine, TENANT, ALICE, NOBODY, ANNA)

    assert "subject.exported" not in [one.event for one in engine.vault.ledger()]


def test_an_export_holds_no_voice_and_no_score(engine: Engine) -> None:
    """No embedding, fingerprint, raw score or ratio leaves with it: each could be used again."""
    text = json.dumps(exported(engine))

    for name in ("embedding", "fingerprint", "bits", "llr", "raw", "false_match_rate", "looks"):
        assert f'\\"{name}\\"' not in text


def test_an_export_names_nobody_else(engine: Engine) -> None:
    """Neither another subject nor who acted, by name or by pseudonym."""
    with acting("pseudonym-of-staff"):
        manage_subjects.get_subject(engine, TENANT, ALICE)
    text = json.dumps(exported(engine))

    assert "bob" not in text
    assert pseudonym(engine, SubjectId("bob")) not in text
    assert "pseudonym-of-staff" not in text
    assert "anna" not in text


def test_an_export_tells_what_is_kept_and_what_was_done(engine: Engine) -> None:
    """Record, consent, where each piece of speech came from, remembered calls and history."""
    told: Any = check_export(exported(engine))

    assert (told["subject"], told["tenant"], told["groups"]) == ("alice", TENANT, ["vip"])
    assert told["consent"]["purpose"] == "authentication"
    (voiceprint,) = told["voiceprints"]
    assert {one["call"] for one in voiceprint["segments"]} == {"call-alice"}
    assert [one["call"] for one in told["remembered_calls"]] == ["call-9"]
    history = [one["event"] for one in told["history"]]
    assert history == ["subject.created", "consent.recorded", "enrol.result"]


def test_an_export_is_recorded_with_its_approval(engine: Engine) -> None:
    """The use of the approval and the export stand side by side, under the pseudonym."""
    approval = approved(engine)
    export_subject(engine, TENANT, ALICE, approval, ANNA)

    used, done = list(engine.vault.ledger())[-2:]
    assert (used.event, done.event) == ("approval.used", "subject.exported")
    assert json.loads(done.body) == {
        "approval": approval,
        "subject": pseudonym(engine, ALICE),
    }


def test_a_stranger_uses_no_approval(engine: Engine) -> None:
    """Nobody there: no document, and the approval is still good."""
    approval = approved(engine, SubjectId("gone"))
    with pytest.raises(NotFoundError):
        export_subject(engine, TENANT, SubjectId("gone"), approval, ANNA)

    assert list(engine.vault.ledger())[-1].event == "approval.approved"


def test_a_document_that_fits_no_message_is_refused_as_a_whole(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is cut off in silence, and the approval is still good."""
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    approval = approved(engine)
    with pytest.raises(TooLargeError):
        export_subject(engine, TENANT, ALICE, approval, ANNA)

    assert list(engine.vault.ledger())[-1].event == "approval.approved"


def test_a_changed_export_does_not_hold(engine: Engine) -> None:
    """One letter of it, its signature or its key changed, and the check says so."""
    document, stranger = exported(engine), make_verifier(engine)
    wrong = [
        {**document, "statement": document["statement"].replace("active", "passive")},
        {**document, "signature": document["signature"][:-4] + "AAA="},
        {**document, "signature": "no base64"},
        {"kind": "subject-export"},
    ]
    for one in wrong:
        with pytest.raises(IntegrityError):
            check_export(one)
    with pytest.raises(IntegrityError):
        check_export(document, stranger)

    assert check_export(document, document["verifier"])


def make_verifier(engine: Engine) -> str:
    """Return the verifier of another installation."""
    other = replace(engine, secret=lambda _: bytes(32))
    document = json.loads(export_subject(other, TENANT, ALICE, approved(other), ANNA))
    return str(document["verifier"])
