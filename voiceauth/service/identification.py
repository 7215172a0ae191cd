# SPDX-License-Identifier: Apache-2.0
"""Identify over the driver."""

from collections.abc import Sequence
from functools import partial

from voiceauth.errors import EngineError, InternalError, TooShortError
from voiceauth.service.drive import Talk, bind_call, recorded
from voiceauth.service.evidence import noticeable
from voiceauth.service.faults import engine_errors_only
from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.types import AudioFormat, Evidence, Span
from voiceauth.usecases.identifiers import call_id, group_name, tenant_id
from voiceauth.usecases.identify_caller import (
    DEFAULT_CANDIDATES,
    IdentificationRequest,
    IdentifyCall,
)
from voiceauth.usecases.listening import HearingCall
from voiceauth.v1 import verification_pb2
from voiceauth.wire.audio import format_from_wire
from voiceauth.wire.identification import ranking_to_wire


class IdentifyTalk(Talk[verification_pb2.IdentifyResponse]):
    """One Identify stream. Rankings already shown are recorded however the stream ends."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._call: IdentifyCall | None = None
        self._sent: Evidence | None = None
        self._tried = False

    async def open(self, opening: verification_pb2.IdentifyOpen) -> tuple[HearingCall, AudioFormat]:
        """Check the request."""
        request = IdentificationRequest(
            call=call_id(opening.call_id),
            tenant=tenant_id(opening.tenant_id),
            group=group_name(opening.group) if opening.group else None,
            audio_format=format_from_wire(opening.format),
            max_candidates=opening.max_candidates or DEFAULT_CANDIDATES,
        )
        bind_call(self._runtime, request.tenant, request.call)
        self._call = IdentifyCall(self._runtime.engine, request)
        self.opened = True
        return self._call, request.audio_format

    @property
    def done(self) -> bool:
        """Never: the client says when it has heard enough."""
        return False

    async def take(self, span: Span) -> Sequence[verification_pb2.IdentifyResponse]:
        """Embed a counted span and rank again."""
        if not span.counted:
            return self.news()
        try:
            embedding = await self._runtime.inference.embed(span.samples)
        except TooShortError:
            return self.news()
        ranking = await in_vault(self._runtime, partial(self._running.weigh, span, embedding))
        self._sent = ranking.evidence
        return (ranking_to_wire(ranking),)

    def news(self) -> Sequence[verification_pb2.IdentifyResponse]:
        """Return the ranking if the evidence beside it changed."""
        with engine_errors_only("the ranking"):
            ranking = self._running.ranking()
        if not noticeable(self._sent, ranking.evidence):
            return ()
        self._sent = ranking.evidence
        return (ranking_to_wire(ranking),)

    async def conclude(self) -> verification_pb2.IdentifyResponse:
        """Record and return the final ranking."""
        self._tried = True
        return ranking_to_wire(await in_vault(self._runtime, self._running.conclude))

    async def rescue(self, error: EngineError) -> verification_pb2.IdentifyResponse:
        """Record what was shown, and raise."""
        if not self._tried:
            await recorded(self.lost())
        raise error

    async def lost(self) -> None:
        """Record what was shown."""
        await in_vault(self._runtime, self._running.conclude)

    @property
    def _running(self) -> IdentifyCall:
        if self._call is None:
            raise InternalError(detail="a stream was driven before it was opened")
        return self._call
