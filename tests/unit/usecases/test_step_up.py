# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from counted import ANNA, called, enrolled
from fake_engine import TENANT
from stepping import (
    ALICE,
    CALL,
    CODE,
    PIN,
    THE_PIN,
    TOTP,
    Phone,
    answered,
    begun,
    equipped,
    last,
    stepping,
    totp,
)

from voiceauth.config import Settings, StepUpSettings, load
from voiceauth.decision.policy import Policy
from voiceauth.errors import (
    InputError,
    IntegrityError,
    KeyServiceError,
    NotFoundError,
    SettingsError,
    WeakPinError,
)
from voiceauth.factors.delivery import FileDelivery, WebhookDelivery
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService
from voiceauth.types import (
    CallId,
    Decision,
    FactorKind,
    NewFactor,
    StepUpRecord,
    StepUpState,
    SubjectId,
)
from voiceauth.usecases import step_up
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.explain_step_up import explain_step_up, is_about
from voiceauth.usecases.explain_verdict import explain
from voiceauth.usecases.keep_factors import enrol_factor, list_factors, remove_factor
from voiceauth.usecases.step_up_desk import step_up_chore, step_up_desk
from voiceauth.usecases.step_up_records import Named
from voiceauth.vault.step_up_codec import (
    decode_factor,
    decode_step_up,
    encode_step_up,
)


@pytest.fixture
def phone() -> Phone:
    """Return what codes are sent to."""
    return Phone()


@pytest.fixture
def engine(tmp_path: Path, phone: Phone) -> Iterator[Engine]:
    """Return an engine that steps up."""
    built = stepping(tmp_path, phone)
    yield built
    built.vault.close()


@pytest.fixture
def secret(engine: Engine) -> str:
    """Enrol anna with her voice and all factors; return her TOTP secret."""
    return equipped(engine)


def test_a_matching_voice_and_a_code_of_the_authenticator_are_enough(
    engine: Engine, secret: str
) -> None:
    """The route of voice and TOTP: accepted, recorded, with what a blind guess is worth."""
    named = begun(engine)
    told = answered(engine, named, TOTP, totp(engine, secret))

    assert (told.state, told.decision) == (StepUpState.ACCEPTED, Decision.ACCEPT)
    assert told.record_id == last(engine, "step_up.outcome").sequence
    assert told.guess_rate == pytest.approx(0.01 * 5 * 3e-6)
    assert told.ways == ()
    assert step_up.outcome(engine, named).decision is Decision.ACCEPT


def test_two_factors_do_without_a_voice(engine: Engine, secret: str) -> None:
    """A caller whose voice is not used gets in with TOTP and PIN; there is always such a way."""
    named = begun(engine, None)
    half = answered(engine, named, TOTP, totp(engine, secret))
    told = answered(engine, named, PIN, THE_PIN)

    assert half.ways == (frozenset({PIN}),)
    assert told.decision is Decision.ACCEPT


def test_a_code_reaches_its_destination_and_is_taken(
    engine: Engine, secret: str, phone: Phone
) -> None:
    """What was sent is what is right; the vault has only a hash of it, and the ledger neither."""
    del secret
    named = begun(engine)
    step_up.send_code(engine, named)
    (message,) = phone.messages

    assert message.destination == "+49301"
    assert message.expires_at - engine.clock.now() == timedelta(minutes=10)
    assert answered(engine, named, CODE, f" {message.code} ").decision is Decision.ACCEPT
    told = " ".join(one.body for one in engine.vault.ledger())
    assert message.code not in told
    assert "+49301" not in told


def test_beginning_twice_is_beginning_once(engine: Engine, secret: str) -> None:
    """A repeated request gets the same step-up, with the answers that are left."""
    named = begun(engine)
    answered(engine, named, TOTP, "000000")

    again = step_up.begin(engine, TENANT, CALL, ALICE)

    assert (again.step_up, again.answers_left) == (named.step_up, 4)
    assert secret


def test_an_accepted_voice_can_be_stepped_up_too(engine: Engine, secret: str) -> None:
    """For a payment, another factor may be wanted on top of an ACCEPT."""
    alone = replace(engine.policies["standard"], accept_on_voice_alone=True)
    more = replace(engine, policies={"standard": alone})
    assert called(more, ANNA).decision is Decision.ACCEPT

    named = Named(TENANT, CALL, step_up.begin(more, TENANT, CALL, ALICE).step_up)
    assert answered(more, named, TOTP, totp(more, secret)).decision is Decision.ACCEPT


