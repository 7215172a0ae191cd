# SPDX-License-Identifier: Apache-2.0
"""Put a challenge to a caller, and hear the answer in the stream of the same call.

The order of one challenge; the service drives it and runs recogniser and model beside the loop:

(1) ``create_challenge`` makes the words, binds them to tenant, call and subject, and records it.
(2) ``Answering.prompted`` spends the challenge when the client marks the end of its prompt; a
    challenge that is not known, spent, expired or another call's is refused, and recorded.
(3) ``Answering.hear`` follows the audio until ``due`` returns the answer, or why there is none.
(4) ``Answering.judge`` makes evidence of what was recognised and how the voice scored.
(5) ``Answering.record`` writes it to the ledger before it is shown.
"""

from voiceauth.errors import ChallengeRefusedError, InputError, PolicyError, StreamOrderError
from voiceauth.liveness.challenge import (
    FRAME_SECONDS,
    AnswerState,
    AnswerTiming,
    client_recognition,
    judge_answer,
    unheard,
)
from voiceauth.liveness.challenge_book import Asked, Refusal, Standing
from voiceauth.ports import Transaction
from voiceauth.signal.decoder import bytes_per_frame
from voiceauth.types import (
    AudioFormat,
    Challenge,
    ChallengeCause,
    ChallengeEvidence,
    ChallengeId,
    ChallengeKind,
    Recognition,
    RecognitionSource,
    Score,
)
from voiceauth.units import Seconds
from voiceauth.usecases.answer_tap import Answer, AnswerTap
from voiceauth.usecases.engine import ChallengeDesk, Engine
from voiceauth.usecases.identifiers import call_id, subject_id, tenant_id
from voiceauth.usecases.records import challenge_body

_CONTEXT_SECONDS: Seconds = 1.6
"""Audio before the prompt's end that is kept, so that the noise floor is known at once."""
_MOST_TEXT = 200


def asked_of(tenant: str, call: str, subject: str) -> Asked:
    """Check the names that a challenge is bound to. Raises InputError."""
    return Asked(tenant_id(tenant), call_id(call), subject_id(subject))


def create_challenge(engine: Engine, asked: Asked, kind: ChallengeKind) -> Challenge:
    """Make a challenge and record it, without its words. Blocking.

    Raises:
        PolicyError: challenges are switched off.
        ChallengeLimitError: the call has had all its challenges.
        BusyError: too many calls have challenges.
        StorageError: it could not be recorded; it was not given out, yet counts as one.
    """
    book = _desk(engine).book
    over = book.sweep(engine.clock.monotonic())
    now = engine.clock.now()
    challenge = book.issue(asked, kind, now=now, monotonic=engine.clock.monotonic())
    with engine.vault.begin() as transaction:
        for who, expired in over:
            _append(engine, transaction, who, "challenge.expired", {"attempt": expired.attempt})
        _append(
            engine,
            transaction,
            asked,
            "challenge.created",
            {
                "challenge": challenge.challenge,
                "kind": kind.value,
                "words": len(challenge.words),
                "attempt": challenge.attempt,
                "expires_at": challenge.expires_at.isoformat(),
            },
        )
    return challenge


def _desk(engine: Engine) -> ChallengeDesk:
    if engine.challenges is None:
        raise PolicyError("Challenges are switched off.")
    return engine.challenges


def _append(
    engine: Engine, transaction: Transaction, asked: Asked, event: str, body: dict[str, object]
) -> None:
    named = {
        "call": engine.pseudonym(asked.tenant, asked.call),
        "subject": engine.subject_pseudonym(transaction, asked.tenant, asked.subject),
    }
    transaction.append(
        at=engine.clock.now(), tenant=asked.tenant, event=event, body={**named, **body}
    )


def _record(engine: Engine, asked: Asked, event: str, body: dict[str, object]) -> None:
    with engine.vault.begin() as transaction:
        _append(engine, transaction, asked, event, body)


