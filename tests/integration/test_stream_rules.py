# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from typing import Any

import grpc
import pytest
from raw_streams import ENROL, IDENTIFY, VERIFY, Rpc, exchange
from served import CONSENT, TENANT, Parts, Served, pieces, served, silence, speech

from voiceauth.service import drive
from voiceauth.types import AudioFormat, Encoding
from voiceauth.v1 import evidence_pb2
from voiceauth.wire.audio import format_to_wire

BAD = grpc.StatusCode.INVALID_ARGUMENT
EVERY = pytest.mark.parametrize("rpc", [VERIFY, IDENTIFY, ENROL], ids=lambda rpc: rpc.name)


async def permitted(service: Served) -> None:
    """Create the subject that Enrol needs."""
    await service.client.create_subject(TENANT, "alice")
    await service.client.record_consent(TENANT, "alice", CONSENT)


@EVERY
async def test_an_empty_stream_is_refused(service: Served, rpc: Rpc) -> None:
    """A stream without a message is INVALID_ARGUMENT and gets no answer."""
    outcome = await exchange(service.listening.target, rpc, [])

    assert (outcome.status, outcome.code, outcome.messages) == (BAD, "stream_order", ())


@EVERY
async def test_audio_before_open_is_refused_unheard(service: Served, rpc: Rpc) -> None:
    """The first message must be the opening one; nothing is embedded or recorded before it."""
    before = service.parts.events()

    outcome = await exchange(service.listening.target, rpc, [rpc.audio(speech(2.0))])

    assert (outcome.status, outcome.code) == (BAD, "stream_order")
    assert service.parts.embedder.calls == 0
    assert service.parts.events() == before


@EVERY
async def test_a_second_open_is_refused(service: Served, rpc: Rpc) -> None:
    """A stream is opened once: a second opening message ends it with INVALID_ARGUMENT."""
    await permitted(service)

    outcome = await exchange(service.listening.target, rpc, [rpc.opening(), rpc.opening()])

    assert (outcome.status, outcome.code) == (BAD, "stream_order")


@EVERY
async def test_the_format_cannot_change_within_a_stream(service: Served, rpc: Rpc) -> None:
    """Opening again with another format after audio is refused."""
    await permitted(service)
    other = format_to_wire(AudioFormat(Encoding.MULAW))
    messages = [rpc.opening(), rpc.audio(speech(0.5)), rpc.opening(format=other)]

    outcome = await exchange(service.listening.target, rpc, messages)

    assert (outcome.status, outcome.code) == (BAD, "stream_order")


@EVERY
async def test_a_message_without_content_is_refused(service: Served, rpc: Rpc) -> None:
    """A message whose kind is missing or unknown to this version is INVALID_ARGUMENT."""
    await permitted(service)

    outcome = await exchange(service.listening.target, rpc, [rpc.opening(), rpc.request()])

    assert (outcome.status, outcome.code) == (BAD, "stream_order")


@EVERY
async def test_bytes_that_are_no_message_are_refused(service: Served, rpc: Rpc) -> None:
    """Garbage instead of a message is the caller's mistake, not a fault of the server."""
    async with grpc.aio.insecure_channel(service.listening.target) as channel:
        home = "EnrolmentService" if rpc is ENROL else "VerificationService"
        method: Any = channel.stream_stream(f"/voiceauth.v1.{home}/{rpc.name}", None, None)
        call = method()
        await call.write(b"\xff\xff\xff\xff")
        status = await call.code()

    assert status is BAD


@EVERY
@pytest.mark.parametrize(
    ("field", "value"),
    [("call_id", ""), ("tenant_id", "a b"), ("call_id", "x" * 129), ("tenant_id", "a\nb")],
)
async def test_a_malformed_name_is_refused(
    service: Served, rpc: Rpc, field: str, value: str
) -> None:
    """Names outside the allowed characters and lengths are refused before anything else."""
    outcome = await exchange(service.listening.target, rpc, [rpc.opening(**{field: value})])

    assert (outcome.status, outcome.code) == (BAD, "invalid_input")


@EVERY
async def test_a_missing_encoding_is_refused(service: Served, rpc: Rpc) -> None:
    """An opening without an audio encoding is refused: nothing is guessed."""
    await permitted(service)
    without = rpc.opening()
    without.open.ClearField("format")

    outcome = await exchange(service.listening.target, rpc, [without])

    assert (outcome.status, outcome.code) == (BAD, "unsupported_format")


async def test_an_unknown_policy_is_refused(service: Served) -> None:
    """A policy name that the settings do not define is FAILED_PRECONDITION."""
    opening = VERIFY.opening(policy="lax")

    outcome = await exchange(service.listening.target, VERIFY, [opening])

    assert outcome.status is grpc.StatusCode.FAILED_PRECONDITION
    assert outcome.code == "unknown_policy"


