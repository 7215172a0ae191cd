# SPDX-License-Identifier: Apache-2.0
"""Collect one consenting subject's voice, over one call or several, and store a voiceprint of it.

The order of one call; the service drives it and runs the model between ``hear`` and ``weigh``:

(1) ``EnrolCall(engine, request)`` checks the request; ``load()`` refuses without a consent in
    force, before any audio is looked at, and fetches what earlier calls collected.
(2) ``hear``, ``gap``, ``dtmf``, ``finish`` return spans; a span that is not counted is reported
    with its reason, a counted one is embedded and weighed.
(3) ``weigh`` holds each span against the rest of the enrolment (the coherence gate), and asks
    whether it lives.
(4) ``conclude`` re-checks the consent, and stores either a voiceprint or the collected segments for
    the next call, with the ledger entry, as ``enrolment_ending`` decides.
"""

from dataclasses import dataclass

from voiceauth.consent.rules import in_force
from voiceauth.errors import ConsentMissingError, NotFoundError, OptedOutError, PolicyError
from voiceauth.ports import SpeakerEmbedder, Transaction
from voiceauth.types import (
    AudioFormat,
    CallId,
    Embedding,
    EnrolmentOutcome,
    EnrolmentProgress,
    EnrolmentResult,
    EnrolmentSegment,
    Reason,
    SegmentReport,
    Span,
    Subject,
    SubjectId,
    SubjectState,
    TenantId,
)
from voiceauth.units import Seconds
from voiceauth.usecases.coherence import ReferenceVoice
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrolment_ending import EnrolmentEnding, HeardCall
from voiceauth.usecases.enrolment_liveness import EnrolmentGate
from voiceauth.usecases.listening import HearingCall, Listener
from voiceauth.usecases.replay_guard import CallTape
from voiceauth.usecases.two_models import world_of


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """Whose voice is to be enrolled, and how the call sounds on the wire.

    Attributes:
        kept_recording: no call, but a recording from before, which is to move a subject from one
            speaker model to the next.
    """

    call: CallId
    tenant: TenantId
    subject: SubjectId
    audio_format: AudioFormat
    kept_recording: bool = False


