# SPDX-License-Identifier: Apache-2.0
"""Hand-overs over gRPC: whoever speaks after the authentication must be who spoke before it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from raw_streams import VERIFY, exchange
from served import MODEL, Parts, Served, fake_parts, pieces, served, silence, speech, voice_of

from voiceauth.decision.policy import Policy
from voiceauth.errors import ModelOutputError, StorageError
from voiceauth.liveness.continuity import ChangeLine, ContinuityCalibration
from voiceauth.types import (
    Continuity,
    Decision,
    Evidence,
    LivenessLayer,
    LivenessState,
    Reason,
    Verdict,
)

LINE = ChangeLine((20.0,), -15.0, -6.0, 6.0, 1.0, 7.0)
RULE = ContinuityCalibration(
    MODEL, 2.0, 1.0, 4.0, 0.01, replace(LINE, alarm=2.0), LINE, replace(LINE, weights=(10.0, 10.0))
)
PATIENT = Policy(
    "patient",
    require_liveness=frozenset({LivenessLayer.CHALLENGE}),
    accept_on_voice_alone=True,
    synthetic_seconds=0.0,
)
"""Never accepts without a challenge, and so goes on listening."""


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    """Return an engine that watches continuity."""
    with fake_parts(tmp_path) as made:
        policies = {**made.engine.policies, "patient": PATIENT}
        yield replace(made, engine=replace(made.engine, continuity=RULE, policies=policies))


@pytest.fixture
async def service(parts: Parts) -> AsyncIterator[Served]:
    """Serve the parts, with alice enrolled."""
    async with served(parts) as running:
        await running.enrolled("alice")
        yield running


@dataclass
class Heard:
    """What a watched call said."""

    evidence: list[Evidence] = field(default_factory=list)
    verdict: Verdict | None = None
    continuity: list[Continuity] = field(default_factory=list)

    @property
    def last(self) -> Continuity:
        """The final word."""
        return self.continuity[-1]


async def watched(service: Served, *voices: tuple[str, float], subject: str = "alice") -> Heard:
    """Let voices speak one after the other, each from the verdict of what came before on."""
    heard = Heard()
    decided = asyncio.Event()

    async with service.client.watch(service.claim(subject)) as stream:

        async def read() -> None:
            async for update in stream:
                if isinstance(update, Evidence):
                    heard.evidence.append(update)
                elif isinstance(update, Verdict):
                    heard.verdict = update
                    decided.set()
                else:
                    heard.continuity.append(update)
            decided.set()

        reading = asyncio.create_task(read())
        for place, (voice, seconds) in enumerate(voices):
            service.parts.embedder.voice = voice
            for piece in pieces(speech(seconds, seed=place)):
                await stream.send(piece)
            if place == 0:
                await decided.wait()
        await stream.end()
        await reading
    return heard


async def test_a_hand_over_after_the_verdict_is_found(service: Served) -> None:
    """Alice authenticates, mallory goes on: one final event names the moment."""
    heard = await watched(service, ("alice", 4.0), ("mallory", 12.0))

    assert heard.verdict is not None
    assert heard.verdict.decision is Decision.ACCEPT
    assert heard.last.state is LivenessState.SUSPECT
    assert heard.last.final
    assert heard.last.reasons == (Reason.SPEAKER_CHANGED,)
    assert heard.last.changed_at_seconds is not None
    assert 2.0 < heard.last.changed_at_seconds < 9.0


async def test_the_event_is_recorded_and_ends_the_watch(service: Served) -> None:
    """The record is durable before the event is sent, and nothing is heard after it."""
    heard = await watched(service, ("alice", 4.0), ("mallory", 30.0))

    entry = service.parts.last("verify.continuity")
    body = json.loads(entry.body)
    assert heard.last.record_id == entry.sequence
    assert body["state"] == "suspect"
    assert body["reasons"] == ["speaker_changed"]
    assert body["changed_at_seconds"] == heard.last.changed_at_seconds
    assert heard.last.heard_seconds < 30.0
    assert "alice" not in entry.body


async def test_the_same_voice_to_the_end_is_live(service: Served) -> None:
    """A caller who goes on speaking ends in a recorded LIVE, with the net speech behind it."""
    heard = await watched(service, ("alice", 4.0), ("alice", 10.0))

    assert [one.state for one in heard.continuity] == [
        LivenessState.PENDING,
        LivenessState.LIVE,
        LivenessState.LIVE,
    ]
    assert heard.last.final
    assert heard.last.net_speech_seconds > 5.0
    assert service.parts.events().count("verify.continuity") == 1


async def test_a_hand_over_before_the_verdict_is_not_accepted(service: Served) -> None:
    """Alice begins and mallory goes on before the verdict: the layer speaks, nobody is accepted."""
    async with service.client.verify(service.claim(policy="patient")) as stream:
        for piece in pieces(speech(8.0)):
            await stream.send(piece)
        async for update in stream:
            if isinstance(update, Evidence) and update.net_speech_seconds >= 5.0:
                break
        service.parts.embedder.voice = "mallory"
        verdict = await stream.run(pieces(speech(8.0, seed=1)))

    assert verdict.decision is not Decision.ACCEPT
    assert verdict.evidence.liveness.continuity.state is LivenessState.SUSPECT
    assert Reason.SPEAKER_CHANGED in verdict.evidence.reasons


async def test_a_rejected_call_is_not_watched(service: Served) -> None:
    """After REJECT there is nothing to continue; the last word is no pass and no record."""
    heard = await watched(service, ("mallory", 6.0), ("mallory", 4.0))

    assert heard.verdict is not None
    assert heard.verdict.decision is Decision.REJECT
    assert heard.last.state is LivenessState.NOT_MEASURED
    assert heard.last.final
    assert "verify.continuity" not in service.parts.events()


async def test_a_model_that_dies_during_the_watch_is_no_pass(service: Served) -> None:
    """The watch that failed says so, is recorded, and never says LIVE at the end."""
    heard = Heard()
    async with service.client.watch(service.claim()) as stream:
        for piece in pieces(speech(4.0)):
            await stream.send(piece)
        async for update in stream:
            if isinstance(update, Verdict):
                heard.verdict = update
                service.parts.embedder.failure = ModelOutputError()
                for piece in pieces(speech(8.0)):
                    await stream.send(piece)
            elif isinstance(update, Continuity):
                heard.continuity.append(update)

    assert heard.last.state is LivenessState.NOT_MEASURED
    assert heard.last.reasons == (Reason.ENGINE_FAULT,)
    assert service.parts.events().count("verify.continuity") == 1


async def test_no_record_no_last_word(service: Served) -> None:
    """A hand-over that cannot be recorded is an error, not silence."""

    async def handed_over() -> None:
        async with service.client.watch(service.claim()) as stream:
            for piece in pieces(speech(4.0)):
                await stream.send(piece)
            async for update in stream:
                if isinstance(update, Verdict):
                    service.parts.vault.write_failure = StorageError()
                    service.parts.embedder.voice = "mallory"
                    for piece in pieces(speech(12.0)):
                        await stream.send(piece)

    with pytest.raises(StorageError):
        await handed_over()


async def test_a_caller_who_vanishes_during_the_watch_is_recorded(parts: Parts) -> None:
    """A lost call after its verdict leaves one record of a watch that was abandoned."""
    async with served(parts) as service:
        await service.enrolled("alice")
        async with service.client.watch(service.claim()) as stream:
            for piece in pieces(speech(4.0)):
                await stream.send(piece)
            async for update in stream:
                if isinstance(update, Continuity):
                    break

    assert parts.events().count("verify.watch_abandoned") == 1
    assert parts.events().count("verify.verdict") == 1
    assert "verify.abandoned" not in parts.events()


async def test_audio_that_ends_with_the_verdict_is_not_watched(service: Served) -> None:
    """Without further audio the last word says that nothing was watched."""
    async with service.client.watch(service.claim()) as stream:
        last = await stream.run(pieces(speech(1.9) + silence(0.5)))

    assert last.final
    assert last.state is LivenessState.NOT_MEASURED
    assert last.reasons == ()


async def test_without_a_calibration_nothing_is_watched(tmp_path: Path) -> None:
    """A model for which no calibration was fitted says not measured, never live."""
    with fake_parts(tmp_path) as bare:
        async with served(bare) as service:
            await service.enrolled("alice")
            heard = await watched(service, ("alice", 4.0), ("mallory", 6.0))

    assert heard.verdict is not None
    assert heard.verdict.evidence.liveness.continuity.state is LivenessState.NOT_MEASURED
    assert heard.last.state is LivenessState.NOT_MEASURED


async def test_a_client_that_does_not_ask_gets_no_continuity(service: Served) -> None:
    """A stream of a client from before the flag ends with its verdict."""
    audio = [VERIFY.audio(one) for one in pieces(speech(8.0))]
    messages = [VERIFY.opening(), *audio, VERIFY.end()]

    outcome = await exchange(service.listening.target, VERIFY, messages)

    assert outcome.kinds()[-1] == "verdict"
    assert "continuity" not in outcome.kinds()


async def test_an_unknown_subject_s_watch_looks_like_a_known_one_s(service: Served) -> None:
    """Whoever is not enrolled cannot be told by what comes after the verdict."""
    known = await watched(service, ("mallory", 6.0), ("mallory", 4.0))
    unknown = await watched(service, ("mallory", 6.0), ("mallory", 4.0), subject="nobody")

    assert unknown.verdict is not None
    assert known.verdict is not None
    assert unknown.verdict.decision is known.verdict.decision
    assert [one.state for one in unknown.continuity] == [one.state for one in known.continuity]


def test_the_fake_voices_are_apart() -> None:
    """The attacks above rest on mallory not sounding like alice."""
    assert float(voice_of("alice") @ voice_of("mallory")) < 0.5
