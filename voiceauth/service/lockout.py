# SPDX-License-Identifier: Apache-2.0
"""The RPCs about attempts: read the request, run one use case beside the event loop, reply."""

from collections.abc import Callable
from typing import Any

from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.types import LockoutStanding
from voiceauth.usecases.attempt_desk import VoicePath
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.identifiers import calling_number, subject_id, tenant_id
from voiceauth.usecases.keep_attempts import read_lockout, unlock
from voiceauth.v1 import lockout_pb2, lockout_pb2_grpc
from voiceauth.wire.lockout import lockout_to_wire


class LockoutServicer(lockout_pb2_grpc.LockoutServiceServicer):
    """Closed voice paths, for staff."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def GetLockout(  # noqa: N802 - gRPC's names, here and below
        self, request: lockout_pb2.GetLockoutRequest, context: Any
    ) -> lockout_pb2.Lockout:
        """Read the counters."""
        del context
        return await self._answered(request, read_lockout)

    async def Unlock(  # noqa: N802
        self, request: lockout_pb2.UnlockRequest, context: Any
    ) -> lockout_pb2.Lockout:
        """Open a closed voice path."""
        del context
        return await self._answered(request, unlock)

    async def _answered(
        self, request: Any, work: Callable[[Engine, VoicePath], LockoutStanding]
    ) -> lockout_pb2.Lockout:
        path = VoicePath(
            tenant_id(request.tenant_id),
            subject_id(request.subject_id),
            calling_number(request.calling_number),
        )
        engine = self._runtime.engine
        return lockout_to_wire(await in_vault(self._runtime, lambda: work(engine, path)))
