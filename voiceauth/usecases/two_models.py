# SPDX-License-Identifier: Apache-2.0
"""Two speaker models side by side: each subject lives in the world of one of them.

Rules:

* A subject with a voiceprint of the new model lives in its world; one with voiceprints of the
  previous model only lives in that one's: verification, enrolment and challenges use its model, its
  calibration and its cohort. No score is ever made of two models' embeddings.
* What a call costs does not change: one model per span. Only once a call matched in the previous
  world is its speech embedded by the new model, too, after the verdict was told.
* That speech is kept, as an unfinished enrolment of the new model, until it is enough; then it is
  held together as an enrolment is, and the subject moves. The old voiceprints stay until the
  migration is finished, so a rollback loses nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from voiceauth.consent.rules import in_force
from voiceauth.errors import SettingsError
from voiceauth.models.bundle import ModelBundle
from voiceauth.ports import Gallery, Transaction
from voiceauth.scoring.combine import centroid
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.types import (
    CallId,
    Embedding,
    EnrolmentSegment,
    Samples,
    Span,
    Subject,
    SubjectId,
    SubjectState,
    TenantId,
    Voiceprint,
    VoiceprintId,
)
from voiceauth.usecases.attempt_desk import AttemptDesk
from voiceauth.usecases.coherence import coherent
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.instruments import previous_continuity


def previous_world(engine: Engine, bundle: ModelBundle, gallery: Gallery) -> Engine:
    """Return the engine of the model before: the same in everything but the model.

    Args:
        engine: of the new model.
        bundle: the model before, with what belongs to it.
        gallery: of its own, empty: 1:N search knows the new model only.

    Raises:
        SettingsError: both are one model, or they do not hear the same rate.
        ModelHashMismatchError: a calibration is another model's.
    """
    if bundle.speaker.model == engine.embedder.model:
        raise SettingsError("models.previous and models.speaker are one and the same model.")
    if bundle.speaker.rate_hz != engine.embedder.rate_hz:
        raise SettingsError(
            "models.previous hears another rate than models.speaker; side by side they cannot be."
        )
    attempts = engine.attempts
    return replace(
        engine,
        gallery=gallery,
        embedder=bundle.speaker,
        scorer=CalibratedScorer(bundle.calibration, bundle.cohort, bundle.speaker.model),
        decoys=tuple(bundle.cohort),
        continuity=previous_continuity(bundle, wanted=engine.continuity is not None),
        # Remembered voices of failed attempts are the new model's.
        attempts=None
        if attempts is None
        else AttemptDesk(engine.clock, attempts.rules, attempts.numbers),
        previous=None,
    )


def world_of(engine: Engine, view: Transaction, tenant: TenantId, subject: SubjectId) -> Engine:
    """Return the engine of the model that a subject's voiceprints are of; else the new model's."""
    previous = engine.previous
    if previous is None:
        return engine
    # Both are always read, so that one answer costs what the other does.
    moved = view.voiceprints(tenant, subject, engine.embedder.model)
    waiting = view.voiceprints(tenant, subject, previous.embedder.model)
    return previous if waiting and not moved else engine


@dataclass(frozen=True, slots=True, eq=False)
class CarryOver:
    """The speech of a call that matched in the previous world.

    Attributes:
        engine: of the new model.
        spans: counted, in order.
    """

    engine: Engine
    tenant: TenantId
    subject: SubjectId
    call: CallId
    spans: tuple[Span, ...]

    @property
    def samples(self) -> tuple[Samples, ...]:
        """What the new model is to embed, span by span."""
        return tuple(span.samples for span in self.spans)

    def store(self, embeddings: Sequence[Embedding | None]) -> bool:
        """Keep what the new model heard, and move the subject if it is enough. Blocking.

        Args:
            embeddings: of the spans, None for one that is too short for this model.

        Returns:
            Whether the subject moved.

        Raises:
            StorageError: nothing was stored.
        """
        new = [
            _segment(self.call, span, embedding)
            for span, embedding in zip(self.spans, embeddings, strict=True)
            if embedding is not None
        ]
        engine = self.engine
        with engine.vault.begin() as transaction:
            subject = transaction.subject(self.tenant, self.subject)
            if subject is None or not self._may_move(transaction, subject):
                return False
            model = engine.embedder.model
            waiting = transaction.pending_segments(self.tenant, self.subject, model)
            voiceprint = self._settle(transaction, (*waiting, *new))
        if voiceprint is None:
            return False
        engine.gallery.add(
            self.tenant,
            self.subject,
            voiceprint.voiceprint,
            voiceprint.embedding,
            subject.groups,
        )
        return True

    def _may_move(self, transaction: Transaction, subject: Subject) -> bool:
        """Say whether it is still permitted, and still to be done."""
        engine, previous = self.engine, self.engine.previous
        permitted = subject.state is SubjectState.ACTIVE and in_force(
            subject.consent, engine.enrolment.purpose, engine.clock.now()
        )
        if previous is None or not permitted:
            return False
        return world_of(engine, transaction, self.tenant, self.subject) is previous

    def _settle(
        self, transaction: Transaction, segments: Sequence[EnrolmentSegment]
    ) -> Voiceprint | None:
        rules, model = self.engine.enrolment, self.engine.embedder.model
        place = partial(transaction.put_pending_segments, self.tenant, self.subject, model)
        if _net(segments) < rules.needed_seconds:
            place(segments)
            return None
        kept = coherent(self.engine.scorer, segments, rules.coherence_false_non_match_rate)
        if _net(kept) < rules.needed_seconds:
            # Of speech that does not hold together nothing is kept: the next calls start anew.
            place(kept if 2 * _net(kept) > _net(segments) else ())
            return None
        voiceprint = Voiceprint(
            voiceprint=VoiceprintId(self.engine.random.token(16).hex()),
            subject=self.subject,
            model=model,
            embedding=centroid([(one.embedding, one.net_seconds) for one in kept]),
            net_seconds=_net(kept),
            created_at=self.engine.clock.now(),
            segments=tuple(kept),
        )
        transaction.add_voiceprint(self.tenant, voiceprint)
        place(())
        self._record(transaction, voiceprint)
        return voiceprint

    def _record(self, transaction: Transaction, voiceprint: Voiceprint) -> None:
        engine, previous = self.engine, self.engine.previous
        transaction.append(
            at=engine.clock.now(),
            tenant=self.tenant,
            event="models.moved",
            body={
                "subject": engine.subject_pseudonym(transaction, self.tenant, self.subject),
                "voiceprint": voiceprint.voiceprint,
                "from": "" if previous is None else previous.embedder.model,
                "to": voiceprint.model,
                "segments": len(voiceprint.segments),
                "net_seconds": round(voiceprint.net_seconds, 3),
            },
        )


def _net(segments: Sequence[EnrolmentSegment]) -> float:
    return sum(one.net_seconds for one in segments)


def _segment(call: CallId, span: Span, embedding: Embedding) -> EnrolmentSegment:
    return EnrolmentSegment(
        embedding=embedding,
        net_seconds=span.net_seconds,
        call=call,
        start_seconds=span.start_seconds,
        end_seconds=span.end_seconds,
        snr_db=span.quality.snr_db,
        bandwidth=span.quality.bandwidth,
    )