class EnrolCall(HearingCall):
    """One call of an enrolment. Not thread-safe: one caller, one driver."""

    def __init__(self, engine: Engine, request: EnrolmentRequest) -> None:
        super().__init__(Listener(request.audio_format, engine.speech, engine.max_audio_seconds))
        self._engine = engine
        self._request = request
        self._carried: tuple[EnrolmentSegment, ...] = ()
        self._collected: list[EnrolmentSegment] = []
        self._earlier: ReferenceVoice | None = None
        self._before: tuple[Engine, ReferenceVoice] | None = None
        self._incoherent_seconds: Seconds = 0.0
        self._gate = EnrolmentGate(engine)
        self._tape = CallTape(
            engine.replay, request.tenant, request.subject, request.call, engine.embedder.rate_hz
        )

    def load(self) -> EnrolmentProgress:
        """Check that enrolment is permitted and fetch what is there. Blocking.

        Raises:
            NotFoundError: there is no such subject.
            OptedOutError: the subject wants no voice biometrics.
            ConsentMissingError: no consent is in force.
            PolicyError: a kept recording, and the subject waits for no new model.
            GalleryLoadingError: the gallery is not filled yet: nobody could say whether the voice
                is somebody else's.
        """
        request = self._request
        self._engine.gallery.subjects(request.tenant, None)
        with self._engine.vault.read() as view:
            self._permitted(view)
            # New segments must be held against the voiceprints that are there.
            world = world_of(self._engine, view, request.tenant, request.subject)
            if request.kept_recording:
                self._before = (world, self._waiting(view, world))
            else:
                self._engine = world
            model = self._engine.embedder.model
            self._carried = tuple(view.pending_segments(request.tenant, request.subject, model))
            prints = view.voiceprints(request.tenant, request.subject, model)
        if prints:
            self._earlier = ReferenceVoice.of(prints)
        return self.progress()

    @property
    def embedder(self) -> SpeakerEmbedder:
        """The model that hears this call, from ``load`` on."""
        return self._engine.embedder

    @property
    def embedder_before(self) -> SpeakerEmbedder | None:
        """The model before, which has to recognise a kept recording; None for a call."""
        return None if self._before is None else self._before[0].embedder

    def doubt(self, span: Span, embedding: Embedding) -> EnrolmentProgress | None:
        """Report a span of a kept recording that is not the subject's; None if it is.

        Args:
            span: counted.
            embedding: of it, by the model before.
        """
        if self._before is None:
            return None
        world, voice = self._before
        reason = voice.mismatch(world, span, embedding)
        return None if reason is None else self._left_out(span, reason)

    @property
    def enough(self) -> bool:
        """True once the voiceprint can be made."""
        return self._net_seconds() >= self._engine.enrolment.needed_seconds

    def refuse(self, span: Span) -> EnrolmentProgress:
        """Report a span that the signal room did not count."""
        return self.progress(_report(span, counted=False, reasons=span.quality.issues))

    def weigh(
        self, span: Span, embedding: Embedding, spoof_score: float | None = None
    ) -> EnrolmentProgress:
        """Count one embedded span, if it lives and sounds like the rest."""
        reason = self._gate.objection(span, spoof_score) or self._objection(span, embedding)
        if reason is not None:
            return self._left_out(span, reason)
        if not self._request.kept_recording:  # what was kept is no call to be replayed
            self._tape.add(span)
        self._collected.append(
            EnrolmentSegment(
                embedding=embedding,
                net_seconds=span.net_seconds,
                call=self._request.call,
                start_seconds=span.start_seconds,
                end_seconds=span.end_seconds,
                snr_db=span.quality.snr_db,
                bandwidth=span.quality.bandwidth,
            )
        )
        return self.progress(_report(span, counted=True, reasons=span.quality.issues))

    def progress(self, segment: SegmentReport | None = None) -> EnrolmentProgress:
        """Return how far the enrolment has come."""
        net = self._net_seconds()
        return EnrolmentProgress(
            net_seconds=net,
            needed_seconds=max(0.0, self._engine.enrolment.needed_seconds - net),
            carried_over_seconds=sum(one.net_seconds for one in self._carried),
            segment=segment,
        )

    def conclude(self) -> EnrolmentResult:
        """Store what was collected. Blocking; what it returns is durable.

        Raises:
            NotFoundError, OptedOutError, ConsentMissingError: permission ended during the call.
            StorageError: nothing was stored.
        """
        request, engine, call = self._request, self._engine, self._heard_call()
        heard = self._tape.fingerprint()  # before the vault is locked
        with engine.vault.begin() as transaction:
            subject = self._permitted(transaction)
            # Another call of the same subject may have stored segments meanwhile: none is lost.
            now = transaction.pending_segments(
                request.tenant, request.subject, engine.embedder.model
            )
            result = EnrolmentEnding(engine, transaction, call, self._gate).settle(subject, now)
            kept = result.outcome in {EnrolmentOutcome.ENROLLED, EnrolmentOutcome.PARTIAL}
            self._tape.settle(transaction, heard, kept=kept, waiting={one.call for one in now})
            if kept and call.segments and not request.kept_recording:
                transaction.note_interaction(request.tenant, request.subject, engine.clock.now())
            prints = transaction.voiceprints(request.tenant, request.subject, engine.embedder.model)
        if result.outcome is EnrolmentOutcome.ENROLLED:
            engine.gallery.remove_subject(request.tenant, request.subject)
            for one in prints:
                engine.gallery.add(
                    request.tenant, request.subject, one.voiceprint, one.embedding, subject.groups
                )
        return result

    def _heard_call(self) -> HeardCall:
        return HeardCall(
            call=self._request.call,
            tenant=self._request.tenant,
            subject=self._request.subject,
            kept_recording=self._request.kept_recording,
            segments=tuple(self._collected),
            incoherent_seconds=self._incoherent_seconds,
            heard_seconds=self._listener.heard_seconds,
        )

    def _permitted(self, view: Transaction) -> Subject:
        subject = view.subject(self._request.tenant, self._request.subject)
        if subject is None:
            raise NotFoundError("There is no such subject.")
        if subject.state is SubjectState.OPTED_OUT:
            raise OptedOutError
        if not in_force(subject.consent, self._engine.enrolment.purpose, self._engine.clock.now()):
            raise ConsentMissingError
        return subject

    def _objection(self, span: Span, embedding: Embedding) -> Reason | None:
        """Hold a span against the other segments, and against earlier voiceprints."""
        references = [self._earlier] if self._earlier is not None else []
        others = (*self._carried, *self._collected)
        if others:
            references.append(ReferenceVoice.of(others))
        # The first segment has nothing to agree with, but must be one that can be judged later.
        for reference in references or [ReferenceVoice(embedding, span.net_seconds)]:
            reason = reference.mismatch(self._engine, span, embedding)
            if reason is not None:
                return reason
        return None

    def _left_out(self, span: Span, reason: Reason) -> EnrolmentProgress:
        if reason is Reason.INCOHERENT:
            self._incoherent_seconds += span.net_seconds
        return self.progress(_report(span, counted=False, reasons=(reason,)))

    def _waiting(self, view: Transaction, world: Engine) -> ReferenceVoice:
        """Return the voice of a subject who waits for the new model, in the world before."""
        request = self._request
        if world is self._engine:
            raise PolicyError("This subject does not wait for a new speaker model.")
        return ReferenceVoice.of(
            view.voiceprints(request.tenant, request.subject, world.embedder.model)
        )

    def _net_seconds(self) -> Seconds:
        return sum(one.net_seconds for one in (*self._carried, *self._collected))


def _report(span: Span, *, counted: bool, reasons: tuple[Reason, ...]) -> SegmentReport:
    return SegmentReport(
        start_seconds=span.start_seconds,
        end_seconds=span.end_seconds,
        net_seconds=span.net_seconds,
        counted=counted,
        reasons=reasons,
        quality=span.quality,
    )
