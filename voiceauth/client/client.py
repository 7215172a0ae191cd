# SPDX-License-Identifier: Apache-2.0
"""The asyncio client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from voiceauth.client.alerts import Alerts
from voiceauth.client.approvals import Approvals
from voiceauth.client.channel import channel_options
from voiceauth.client.errors import engine_errors
from voiceauth.client.maintenance import Maintenance
from voiceauth.client.step_ups import StepUps
from voiceauth.client.streams import EnrolStream, IdentifyStream, VerifyStream, WatchStream
from voiceauth.client.subject_calls import SubjectCalls
from voiceauth.client.types import (
    EnrolOptions,
    IdentifyOptions,
    Information,
    Rekeying,
    VerifyOptions,
    information_from_wire,
)
from voiceauth.errors import DependencyError, EngineError, InputError
from voiceauth.types import (
    Challenge,
    ChallengeKind,
    LockoutStanding,
    Sweep,
)
from voiceauth.units import Seconds
from voiceauth.v1 import (
    alerts_pb2_grpc,
    approvals_pb2_grpc,
    enrolment_pb2,
    enrolment_pb2_grpc,
    information_pb2,
    information_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    lockout_pb2,
    lockout_pb2_grpc,
    maintenance_pb2_grpc,
    retention_pb2,
    retention_pb2_grpc,
    step_up_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)
from voiceauth.wire.audio import format_to_wire
from voiceauth.wire.challenge import challenge_from_wire, challenge_kind_to_wire
from voiceauth.wire.lockout import lockout_from_wire
from voiceauth.wire.retention import sweep_from_wire

_Reply = TypeVar("_Reply")
_POLL_SECONDS = 0.1
_WORK_SECONDS: Seconds = 3600.0
"""For work on the installation; the server's own limit is lower."""


