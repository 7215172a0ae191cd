# SPDX-License-Identifier: Apache-2.0
"""Verify and Identify over the driver.

Rules of Verify:

* A fault of the engine during the call ends it in STEP_UP, recorded as a fault.
* A record that cannot be written ends it in UNAVAILABLE, without a verdict.
* A mistake of the caller, or a lost call, leaves a record of an abandoned call.
* Nothing here depends on whether the subject exists: the use case's stand-in sees to the rest.
* Opened with ``keep_listening`` the stream owes a last word about continuity after the verdict,
  also where nothing could be watched.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog

from voiceauth.errors import (
    DependencyError,
    EngineError,
    IntegrityError,
    InternalError,
    StreamOrderError,
    TooShortError,
)
from voiceauth.service.carrying import carried_over
from voiceauth.service.drive import Drive, Talk, bind_call, recorded
from voiceauth.service.evidence import noticeable
from voiceauth.service.faults import engine_errors_only
from voiceauth.service.identification import IdentifyTalk
from voiceauth.service.logging import failure
from voiceauth.service.recognition import recognised
from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.types import AudioFormat, Continuity, Evidence, LivenessState, Score, Span, Verdict
from voiceauth.usecases.answer_tap import Answer
from voiceauth.usecases.challenges import asked_of, create_challenge
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.identifiers import (
    call_id,
    calling_number,
    challenge_id,
    subject_id,
    tenant_id,
)
from voiceauth.usecases.listening import HearingCall
from voiceauth.usecases.verify_call import VerifyCall
from voiceauth.usecases.watch_call import WatchCall
from voiceauth.v1 import verification_pb2, verification_pb2_grpc
from voiceauth.wire.audio import format_from_wire
from voiceauth.wire.challenge import challenge_kind_from_wire, challenge_to_wire
from voiceauth.wire.continuity import continuity_to_wire
from voiceauth.wire.evidence import evidence_to_wire, verdict_to_wire


class VerifyTalk(Talk[verification_pb2.VerifyResponse]):
    """One Verify stream."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._call: VerifyCall | None = None
        self._sent: Evidence | None = None
        self._keep_listening = False
        self._answered = False
        self._watch: WatchCall | None = None
        self._watch_sent: LivenessState | None = None

    async def open(self, opening: verification_pb2.VerifyOpen) -> tuple[HearingCall, AudioFormat]:
        """Check the claim and fetch what the voice is compared with."""
        claim = Claim(
            call=call_id(opening.call_id),
            tenant=tenant_id(opening.tenant_id),
            subject=subject_id(opening.subject_id),
            audio_format=format_from_wire(opening.format),
            policy=opening.policy,
            number=calling_number(opening.calling_number),
        )
        self._keep_listening = opening.keep_listening
        bind_call(self._runtime, claim.tenant, claim.call)
        self._call = VerifyCall(self._runtime.engine, claim)
        self.opened = True
        await in_vault(self._runtime, self._call.load)
        return self._call, claim.audio_format

    @property
    def done(self) -> bool:
        """True once the evidence decides, and in a watch once another person was heard."""
        return self._running.decided if self._watch is None else self._watch.over

    @property
    def owes_last_word(self) -> bool:
        """True until the word about continuity was given, if it was asked for."""
        return self._keep_listening

    def go_on(self, *, ended: bool) -> HearingCall | None:
        """Watch the rest of the call, if there is a rest and something to watch it by."""
        self._watch = None if ended else self._running.watch()
        return self._watch

    async def take(self, span: Span) -> Sequence[verification_pb2.VerifyResponse]:
        """Embed and weigh a counted span."""
        if self._watch is not None:
            return await self._take_watched(self._watch, span)
        if span.counted:
            try:
                reading = await self._runtime.inference.read(
                    span.samples, partial(self._compare, span), self._running.embedder
                )
            except TooShortError:
                return self.news()  # it adds nothing, as if it had not been spoken
            with engine_errors_only("weighing"):
                evidence = self._running.weigh(span, reading.embedding, reading.spoof_score)
            return self._news_of(evidence)
        return self.news()

    async def _take_watched(
        self, watch: WatchCall, span: Span
    ) -> Sequence[verification_pb2.VerifyResponse]:
        if not span.counted:
            return ()
        with engine_errors_only("the watch"):
            window = watch.window(span)
        if window is None:
            return ()
        try:
            embedding = await self._runtime.inference.embed(window, self._running.embedder)
        except TooShortError:
            return ()
        with engine_errors_only("the watch"):
            watch.weigh(span, embedding)
        return self.news()

    def news(self) -> Sequence[verification_pb2.VerifyResponse]:
        """Return the evidence if it changed; once it decides, only the recorded verdict speaks."""
        if self._watch is not None:
            return self._watch_news(self._watch)
        if self._running.decided:
            return ()
        with engine_errors_only("the evidence"):
            evidence = self._running.evidence()
        return self._news_of(evidence)

    def _news_of(self, evidence: Evidence) -> Sequence[verification_pb2.VerifyResponse]:
        if self._running.decided or not noticeable(self._sent, evidence):
            return ()
        self._sent = evidence
        return (verification_pb2.VerifyResponse(evidence=evidence_to_wire(evidence)),)

    def _watch_news(self, watch: WatchCall) -> Sequence[verification_pb2.VerifyResponse]:
        now = watch.continuity()
        if watch.over or now.state is self._watch_sent:
            return ()  # a hand-over speaks once it is recorded
        self._watch_sent = now.state
        return (_continuity(now),)

    async def mark(self, message: verification_pb2.VerifyRequest) -> None:
        """Take the end of a challenge's prompt, or the client's own recognition of the answer."""
        if self._watch is not None:
            raise StreamOrderError("A challenge cannot be answered after the verdict.")
        answering, kind = self._running.answering, message.WhichOneof("message")
        if kind == "challenge_prompted":
            challenge = challenge_id(message.challenge_prompted.challenge_id)
            await in_vault(self._runtime, lambda: answering.prompted(challenge))
        elif kind == "challenge_recognised":
            heard = message.challenge_recognised
            answering.recognised(challenge_id(heard.challenge_id), heard.text, heard.confidence)
        else:
            await super().mark(message)

    async def attend(self) -> None:
        """Judge and record the answer to a challenge, once it is complete."""
        if self._watch is not None:
            return
        answering = self._running.answering
        with engine_errors_only("the answer"):
            answer = answering.due()
        if answer is None:
            return
        heard, voice = await recognised(self._runtime, answer), await self._voice(answer)
        with engine_errors_only("judging"):
            evidence = answering.judge(answer, heard, voice)
        await in_vault(self._runtime, lambda: answering.record(answer, evidence))

    def _compare(self, span: Span) -> None:
        with engine_errors_only("the comparison with earlier calls"):
            self._running.compare(span)

    async def _voice(self, answer: Answer) -> Score | None:
        """Compare the answer's span with the voiceprint; None if there is too little of it."""
        if not len(answer.spoken):
            return None
        try:
            embedding = await self._runtime.inference.embed(answer.spoken, self._running.embedder)
        except TooShortError:
            return None
        with engine_errors_only("weighing"):
            return self._running.score_answer(answer, embedding)

    async def conclude(self) -> verification_pb2.VerifyResponse:
        """Record and return the verdict, and after it the word about continuity."""
        if not self._answered:
            verdict = await in_vault(self._runtime, self._running.conclude)
            self._answered = True
            over = self._running.carry_over()
            if over is not None:  # after the answer, so that it costs the call nothing
                work = carried_over(self._runtime, over)
                self._runtime.aftercare.leave(work, event="carrying_over_failed")
            return _verdict(verdict)
        return await self._last_word(fault=False)

    async def rescue(self, error: EngineError) -> verification_pb2.VerifyResponse:
        """Answer safely after a fault of the engine; otherwise record the loss and raise."""
        if isinstance(error, (InternalError, IntegrityError)):
            structlog.get_logger().error("engine fault", **failure(error))
            if self._answered:
                return await self._last_word(fault=True)
            verdict = await in_vault(self._runtime, partial(self._running.conclude, fault=True))
            self._answered = True
            return _verdict(verdict)
        if not isinstance(error, DependencyError):  # then nothing can be recorded, either
            await recorded(self.lost())
        raise error

    async def _last_word(self, *, fault: bool) -> verification_pb2.VerifyResponse:
        self._keep_listening = False
        watch = self._watch
        if watch is None:
            return _continuity(self._running.unwatched(fault=fault))
        return _continuity(await in_vault(self._runtime, partial(watch.conclude, fault=fault)))

    async def lost(self) -> None:
        """Record an abandoned call."""
        if self._watch is not None:
            await in_vault(self._runtime, self._watch.abandon)
        elif not self._answered:
            await in_vault(self._runtime, self._running.abandon)

    @property
    def _running(self) -> VerifyCall:
        if self._call is None:
            raise InternalError(detail="a stream was driven before it was opened")
        return self._call


