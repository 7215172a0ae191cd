# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from raw_streams import VERIFY, exchange
from served import CONSENT, PCM, TENANT, Served, pieces, silence, speech

from voiceauth.client import (
    ClientError,
    EnrolOptions,
    IdentifyOptions,
    SyncClient,
    VerifyOptions,
)
from voiceauth.client.sync import SyncVerifyStream as SyncVerify
from voiceauth.errors import ConsentMissingError, InputError, NotFoundError, UnknownPolicyError
from voiceauth.types import (
    Decision,
    EnrolmentOutcome,
    EnrolmentProgress,
    Evidence,
    Progress,
    Ranking,
    Reason,
    Verdict,
)


async def test_the_enrolled_speaker_is_accepted(service: Served) -> None:
    """The voice of the claimed, enrolled subject leads to ACCEPT, with its record's number."""
    await service.enrolled("alice")

    async with service.client.verify(service.claim()) as stream:
        verdict = await stream.run(pieces(speech(8.0)))

    assert verdict.decision is Decision.ACCEPT
    record = service.parts.last("verify.verdict")
    assert (verdict.record_id, json.loads(record.body)["decision"]) == (record.sequence, "accept")
    assert verdict.evidence.progress is Progress.DECIDED


async def test_another_speaker_is_rejected(service: Served) -> None:
    """A voice that is not the claimed subject's at the policy's rates leads to REJECT."""
    await service.enrolled("alice")
    service.parts.embedder.voice = "mallory"

    async with service.client.verify(service.claim()) as stream:
        verdict = await stream.run(pieces(speech(8.0)))

    assert verdict.decision is Decision.REJECT
    assert Reason.MISMATCH in verdict.evidence.reasons


async def test_evidence_precedes_one_verdict(service: Served) -> None:
    """Updates come first, the verdict last, and no update anticipates the recorded decision."""
    await service.enrolled("alice")

    async with service.client.verify(service.claim()) as stream:
        await stream.send(speech(8.0))
        await stream.end()
        updates = [update async for update in stream]

    evidence, verdict = updates[:-1], updates[-1]
    assert isinstance(verdict, Verdict)
    assert evidence
    for one in evidence:
        assert isinstance(one, Evidence)
        assert one.progress is not Progress.DECIDED
        assert Reason.MATCH not in one.reasons


@pytest.mark.parametrize("voice", ["alice", "mallory"])
async def test_nobody_can_tell_who_is_known(service: Served, voice: str) -> None:
    """Unknown, unenrolled and erased claims answer like any stranger's call.

    Message types, status, what is told and the work done on the ports are the same.
    """
    await service.enrolled("alice")
    await service.client.create_subject(TENANT, "created")
    await service.enrolled("erased")
    await service.client.erase_subject(TENANT, "erased")
    parts = service.parts
    seen = {}
    for subject in ("bob", "unknown", "created", "erased"):
        if subject == "bob":
            await service.enrolled("bob")
        parts.embedder.voice = voice
        before = (parts.vault.reads, parts.vault.writes, parts.embedder.calls, parts.scorer.calls)
        audio = [VERIFY.audio(one) for one in pieces(speech(8.0))]
        messages = [VERIFY.opening(subject), *audio, VERIFY.end()]
        outcome = await exchange(service.listening.target, VERIFY, messages)
        after = (parts.vault.reads, parts.vault.writes, parts.embedder.calls, parts.scorer.calls)
        verdict = outcome.messages[-1].verdict
        verdict.ClearField("record_id")
        work = tuple(late - early for early, late in zip(before, after, strict=True))
        seen[subject] = (outcome.kinds(), outcome.status, work, verdict.SerializeToString())

    assert len(set(map(repr, seen.values()))) == 1


async def test_silence_is_inconclusive(service: Served) -> None:
    """Without speech there is no score, and the verdict says why."""
    async with service.client.verify(service.claim()) as stream:
        verdict = await stream.run(pieces(silence(3.0)))

    assert verdict.decision is Decision.INCONCLUSIVE
    assert verdict.evidence.score is None
    assert verdict.evidence.reasons == (Reason.NOT_ENOUGH_SPEECH,)


async def test_marks_reach_the_engine(service: Served) -> None:
    """A reported gap and key press are taken, and lost audio does not count as heard."""
    async with service.client.verify(service.claim()) as stream:
        await stream.send(speech(0.5))
        await stream.dtmf("5", 0.1)
        await stream.gap(0.25)
        await stream.end()
        verdict = await stream.verdict()

    assert verdict.evidence.heard_seconds == pytest.approx(0.5)


async def test_an_enrolment_over_two_calls(service: Served) -> None:
    """Speech of a call that was too short is kept and completes the next one."""
    await service.client.create_subject(TENANT, "alice")
    await service.client.record_consent(TENANT, "alice", CONSENT)
    call = EnrolOptions("enrol-1", TENANT, "alice", PCM)

    async with service.client.enrol(call) as stream:
        first = await stream.run(pieces(speech(6.0)))
    async with service.client.enrol(call) as stream:
        progress = await anext(stream)
        second = await stream.run(pieces(speech(8.0)))

    assert first.outcome is EnrolmentOutcome.PARTIAL
    assert isinstance(progress, EnrolmentProgress)
    assert progress.carried_over_seconds == pytest.approx(first.net_seconds)
    assert second.outcome is EnrolmentOutcome.ENROLLED
    assert second.voiceprints == 1


