# SPDX-License-Identifier: Apache-2.0
"""The retention RPC: sweep one tenant because somebody asks for it."""

from typing import Any

from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.usecases.identifiers import tenant_id
from voiceauth.usecases.sweep_retention import sweep
from voiceauth.v1 import retention_pb2, retention_pb2_grpc
from voiceauth.wire.retention import sweep_to_wire


class RetentionServicer(retention_pb2_grpc.RetentionServiceServicer):
    """What may be kept no longer."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def SweepRetention(  # noqa: N802 - gRPC's name
        self, request: retention_pb2.SweepRetentionRequest, context: Any
    ) -> retention_pb2.SweepRetentionResponse:
        """Erase what is due, or tell what is."""
        del context
        engine, tenant = self._runtime.engine, tenant_id(request.tenant_id)
        dry_run, confirmed = request.dry_run, request.confirm_clock
        done = await in_vault(
            self._runtime,
            lambda: sweep(engine, tenant, dry_run=dry_run, confirm_clock=confirmed),
        )
        return sweep_to_wire(done)