class Client(SubjectCalls):
    """A connection to a voiceauth server.

    Args:
        target: ``host:port``.
        timeout_seconds: deadline of each unary call, repetitions included.
        retries: how often a repeatable call is tried again when the server cannot be reached.
        credentials: TLS, see ``voiceauth.client.credentials``; None for plain text.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        timeout_seconds: Seconds = 5.0,
        retries: int = 3,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._target = target
        self._timeout = timeout_seconds
        self._retries = retries
        self._credentials = credentials
        self._opened: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        """Prepare the connection; nothing is sent yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection; running calls are lost."""
        await self.close()

    async def close(self) -> None:
        """Close the connection. A later call opens it anew."""
        if self._opened is not None:
            channel, self._opened = self._opened, None
            await channel.close(grace=None)

    async def wait_ready(self, seconds: Seconds) -> None:
        """Wait until the server says that it serves.

        Raises:
            DependencyError: it did not within that time.
        """
        try:
            async with asyncio.timeout(seconds):
                while not await self.healthy():  # noqa: ASYNC110 - health is polled, not signalled
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            text = f"The server at {self._target} is not ready."
            raise DependencyError(text) from error

    async def healthy(self) -> bool:
        """Say whether the server can be reached and serves; False while it drains."""
        request = health_pb2.HealthCheckRequest()
        method = self._stub(health_pb2_grpc.HealthStub).Check
        try:
            reply = await self._ask(method, request)
        except EngineError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    async def information(self) -> Information:
        """Return what the server runs with."""
        method = self._stub(information_pb2_grpc.InformationServiceStub).GetInformation
        reply = await self._ask(method, information_pb2.GetInformationRequest())
        return information_from_wire(reply)

    def verify(self, call: VerifyOptions) -> VerifyStream:
        """Verify a claim; use it in an ``async with`` block."""
        stub = self._stub(verification_pb2_grpc.VerificationServiceStub)
        return VerifyStream(stub.Verify, _verify_opening(call, keep_listening=False))

    def watch(self, call: VerifyOptions) -> WatchStream:
        """Verify a claim and go on listening for another person after the verdict."""
        stub = self._stub(verification_pb2_grpc.VerificationServiceStub)
        return WatchStream(stub.Verify, _verify_opening(call, keep_listening=True))

    async def create_challenge(
        self, call_id: str, tenant: str, subject: str, kind: ChallengeKind = ChallengeKind.DIGITS
    ) -> Challenge:
        """Get words that the caller has to say in this call. Never repeated.

        Raises:
            ChallengeLimitError: the call has had all its challenges.
            PolicyError: the server has challenges switched off.
        """
        request = verification_pb2.CreateChallengeRequest(
            call_id=call_id,
            tenant_id=tenant,
            subject_id=subject,
            kind=challenge_kind_to_wire(kind),
        )
        method = self._stub(verification_pb2_grpc.VerificationServiceStub).CreateChallenge
        return challenge_from_wire(await self._ask(method, request))

    def identify(self, call: IdentifyOptions) -> IdentifyStream:
        """Rank the members of a group by likeness; use it in an ``async with`` block."""
        if call.max_candidates < 0:
            raise InputError("max_candidates must not be negative.")
        opening = verification_pb2.IdentifyOpen(
            call_id=call.call_id,
            tenant_id=call.tenant,
            group=call.group or "",
            format=format_to_wire(call.audio_format),
            max_candidates=call.max_candidates,
        )
        stub = self._stub(verification_pb2_grpc.VerificationServiceStub)
        return IdentifyStream(stub.Identify, verification_pb2.IdentifyRequest(open=opening))

    def enrol(self, call: EnrolOptions) -> EnrolStream:
        """Collect a consenting subject's voice; use it in an ``async with`` block."""
        opening = enrolment_pb2.EnrolOpen(
            call_id=call.call_id,
            tenant_id=call.tenant,
            subject_id=call.subject,
            format=format_to_wire(call.audio_format),
            kept_recording=call.kept_recording,
        )
        stub = self._stub(enrolment_pb2_grpc.EnrolmentServiceStub)
        return EnrolStream(stub.Enrol, enrolment_pb2.EnrolRequest(open=opening))

    async def sweep_retention(
        self, tenant: str, *, dry_run: bool = False, confirm_clock: bool = False
    ) -> Sweep:
        """Erase what the retention rules keep no longer, or tell what they would. Never repeated.

        Args:
            tenant: whose subjects to look at.
            dry_run: erase nothing.
            confirm_clock: the clock is right, however far it has moved since the last sweep.
        """
        request = retention_pb2.SweepRetentionRequest(
            tenant_id=tenant, dry_run=dry_run, confirm_clock=confirm_clock
        )
        method = self._stub(retention_pb2_grpc.RetentionServiceStub).SweepRetention
        return sweep_from_wire(await self._ask(method, request))

    @property
    def alerts(self) -> Alerts:
        """What the rules over the ledger have found."""
        return Alerts(self._ask, lambda: self._stub(alerts_pb2_grpc.AlertServiceStub))

    @property
    def approvals(self) -> Approvals:
        """What takes two persons."""
        return Approvals(self._ask, lambda: self._stub(approvals_pb2_grpc.ApprovalServiceStub))

    @property
    def step_ups(self) -> StepUps:
        """Factors, and what a STEP_UP asks for."""
        return StepUps(self._ask, lambda: self._stub(step_up_pb2_grpc.StepUpServiceStub))

    @property
    def maintenance(self) -> Maintenance:
        """What an operator asks of a running server: backups."""
        return Maintenance(self._maintain)

    async def _maintain(self, method: str, request: Any) -> Any:
        stub = self._stub(maintenance_pb2_grpc.MaintenanceServiceStub)
        with engine_errors():
            return await getattr(stub, method)(request, timeout=_WORK_SECONDS)

    async def rekey_voiceprints(self, tenant: str) -> AsyncIterator[Rekeying]:
        """Give a tenant's voiceprints a new secret; yields until it is finished.

        An unfinished one is gone on with. Calls go on meanwhile; leaving early loses nothing.

        Raises:
            NotFoundError: the tenant has no subjects.
        """
        method = self._stub(keys_pb2_grpc.KeyServiceStub).RekeyVoiceprints
        generation, finished = 0, False
        while not finished:
            request = keys_pb2.RekeyVoiceprintsRequest(tenant_id=tenant, generation=generation)
            reply = await self._ask(method, request)
            generation, finished = reply.generation, reply.finished
            yield Rekeying(generation, reply.subjects, reply.subjects_total, finished)

    def _channel(self) -> grpc.aio.Channel:
        """Return the connection, opened on first use so that it belongs to the running loop."""
        if self._opened is None:
            options = channel_options(self._retries)
            if self._credentials is None:
                self._opened = grpc.aio.insecure_channel(self._target, options=options)
            else:
                self._opened = grpc.aio.secure_channel(
                    self._target, self._credentials, options=options
                )
        return self._opened

    def _stub(self, kind: Any) -> Any:
        """Build a generated stub; generated code has no types of its own."""
        return kind(self._channel())

    async def get_lockout(self, tenant: str, subject: str, number: str = "") -> LockoutStanding:
        """Read how often a subject's voice, and a calling number, were tried without success."""
        method = self._stub(lockout_pb2_grpc.LockoutServiceStub).GetLockout
        request = lockout_pb2.GetLockoutRequest(
            tenant_id=tenant, subject_id=subject, calling_number=number
        )
        return lockout_from_wire(await self._ask(method, request))

    async def unlock(self, tenant: str, subject: str, number: str = "") -> LockoutStanding:
        """Open a subject's voice path, and give a named number its budget back. Not repeated."""
        method = self._stub(lockout_pb2_grpc.LockoutServiceStub).Unlock
        request = lockout_pb2.UnlockRequest(
            tenant_id=tenant, subject_id=subject, calling_number=number
        )
        return lockout_from_wire(await self._ask(method, request))

    async def _ask(self, method: Callable[..., Awaitable[_Reply]], request: Any) -> _Reply:
        with engine_errors():
            return await method(request, timeout=self._timeout)


def _verify_opening(call: VerifyOptions, *, keep_listening: bool) -> verification_pb2.VerifyRequest:
    opening = verification_pb2.VerifyOpen(
        call_id=call.call_id,
        tenant_id=call.tenant,
        subject_id=call.subject,
        format=format_to_wire(call.audio_format),
        policy=call.policy,
        keep_listening=keep_listening,
        calling_number=call.calling_number,
    )
    return verification_pb2.VerifyRequest(open=opening)
