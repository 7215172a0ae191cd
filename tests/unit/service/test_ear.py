# SPDX-License-Identifier: Apache-2.0
import asyncio
import time

import pytest
from served import PCM, silence, speech

from voiceauth.errors import BadAudioError, EngineError, InternalError
from voiceauth.service.ear import Ear
from voiceauth.signal.net_speech import NetSpeech
from voiceauth.signal.options import SpeechOptions
from voiceauth.types import AudioFormat, Encoding, Span
from voiceauth.usecases.listening import HearingCall, Listener


def call(audio_format: AudioFormat = PCM) -> HearingCall:
    """Return a call that only listens."""
    return HearingCall(Listener(audio_format, SpeechOptions(), 600.0))


async def heard(ear: Ear, calls: list[HearingCall], data: list[bytes]) -> list[object]:
    """Let all calls hear at once; return their spans or errors."""
    work = (ear.hear(one, chunk) for one, chunk in zip(calls, data, strict=True))
    return await asyncio.gather(*work, return_exceptions=True)


async def test_calls_that_are_due_together_share_a_pass() -> None:
    """A hundred calls cost one pass through the signal room, not a hundred."""
    ear = Ear(time.monotonic, bool)
    calls = [call() for _ in range(100)]
    for _ in range(3):
        await heard(ear, calls, [silence(0.2)] * 100)
    ear.close()

    assert ear.passes == 3
    assert all(one.speech.heard_seconds == pytest.approx(0.6) for one in calls)


async def test_a_call_hears_what_it_would_hear_alone() -> None:
    """Sharing a pass changes nothing about the spans."""
    ear, data = Ear(time.monotonic, bool), speech(6.0)
    first, *_ = await heard(ear, [call(), call()], [data, speech(5.0, seed=2)])
    ear.close()

    expected = call().hear(data)
    assert isinstance(first, list)
    assert [span.net_seconds for span in first] == [span.net_seconds for span in expected]
    assert len(expected) >= 2


async def test_the_error_of_a_call_is_its_own() -> None:
    """What is wrong with one call's bytes ends that call alone."""
    ear = Ear(time.monotonic, bool)
    mulaw = AudioFormat(Encoding.MULAW)
    bad, good = await heard(ear, [call(mulaw), call()], [b"RIFF" + bytes(96), speech(3.0)])
    ear.close()

    assert isinstance(bad, BadAudioError)
    assert isinstance(good, list)
    assert isinstance(good[0], Span)


async def test_a_bug_in_the_shared_part_is_a_fault_for_all_and_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody is left waiting by an unexpected exception, and the next pass works again."""

    def broken(_: NetSpeech) -> bytes:
        raise RuntimeError

    ear = Ear(time.monotonic, bool)
    with monkeypatch.context() as patch:
        patch.setattr(NetSpeech, "next_blocks", broken)
        results = await heard(ear, [call(), call()], [silence(0.2)] * 2)
    later = await heard(ear, [call()], [silence(0.2)])
    ear.close()

    assert all(isinstance(one, InternalError) for one in results)
    assert later == [[]]


async def test_a_cancelled_call_leaves_the_others_alone() -> None:
    """A client that hangs up while its piece is heard disturbs nobody."""
    ear = Ear(time.monotonic, bool)
    gone = asyncio.create_task(ear.hear(call(), silence(0.2)))
    stays = asyncio.create_task(ear.hear(call(), silence(0.2)))
    await asyncio.sleep(0)
    gone.cancel()

    assert await stays == []
    with pytest.raises((asyncio.CancelledError, EngineError)):
        await gone
    ear.close()


async def _alone(ear: Ear, one: HearingCall) -> "asyncio.Task[list[Span]]":
    """Let a call hear a silent block that has to wait for the others; return what it waits for."""
    waiting = asyncio.ensure_future(ear.hear(one, silence(0.2)))
    await asyncio.sleep(0)
    return waiting


async def test_a_block_that_may_complete_a_span_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An answer rests on it; what waited already goes along."""
    monkeypatch.setattr("voiceauth.service.ear.GATHER_SECONDS", 3600.0)
    ear, nearly = Ear(time.monotonic, lambda: True), call()
    nearly.speech.cut_every(0.2)
    nearly.speech.cutter.take(nearly.speech.decoder.push(speech(4.0)))

    waiting = await _alone(ear, call())
    async with asyncio.timeout(10.0):
        await ear.hear(nearly, silence(0.2))
        await waiting
    ear.close()

    assert ear.passes == 1


async def test_a_block_that_cannot_complete_a_span_waits_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under load a pass is shared, since nobody waits for what such a block brings."""
    monkeypatch.setattr("voiceauth.service.ear.GATHER_SECONDS", 3600.0)
    ear = Ear(time.monotonic, lambda: True)

    waiting = await _alone(ear, call())
    for _ in range(5):
        await asyncio.sleep(0)
    passes = ear.passes
    waiting.cancel()
    ear.close()

    assert passes == 0
