# SPDX-License-Identifier: Apache-2.0
"""Say, during a live call, how strongly the caller's voice supports the claimed identity.

The order of one call; the service drives it and runs the model between ``hear`` and ``weigh``:

(1) ``VerifyCall(engine, claim)`` checks the request.
(2) ``load()`` fetches the voiceprints, or a stand-in when there are none, at the same cost. Where
    the subject's permission has ended the call is ``decided`` at once, and no audio is looked at.
(3) ``hear``, ``gap``, ``dtmf``, ``finish`` return spans; each counted span is embedded once.
(4) ``compare(span)`` looks for it in earlier calls; ``weigh(span, embedding, spoof_score)``
    returns evidence; ``decided`` may become true.
(5) ``conclude()`` writes the decision record and returns the verdict; ``abandon()`` records a call
    that was lost before.
"""

from voiceauth.decision.permission import REFUSALS, respected
from voiceauth.decision.policy import Policy
from voiceauth.decision.step_up import usable
from voiceauth.decision.verdict import FAULTED, Decider, Outcome
from voiceauth.errors import InternalError
from voiceauth.liveness.challenge import held_back, slot_of
from voiceauth.liveness.challenge_book import Asked
from voiceauth.ports import SpeakerEmbedder, Transaction
from voiceauth.types import (
    Continuity,
    Decision,
    Embedding,
    Evidence,
    Liveness,
    LivenessState,
    ModelHash,
    Reason,
    Score,
    Span,
    SubjectStanding,
    Verdict,
)
from voiceauth.units import Rate, Seconds
from voiceauth.usecases.answer_tap import Answer
from voiceauth.usecases.attempt_desk import VoicePath
from voiceauth.usecases.call_evidence import Known, evidence_now
from voiceauth.usecases.challenges import Answering
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.claimed_voice import claimed_voice, standing_at_end
from voiceauth.usecases.counted_attempt import CountedAttempt
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.failed_voices import rejected_voice
from voiceauth.usecases.listening import HearingCall, Listener
from voiceauth.usecases.liveness_layers import SpanContinuity, SyntheticEar
from voiceauth.usecases.probe import Probe
from voiceauth.usecases.records import evidence_body, look_body, policy_body, terms_body
from voiceauth.usecases.replay_ear import ReplayEar
from voiceauth.usecases.step_up import Found, offer
from voiceauth.usecases.two_models import CarryOver, world_of
from voiceauth.usecases.watch_call import WatchCall