def _verdict(verdict: Verdict) -> verification_pb2.VerifyResponse:
    return verification_pb2.VerifyResponse(verdict=verdict_to_wire(verdict))


def _continuity(continuity: Continuity) -> verification_pb2.VerifyResponse:
    return verification_pb2.VerifyResponse(continuity=continuity_to_wire(continuity))


class VerificationServicer(verification_pb2_grpc.VerificationServiceServicer):
    """The two streams on gRPC."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def Verify(self, request_iterator: Any, context: Any) -> None:  # noqa: N802 - gRPC's name
        """Compare a call with one claimed subject."""
        del request_iterator  # the driver reads from the context
        await Drive(VerifyTalk(self._runtime), context, self._runtime).run()

    async def CreateChallenge(  # noqa: N802
        self, request: verification_pb2.CreateChallengeRequest, context: Any
    ) -> verification_pb2.Challenge:
        """Give words that the caller has to say in this call."""
        del context
        asked = asked_of(request.tenant_id, request.call_id, request.subject_id)
        kind = challenge_kind_from_wire(request.kind)
        bind_call(self._runtime, asked.tenant, asked.call)
        engine = self._runtime.engine
        made = await in_vault(self._runtime, lambda: create_challenge(engine, asked, kind))
        return challenge_to_wire(made)

    async def Identify(self, request_iterator: Any, context: Any) -> None:  # noqa: N802
        """Rank the members of a group."""
        del request_iterator
        await Drive(IdentifyTalk(self._runtime), context, self._runtime).run()