async def test_identify_ranks_and_never_accepts(service: Served) -> None:
    """The best candidate comes first, and the last ranking is the only final one."""
    await service.enrolled("alice")
    await service.enrolled("bob")
    options = IdentifyOptions("call-1", TENANT, None, PCM, max_candidates=2)

    async with service.client.identify(options) as stream:
        await stream.send(speech(5.0))
        await stream.end()
        rankings = [ranking async for ranking in stream]

    assert all(isinstance(one, Ranking) for one in rankings)
    assert [one.final for one in rankings] == [False] * (len(rankings) - 1) + [True]
    assert [one.subject for one in rankings[-1].candidates] == ["bob", "alice"]
    assert rankings[-1].searched == 2


async def test_identify_refuses_too_many_candidates(service: Served) -> None:
    """More candidates than 50 is a mistake that is told."""
    options = IdentifyOptions("call-1", TENANT, None, PCM, max_candidates=51)

    async with service.client.identify(options) as stream:
        with pytest.raises(InputError, match="max_candidates"):
            await stream.ranking()


async def test_errors_arrive_as_their_class(service: Served) -> None:
    """A failed stream raises the class that the server raised."""
    claim = service.claim(policy="lax")
    async with service.client.verify(claim) as stream:
        with pytest.raises(UnknownPolicyError):
            await stream.run(pieces(speech(1.0)))

    async with service.client.enrol(EnrolOptions("c", TENANT, "nobody", PCM)) as enrolment:
        with pytest.raises(NotFoundError):
            await enrolment.run(pieces(speech(1.0)))

    await service.client.create_subject(TENANT, "alice")
    async with service.client.enrol(EnrolOptions("c", TENANT, "alice", PCM)) as enrolment:
        with pytest.raises(ConsentMissingError):
            await enrolment.run(pieces(speech(30.0)))


async def test_sending_after_the_verdict_does_no_harm(service: Served) -> None:
    """A client that goes on sending for long still gets the verdict, as often as it asks."""
    await service.enrolled("alice")

    async with service.client.verify(service.claim()) as stream:
        for piece in pieces(speech(30.0)):
            await stream.send(piece)
        await stream.end()
        verdict = await stream.verdict()
        again = await stream.verdict()

    assert verdict.decision is Decision.ACCEPT
    assert again == verdict


async def test_the_client_refuses_audio_after_its_own_end(service: Served) -> None:
    """Sending after ``end`` is a mistake of the program and says so, if no answer is there yet."""
    service.parts.embedder.may_run.clear()
    async with service.client.verify(service.claim()) as stream:
        await stream.send(speech(3.0))
        await stream.end()
        with pytest.raises(ClientError, match="after the end"):
            await stream.send(b"\0\0")
        service.parts.embedder.may_run.set()
        verdict = await stream.verdict()

    assert verdict.decision is not Decision.ACCEPT


async def test_chunks_may_come_from_an_async_source(service: Served) -> None:
    """``run`` takes an asynchronous iterable, as a telephony bridge has one."""

    async def source() -> AsyncIterator[bytes]:
        for piece in pieces(speech(0.5)):
            await asyncio.sleep(0)
            yield piece

    async with service.client.verify(service.claim()) as stream:
        verdict = await stream.run(source())

    assert verdict.decision is Decision.INCONCLUSIVE


async def test_the_blocking_client_does_the_same(service: Served) -> None:
    """A whole life of a subject works from code without an event loop."""

    def blocking(target: str) -> tuple[Verdict, list[str]]:
        with SyncClient(target, timeout_seconds=10.0) as client:
            client.wait_ready(10.0)
            client.create_subject(TENANT, "alice", ["vip"])
            client.record_consent(TENANT, "alice", CONSENT)
            with client.enrol(EnrolOptions("c", TENANT, "alice", PCM)) as enrolment:
                assert enrolment.run(pieces(speech(14.0))).outcome is EnrolmentOutcome.ENROLLED
            with client.verify(VerifyOptions("c", TENANT, "alice", PCM)) as stream:
                kinds = [type(update).__name__ for update in _spoken(stream)]
                verdict = stream.verdict()
            assert [one.subject for one in client.list_subjects(TENANT)] == ["alice"]
            with pytest.raises(NotFoundError):
                client.get_subject(TENANT, "bob")
            return verdict, kinds

    def _spoken(stream: "SyncVerify") -> "SyncVerify":
        for piece in pieces(speech(8.0)):
            stream.send(piece)
        stream.end()
        return stream

    verdict, kinds = await asyncio.to_thread(blocking, service.listening.target)

    assert verdict.decision is Decision.ACCEPT
    assert kinds.count("Verdict") == 1
    assert kinds[-1] == "Verdict"
