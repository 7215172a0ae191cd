# SPDX-License-Identifier: Apache-2.0
"""The replay layer of one call: compare each counted span, remember the call if accepted."""

import numpy as np

from voiceauth.consent.rules import in_force
from voiceauth.errors import InternalError
from voiceauth.liveness.fingerprint import Floats, packed
from voiceauth.liveness.rates import PENDING, rated_slot
from voiceauth.liveness.replay import RATES, Comparison
from voiceauth.liveness.timeline import Timeline
from voiceauth.ports import Transaction
from voiceauth.types import (
    CallId,
    LivenessSlot,
    ReplayEvidence,
    Span,
    SubjectId,
    SubjectState,
    TenantId,
)
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.replay_guard import at_fingerprint_rate


class ReplayEar:
    """Compares one call's counted spans with what was heard in earlier calls.

    Args:
        engine: without ``replay`` the layer is not measured, ever.
        tenant: of the claim.
        subject: of the claim.
        call: this one.
    """

    def __init__(self, engine: Engine, tenant: TenantId, subject: SubjectId, call: CallId) -> None:
        self._engine = engine
        self._guard = engine.replay
        self._tenant, self._subject, self._call = tenant, subject, call
        self._timeline = Timeline()
        self._comparison: Comparison | None = None
        self._found: ReplayEvidence | None = None
        self._frames: list[Floats] = []
        self._heard = 0
        self._weighed = 0

    def load(self, view: Transaction, *, known: bool) -> None:
        """Fetch what is remembered, or a stand-in at the same cost. Blocking.

        Args:
            view: of the vault.
            known: whether the claim may be accepted at all.

        Raises:
            IntegrityError: what is stored was changed; nothing may be decided from it.
        """
        if self._guard is None:
            return
        who = (self._tenant, self._subject)
        remembered = self._guard.load(view, *who, self._call)
        stand_in = self._guard.stand_in(*who)
        self._comparison = Comparison(self._guard.key(*who), remembered if known else stand_in)

    def hear(self, span: Span) -> None:
        """Compare a counted span. Some ten milliseconds: call it off the event loop.

        Raises:
            BadAudioError: the span is not what the signal room makes.
        """
        if self._guard is None:
            return
        if self._comparison is None:
            raise InternalError(detail="a replay was looked for before load")
        audio = at_fingerprint_rate(span.samples, self._engine.embedder.rate_hz)
        self._frames.append(self._comparison.push(*self._timeline.lay_out(audio, span.hops)))
        self._found = self._comparison.evidence()
        self._heard += 1

    def weighed(self) -> None:
        """Note a span that counts for the voice: until it was heard here, the layer holds back."""
        self._weighed += 1

    def evidence(self) -> ReplayEvidence | None:
        """Return what was found so far; None where there is nothing to say."""
        return self._found

    def slot(self) -> LivenessSlot:
        """Return the layer's word."""
        if self._comparison is None or not self._comparison.possible:
            return LivenessSlot()
        evidence = self._found
        if evidence is None or self._heard < self._weighed:
            return PENDING
        return rated_slot(evidence.llr, RATES)

    def body(self) -> dict[str, object] | None:
        """Return the evidence as the ledger keeps it: numbers, and a pseudonym for the call."""
        found = self.evidence()
        if found is None:
            return None
        call = None if found.call is None else self._engine.pseudonym(self._tenant, found.call)
        return {
            "llr": found.llr,
            "agreement": round(found.agreement, 4),
            "call": call,
            "matched_seconds": round(found.matched_seconds, 3),
            "compared_seconds": round(found.compared_seconds, 3),
            "speed": found.speed,
        }

    def remember(self, transaction: Transaction) -> None:
        """Remember this call in the transaction that records its acceptance. Blocking.

        Nothing is remembered of somebody whose permission ended during the call.

        Raises:
            IntegrityError: what is stored was changed.
        """
        if self._guard is None or not self._frames:
            return
        found = transaction.subject(self._tenant, self._subject)
        if found is None or found.state is SubjectState.OPTED_OUT:
            return
        if in_force(found.consent, self._engine.enrolment.purpose, self._engine.clock.now()):
            print_ = packed(np.concatenate(self._frames)[: self._guard.rules.frames])
            who = (self._tenant, self._subject, self._call)
            self._guard.remember(transaction, *who, print_)
