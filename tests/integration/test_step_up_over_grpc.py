# SPDX-License-Identifier: Apache-2.0
"""Step-ups over real gRPC: what an IVR and a desk see of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pyotp
import pytest
import typer
from secured import secured
from served import TENANT, Parts, Served, pieces, served, speech
from stepping import CODE, PIN, POLICY, THE_PIN, TOTP, Phone, desk_of
from typer.testing import CliRunner

from voiceauth.cli import factors as commands
from voiceauth.cli.app import app
from voiceauth.client import SyncClient
from voiceauth.errors import AccessError, InputError, NotFoundError, PolicyError
from voiceauth.types import (
    AnswerResult,
    Decision,
    FactorKind,
    NewFactor,
    Reason,
    StepUp,
    StepUpState,
    Verdict,
)
from voiceauth.usecases.attempt_desk import AttemptDesk
from voiceauth.v1 import step_up_pb2
from voiceauth.wire.step_up import step_up_from_wire

RUNNER = CliRunner()


@pytest.fixture
def phone() -> Phone:
    """Return what codes are sent to."""
    return Phone()


@pytest.fixture
def stepping(parts: Parts, phone: Phone) -> Parts:
    """Return an engine that steps up."""
    engine = replace(
        parts.engine,
        policies={"standard": POLICY},
        attempts=AttemptDesk(parts.clock),
        step_up=desk_of(parts.engine, phone),
    )
    return replace(parts, engine=engine)


@pytest.fixture
async def bank(stepping: Parts) -> AsyncIterator[Served]:
    """Return a server of it in which alice is enrolled."""
    async with served(stepping) as running:
        await running.enrolled("alice")
        yield running


async def called(bank: Served, voice: str = "alice") -> Verdict:
    """Run a whole call on alice."""
    bank.parts.embedder.voice = voice
    async with bank.client.verify(bank.claim()) as stream:
        return await stream.run(pieces(speech(6.0)))


async def authenticator(bank: Served) -> str:
    """Enrol TOTP of alice and return its code now."""
    made = await bank.client.step_ups.enrol(TENANT, "alice", NewFactor(TOTP))
    secret = pyotp.parse_uri(made.provisioning_uri).secret
    return str(pyotp.TOTP(secret).at(bank.parts.clock.now()))


async def test_a_caller_steps_up_with_an_authenticator(bank: Served) -> None:
    """Verify says STEP_UP with a match; voice and code together are an ACCEPT."""
    code = await authenticator(bank)
    verdict = await called(bank)
    begun = await bank.client.step_ups.begin(TENANT, "call-1", "alice")
    told = await bank.client.step_ups.answer(TENANT, "call-1", begun.step_up, TOTP, code)
    again = await bank.client.step_ups.outcome(TENANT, "call-1", begun.step_up)

    assert verdict.decision is Decision.STEP_UP
    assert Reason.MATCH in verdict.evidence.reasons
    assert begun.ways[0] == frozenset({TOTP})
    assert (told.decision, told.last) == (Decision.ACCEPT, AnswerResult.RIGHT)
    assert told.guess_rate is not None
    assert (again.state, again.record_id) == (StepUpState.ACCEPTED, told.record_id)


async def test_a_one_time_code_goes_through_the_delivery(bank: Served, phone: Phone) -> None:
    """Sent to the enrolled place, taken once."""
    await bank.client.step_ups.enrol(TENANT, "alice", NewFactor(CODE, destination="+49301"))
    await called(bank)
    begun = await bank.client.step_ups.begin(TENANT, "call-1", "alice")
    await bank.client.step_ups.send_code(TENANT, "call-1", begun.step_up)
    told = await bank.client.step_ups.answer(TENANT, "call-1", begun.step_up, CODE, phone.code)

    assert told.decision is Decision.ACCEPT


async def test_an_impostor_is_not_stepped_up(bank: Served) -> None:
    """A rejected call has no step-up, whatever the caller holds."""
    await authenticator(bank)
    assert (await called(bank, "eve")).decision is Decision.REJECT

    with pytest.raises(PolicyError):
        await bank.client.step_ups.begin(TENANT, "call-1", "alice")


async def test_factors_can_be_kept_over_grpc(bank: Served) -> None:
    """Enrolled, listed without secrets, removed."""
    ups = bank.client.step_ups
    await ups.enrol(TENANT, "alice", NewFactor(PIN, pin=THE_PIN))
    assert [one.kind for one in await ups.list(TENANT, "alice")] == [PIN]
    assert await ups.remove(TENANT, "alice", PIN) == ()
    with pytest.raises(NotFoundError):
        await ups.remove(TENANT, "alice", PIN)


async def test_what_is_malformed_is_the_callers_mistake(bank: Served) -> None:
    """No kind, a weak PIN and an endless answer are told, and count nothing."""
    ups = bank.client.step_ups
    with pytest.raises(InputError):
        await ups.enrol(TENANT, "alice", NewFactor(PIN, pin="111111"))
    for answer in ("", "1" * 65):
        with pytest.raises(InputError):
            await ups.answer(TENANT, "call-1", "x", TOTP, answer)
    stub = ups._stub()
    request = step_up_pb2.RemoveFactorRequest(tenant_id=TENANT, subject_id="alice")
    with pytest.raises(InputError):
        await ups._ask(stub.RemoveFactor, request)


async def test_another_tenant_steps_nobody_up(stepping: Parts, tmp_path: Path) -> None:
    """A subject of another tenant looks unknown, and a call of it is refused."""
    async with secured(stepping, tmp_path) as bank, bank.client("elsewhere") as client:
        with pytest.raises(AccessError):
            await client.step_ups.begin(TENANT, "call-1", "alice")
        with pytest.raises(AccessError):
            await client.step_ups.answer(TENANT, "call-1", "x", TOTP, "123456")


async def test_who_asks_for_factors_does_not_enrol_them(stepping: Parts, tmp_path: Path) -> None:
    """The line steps up, the enrolment desk enrols, and neither does the other's work."""
    async with secured(stepping, tmp_path) as bank:
        async with bank.client("enrolment") as desk:
            await desk.create_subject(TENANT, "alice")
            await desk.step_ups.enrol(TENANT, "alice", NewFactor(TOTP))
            with pytest.raises(AccessError):
                await desk.step_ups.begin(TENANT, "call-1", "alice")
        async with bank.client("ivr") as line:
            assert (await line.step_ups.begin(TENANT, "call-1", "alice")).ways
            with pytest.raises(AccessError):
                await line.step_ups.enrol(TENANT, "alice", NewFactor(TOTP))


