# SPDX-License-Identifier: Apache-2.0
"""Attempts over real gRPC: what an IVR and staff see of them."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from secured import secured
from served import TENANT, Parts, Served, pieces, served, speech
from typer.testing import CliRunner

from voiceauth.cli.app import app
from voiceauth.client import SyncClient
from voiceauth.errors import AccessError, InputError, IntegrityError
from voiceauth.types import Decision, Reason, Verdict
from voiceauth.usecases.attempt_desk import AttemptDesk

NUMBER = "+49 30 123456"


@pytest.fixture
def counting(parts: Parts) -> Parts:
    """Return an engine that counts attempts."""
    engine = replace(parts.engine, attempts=AttemptDesk(parts.clock))
    return replace(parts, engine=engine)


@pytest.fixture
async def bank(counting: Parts) -> AsyncIterator[Served]:
    """Return a server of it in which alice is enrolled."""
    async with served(counting) as running:
        await running.enrolled("alice")
        yield running


async def called(bank: Served, voice: str, *, number: str = "") -> Verdict:
    """Run a whole call on alice."""
    bank.parts.embedder.voice = voice
    async with bank.client.verify(bank.claim(calling_number=number)) as stream:
        return await stream.run(pieces(speech(6.0)))


async def test_a_closed_path_answers_without_listening(bank: Served) -> None:
    """The sixth call in a row is answered before any audio, and other calls are not touched."""
    for _ in range(5):
        assert (await called(bank, "eve")).decision is Decision.REJECT
    calls = bank.parts.embedder.calls

    verdict = await called(bank, "alice")

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.reasons == (Reason.VOICE_LOCKED,)
    assert bank.parts.embedder.calls == calls


async def test_staff_see_and_open_a_closed_path(bank: Served) -> None:
    """Counters can be read and given back over gRPC; the next call is compared again."""
    for _ in range(5):
        await called(bank, "eve", number=NUMBER)
    seen = await bank.client.get_lockout(TENANT, "alice", NUMBER)

    after = await bank.client.unlock(TENANT, "alice", NUMBER)

    assert (seen.failures, seen.remaining_seconds, seen.number_failures) == (5, 30.0, 5)
    assert (after.failures, after.total, after.number_failures) == (0, 5, 0)
    assert (await called(bank, "alice", number=NUMBER)).decision is Decision.ACCEPT


def test_the_blocking_client_has_both(parts: Parts) -> None:
    """The twin of the asyncio client knows the same calls."""
    assert callable(SyncClient.get_lockout)
    assert callable(SyncClient.unlock)
    del parts


async def test_what_is_no_number_is_the_callers_mistake(bank: Served) -> None:
    """Neither a claim nor a question takes anything but a number."""
    with pytest.raises(InputError):
        await bank.client.get_lockout(TENANT, "alice", "sip:eve@example.org")
    with pytest.raises(InputError):
        await called(bank, "alice", number="eve")


async def test_counters_that_were_changed_end_the_call_in_step_up(
    bank: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged row is a fault of the engine: never an ACCEPT, and recorded as a fault."""

    def damaged(*_: object) -> None:
        raise IntegrityError

    monkeypatch.setattr("voiceauth.vault.attempt_rows.decode_attempts", damaged)
    bank.parts.scorer.calls = 0
    await called(bank, "alice")
    monkeypatch.undo()
    await called(bank, "eve")
    monkeypatch.setattr("voiceauth.vault.attempt_rows.decode_attempts", damaged)

    verdict = await called(bank, "alice")

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.reasons == (Reason.ENGINE_FAULT,)


async def test_only_staff_who_are_not_on_the_line_open_a_path(
    counting: Parts, tmp_path: Path
) -> None:
    """Agents may look, fraud analysts may open, another tenant may do neither."""
    async with secured(counting, tmp_path) as bank:
        async with bank.client("agent") as agent:
            assert (await agent.get_lockout(TENANT, "alice")).failures == 0
            with pytest.raises(AccessError):
                await agent.unlock(TENANT, "alice")
        async with bank.client("fraud-analyst") as analyst:
            assert (await analyst.unlock(TENANT, "alice")).failures == 0
            for work in (analyst.get_lockout, analyst.unlock):
                with pytest.raises(AccessError):
                    await work("shop", "alice")


def test_the_commands_need_no_server(tmp_path: Path) -> None:
    """``lockout show`` and ``lockout unlock`` work on a vault by themselves."""
    place = ["--data-dir", str(tmp_path)]
    runner = CliRunner()
    shown = runner.invoke(app, ["lockout", "show", "s", "--number", "030 1", *place, "--json"])
    opened = runner.invoke(app, ["lockout", "unlock", "s", "--yes", *place])

    assert json.loads(shown.stdout)["total"] == 0
    assert opened.output.startswith("s: voice path open; 0 failed")
    assert runner.invoke(app, ["lockout", "unlock", "s", *place], input="n\n").exit_code == 1
