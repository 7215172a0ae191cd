# SPDX-License-Identifier: Apache-2.0
"""Enrol over the driver.

Rules:

* Nothing of the audio is looked at before the consent was found.
* However the stream ends (enough, ``end``, half-close, an error, a vanished client), what was
  counted until then is stored for the next call.
"""

from collections.abc import Sequence
from typing import Any

from voiceauth.errors import EngineError, InternalError, TooShortError
from voiceauth.service.drive import Drive, Talk, bind_call, recorded
from voiceauth.service.faults import engine_errors_only
from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.types import AudioFormat, EnrolmentProgress, Span
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.identifiers import call_id, subject_id, tenant_id
from voiceauth.usecases.listening import HearingCall
from voiceauth.v1 import enrolment_pb2, enrolment_pb2_grpc
from voiceauth.wire.audio import format_from_wire
from voiceauth.wire.enrolment import progress_to_wire, result_to_wire


class EnrolTalk(Talk[enrolment_pb2.EnrolResponse]):
    """One Enrol stream."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._call: EnrolCall | None = None
        self._first: EnrolmentProgress | None = None
        self._tried = False

    async def open(self, opening: enrolment_pb2.EnrolOpen) -> tuple[HearingCall, AudioFormat]:
        """Check the request and the permission."""
        request = EnrolmentRequest(
            call=call_id(opening.call_id),
            tenant=tenant_id(opening.tenant_id),
            subject=subject_id(opening.subject_id),
            audio_format=format_from_wire(opening.format),
            kept_recording=opening.kept_recording,
        )
        bind_call(self._runtime, request.tenant, request.call)
        self._call = EnrolCall(self._runtime.engine, request)
        self._first = await in_vault(self._runtime, self._call.load)
        self.opened = True
        return self._call, request.audio_format

    @property
    def done(self) -> bool:
        """True once the voiceprint can be made."""
        return self._running.enough

    async def take(self, span: Span) -> Sequence[enrolment_pb2.EnrolResponse]:
        """Embed and weigh a counted span; report the fate of every span."""
        if not span.counted:
            return _progress(self._running.refuse(span))
        try:
            doubt = await self._doubt(span)
            if doubt is not None:
                return _progress(doubt)
            reading = await self._runtime.inference.read(
                span.samples, embedder=self._running.embedder
            )
        except TooShortError:
            return _progress(self._running.refuse(span))
        with engine_errors_only("weighing"):
            return _progress(self._running.weigh(span, reading.embedding, reading.spoof_score))

    async def _doubt(self, span: Span) -> EnrolmentProgress | None:
        """Ask the model before whether a kept recording is the subject's."""
        before = self._running.embedder_before
        if before is None:
            return None
        heard = await self._runtime.inference.embed(span.samples, embedder=before)
        with engine_errors_only("recognising"):
            return self._running.doubt(span, heard)

    def news(self) -> Sequence[enrolment_pb2.EnrolResponse]:
        """Return the first progress, once; the others come with their segments."""
        first, self._first = self._first, None
        return () if first is None else _progress(first)

    async def conclude(self) -> enrolment_pb2.EnrolResponse:
        """Store what was collected and return the result."""
        self._tried = True
        result = await in_vault(self._runtime, self._running.conclude)
        return enrolment_pb2.EnrolResponse(result=result_to_wire(result))

    async def rescue(self, error: EngineError) -> enrolment_pb2.EnrolResponse:
        """Store what was counted before the error, and raise the error."""
        if not self._tried:
            await recorded(self.lost())
        raise error

    async def lost(self) -> None:
        """Store what was counted."""
        await in_vault(self._runtime, self._running.conclude)

    @property
    def _running(self) -> EnrolCall:
        if self._call is None:
            raise InternalError(detail="a stream was driven before it was opened")
        return self._call


def _progress(progress: EnrolmentProgress) -> Sequence[enrolment_pb2.EnrolResponse]:
    return (enrolment_pb2.EnrolResponse(progress=progress_to_wire(progress)),)


class EnrolmentServicer(enrolment_pb2_grpc.EnrolmentServiceServicer):
    """The stream on gRPC."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def Enrol(self, request_iterator: Any, context: Any) -> None:  # noqa: N802 - gRPC's name
        """Collect speech of one subject."""
        del request_iterator  # the driver reads from the context
        await Drive(EnrolTalk(self._runtime), context, self._runtime).run()