@pytest.mark.parametrize("ending", ["accepted", "refused", "expired"])
def test_every_outcome_follows_from_its_records(engine: Engine, secret: str, ending: str) -> None:
    """Whatever came of it is derived again from the two ledger entries alone."""
    named = begun(engine)
    if ending == "accepted":
        answered(engine, named, TOTP, totp(engine, secret))
    elif ending == "refused":
        for _ in range(5):
            answered(engine, named, TOTP, "000000")
    else:
        engine.clock.advance(601)  # type: ignore[attr-defined]
        step_up.outcome(engine, named)
    verdict = last(engine, "verify.verdict")

    found = explain_step_up(last(engine, "step_up.outcome"), verdict)

    assert found.agrees
    assert found.voice_agrees
    assert found.reached == (0.01,)
    assert found.verdict_record == verdict.sequence
    assert explain(verdict).agrees


def test_an_outcome_that_does_not_follow_is_told(engine: Engine, secret: str) -> None:
    """A record that says more than was shown, or than the voice reached, is found out."""
    answered(engine, begun(engine), TOTP, "000000")
    step_up.begin(engine, TENANT, CALL, ALICE)
    named = Named(TENANT, CALL, step_up.begin(engine, TENANT, CALL, ALICE).step_up)
    answered(engine, named, TOTP, totp(engine, secret))
    entry, verdict = last(engine, "step_up.outcome"), last(engine, "verify.verdict")

    def changed(**fields: object) -> object:
        return replace(entry, body=json.dumps({**json.loads(entry.body), **fields}))

    assert not explain_step_up(changed(passed=[])).agrees  # type: ignore[arg-type]
    assert explain_step_up(changed(reached=[0.001]), verdict).voice_agrees is False  # type: ignore[arg-type]
    assert explain_step_up(entry).voice_agrees is None
    with pytest.raises(IntegrityError):
        explain_step_up(changed(routes=[{}]))  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        explain_step_up(verdict)
    shifted = {**json.loads(verdict.body), "reached": []}
    assert not explain(replace(verdict, body=json.dumps(shifted))).agrees


def test_an_outcome_is_found_by_its_call(engine: Engine, secret: str) -> None:
    """By the call's pseudonym, of its tenant, and nothing else."""
    answered(engine, begun(engine), TOTP, totp(engine, secret))
    entry, call = last(engine, "step_up.outcome"), engine.pseudonym(TENANT, CALL)

    assert is_about(entry, TENANT, call)
    assert not is_about(entry, "shop", call)
    assert not is_about(entry, TENANT, json.loads(entry.body)["policy"])
    assert not is_about(last(engine, "verify.verdict"), TENANT, call)


def test_old_step_ups_are_forgotten(engine: Engine, secret: str) -> None:
    """A day after its end nothing of a step-up is left but the ledger."""
    del secret
    begun(engine)
    assert engine.step_up is not None
    engine.clock.advance(90_000)  # type: ignore[attr-defined]
    step_up_chore(engine.step_up, engine.vault)()

    with engine.vault.read() as view:
        assert view.step_up(TENANT, CALL) is None


def test_factors_are_listed_and_removed(engine: Engine, secret: str) -> None:
    """Kinds and times are told, never what is checked against."""
    kinds = [one.kind for one in list_factors(engine, TENANT, ALICE)]
    left = remove_factor(engine, TENANT, ALICE, PIN)

    assert kinds == [CODE, PIN, TOTP]
    assert [one.kind for one in left] == [CODE, TOTP]
    assert secret not in " ".join(one.body for one in engine.vault.ledger())
    with pytest.raises(NotFoundError):
        remove_factor(engine, TENANT, ALICE, PIN)


def test_nobody_has_factors_whom_nobody_knows(engine: Engine) -> None:
    """Enrolling, listing and removing need a subject."""
    ghost = SubjectId("ghost")

    with pytest.raises(NotFoundError):
        enrol_factor(engine, TENANT, ghost, NewFactor(TOTP))
    with pytest.raises(NotFoundError):
        list_factors(engine, TENANT, ghost)
    with pytest.raises(NotFoundError):
        remove_factor(engine, TENANT, ghost, TOTP)


