# SPDX-License-Identifier: Apache-2.0
"""The alert RPCs. Following alerts is a stream that asks the vault every second: alerts are few."""

import asyncio
from typing import Any

import grpc

from voiceauth.errors import InputError, StreamOrderError
from voiceauth.service.gate import Gate
from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.types import TenantId
from voiceauth.units import Seconds
from voiceauth.usecases.identifiers import alert_id, subject_id, tenant_id
from voiceauth.usecases.tend_alerts import acknowledge, alerts_after, begin_watch, list_alerts
from voiceauth.v1 import alerts_pb2, alerts_pb2_grpc
from voiceauth.wire.alerts import alert_to_wire, assessment_from_wire

DEFAULT_PAGE = 100
POLL_SECONDS: Seconds = 1.0
_AT_ONCE = 100
_EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it


class AlertServicer(alerts_pb2_grpc.AlertServiceServicer):
    """What the rules found. Errors are those of the use cases, mapped by the interceptor."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def ListAlerts(  # noqa: N802 - gRPC's names, here and below
        self, request: alerts_pb2.ListAlertsRequest, context: Any
    ) -> alerts_pb2.ListAlertsResponse:
        """Read the newest alerts."""
        del context
        tenant = _tenant(request.tenant_id)
        subject = subject_id(request.subject_id) if request.subject_id else None
        found = await in_vault(
            self._runtime,
            lambda: list_alerts(
                self._runtime.engine,
                tenant,
                limit=request.page_size or DEFAULT_PAGE,
                subject=subject,
                unseen=request.unseen,
            ),
        )
        return alerts_pb2.ListAlertsResponse(alerts=[alert_to_wire(one) for one in found])

    async def WatchAlerts(self, requests: Any, context: Any) -> None:  # noqa: N802
        """Send alerts as they come, until the client goes, the time is over, or the server ends."""
        del requests
        opening = await self._opening(context)
        runtime, tenant = self._runtime, _tenant(opening.tenant_id)
        known = opening.after_record_id if opening.HasField("after_record_id") else None
        if known is not None and known < 0:
            raise InputError("after_record_id must not be negative.")
        place = await in_vault(runtime, lambda: begin_watch(runtime.engine, tenant, known))
        ends = runtime.engine.clock.monotonic() + runtime.limits.max_stream_seconds
        while runtime.engine.clock.monotonic() < ends and not runtime.gate.closed:
            place = await self._send_after(context, tenant, place)
            await _pause(runtime.gate)

    async def AcknowledgeAlert(  # noqa: N802
        self, request: alerts_pb2.AcknowledgeAlertRequest, context: Any
    ) -> alerts_pb2.Alert:
        """Say what an alert was."""
        del context
        tenant, alert = _tenant(request.tenant_id), alert_id(request.alert_id)
        assessment = assessment_from_wire(request.assessment)
        seen = await in_vault(
            self._runtime,
            lambda: acknowledge(self._runtime.engine, tenant, alert, assessment),
        )
        return alert_to_wire(seen)

    async def _opening(self, context: Any) -> alerts_pb2.WatchAlertsOpen:
        try:
            async with asyncio.timeout(self._runtime.limits.idle_seconds):
                message = await context.read()
        except TimeoutError as error:
            raise StreamOrderError("The stream was not opened.") from error
        if message is _EOF:
            raise StreamOrderError("The stream was not opened.")
        if not isinstance(message, alerts_pb2.WatchAlertsRequest):
            raise message.error
        if message.WhichOneof("message") != "open":
            raise StreamOrderError("The stream was not opened.")
        return message.open

    async def _send_after(self, context: Any, tenant: TenantId, place: int) -> int:
        runtime = self._runtime
        found = await in_vault(
            runtime, lambda: alerts_after(runtime.engine, tenant, place, _AT_ONCE)
        )
        for one in found:
            await context.write(alerts_pb2.WatchAlertsResponse(alert=alert_to_wire(one)))
        return found[-1].record_id if found else place


async def _pause(gate: Gate) -> None:
    """Wait a moment, less if the server goes down."""
    if not gate.closed:
        await asyncio.sleep(POLL_SECONDS)


def _tenant(text: str) -> TenantId:
    """Read a tenant; the installation's own alerts have none."""
    return tenant_id(text) if text else TenantId("")