async def test_the_blocking_client_steps_up_too(bank: Served) -> None:
    """Each call of the asyncio client has its twin."""
    code = await authenticator(bank)
    await bank.client.step_ups.enrol(TENANT, "alice", NewFactor(CODE, destination="+49301"))
    await called(bank)

    def work() -> StepUp:
        with SyncClient(bank.listening.target) as client:
            ups = client.step_ups
            ups.enrol(TENANT, "alice", NewFactor(PIN, pin=THE_PIN))
            assert len(ups.list(TENANT, "alice")) == 3
            assert len(ups.remove(TENANT, "alice", PIN)) == 2
            name = ups.begin(TENANT, "call-1", "alice").step_up
            ups.send_code(TENANT, "call-1", name)
            ups.answer(TENANT, "call-1", name, TOTP, code)
            return ups.outcome(TENANT, "call-1", name)

    assert (await asyncio.to_thread(work)).decision is Decision.ACCEPT


def test_what_a_newer_server_says_is_never_more_than_it_is() -> None:
    """Unknown states and results are read as refused and wrong."""
    message = step_up_pb2.StepUp()
    message.passed.extend([1, 99])  # type: ignore[list-item]
    message.expires_at.GetCurrentTime()
    message.state = 77  # type: ignore[assignment]
    message.last = 77  # type: ignore[assignment]
    message.decision = 77  # type: ignore[assignment]

    told = step_up_from_wire(message)

    assert told.state is StepUpState.REFUSED
    assert told.last is AnswerResult.WRONG
    assert told.decision is Decision.STEP_UP
    assert told.passed == frozenset({TOTP})


def run(arguments: list[str], code: int, given: str | None = None) -> str:
    """Run a command without a server, check its exit code and return its output."""
    result = RUNNER.invoke(app, arguments, input=given)
    assert result.exit_code == code, result.output
    return result.stdout


def test_a_whole_step_up_by_commands(tmp_path: Path) -> None:
    """Enrol, begin, answer, read and explain, each a command of its own, without a server."""
    place = ["--data-dir", str(tmp_path), "--json"]
    run(["subjects", "create", "s", *place], 0)
    enrol = ["factors", "enrol", "s", "--kind"]
    made = json.loads(run([*enrol, "totp", *place], 0))
    run([*enrol, "pin", *place], 1, "123456\n")
    run([*enrol, "pin", *place], 0, f"{THE_PIN}\n")
    run([*enrol, "code", "--destination", "+49301", *place], 0)
    listed = json.loads(run(["factors", "list", "s", *place], 0))
    assert [one["kind"] for one in listed] == ["code", "pin", "totp"]
    left = json.loads(run(["factors", "remove", "s", "--kind", "code", *place], 0))
    assert len(left) == 2
    begun = json.loads(run(["factors", "begin", "c", "--subject", "s", *place], 10))
    named = ["c", begun["step_up"]]
    answer = ["factors", "answer", *named, "--kind"]
    run([*answer, "pin", *place], 10, f"{THE_PIN}\n")
    code = pyotp.TOTP(pyotp.parse_uri(made["provisioning_uri"]).secret).now()
    run([*answer, "totp", *place], 0, f"{code}\n")
    assert json.loads(run(["factors", "outcome", *named, *place], 0))["decision"] == "accept"
    run(["factors", "send-code", *named, *place], 1)
    (told,) = json.loads(run(["factors", "explain", "c", *place], 0))
    assert told["agrees"]
    assert "shown: pin, totp" in run(["factors", "explain", "c", "--data-dir", str(tmp_path)], 0)
    run(["factors", "explain", "d", *place], 1)


@pytest.mark.parametrize("last", [None, AnswerResult.WRONG, AnswerResult.THROTTLED])
def test_the_command_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], bank: Served, last: AnswerResult | None
) -> None:
    """What the caller still has to show, how often, and for how long to wait."""
    wait = 30.0 if last is AnswerResult.THROTTLED else 0.0
    ways = (frozenset({FactorKind.TOTP}), frozenset({FactorKind.CODE, FactorKind.PIN}))
    told = StepUp(
        "name",
        StepUpState.OPEN,
        Decision.STEP_UP,
        ways,
        frozenset(),
        4,
        bank.parts.clock.now(),
        last=last,
        wait_seconds=wait,
    )
    with pytest.raises(typer.Exit):
        commands._print_step_up(told, as_json=False)

    out = capsys.readouterr().out
    assert "still to be shown: totp or code + pin; wrong answers left: 4" in out
    assert ("wait 30 s" in out) is bool(wait)