class Answering:
    """The challenges of one Verify stream, one after the other. Not thread-safe.

    Args:
        engine: with or without challenges.
        asked: tenant, call and subject of the stream.
        audio_format: of the stream.
    """

    def __init__(self, engine: Engine, asked: Asked, audio_format: AudioFormat) -> None:
        self._engine = engine
        self._asked = asked
        self._format = audio_format
        frame = bytes_per_frame(audio_format)
        self._frame_bytes = frame
        self._most_recent = round(_CONTEXT_SECONDS * audio_format.rate_hz) * frame
        self._recent = bytearray()
        self._received = 0
        self._challenge: Challenge | None = None
        self._tap: AnswerTap | None = None
        self._client: Recognition | None = None
        self._ended = False
        self.evidence: ChallengeEvidence | None = None

    @property
    def pending(self) -> bool:
        """True while a challenge is open, or its answer is awaited or judged."""
        return self._challenge is not None or self._standing().open

    @property
    def asked(self) -> bool:
        """True once a challenge was made for this call and subject."""
        return self._standing().asked

    def _standing(self) -> Standing:
        desk = self._engine.challenges
        if desk is None:
            return Standing(asked=False, open=False)
        return desk.book.standing(self._asked, self._engine.clock.monotonic())

    def prompted(self, challenge: ChallengeId) -> None:
        """Begin to listen for the answer. Blocking.

        Raises:
            PolicyError: challenges are switched off.
            ChallengeRefusedError: it cannot be used; recorded.
            StreamOrderError: the answer to another one is still awaited.
            StorageError: the refusal could not be recorded.
        """
        book = _desk(self._engine).book
        if self._challenge is not None:
            raise StreamOrderError("The answer to another challenge is still awaited.")
        found = book.redeem(challenge, self._asked, self._engine.clock.monotonic())
        if isinstance(found, Refusal):
            body: dict[str, object] = {"refusal": found.value}
            event = "challenge.expired" if found is Refusal.EXPIRED else "challenge.refused"
            _record(self._engine, self._asked, event, body)
            raise ChallengeRefusedError(_REFUSALS[found], detail=found.value)
        self._challenge = found
        self.evidence = None
        self._client = None
        self._tap = self._open_tap()

    def recognised(self, challenge: ChallengeId, text: str, confidence: float) -> None:
        """Take the client's own result.

        Raises:
            PolicyError: challenges are off, or the settings do not take results of clients.
            ChallengeRefusedError: no answer to this challenge is awaited.
            InputError: the text is too long, or the confidence is no probability.
        """
        desk = _desk(self._engine)
        if not desk.accept_client_recognition:
            raise PolicyError("This server does not take recognition results of clients.")
        if self._challenge is None or self._challenge.challenge != challenge:
            raise ChallengeRefusedError("No answer to this challenge is awaited.")
        if not 0.0 < confidence < 1.0 or len(text) > _MOST_TEXT:
            raise InputError("A recognition has at most 200 characters and 0 < confidence < 1.")
        self._client = client_recognition(self._challenge.words, text, confidence, desk.options)

    def hear(self, data: bytes) -> None:
        """Take audio bytes of the stream, whatever else becomes of them."""
        self._received += len(data)
        if self._tap is not None:
            self._tap.hear(data)
            return
        self._recent += data
        over = len(self._recent) - self._most_recent
        if over > 0:
            del self._recent[:over]

    def gap(self, lost_seconds: Seconds) -> None:
        """Note lost audio: an answer with a hole in it proves nothing."""
        self._recent.clear()
        if lost_seconds > 0 and self._tap is not None:
            self._ended = True

    def finish(self) -> None:
        """End the audio."""
        if self._tap is not None:
            self._tap.finish()
        self._ended = True

    def due(self) -> Answer | None:
        """Return the answer once it is complete, or once it is sure that there is none."""
        if self._challenge is None or self._tap is None:
            return None
        desk = _desk(self._engine)
        timing = self._tap.timing(desk.options, ended=self._ended)
        if timing.state is AnswerState.TOO_EARLY:
            return self._closed(ChallengeCause.TOO_EARLY, timing)
        if timing.state is AnswerState.TOO_LATE:
            return self._closed(ChallengeCause.TOO_LATE, timing)
        if timing.state is not AnswerState.COMPLETE:
            return self._closed(ChallengeCause.CUT_SHORT, timing) if self._ended else None
        return self._complete(timing, desk)

    def judge(
        self, answer: Answer, recognition: Recognition | ChallengeCause, voice: Score | None
    ) -> ChallengeEvidence:
        """Make evidence of an answer.

        Args:
            answer: from ``due``.
            recognition: what was heard, or why nothing was; ignored where ``answer.cause`` says so.
            voice: the score of ``answer.spoken``; None if it could not be embedded.
        """
        if answer.cause is not None and answer.recognition is None and not len(answer.spoken):
            return unheard(answer.challenge, answer.cause, answer.onset_seconds)
        heard = isinstance(recognition, Recognition)
        client = RecognitionSource.CLIENT if answer.recognition else RecognitionSource.ENGINE
        return judge_answer(
            answer.challenge,
            _desk(self._engine).options,
            onset_seconds=answer.onset_seconds,
            recognition=recognition,
            source=client if heard else None,
            voice=voice,
        )

    def record(self, answer: Answer, evidence: ChallengeEvidence) -> None:
        """Write how the challenge was met, then show it. Blocking; raises StorageError."""
        recogniser = answer.recogniser
        body = {
            **challenge_body(evidence),
            "recogniser": None if recogniser is None else recogniser.name,
            "net_speech_seconds": round(answer.net_seconds, 3),
        }
        _record(self._engine, self._asked, "challenge.answered", body)
        self.evidence = evidence
        self._challenge = None

    def _open_tap(self) -> AnswerTap:
        """Begin at the last whole sample frame; the bytes after it belong to what follows."""
        split = self._received % self._frame_bytes
        whole = len(self._recent) - split
        start = whole % self._frame_bytes
        context, rest = bytes(self._recent[start:whole]), bytes(self._recent[whole:])
        self._recent.clear()
        tap = AnswerTap(self._format, self._engine.speech, context)
        tap.hear(rest)
        return tap

    def _complete(self, timing: AnswerTiming, desk: ChallengeDesk) -> Answer | None:
        """Return the answer, or None while the client's own result may still come."""
        if self._tap is None or self._challenge is None:
            return None
        wait = round(desk.options.client_wait_seconds / FRAME_SECONDS)
        hopeful = desk.accept_client_recognition and not self._ended
        unknown = self._client is None and desk.recogniser is None
        if unknown and hopeful and self._tap.heard_frames < timing.stop + wait:
            return None
        samples, spoken, net = self._tap.cut(timing.start, timing.stop)
        answer = Answer(
            challenge=self._challenge,
            cause=ChallengeCause.RECOGNISER_MISSING if unknown else None,
            onset_seconds=timing.onset_seconds,
            samples=samples,
            spoken=spoken,
            net_seconds=net,
            rate_hz=self._tap.rate_hz,
            recognition=self._client,
            recogniser=None if self._client is not None else desk.recogniser,
        )
        self._tap = None
        return answer

    def _closed(self, cause: ChallengeCause, timing: AnswerTiming) -> Answer | None:
        if self._challenge is None:
            return None
        self._tap = None
        return Answer(self._challenge, cause, timing.onset_seconds)


_REFUSALS = {
    Refusal.UNKNOWN: "This challenge is not known.",
    Refusal.USED: "This challenge was used before or replaced by a later one.",
    Refusal.EXPIRED: "This challenge has expired.",
    Refusal.WRONG_CALL: "This challenge belongs to another call or subject.",
}
