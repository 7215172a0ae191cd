# SPDX-License-Identifier: Apache-2.0
"""Attacks on the challenge over gRPC: none of them may end in ACCEPT."""

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from served import TENANT, Parts, Served, fake_parts, pieces, served, silence, speech

from voiceauth.client import VerifyOptions
from voiceauth.errors import ChallengeLimitError, ChallengeRefusedError, PolicyError
from voiceauth.liveness.challenge import ChallengeOptions
from voiceauth.liveness.challenge_book import ChallengeBook
from voiceauth.testing.fakes import FakeRandom
from voiceauth.types import (
    Challenge,
    ChallengeCause,
    ChallengeOutcome,
    Decision,
    LivenessState,
    Reason,
    Recognition,
    RecognitionSource,
    Samples,
    Verdict,
)
from voiceauth.units import Hertz
from voiceauth.usecases.engine import ChallengeDesk


class FakeRecogniser:
    """A ``ports.Recognizer`` that hears what the test says, or fails as told."""

    name = "fake-1"

    def __init__(self) -> None:
        self.says: tuple[str, ...] | None = None
        self.failure: Exception | None = None
        self.may_run = threading.Event()
        self.may_run.set()

    def recognise(
        self, samples: Samples, rate_hz: Hertz, expected: Sequence[str], vocabulary: Sequence[str]
    ) -> Recognition:
        """Hear ``says``, the expected words by default."""
        del samples, rate_hz, vocabulary
        self.may_run.wait(timeout=10)
        if self.failure is not None:
            raise self.failure
        heard = self.says if self.says is not None else tuple(expected)
        return Recognition(heard, 8.0 if heard == tuple(expected) else -8.0)


@pytest.fixture
def recogniser() -> FakeRecogniser:
    """Return the recogniser of the served engine."""
    return FakeRecogniser()


@pytest.fixture
def parts_with_desk(tmp_path: Path, recogniser: FakeRecogniser) -> Iterator[Parts]:
    """Return parts whose engine puts challenges."""
    options = ChallengeOptions(recogniser_seconds=0.5)
    desk = ChallengeDesk(ChallengeBook(options, FakeRandom(4)), options, recogniser)
    with fake_parts(tmp_path) as parts:
        yield replace(parts, engine=replace(parts.engine, challenges=desk))


@pytest.fixture
async def bank(parts_with_desk: Parts) -> AsyncIterator[Served]:
    """Serve them, alice enrolled."""
    async with served(parts_with_desk) as service:
        await service.enrolled("alice")
        yield service


async def asked(bank: Served, call: str = "call-1", subject: str = "alice") -> Challenge:
    """Get a challenge."""
    return await bank.client.create_challenge(call, TENANT, subject)


async def answered(
    bank: Served, challenge: str, *, before: bytes = silence(2.0), answer: bytes = speech(5.0)
) -> Verdict:
    """Play a prompt, mark its end, answer, and return the verdict."""
    async with bank.client.verify(bank.claim()) as stream:
        for chunk in pieces(before):
            await stream.send(chunk)
        await stream.prompted(challenge)
        return await stream.run(pieces(answer + silence(3.0)))


async def test_the_right_words_in_the_right_voice_pass(bank: Served) -> None:
    """An honest answer is accepted, recorded, and shown in the evidence."""
    verdict = await answered(bank, (await asked(bank)).challenge)

    met = verdict.evidence.challenge
    assert verdict.decision is Decision.ACCEPT
    assert met is not None
    assert (met.outcome, met.cause) == (ChallengeOutcome.PASSED, ChallengeCause.MATCH)
    assert met.source is RecognitionSource.ENGINE
    assert verdict.evidence.liveness.challenge.state is LivenessState.LIVE
    events = bank.parts.events()
    assert "challenge.created" in events
    assert "challenge.answered" in events


async def test_an_old_answer_played_again_is_not_accepted(
    bank: Served, recogniser: FakeRecogniser
) -> None:
    """The words of an earlier challenge fail the new one."""
    recogniser.says = ("four", "one", "two", "three", "six", "seven")
    verdict = await answered(bank, (await asked(bank)).challenge)

    assert verdict.decision is Decision.STEP_UP
    assert Reason.CHALLENGE_FAILED in verdict.evidence.reasons


async def test_another_voice_answering_is_not_accepted(bank: Served) -> None:
    """The right words in a voice that is not the subject's fail."""
    bank.parts.embedder.voice = "mallory"
    verdict = await answered(bank, (await asked(bank)).challenge)

    assert verdict.decision is not Decision.ACCEPT
    assert verdict.evidence.challenge is not None
    assert verdict.evidence.challenge.cause is ChallengeCause.WRONG_VOICE