@pytest.mark.parametrize(
    "data",
    [b"", silence(5.0), speech(5.0)[:2]],
    ids=["no audio at all", "digital silence", "a single sample"],
)
async def test_without_speech_nothing_is_decided(service: Served, data: bytes) -> None:
    """No audio, silence or one sample end in INCONCLUSIVE, without a score."""
    await service.enrolled("alice")
    audio = [VERIFY.audio(one) for one in pieces(data)]

    outcome = await exchange(
        service.listening.target, VERIFY, [VERIFY.opening(), *audio, VERIFY.end()]
    )

    assert outcome.status is grpc.StatusCode.OK
    verdict = outcome.messages[-1].verdict
    assert verdict.decision == evidence_pb2.DECISION_INCONCLUSIVE
    assert not verdict.evidence.HasField("score")


@EVERY
async def test_half_a_sample_at_the_end_is_refused(service: Served, rpc: Rpc) -> None:
    """An odd number of bytes of 16-bit audio is INVALID_ARGUMENT: it is not what was declared."""
    await permitted(service)
    messages = [rpc.opening(), rpc.audio(speech(1.0)[:-1]), rpc.end()]

    outcome = await exchange(service.listening.target, rpc, messages)

    assert (outcome.status, outcome.code) == (BAD, "bad_audio")


async def test_nothing_is_heard_after_the_end(service: Served) -> None:
    """Audio behind ``end`` is never looked at: it can neither help nor harm the verdict."""
    await service.enrolled("alice")
    more = [VERIFY.audio(one) for one in pieces(speech(5.0))]
    messages = [VERIFY.opening(), VERIFY.audio(speech(0.5)), VERIFY.end(), *more]

    outcome = await exchange(service.listening.target, VERIFY, messages)

    assert outcome.messages[-1].verdict.decision == evidence_pb2.DECISION_INCONCLUSIVE
    assert outcome.messages[-1].verdict.evidence.heard_seconds == pytest.approx(0.5)


@EVERY
async def test_a_chunk_above_the_limit_is_refused(parts: Parts, rpc: Rpc) -> None:
    """A chunk larger than the server takes is INVALID_ARGUMENT, however valid its audio."""
    async with served(parts, max_message_bytes=2048) as service:
        await permitted(service)
        messages = [rpc.opening(), rpc.audio(bytes(2050)), rpc.end()]

        outcome = await exchange(service.listening.target, rpc, messages)

    assert (outcome.status, outcome.code) == (BAD, "too_large")


async def test_a_message_far_above_the_limit_is_cut_off_by_the_transport(parts: Parts) -> None:
    """A message that exceeds the transport's limit is never taken into memory whole."""
    async with served(parts, max_message_bytes=2048) as service:
        messages = [VERIFY.opening(), VERIFY.audio(bytes(1_000_000)), VERIFY.end()]

        outcome = await exchange(service.listening.target, VERIFY, messages)

    assert outcome.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "verdict" not in outcome.kinds()


@pytest.mark.parametrize(("seconds", "size"), [(0.1, 1), (1.5, 7), (1.5, 16_000)])
async def test_the_size_of_chunks_does_not_matter(
    service: Served, seconds: float, size: int
) -> None:
    """One byte at a time, odd pieces and a second at a time give the evidence of 100 ms each."""
    data = speech(seconds)

    async def final(size: int) -> evidence_pb2.Evidence:
        audio = [VERIFY.audio(one) for one in pieces(data, size)]
        messages = [VERIFY.opening(), *audio, VERIFY.end()]
        outcome = await exchange(service.listening.target, VERIFY, messages)
        evidence: evidence_pb2.Evidence = outcome.messages[-1].verdict.evidence
        return evidence

    assert await final(size) == await final(1600)


async def test_one_verdict_ends_the_stream_while_the_client_still_talks(service: Served) -> None:
    """Once the evidence decides, one verdict comes last, although the client never stops."""
    await service.enrolled("alice")
    audio = [VERIFY.audio(one) for one in pieces(speech(20.0))]

    outcome = await exchange(
        service.listening.target, VERIFY, [VERIFY.opening(), *audio], half_close=False
    )

    assert outcome.status is grpc.StatusCode.OK
    assert outcome.kinds().count("verdict") == 1
    assert outcome.kinds()[-1] == "verdict"
    assert outcome.messages[-1].verdict.evidence.heard_seconds < 20.0


async def test_a_stream_that_closes_without_end_still_gets_its_verdict(service: Served) -> None:
    """A clean half-close without ``end`` is answered by the verdict on what was heard."""
    await service.enrolled("alice")
    messages = [VERIFY.opening(), VERIFY.audio(speech(1.2))]

    outcome = await exchange(service.listening.target, VERIFY, messages)

    assert outcome.status is grpc.StatusCode.OK
    assert outcome.kinds()[-1] == "verdict"


