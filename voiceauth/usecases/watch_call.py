# SPDX-License-Identifier: Apache-2.0
"""After the verdict, say whether the person who speaks is still the one who was heard before it.

The order of one watch; the service drives it and runs the model between ``hear`` and ``weigh``:

(1) ``VerifyCall.watch()`` makes it from what the call has learnt so far.
(2) ``hear``, ``gap``, ``dtmf``, ``finish`` return short spans; ``window(span)`` joins the newest of
    them to one stretch that is embedded, or says that there is not enough yet.
(3) ``weigh(span, embedding)`` compares it; ``over`` becomes true with a hand-over.
(4) ``conclude()`` records how the watch ended and returns the final word.

A stretch overlaps the one before, so a second of new speech costs ``window / hop`` seconds of
embedding, however long the call. What was heard before the verdict stays the reference: it does not
follow a voice that changes slowly.
"""

from collections import deque
from dataclasses import replace

import numpy as np

from voiceauth.consent.rules import objection
from voiceauth.decision.permission import REFUSALS
from voiceauth.errors import InternalError
from voiceauth.liveness.challenge_book import Asked
from voiceauth.liveness.continuity import ChangeDetector
from voiceauth.ports import Transaction
from voiceauth.types import Continuity, Embedding, LivenessState, Reason, Samples, Span
from voiceauth.units import Seconds
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.listening import HearingCall, Listener

_HAIR = 1e-6


class WatchCall(HearingCall):
    """One watch. Not thread-safe: one caller, one driver.

    Args:
        engine: with a continuity calibration.
        asked: whose call it is, for the record.
        listener: of the call so far.
        call: mean embedding of the speech before the verdict.
        voiceprint: of the subject; None where the verdict did not rest on it.

    Raises:
        InternalError: the engine has no continuity calibration.
    """

    def __init__(
        self,
        engine: Engine,
        asked: Asked,
        listener: Listener,
        *,
        call: Embedding,
        voiceprint: Embedding | None,
    ) -> None:
        super().__init__(listener)
        if engine.continuity is None:
            raise InternalError(detail="a watch without a continuity calibration")
        rule = self._rule = engine.continuity
        self._engine = engine
        self._asked = asked
        self._references = (call,) if voiceprint is None else (call, voiceprint)
        line = rule.call if voiceprint is None else rule.voiceprint
        self._detector = ChangeDetector(line, rule.hop_seconds / rule.window_seconds)
        self._recent: deque[Span] = deque()
        self._watched: Seconds = 0.0
        listener.cut_every(rule.hop_seconds)

    @property
    def over(self) -> bool:
        """True once another person was heard."""
        return self._detector.changed_at_seconds is not None

    def window(self, span: Span) -> Samples | None:
        """Join a counted span to the ones before it; None while they are too short."""
        self._watched += span.net_seconds
        self._recent.append(span)
        while (
            self._net_seconds() - self._recent[0].net_seconds >= self._rule.window_seconds - _HAIR
        ):
            self._recent.popleft()
        if self._net_seconds() < self._rule.window_seconds - _HAIR:
            return None
        return np.concatenate([one.samples for one in self._recent])

    def weigh(self, span: Span, embedding: Embedding) -> None:
        """Compare the stretch that ends with a span.

        Args:
            span: the newest of the stretch.
            embedding: of the whole stretch.
        """
        similarities = [
            self._engine.scorer.score(
                embedding,
                reference,
                net_seconds=self._net_seconds(),
                bandwidth=span.quality.bandwidth,
                snr_db=span.quality.snr_db,
            ).raw
            for reference in self._references
        ]
        self._detector.add(similarities, span.start_seconds)

    def continuity(self) -> Continuity:
        """Return what is known now; PENDING before the first stretch."""
        slot = self._detector.slot()
        unheard = slot.state is LivenessState.NOT_MEASURED
        return Continuity(
            state=LivenessState.PENDING if unheard else slot.state,
            heard_seconds=self._listener.heard_seconds,
            net_speech_seconds=self._watched,
            llr=slot.llr,
            changed_at_seconds=self._detector.changed_at_seconds,
            reasons=(Reason.SPEAKER_CHANGED,) if self.over else (),
        )

    def conclude(self, *, fault: bool = False) -> Continuity:
        """Record how the watch ended. Blocking.

        Args:
            fault: a part of the engine failed; what was found before does not count, unless it was
                a hand-over.

        Raises:
            StorageError: the record could not be written.
        """
        now = self.continuity()
        state, reasons = now.state, now.reasons
        if fault and not self.over:
            state, reasons = LivenessState.NOT_MEASURED, (Reason.ENGINE_FAULT,)
        elif state is LivenessState.PENDING:
            state = LivenessState.NOT_MEASURED  # nothing will come any more
        return self._recorded(now, state, reasons, "verify.continuity")

    def abandon(self) -> None:
        """Record that the call was lost while it was watched. Blocking; raises StorageError."""
        now = self.continuity()
        self._recorded(now, now.state, now.reasons, "verify.watch_abandoned")

    def _recorded(
        self, now: Continuity, state: LivenessState, reasons: tuple[Reason, ...], event: str
    ) -> Continuity:
        engine, asked = self._engine, self._asked
        with engine.vault.begin() as transaction:
            ended = self._permission_ended(transaction)
            if ended is not None and not self.over:  # a hand-over that was heard before stays told
                now, state, reasons = replace(now, llr=None), LivenessState.NOT_MEASURED, ended
            name = engine.subject_pseudonym(transaction, asked.tenant, asked.subject)
            body = self._body(now, state, reasons)
            entry = transaction.append(
                at=engine.clock.now(),
                tenant=asked.tenant,
                event=event,
                body={**body, "subject": name},
            )
        return replace(now, state=state, reasons=reasons, final=True, record_id=entry.sequence)

    def _permission_ended(self, view: Transaction) -> tuple[Reason, ...] | None:
        """Return why what was heard does not count any more; None while it does."""
        engine, asked = self._engine, self._asked
        found = view.subject(asked.tenant, asked.subject)
        if found is None:
            return None if len(self._references) == 1 else ()
        standing = objection(found, engine.enrolment.purpose, engine.clock.now())
        refusal = None if standing is None else REFUSALS.get(standing)
        return None if refusal is None else refusal.reasons

    def _body(
        self, now: Continuity, state: LivenessState, reasons: tuple[Reason, ...]
    ) -> dict[str, object]:
        engine, asked = self._engine, self._asked
        return {
            "call": engine.pseudonym(asked.tenant, asked.call),
            "state": state.value,
            "heard_seconds": round(now.heard_seconds, 3),
            "net_speech_seconds": round(now.net_speech_seconds, 3),
            "llr": now.llr,
            "changed_at_seconds": now.changed_at_seconds,
            "reasons": [reason.value for reason in reasons],
            "voiceprint": len(self._references) > 1,
            "model": engine.embedder.model,
        }

    def _net_seconds(self) -> Seconds:
        return sum(one.net_seconds for one in self._recent)
