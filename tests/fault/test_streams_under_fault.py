# SPDX-License-Identifier: Apache-2.0
import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from raw_streams import ENROL, IDENTIFY, VERIFY, Outcome, Rpc, exchange
from served import (
    CONSENT,
    PCM,
    TENANT,
    Parts,
    Served,
    pieces,
    served,
    server_settings,
    speech,
)

from voiceauth.client import Client, EnrolOptions, IdentifyOptions, VerifyOptions
from voiceauth.errors import (
    DependencyError,
    InternalError,
    ModelOutputError,
    StorageError,
    TagMismatchError,
    TooShortError,
)
from voiceauth.service import verification
from voiceauth.service.drive import Drive
from voiceauth.service.server import Listening, running_server
from voiceauth.signal.net_speech import NetSpeech
from voiceauth.types import Decision, EnrolmentOutcome, EnrolmentProgress
from voiceauth.v1 import evidence_pb2

PRIVATE = "alice /var/lib/voiceauth 4711"


async def verify(service: Served, seconds: float = 8.0) -> Outcome:
    """Send a whole call about alice by hand and return what came back."""
    audio = [VERIFY.audio(one) for one in pieces(speech(seconds))]
    messages = [VERIFY.opening(), *audio, VERIFY.end()]
    return await exchange(service.listening.target, VERIFY, messages)