async def test_a_half_closed_call_is_worked_on_but_not_recorded_before_it_is_sure(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost call looks half-closed: its last span is embedded meanwhile, and no verdict stands."""
    await service.enrolled("alice")
    seen: list[tuple[int, int]] = []

    async def sure(_: float) -> None:
        seen.append((service.parts.embedder.calls, service.parts.events().count("verify.verdict")))

    monkeypatch.setattr(drive, "_until", sure)
    before = service.parts.embedder.calls
    messages = [VERIFY.opening(), VERIFY.audio(speech(1.8))]
    outcome = await exchange(service.listening.target, VERIFY, messages)

    assert seen == [(before + 1, 0)]
    assert outcome.kinds()[-1] == "verdict"


async def test_a_mistake_at_a_half_close_is_told_once_it_is_sure(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with the last audio is recorded once the call cannot be a lost one."""
    waited: list[int] = []

    async def sure(_: float) -> None:
        waited.append(service.parts.events().count("verify.abandoned"))

    monkeypatch.setattr(drive, "_until", sure)
    messages = [VERIFY.opening(), VERIFY.audio(b"odd")]
    outcome = await exchange(service.listening.target, VERIFY, messages)

    assert waited == [0]
    assert outcome.status is BAD
    assert service.parts.events().count("verify.abandoned") == 1


@EVERY
async def test_an_idle_stream_is_closed(parts: Parts, rpc: Rpc) -> None:
    """A client that says nothing for ``idle_seconds`` is sent away."""
    async with served(parts, idle_seconds=0.2) as service:
        await permitted(service)

        outcome = await exchange(service.listening.target, rpc, [rpc.opening()], half_close=False)

    assert outcome.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert outcome.code == "stream_too_long"


@EVERY
async def test_a_stream_that_lasts_too_long_is_closed(parts: Parts, rpc: Rpc) -> None:
    """The wall-clock limit holds even for a client that keeps the line busy."""
    async with served(parts, max_stream_seconds=0.3) as service:
        await permitted(service)

        outcome = await exchange(service.listening.target, rpc, [rpc.opening()], half_close=False)

    assert outcome.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert outcome.code == "stream_too_long"


@EVERY
async def test_a_stream_with_too_much_audio_is_closed(parts: Parts, rpc: Rpc) -> None:
    """The limit on audio holds although it was sent in no time."""
    short = replace(parts, engine=replace(parts.engine, max_audio_seconds=2.0))
    async with served(short) as service:
        await permitted(service)
        audio = [rpc.audio(one) for one in pieces(silence(2.5))]

        outcome = await exchange(service.listening.target, rpc, [rpc.opening(), *audio, rpc.end()])

    assert outcome.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert outcome.code == "stream_too_long"


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e9])
async def test_an_impossible_gap_is_refused(service: Served, seconds: float) -> None:
    """A gap of a negative, non-finite or endless length is INVALID_ARGUMENT."""
    gap = VERIFY.request()
    gap.gap.lost_seconds = seconds

    outcome = await exchange(service.listening.target, VERIFY, [VERIFY.opening(), gap])

    assert (outcome.status, outcome.code) == (BAD, "invalid_input")


@pytest.mark.parametrize("digit", ["", "E", "12", "\N{SUPERSCRIPT TWO}"])
async def test_what_is_no_key_is_refused(service: Served, digit: str) -> None:
    """Only the sixteen DTMF keys are keys."""
    mark = VERIFY.request()
    mark.dtmf.digit = digit

    outcome = await exchange(service.listening.target, VERIFY, [VERIFY.opening(), mark])

    assert (outcome.status, outcome.code) == (BAD, "invalid_input")


async def test_enrolment_without_consent_hears_nothing(service: Served) -> None:
    """Without a recorded consent Enrol is refused before any audio is looked at."""
    await service.client.create_subject(TENANT, "alice")
    audio = [ENROL.audio(one) for one in pieces(speech(12.0))]

    outcome = await exchange(
        service.listening.target, ENROL, [ENROL.opening(), *audio, ENROL.end()]
    )

    assert outcome.status is grpc.StatusCode.FAILED_PRECONDITION
    assert (outcome.code, outcome.messages) == ("consent_missing", ())
    assert service.parts.embedder.calls == 0


async def test_enrolment_of_nobody_is_not_found(service: Served) -> None:
    """Enrol of a subject that was never created is NOT_FOUND."""
    outcome = await exchange(service.listening.target, ENROL, [ENROL.opening(), ENROL.end()])

    assert (outcome.status, outcome.code) == (grpc.StatusCode.NOT_FOUND, "not_found")


async def test_bad_audio_does_not_cost_the_speech_before_it(service: Served) -> None:
    """Segments that were counted before a broken end are kept for the next call."""
    await permitted(service)
    audio = [ENROL.audio(one) for one in pieces(speech(6.0))]

    outcome = await exchange(
        service.listening.target, ENROL, [ENROL.opening(), *audio, ENROL.audio(b"x"), ENROL.end()]
    )

    assert (outcome.status, outcome.code) == (BAD, "bad_audio")
    subject = await service.client.get_subject(TENANT, "alice")
    assert subject.pending_seconds >= 4.0
