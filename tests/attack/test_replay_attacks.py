# SPDX-License-Identifier: Apache-2.0
"""A recording of an accepted call is played again over gRPC: it may not be accepted."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from served import CONSENT, PCM, TENANT, Parts, Served, fake_parts, pieces, served
from spoken import part, pcm

from voiceauth.client import EnrolOptions, VerifyOptions
from voiceauth.errors import StorageError
from voiceauth.testing.channel import Channel, Noise, apply
from voiceauth.testing.codecs import Codec, Coding
from voiceauth.types import (
    Decision,
    EnrolmentOutcome,
    LivenessState,
    Reason,
    Samples,
    SubjectId,
    TenantId,
    Verdict,
)
from voiceauth.usecases.engine import EnrolmentRules
from voiceauth.usecases.replay_guard import ReplayGuard

CALL = part("second", 0.0, 4.5)
ANOTHER_CALL = part("second", 4.5, 9.0)


@pytest.fixture
def remembering(tmp_path: Path) -> Iterator[Parts]:
    """Return parts whose engine remembers accepted calls."""
    with fake_parts(tmp_path) as parts:
        guard = ReplayGuard(parts.engine.secret, parts.clock)
        rules = EnrolmentRules(needed_seconds=5.0)
        yield replace(parts, engine=replace(parts.engine, replay=guard, enrolment=rules))


@pytest.fixture
async def bank(remembering: Parts) -> AsyncIterator[Served]:
    """Serve them, alice enrolled."""
    async with served(remembering) as service:
        await service.client.create_subject(TENANT, "alice")
        await service.client.record_consent(TENANT, "alice", CONSENT)
        async with service.client.enrol(EnrolOptions("enrol-1", TENANT, "alice", PCM)) as stream:
            result = await stream.run(pieces(pcm(part("first", 0.0, 9.0))))
        assert result.outcome is EnrolmentOutcome.ENROLLED
        yield service


async def called(bank: Served, call: str, samples: Samples, subject: str = "alice") -> Verdict:
    """Make a call and return its verdict."""
    options = VerifyOptions(call, TENANT, subject, PCM)
    async with bank.client.verify(options) as stream:
        return await stream.run(pieces(pcm(samples)))


def over_another_line(samples: Samples, codec: Codec = Codec.PCMA) -> Samples:
    """Play a recording over a line with noise and another codec."""
    line = Channel(-28.0, noises=(Noise("colour", 25.0, -3.0, 3),), codings=(Coding(codec),))
    return apply(line, samples)


def record(bank: Served) -> dict[str, Any]:
    """Return the last decision record."""
    body: dict[str, Any] = json.loads(bank.parts.last("verify.verdict").body)
    return body


def kept(bank: Served, subject: str = "alice") -> list[str]:
    """Return the calls that are remembered."""
    with bank.parts.vault.read() as view:
        return [one.call for one in view.recordings(TenantId(TENANT), SubjectId(subject))]


@pytest.mark.parametrize("codec", [Codec.PCMA, Codec.GSM])
async def test_an_accepted_call_played_again_is_refused(bank: Served, codec: Codec) -> None:
    """It is refused through another codec, and the record names the call that it repeats."""
    assert (await called(bank, "call-1", CALL)).decision is Decision.ACCEPT
    verdict = await called(bank, "call-2", over_another_line(CALL, codec))

    assert verdict.decision in {Decision.STEP_UP, Decision.REJECT}
    assert Reason.REPLAY_SUSPECTED in verdict.evidence.reasons
    assert verdict.evidence.liveness.replay.state is LivenessState.SUSPECT
    assert verdict.evidence.replay is not None
    assert verdict.evidence.replay.call == "call-1"
    assert verdict.evidence.replay.matched_seconds > 1.5
    pseudonym = bank.parts.engine.pseudonym(TenantId(TENANT), "call-1")
    assert record(bank)["replay"]["call"] == pseudonym
    assert "call-1" not in bank.parts.last("verify.verdict").body


async def test_an_enrolment_call_played_as_a_claim_is_refused(bank: Served) -> None:
    """What made the voiceprint cannot be used to match it."""
    verdict = await called(bank, "call-1", over_another_line(part("first", 0.5, 6.0)))

    assert verdict.decision in {Decision.STEP_UP, Decision.REJECT}
    assert verdict.evidence.replay is not None
    assert verdict.evidence.replay.call == "enrol-1"


async def test_a_refused_replay_is_not_remembered(bank: Served) -> None:
    """A call that is not accepted stores nothing."""
    await called(bank, "call-1", CALL)
    await called(bank, "call-2", over_another_line(CALL))
    bank.parts.embedder.voice = "mallory"
    await called(bank, "call-3", ANOTHER_CALL)

    assert kept(bank) == ["enrol-1", "call-1"]


async def test_an_honest_second_call_is_accepted(bank: Served) -> None:
    """New speech of the same caller is live, and remembered in its turn."""
    await called(bank, "call-1", CALL)
    verdict = await called(bank, "call-2", ANOTHER_CALL)

    assert verdict.decision is Decision.ACCEPT
    assert verdict.evidence.liveness.replay.state is LivenessState.LIVE
    assert verdict.evidence.replay is not None
    assert verdict.evidence.replay.call is None
    assert kept(bank) == ["enrol-1", "call-1", "call-2"]


async def test_a_vault_that_cannot_be_read_accepts_nobody(bank: Served) -> None:
    """Without what was heard before there is no verdict."""
    bank.parts.vault.read_failure = StorageError()
    with pytest.raises(StorageError):
        await called(bank, "call-1", CALL)


async def test_a_vault_that_cannot_be_written_accepts_nobody(bank: Served) -> None:
    """An acceptance that could not be remembered is none."""
    bank.parts.vault.write_failure = StorageError()
    with pytest.raises(StorageError):
        await called(bank, "call-1", CALL)


async def test_tampered_recordings_accept_nobody(bank: Served, tmp_path: Path) -> None:
    """A changed row is a fault of the engine, and never nothing heard."""
    with sqlite3.connect(tmp_path / "vault.db") as connection:
        connection.execute("UPDATE recordings SET sealed = substr(sealed, 2)")

    verdict = await called(bank, "call-1", over_another_line(part("first", 0.5, 6.0)))

    assert verdict.decision is Decision.STEP_UP
    assert Reason.ENGINE_FAULT in verdict.evidence.reasons


async def test_an_unknown_subject_looks_like_a_known_one(bank: Served) -> None:
    """The layer listens to a claim on somebody who is not there, as to any other."""
    bank.parts.embedder.voice = "mallory"
    known = await called(bank, "call-1", CALL)
    unknown = await called(bank, "call-2", CALL, "nobody")

    assert unknown.decision is known.decision
    assert unknown.evidence.liveness.replay.state is known.evidence.liveness.replay.state
    assert unknown.evidence.liveness.replay.state is not LivenessState.NOT_MEASURED
    assert (unknown.evidence.replay is None) == (known.evidence.replay is None)


async def test_erasing_the_subject_erases_what_was_heard(bank: Served, tmp_path: Path) -> None:
    """No row is left of somebody who was erased."""
    await called(bank, "call-1", CALL)
    await bank.client.erase_subject(TENANT, "alice")

    with sqlite3.connect(tmp_path / "vault.db") as connection:
        assert connection.execute("SELECT count(*) FROM recordings").fetchone() == (0,)


async def test_nothing_is_remembered_of_somebody_who_opted_out_meanwhile(bank: Served) -> None:
    """A permission that ends during the call ends the memory of it."""
    async with bank.client.verify(VerifyOptions("call-1", TENANT, "alice", PCM)) as stream:
        audio = pieces(pcm(CALL))
        await stream.send(audio[0])
        await anext(stream)
        await bank.client.opt_out(TENANT, "alice")
        await stream.run(audio[1:])

    assert kept(bank) == []