@pytest.mark.parametrize(
    "failure",
    [
        ModelOutputError(),
        InternalError(),
        StorageError(),
        ValueError(PRIVATE),
        MemoryError(PRIVATE),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_failing_model_leads_to_step_up(service: Served, failure: Exception) -> None:
    """Whatever the model raises ends a genuine call in a recorded STEP_UP, never in ACCEPT."""
    await service.enrolled("alice")
    service.parts.embedder.failure = failure

    outcome = await verify(service)

    assert outcome.status is grpc.StatusCode.OK
    verdict = outcome.messages[-1].verdict
    assert verdict.decision == evidence_pb2.DECISION_STEP_UP
    assert verdict.evidence.reasons[0] == evidence_pb2.REASON_ENGINE_FAULT
    assert '"engine_fault"' in service.parts.last("verify.verdict").body


@pytest.mark.parametrize(
    "output",
    [
        np.full(16, np.nan, dtype=np.float32),
        np.full(16, np.inf, dtype=np.float32),
        np.zeros(16, dtype=np.float32),
        np.ones(15, dtype=np.float32),
        np.ones((1, 16), dtype=np.float32),
    ],
    ids=["NaN", "infinity", "zero", "too few", "a matrix"],
)
async def test_an_impossible_embedding_leads_to_step_up(service: Served, output: Any) -> None:
    """NaN, infinity, a zero vector or a wrong shape is a fault of the engine: STEP_UP."""
    await service.enrolled("alice")
    service.parts.embedder.output = output

    outcome = await verify(service)

    assert outcome.messages[-1].verdict.decision == evidence_pb2.DECISION_STEP_UP
    assert "engine_fault" in service.parts.last("verify.verdict").body


async def test_a_failing_scorer_leads_to_step_up(service: Served) -> None:
    """An unexpected exception in the scoring is a fault of the engine: STEP_UP."""
    await service.enrolled("alice")
    service.parts.scorer.failure = ZeroDivisionError(PRIVATE)

    outcome = await verify(service)

    assert outcome.messages[-1].verdict.decision == evidence_pb2.DECISION_STEP_UP


async def test_a_span_that_the_model_finds_too_short_adds_nothing(service: Served) -> None:
    """A span below the model's minimum is as if it had not been spoken."""
    await service.enrolled("alice")
    service.parts.embedder.failure = TooShortError()

    outcome = await verify(service)

    assert outcome.messages[-1].verdict.decision == evidence_pb2.DECISION_INCONCLUSIVE


async def test_a_damaged_voiceprint_leads_to_step_up(service: Served) -> None:
    """Stored data that fails its integrity check decides nothing; the caller gets STEP_UP."""
    await service.enrolled("alice")
    service.parts.vault.read_failure = TagMismatchError(detail=PRIVATE)

    outcome = await verify(service)

    assert outcome.kinds() == ["verdict"]
    assert outcome.messages[-1].verdict.decision == evidence_pb2.DECISION_STEP_UP


async def test_without_a_record_there_is_no_verdict(service: Served) -> None:
    """If the verdict cannot be recorded, the call ends in UNAVAILABLE and nobody is accepted."""
    await service.enrolled("alice")
    service.parts.vault.write_failure = StorageError(PRIVATE, detail=PRIVATE)

    outcome = await verify(service)

    assert (outcome.status, outcome.code) == (grpc.StatusCode.UNAVAILABLE, "storage_down")
    assert "verdict" not in outcome.kinds()


@pytest.mark.parametrize("failure", [OSError(PRIVATE), KeyError(PRIVATE)])
async def test_a_bug_while_recording_gives_no_verdict(service: Served, failure: Exception) -> None:
    """A vault that raises what it never should gives INTERNAL, not a verdict."""
    await service.enrolled("alice")
    service.parts.vault.write_failure = failure

    outcome = await verify(service)

    assert (outcome.status, outcome.code) == (grpc.StatusCode.INTERNAL, "internal")
    assert "verdict" not in outcome.kinds()


@pytest.mark.parametrize("rpc", [VERIFY, ENROL], ids=lambda rpc: rpc.name)
async def test_an_unreadable_vault_is_unavailable(service: Served, rpc: Rpc) -> None:
    """If the vault cannot be read, the call ends before any audio, for every subject alike."""
    service.parts.vault.read_failure = StorageError(PRIVATE)

    outcome = await exchange(service.listening.target, rpc, [rpc.opening(), rpc.end()])

    assert (outcome.status, outcome.messages) == (grpc.StatusCode.UNAVAILABLE, ())


async def test_status_texts_tell_nothing_of_the_server(service: Served) -> None:
    """Neither ids nor paths nor an exception's own words reach a caller of a failing server."""
    vault = service.parts.vault
    texts = []
    for failure in (
        StorageError(PRIVATE, detail=PRIVATE),
        OSError(PRIVATE),
        TagMismatchError(PRIVATE),
    ):
        vault.write_failure = failure
        texts.append((await verify(service, 0.5)).text)
        with pytest.raises((DependencyError, InternalError, TagMismatchError)) as caught:
            await service.client.get_subject(TENANT, "alice")
        texts.append(str(caught.value))

    assert texts
    assert not [text for text in texts if any(word in text for word in PRIVATE.split())]


async def test_a_vanished_caller_of_verify_leaves_an_abandoned_call(parts: Parts) -> None:
    """A cancelled Verify is recorded as abandoned, once, without a verdict."""
    async with served(parts) as service:
        await service.enrolled("alice")
        async with service.client.verify(service.claim()) as stream:
            await stream.send(speech(1.0))
            await anext(stream)

    assert parts.events().count("verify.abandoned") == 1
    assert "verify.verdict" not in parts.events()


async def test_a_caller_who_vanishes_while_the_model_runs_is_recorded(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancellation in the middle of an inference leaves one record of an abandoned call."""
    seen = asyncio.Event()
    leave = Drive._leave

    def noted(drive: Drive[Any]) -> None:
        leave(drive)
        seen.set()

    monkeypatch.setattr(Drive, "_leave", noted)
    async with served(parts) as service:
        await service.enrolled("alice")
        parts.embedder.may_run.clear()
        parts.embedder.running.clear()
        async with service.client.verify(service.claim()) as stream:
            await stream.send(speech(3.0))
            await asyncio.to_thread(parts.embedder.running.wait, 30)
        # Were the model done before the server hears of it, there would rightly be a verdict.
        async with asyncio.timeout(30):
            await seen.wait()
        parts.embedder.may_run.set()

    assert parts.events().count("verify.abandoned") == 1
    assert "verify.verdict" not in parts.events()


async def test_a_vanished_caller_of_enrol_keeps_the_speech(parts: Parts) -> None:
    """What was counted before a cancelled Enrol is there when the next call goes on."""
    async with served(parts) as service:
        await service.client.create_subject(TENANT, "alice")
        await service.client.record_consent(TENANT, "alice", CONSENT)
        call = EnrolOptions("enrol-1", TENANT, "alice", PCM)
        async with service.client.enrol(call) as stream:
            await stream.send(speech(6.0))
            async for progress in stream:
                if progress.net_seconds > 0:
                    break
    async with served(parts) as service, service.client.enrol(call) as stream:
        first = await anext(stream)
        assert isinstance(first, EnrolmentProgress)
        assert first.carried_over_seconds > 0
        result = await stream.run(pieces(speech(14.0)))

    assert result.outcome is EnrolmentOutcome.ENROLLED


async def test_a_vanished_caller_of_identify_is_on_record(parts: Parts) -> None:
    """Rankings that were shown are in the ledger although the caller hung up."""
    async with served(parts) as service:
        await service.enrolled("alice")
        options = IdentifyOptions("call-2", TENANT, None, PCM)
        async with service.client.identify(options) as stream:
            await stream.send(speech(4.0))
            async for ranking in stream:
                if ranking.candidates:
                    break

    assert parts.events().count("identify.ranking") == 1


async def test_a_failed_enrolment_record_is_told(service: Served) -> None:
    """If nothing could be stored, Enrol says UNAVAILABLE and promises nothing."""
    await service.client.create_subject(TENANT, "alice")
    await service.client.record_consent(TENANT, "alice", CONSENT)
    service.parts.vault.write_failure = StorageError(PRIVATE)
    audio = [ENROL.audio(one) for one in pieces(speech(14.0))]

    outcome = await exchange(
        service.listening.target, ENROL, [ENROL.opening(), *audio, ENROL.end()]
    )

    assert outcome.status is grpc.StatusCode.UNAVAILABLE
    assert "result" not in outcome.kinds()


async def test_a_failing_model_costs_an_enrolment_nothing(service: Served) -> None:
    """A fault in the middle of Enrol is INTERNAL, and the segments before it are kept."""
    await service.client.create_subject(TENANT, "alice")
    await service.client.record_consent(TENANT, "alice", CONSENT)
    async with service.client.enrol(EnrolOptions("enrol-1", TENANT, "alice", PCM)) as stream:
        await stream.send(speech(4.0))
        async for progress in stream:
            if progress.net_seconds > 0:
                break
        service.parts.embedder.failure = RuntimeError(PRIVATE)
        with pytest.raises(InternalError):
            await stream.run(pieces(speech(6.0)))

    subject = await service.client.get_subject(TENANT, "alice")
    assert subject.pending_seconds > 0


async def test_a_model_failure_ends_identify(service: Served) -> None:
    """Identify has no safe answer to give: a fault of the engine is INTERNAL."""
    service.parts.embedder.failure = RuntimeError(PRIVATE)
    audio = [IDENTIFY.audio(one) for one in pieces(speech(6.0))]

    outcome = await exchange(
        service.listening.target, IDENTIFY, [IDENTIFY.opening(), *audio, IDENTIFY.end()]
    )

    assert (outcome.status, outcome.code) == (grpc.StatusCode.INTERNAL, "internal")
    assert not any(message.final for message in outcome.messages)


async def test_a_full_server_refuses_new_calls_only(parts: Parts) -> None:
    """Beyond the cap a new call is refused at once, while the running one gets its verdict."""
    async with served(parts, max_concurrent_calls=1) as service:
        await service.enrolled("alice")
        async with service.client.verify(service.claim()) as running:
            await anext(running)
            refused = await exchange(service.listening.target, VERIFY, [VERIFY.opening()])
            verdict = await running.run(pieces(speech(8.0)))
        after = await verify(service)

    assert (refused.status, refused.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")
    assert verdict.decision is Decision.ACCEPT
    assert after.messages[-1].verdict.decision == evidence_pb2.DECISION_ACCEPT


async def test_a_draining_server_finishes_its_calls(parts: Parts) -> None:
    """While draining, a running call gets its verdict, new ones UNAVAILABLE, health is down."""
    leaving, ready = asyncio.Event(), asyncio.Event()
    where: list[str] = []

    async def host() -> None:
        async with running_server(parts.engine, server_settings()) as listening:
            where.append(listening.target)
            ready.set()
            await leaving.wait()

    server = asyncio.create_task(host())
    await ready.wait()
    async with Client(where[0]) as client:
        await Served(parts, client, Listening(0, where[0])).enrolled("alice")
        claim = VerifyOptions("call-1", TENANT, "alice", PCM)
        async with client.verify(claim) as stream:
            await anext(stream)
            leaving.set()
            while await client.healthy():  # noqa: ASYNC110 - it is polled by nature
                await asyncio.sleep(0.01)
            refused = await exchange(where[0], VERIFY, [VERIFY.opening()])
            verdict = await stream.run(pieces(speech(8.0)))
    await server

    assert refused.status is grpc.StatusCode.UNAVAILABLE
    assert verdict.decision is Decision.ACCEPT


async def test_a_call_that_outlasts_the_drain_is_recorded(parts: Parts) -> None:
    """A call that does not end within ``drain_seconds`` is cut off and recorded as abandoned."""
    async with served(parts, drain_seconds=0.2) as service:
        channel = grpc.aio.insecure_channel(service.listening.target)
        call = VERIFY.start(channel)
        await call.write(VERIFY.opening())
        await call.read()
    status = await call.code()
    await channel.close(None)

    assert status in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert parts.events().count("verify.abandoned") == 1


async def test_a_bug_in_the_signal_room_leads_to_step_up(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception while hearing is a fault of the engine like any other: STEP_UP."""
    await service.enrolled("alice")

    def broken(*_: object) -> None:
        raise RuntimeError(PRIVATE)

    monkeypatch.setattr(NetSpeech, "next_blocks", broken)

    outcome = await verify(service)

    assert outcome.messages[-1].verdict.decision == evidence_pb2.DECISION_STEP_UP


async def test_a_bug_in_the_mapping_leads_to_step_up(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even the service's own bugs on the way to an update do not end a call in anything else."""

    def broken(*_: object) -> None:
        raise RuntimeError(PRIVATE)

    monkeypatch.setattr(verification, "evidence_to_wire", broken)

    outcome = await verify(service)

    assert outcome.kinds() == ["verdict"]
    assert outcome.messages[-1].verdict.decision == evidence_pb2.DECISION_STEP_UP
