# SPDX-License-Identifier: Apache-2.0
"""What a call of an enrolment ends in: a voiceprint, segments that wait, or nothing.

In this order, the first that holds decides:

(1) The call is not shown to be living: nothing of it is kept; what earlier calls collected stays.
(2) Most of the call does not sound like the rest: nothing is kept.
(3) There is too little speech: the segments wait for the next call.
(4) Most of what is collected is not one voice: nothing is kept.
(5) Too little of it is one voice: that waits for the next call.
(6) The voice is on a watchlist, or another subject's: nothing is kept.
(7) A voiceprint is stored.

The ledger's entry is written in the same transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voiceauth.ports import Transaction
from voiceauth.scoring.combine import centroid, mean_level
from voiceauth.types import (
    CallId,
    Embedding,
    EnrolmentOutcome,
    EnrolmentResult,
    EnrolmentSegment,
    Reason,
    Subject,
    SubjectId,
    TenantId,
    Voiceprint,
    VoiceprintId,
)
from voiceauth.units import Seconds
from voiceauth.usecases.coherence import coherent
from voiceauth.usecases.duplicates import other_subject_with_this_voice
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrolment_liveness import EnrolmentGate


@dataclass(frozen=True, slots=True)
class HeardCall:
    """What one call of an enrolment brought.

    Attributes:
        kept_recording: it was no call, but a recording from before.
        segments: that counted.
        incoherent_seconds: net speech of the spans that did not sound like the rest.
        heard_seconds: of audio in all.
    """

    call: CallId
    tenant: TenantId
    subject: SubjectId
    kept_recording: bool
    segments: tuple[EnrolmentSegment, ...]
    incoherent_seconds: Seconds
    heard_seconds: Seconds


class EnrolmentEnding:
    """Settles one call within one write transaction.

    Args:
        engine: in whose model's world the segments are.
        transaction: that also re-checked the permission.
        heard: what the call brought.
        gate: what was said about its liveness.
    """

    def __init__(
        self, engine: Engine, transaction: Transaction, heard: HeardCall, gate: EnrolmentGate
    ) -> None:
        self._engine = engine
        self._transaction = transaction
        self._heard = heard
        self._gate = gate

    def settle(self, subject: Subject, earlier: Sequence[EnrolmentSegment]) -> EnrolmentResult:
        """Store what is to be stored, and say so in the ledger.

        Args:
            subject: who may be enrolled.
            earlier: what other calls collected and the vault holds.

        Raises:
            StorageError: nothing was stored.
        """
        engine, heard = self._engine, self._heard
        refusal = self._gate.refusal()
        if refusal is not None:
            outcome = EnrolmentOutcome.NOT_LIVE
            return self._keep(outcome, earlier, subject, reasons=(refusal,))
        if heard.incoherent_seconds > sum(one.net_seconds for one in heard.segments):
            return self._keep(EnrolmentOutcome.INCOHERENT, (), subject)
        segments = (*earlier, *heard.segments)
        net = sum(one.net_seconds for one in segments)
        if net < engine.enrolment.needed_seconds:
            return self._keep(EnrolmentOutcome.PARTIAL, segments, subject)
        kept = coherent(engine.scorer, segments, engine.enrolment.coherence_false_non_match_rate)
        kept_net = sum(one.net_seconds for one in kept)
        if kept_net <= net / 2:
            return self._keep(EnrolmentOutcome.INCOHERENT, (), subject)
        if kept_net < engine.enrolment.needed_seconds:
            return self._keep(EnrolmentOutcome.PARTIAL, kept, subject)
        return self._store_unless_known(subject, kept)

    def _store_unless_known(
        self, subject: Subject, kept: Sequence[EnrolmentSegment]
    ) -> EnrolmentResult:
        """Store a voiceprint, unless the voice is watched or somebody else's."""
        mean = centroid([(one.embedding, one.net_seconds) for one in kept])
        found = other_subject_with_this_voice(
            self._engine,
            self._transaction,
            subject,
            mean,
            net_seconds=sum(one.net_seconds for one in kept),
            bandwidth=kept[0].bandwidth,
            snr_db=mean_level((one.snr_db, one.net_seconds) for one in kept),
        )
        if found is not None and found.watchlisted:
            outcome = EnrolmentOutcome.WATCHLISTED
            return self._keep(outcome, (), subject, other=found.subject)
        if found is not None:
            outcome = EnrolmentOutcome.DUPLICATE
            return self._keep(outcome, (), subject, other=found.subject)
        return self._store(kept, mean)

    def _keep(
        self,
        outcome: EnrolmentOutcome,
        segments: Sequence[EnrolmentSegment],
        subject: Subject,
        *,
        other: SubjectId | None = None,
        reasons: tuple[Reason, ...] = (),
    ) -> EnrolmentResult:
        """Store the segments for the next call, or drop them, and say so in the ledger."""
        heard = self._heard
        self._transaction.put_pending_segments(
            heard.tenant, heard.subject, self._engine.embedder.model, segments
        )
        net = sum(one.net_seconds for one in segments)
        extra: dict[str, object] = {"reasons": [reason.value for reason in reasons]}
        if other is not None:
            extra[outcome.value] = self._pseudonym(other)
        return EnrolmentResult(
            outcome=outcome,
            net_seconds=net,
            record_id=self._record(outcome, net, extra),
            voiceprints=subject.voiceprints,
            duplicate=other if outcome is EnrolmentOutcome.DUPLICATE else None,
            reasons=reasons,
        )

    def _store(self, segments: Sequence[EnrolmentSegment], mean: Embedding) -> EnrolmentResult:
        heard, engine, transaction = self._heard, self._engine, self._transaction
        model = engine.embedder.model
        voiceprint = Voiceprint(
            voiceprint=VoiceprintId(engine.random.token(16).hex()),
            subject=heard.subject,
            model=model,
            embedding=mean,
            net_seconds=sum(one.net_seconds for one in segments),
            created_at=engine.clock.now(),
            segments=tuple(segments),
        )
        transaction.add_voiceprint(heard.tenant, voiceprint)
        transaction.put_pending_segments(heard.tenant, heard.subject, model, ())
        kept = transaction.keep_latest_voiceprints(
            heard.tenant, heard.subject, model, engine.enrolment.max_voiceprints
        )
        outcome = EnrolmentOutcome.ENROLLED
        extra = {"voiceprint": voiceprint.voiceprint, "segments": len(segments)}
        return EnrolmentResult(
            outcome=outcome,
            net_seconds=voiceprint.net_seconds,
            record_id=self._record(outcome, voiceprint.net_seconds, extra),
            voiceprints=kept,
            voiceprint=voiceprint.voiceprint,
        )

    def _record(self, outcome: EnrolmentOutcome, net: Seconds, extra: Mapping[str, object]) -> int:
        body = {
            "call": self._engine.pseudonym(self._heard.tenant, self._heard.call),
            "subject": self._pseudonym(self._heard.subject),
            "outcome": outcome.value,
            "net_seconds": round(net, 3),
            "heard_seconds": round(self._heard.heard_seconds, 3),
            "model": self._engine.embedder.model,
            "calibration": self._engine.scorer.version,
            "kept_recording": self._heard.kept_recording,
            **self._gate.body(),
            **extra,
        }
        entry = self._transaction.append(
            at=self._engine.clock.now(),
            tenant=self._heard.tenant,
            event="enrol.result",
            body=body,
        )
        return entry.sequence

    def _pseudonym(self, subject: SubjectId) -> str:
        return self._engine.subject_pseudonym(self._transaction, self._heard.tenant, subject)