class VerifyCall(HearingCall):
    """One verification. Not thread-safe: one caller, one driver.

    Raises:
        UnknownPolicyError: the claim names a policy that is not defined.
        UnsupportedFormatError: the audio format is impossible.
    """

    def __init__(self, engine: Engine, claim: Claim) -> None:
        super().__init__(Listener(claim.audio_format, engine.speech, engine.max_audio_seconds))
        self._engine = engine
        self._claim = claim
        self._policy: Policy = engine.policy(claim.policy)
        self._standing = SubjectStanding.UNKNOWN
        self._enrolled: Embedding | None = None
        self._enrolled_seconds: Seconds = engine.enrolment.needed_seconds
        self._decider: Decider | None = None
        self._probe = Probe()
        self._synthetic = SyntheticEar(engine.spoof)
        self._continuity = SpanContinuity(engine)
        self._replay = ReplayEar(engine, claim.tenant, claim.subject, claim.call)
        self._tries = CountedAttempt(engine, VoicePath(claim.tenant, claim.subject, claim.number))
        self._score: Score | None = None
        self._outcome: Outcome | None = None
        self._next_look: Seconds = self._policy.floor_seconds
        self._looks: list[dict[str, object]] = []
        asked = Asked(claim.tenant, claim.call, claim.subject)
        self.answering = Answering(engine, asked, claim.audio_format)
        self._ended = False
        self._newer: Engine | None = None
        self._spans: list[Span] = []

    def load(self) -> None:
        """Fetch what the voice is compared with. Blocking: call it off the event loop.

        Raises:
            StorageError: the vault cannot be read.
            IntegrityError: the voiceprint failed its check; nothing may be decided.
        """
        with self._engine.vault.read() as view:
            self._enter(world_of(self._engine, view, self._claim.tenant, self._claim.subject))
            found = claimed_voice(self._engine, view, self._claim.tenant, self._claim.subject)
            self._standing, self._enrolled = found.standing, found.embedding
            self._enrolled_seconds = found.net_seconds
            may_accept = self._standing is SubjectStanding.ENROLLED
            self._replay.load(view, known=may_accept)
            self._tries.load(view)
        self._decider = Decider(self._policy, may_accept=may_accept)
        self._outcome = REFUSALS.get(self._standing, self._tries.closing)

    def _enter(self, world: Engine) -> None:
        """Go on in the world of the model that the subject's voiceprints are of."""
        if world is self._engine:
            return
        self._newer, self._engine = self._engine, world
        self._continuity = SpanContinuity(world)
        self._tries = CountedAttempt(
            world, VoicePath(self._claim.tenant, self._claim.subject, self._claim.number)
        )

    @property
    def embedder(self) -> SpeakerEmbedder:
        """The model that hears this call, from ``load`` on."""
        return self._engine.embedder

    def carry_over(self) -> CarryOver | None:
        """Return the speech of a call that matched, for the new model; None outside a migration."""
        if self._newer is None or not self._matched or not self._spans:
            return None
        claim = self._claim
        return CarryOver(self._newer, claim.tenant, claim.subject, claim.call, tuple(self._spans))

    @property
    def patient(self) -> bool:
        """False while an answer to a challenge may be heard, which is not a span."""
        return not self.answering.pending

    def heard(self, data: bytes) -> None:
        """Note audio bytes; the answer to a challenge is cut from them, too."""
        super().heard(data)
        self.answering.hear(data)

    def gap(self, lost_seconds: Seconds) -> list[Span]:
        """Note lost audio."""
        spans = super().gap(lost_seconds)
        self.answering.gap(lost_seconds)
        return spans

    def finish(self) -> list[Span]:
        """End the audio; what the last spans bring is judged by ``conclude``."""
        self._ended = True
        self.answering.finish()
        return super().finish()

    def score_answer(self, answer: Answer, embedding: Embedding) -> Score:
        """Compare the span of an answer to a challenge with the voiceprints, by itself."""
        return self._scored(embedding, answer.net_seconds)

    def compare(self, span: Span) -> None:
        """Look for a counted span in what was heard before. Call it off the event loop."""
        self._replay.hear(span)

    @property
    def decided(self) -> bool:
        """True once no more audio is needed."""
        return self._outcome is not None

    def weigh(self, span: Span, embedding: Embedding, spoof_score: float | None = None) -> Evidence:
        """Add one embedded span and judge, if enough new speech came since the last look.

        Args:
            span: counted.
            embedding: of its samples.
            spoof_score: of its samples; None without a spoof model or for too short a span.

        Returns:
            The evidence now.
        """
        if self._newer is not None:
            self._spans.append(span)
        self._continuity.add(span, embedding, self._probe)
        self._probe.add(span, embedding)
        self._synthetic.add(span, spoof_score)
        self._replay.weighed()
        net = self._probe.net_seconds
        if net >= self._policy.floor_seconds:
            self._score = self._compare(net)
        due = net >= self._next_look - 1e-6 and not self.answering.pending
        if self._score is not None and due and not self._ended:
            self._next_look = net + self._policy.step_seconds
            outcome = self._decide(final=False)
            self._outcome = outcome if outcome.decision is not None else None
        return self.evidence()

    def evidence(self) -> Evidence:
        """Return what is known now."""
        return evidence_now(
            Known(
                policy=self._policy,
                score=self._score,
                outcome=self._outcome,
                probed_seconds=self._probe.net_seconds,
                liveness=self.liveness(),
                challenge=self.answering.evidence,
                replay=self._replay.evidence(),
            ),
            self._listener,
        )

    def liveness(self) -> Liveness:
        """Return the layers' words so far."""
        return Liveness(
            synthetic=self._synthetic.slot(self._probe.net_seconds),
            replay=self._replay.slot(),
            challenge=slot_of(self.answering.evidence),
            continuity=self._continuity.slot(),
        )

    def watch(self) -> WatchCall | None:
        """Go on listening after the verdict; None where there is nothing to watch by.

        After a match the voice must stay that of the call and of the voiceprint, after another
        STEP_UP that of the call: whoever passes the other factor must go on speaking.
        """
        decision = None if self._outcome is None else self._outcome.decision
        if self._ended or decision not in {Decision.ACCEPT, Decision.STEP_UP}:
            return None
        if self._engine.continuity is None or self._score is None:
            return None
        return WatchCall(
            self._engine,
            Asked(self._claim.tenant, self._claim.call, self._claim.subject),
            self._listener,
            call=self._probe.mean(),
            voiceprint=self._enrolled if self._matched else None,
        )

    def unwatched(self, *, fault: bool = False) -> Continuity:
        """Return the last word about a call that was not watched after its verdict."""
        return Continuity(
            LivenessState.NOT_MEASURED,
            self._listener.heard_seconds,
            reasons=(Reason.ENGINE_FAULT,) if fault else (),
            final=True,
        )

    def conclude(self, *, fault: bool = False) -> Verdict:
        """Decide, record, and only then answer. Blocking: call it off the event loop.

        Args:
            fault: a part of the engine failed during the call; the verdict is STEP_UP.

        Raises:
            StorageError: the record could not be written; there is no verdict.
        """
        if self._outcome is None or fault:
            self._outcome = FAULTED if fault else self._decide(final=True)
        if not fault:
            self._tries.compare(self._probe, matched=self._matched)
        decided, voices = self._outcome.decision, self._engine.voices
        voice = rejected_voice(voices, self._claim.tenant, decided, self._probe)
        with self._engine.vault.begin() as transaction:
            decision, evidence, record_id = self._record_verdict(transaction, voice, fault=fault)
        return Verdict(
            decision=decision,
            evidence=evidence,
            policy=self._policy.name,
            target_false_match_rate=self._policy.target_false_match_rate,
            record_id=record_id,
            model=self._engine.embedder.model,
            calibration=self._engine.scorer.version,
            max_spoof_false_accept=self._policy.max_spoof_false_accept,
            spoof_model=self._spoof_model,
        )

    def _record_verdict(
        self, transaction: Transaction, voice: str | None, *, fault: bool
    ) -> tuple[Decision, Evidence, int]:
        """Hold the outcome against the permission of this moment, and write it down."""
        engine, tenant, subject = self._engine, self._claim.tenant, self._claim.subject
        standing = self._standing
        if self._outcome is not None and not fault:
            standing = standing_at_end(engine, transaction, tenant, subject, standing)
            self._outcome = respected(self._outcome, standing)
            self._outcome = self._tries.settle(
                transaction,
                self._outcome,
                self._probe,
                matched=self._matched,
                compared=self._score is not None and self._score.llr is not None,
            )
        decision = None if self._outcome is None else self._outcome.decision
        if decision is None:
            raise InternalError(detail="a final look gave no decision")
        reached = () if fault else self._reached(standing)
        evidence = self.evidence()
        body = {
            **evidence_body(evidence),
            "replay": self._replay.body(),
            "call": engine.pseudonym(tenant, self._claim.call),
            "subject": engine.subject_pseudonym(transaction, tenant, subject),
            "number": engine.number_pseudonym(tenant, self._claim.number),
            "voice": voice,
            "standing": self._standing.value,
            "standing_at_end": standing.value,
            "decision": decision.value,
            "held": [reason.value for reason in self._tries.held],
            **policy_body(self._policy),
            "policy_terms": terms_body(self._policy),
            "looks": self._looks,
            "reached": list(reached),
            "enrolled_seconds": self._enrolled_seconds,
            "challenge_asked": self.answering.asked,
            "fault": fault,
            "model": self._engine.embedder.model,
            "calibration": self._engine.scorer.version,
            "spoof_model": self._spoof_model,
        }
        now = engine.clock.now()
        entry = transaction.append(at=now, tenant=tenant, event="verify.verdict", body=body)
        if self._matched:  # an impostor's call is no interaction of the subject
            transaction.note_interaction(tenant, subject, now)
            self._replay.remember(transaction)
        claim = self._claim
        found = Found(claim.call, tenant, subject, claim.number, decision, entry.sequence, reached)
        offer(engine, transaction, self._policy, found)
        return decision, evidence, entry.sequence

    def _reached(self, standing: SubjectStanding) -> tuple[Rate, ...]:
        """Return the rates of the policy's routes that the voice reached, and may count with."""
        challenged = held_back(self.answering.evidence, asked=self.answering.asked)
        counts = standing is SubjectStanding.ENROLLED and challenged is None
        if self._outcome is None or self._decider is None or self._tries.held or not counts:
            return ()
        return usable(self._outcome, self._decider.reached)

    def abandon(self) -> None:
        """Record that the call was lost before a verdict. Blocking; raises StorageError."""
        engine, tenant, subject = self._engine, self._claim.tenant, self._claim.subject
        body = {
            **evidence_body(self.evidence()),
            "replay": self._replay.body(),
            "call": engine.pseudonym(tenant, self._claim.call),
            "number": engine.number_pseudonym(tenant, self._claim.number),
        }
        with engine.vault.begin() as transaction:
            body["subject"] = engine.subject_pseudonym(transaction, tenant, subject)
            transaction.append(
                at=engine.clock.now(), tenant=tenant, event="verify.abandoned", body=body
            )
            self._tries.abandon(transaction, compared=self._score is not None)

    def _compare(self, net: Seconds) -> Score:
        return self._scored(self._probe.mean(), net)

    def _scored(self, probe: Embedding, net: Seconds) -> Score:
        if self._enrolled is None:
            raise InternalError(detail="weigh before load")
        return self._engine.scorer.score(
            probe,
            self._enrolled,
            net_seconds=net,
            bandwidth=self._probe.bandwidth,
            enrolled_seconds=self._enrolled_seconds,
            snr_db=self._probe.snr_db,
        )

    def _decide(self, *, final: bool) -> Outcome:
        if self._decider is None:
            raise InternalError(detail="a decision before load")
        liveness = self.liveness()
        net = self._probe.net_seconds
        outcome = self._decider.look(self._score, net_seconds=net, final=final, liveness=liveness)
        self._looks.append(
            look_body(
                self._score,
                liveness,
                net_seconds=net,
                final=final,
                bandwidth=self._probe.bandwidth,
                snr_db=self._probe.snr_db,
            )
        )
        held = held_back(self.answering.evidence, asked=self.answering.asked)
        if outcome.decision is Decision.ACCEPT and held is not None:
            return Outcome(Decision.STEP_UP, (held, *outcome.reasons))
        return outcome

    @property
    def _matched(self) -> bool:
        """True if nothing but the policy's wish for another factor stood before an ACCEPT."""
        if self._outcome is None or self._outcome.decision is Decision.ACCEPT:
            return self._outcome is not None
        return self._outcome.reasons[:1] == (Reason.VOICE_NOT_ACCEPTABLE_ALONE,)

    @property
    def _spoof_model(self) -> ModelHash | None:
        return None if self._engine.spoof is None else self._engine.spoof.detector.model