@pytest.mark.parametrize(
    ("before", "answer", "cause"),
    [
        (silence(1.0) + speech(4.0), speech(4.0), ChallengeCause.TOO_EARLY),
        (speech(4.0) + silence(1.5), silence(6.0) + speech(4.0), ChallengeCause.TOO_LATE),
        (speech(4.0) + silence(1.5), silence(0.5), ChallengeCause.CUT_SHORT),
    ],
    ids=["begun before the prompt ended", "too late", "hung up"],
)
async def test_answers_out_of_time_are_not_accepted(
    bank: Served, before: bytes, answer: bytes, cause: ChallengeCause
) -> None:
    """An answer that began before the prompt ended, came too late, or never came, is no pass."""
    challenge = (await asked(bank)).challenge
    async with bank.client.verify(bank.claim()) as stream:
        for chunk in pieces(before):
            await stream.send(chunk)
        await stream.prompted(challenge)
        verdict = await stream.run(pieces(answer))

    assert verdict.decision is not Decision.ACCEPT
    assert verdict.evidence.challenge is not None
    assert verdict.evidence.challenge.cause is cause


@pytest.mark.parametrize(
    "attack", ["reuse", "another call", "another subject", "expired", "made up"]
)
async def test_a_challenge_that_is_not_this_calls_is_refused(bank: Served, attack: str) -> None:
    """It ends the stream with a typed error, without a verdict, and is recorded."""
    name = "00" * 16
    if attack == "another call":
        name = (await asked(bank, call="call-2")).challenge
    elif attack == "another subject":
        name = (await asked(bank, subject="bob")).challenge
    elif attack != "made up":
        name = (await asked(bank)).challenge
    if attack == "reuse":
        await answered(bank, name)
    elif attack == "expired":
        bank.parts.clock.advance(121.0)

    with pytest.raises(ChallengeRefusedError):
        await answered(bank, name)

    wanted = "challenge.expired" if attack == "expired" else "challenge.refused"
    assert bank.parts.events()[-2:] == [wanted, "verify.abandoned"]


async def test_a_dead_recogniser_is_no_pass(bank: Served, recogniser: FakeRecogniser) -> None:
    """A recogniser that raises leaves the result absent, and the call is not accepted."""
    recogniser.failure = RuntimeError("gone")
    verdict = await answered(bank, (await asked(bank)).challenge)

    assert verdict.decision is Decision.STEP_UP
    assert Reason.CHALLENGE_UNANSWERED in verdict.evidence.reasons
    assert verdict.evidence.challenge is not None
    assert verdict.evidence.challenge.cause is ChallengeCause.RECOGNISER_FAILED


async def test_a_hanging_recogniser_is_no_pass(bank: Served, recogniser: FakeRecogniser) -> None:
    """A recogniser that takes too long leaves the result absent."""
    recogniser.may_run.clear()
    verdict = await answered(bank, (await asked(bank)).challenge)
    recogniser.may_run.set()

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.challenge is not None
    assert verdict.evidence.challenge.cause is ChallengeCause.RECOGNISER_FAILED


async def test_a_challenge_that_is_never_prompted_holds_the_call_back(bank: Served) -> None:
    """Leaving the prompt out does not get round the challenge."""
    await asked(bank)
    async with bank.client.verify(bank.claim()) as stream:
        verdict = await stream.run(pieces(speech(6.0)))

    assert verdict.decision is Decision.STEP_UP
    assert Reason.CHALLENGE_UNANSWERED in verdict.evidence.reasons


async def test_a_call_has_three_challenges(bank: Served) -> None:
    """The fourth is refused, also for another subject of the same call."""
    left = [(await asked(bank)).attempts_left for _ in range(3)]

    assert left == [2, 1, 0]
    with pytest.raises(ChallengeLimitError):
        await asked(bank, subject="bob")


async def test_a_clients_result_is_used_and_marked(
    bank: Served, recogniser: FakeRecogniser
) -> None:
    """What the IVR heard takes the recogniser's place, wrong words included, and is marked so."""
    recogniser.failure = RuntimeError("must not be asked")
    challenge = await asked(bank)
    async with bank.client.verify(
        VerifyOptions("call-1", TENANT, "alice", bank.claim().audio_format)
    ) as stream:
        await stream.prompted(challenge.challenge)
        await stream.recognised(challenge.challenge, "1 2", 0.99)
        verdict = await stream.run(pieces(speech(5.0) + silence(3.0)))

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.challenge is not None
    assert verdict.evidence.challenge.source is RecognitionSource.CLIENT
    assert verdict.evidence.challenge.cause is ChallengeCause.WRONG_CONTENT


async def test_challenges_that_are_switched_off_are_refused(tmp_path: Path) -> None:
    """A server without challenges says so."""
    with fake_parts(tmp_path) as parts:
        async with served(parts) as service:
            with pytest.raises(PolicyError):
                await asked(service)