@pytest.mark.parametrize(
    ("new", "error"),
    [
        (NewFactor(PIN, pin="123456"), WeakPinError),
        (NewFactor(CODE), InputError),
        (NewFactor(CODE, destination="+49 301"), InputError),
        (NewFactor(TOTP, label=""), InputError),
        (NewFactor(TOTP, label="a?b"), InputError),
    ],
)
def test_what_is_malformed_is_not_enrolled(
    engine: Engine, new: NewFactor, error: type[Exception]
) -> None:
    """Weak PINs, places and labels that cannot be used are refused."""
    enrolled(engine, "anna", ANNA)

    with pytest.raises(error):
        enrol_factor(engine, TENANT, ALICE, new)
    assert list_factors(engine, TENANT, ALICE) == ()


RECORD = StepUpRecord(
    call=CALL,
    subject=ALICE,
    verdict=None,
    verdict_record=None,
    policy="p",
    routes=(),
    reached=(),
    number="",
    created_at=EPOCH,
    expires_at=EPOCH,
    answers_left=5,
    codes_left=3,
    code_expires_at=EPOCH,
    passed=frozenset({FactorKind.PIN}),
)


@pytest.mark.parametrize(
    "record", [RECORD, replace(RECORD, verdict=Decision.STEP_UP, code_expires_at=None)]
)
def test_a_step_up_survives_coding(record: StepUpRecord) -> None:
    """What is written is read."""
    assert decode_step_up(encode_step_up(record)) == record


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"\xff"])
def test_malformed_rows_are_a_fault(payload: bytes) -> None:
    """A row that does not decode is no factor and no step-up."""
    with pytest.raises(IntegrityError):
        decode_step_up(payload)
    with pytest.raises(IntegrityError):
        decode_factor(payload, TOTP)


@pytest.mark.parametrize("kind", ["off", "file", "webhook", "open"])
def test_the_settings_choose_who_takes_codes(tmp_path: Path, kind: str) -> None:
    """Nobody, a file, or a webhook whose key is in a file of its own."""
    key = tmp_path / "key"
    key.write_text("secret\n")
    key.chmod(0o644 if kind == "open" else 0o600)
    chosen = {
        "off": StepUpSettings(),
        "file": StepUpSettings(delivery="file", delivery_file=tmp_path / "codes"),
    }.get(
        kind,
        StepUpSettings(
            delivery="webhook", webhook_url="https://example.org/x", webhook_key_file=key
        ),
    )
    settings = Settings(step_up=chosen)
    if kind == "open":
        with pytest.raises(KeyServiceError):
            step_up_desk(settings, FakeKeyService(), FakeClock())
        return

    desk = step_up_desk(settings, FakeKeyService(), FakeClock())

    expected = {"off": type(None), "file": FileDelivery, "webhook": WebhookDelivery}[kind]
    assert type(desk.delivery) is expected


@pytest.mark.parametrize(
    "text",
    [
        '[step_up]\ndelivery = "file"\n',
        '[step_up]\ndelivery = "webhook"\nwebhook_url = "https://example.org"\n',
        "[step_up]\ncode_seconds = 601\n",
        "[step_up]\npin_digits = 4\n",
        "[policies.x]\nroutes = [{ factors = [] }]\n",
        '[policies.x]\nroutes = [{ factors = ["face"] }]\n',
    ],
)
def test_settings_of_step_ups_are_checked_at_start(tmp_path: Path, text: str) -> None:
    """A delivery without a place, and figures beyond the standards, refuse to start."""
    path = tmp_path / "voiceauth.toml"
    path.write_text(text)

    with pytest.raises(SettingsError):
        load(path, environment=False)


def test_a_call_without_a_verdict_takes_the_default_policy(engine: Engine, secret: str) -> None:
    """Whose routes count is told in the record."""
    told = step_up.begin(engine, TENANT, CallId("call-3"), ALICE)

    body = json.loads(last(engine, "step_up.begun").body)
    assert (body["policy"], body["verdict_record"]) == ("standard", None)
    assert told.ways == (frozenset({TOTP, PIN}),)
    assert secret
    assert isinstance(engine.policies["standard"], Policy)
