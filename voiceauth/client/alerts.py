# SPDX-License-Identifier: Apache-2.0
"""Alerts from a client's side: list them, follow them, and say what they were."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any

import grpc

from voiceauth.client.errors import engine_errors
from voiceauth.client.loop_thread import following
from voiceauth.types import Alert, Assessment
from voiceauth.v1 import alerts_pb2
from voiceauth.wire.alerts import alert_from_wire, assessment_to_wire

_EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it


class Alerts:
    """The alerts of a server; ``Client.alerts`` makes it.

    Args:
        ask: sends one request.
        stub: returns the generated stub, which has no types of its own.
    """

    def __init__(self, ask: Callable[[Any, Any], Awaitable[Any]], stub: Callable[[], Any]) -> None:
        self._ask = ask
        self._stub = stub

    async def list(
        self, tenant: str, *, subject: str = "", unseen: bool = False, page_size: int = 100
    ) -> tuple[Alert, ...]:
        """Read a tenant's newest alerts, newest first; no tenant means the installation's own.

        Raises:
            AccessError: this principal may not read them.
            PolicyError: the server has alerts switched off.
        """
        request = alerts_pb2.ListAlertsRequest(
            tenant_id=tenant, subject_id=subject, unseen=unseen, page_size=max(0, page_size)
        )
        reply = await self._ask(self._stub().ListAlerts, request)
        return tuple(alert_from_wire(one) for one in reply.alerts)

    async def watch(self, tenant: str, after: int | None = None) -> AsyncIterator[Alert]:
        """Follow a tenant's alerts until the server ends the stream.

        Args:
            tenant: as in ``list``.
            after: ``record_id`` of the last alert that is known; None for what comes from now on.
        """
        opening = alerts_pb2.WatchAlertsOpen(tenant_id=tenant, after_record_id=after)
        call = self._stub().WatchAlerts()
        try:
            with engine_errors():
                await call.write(alerts_pb2.WatchAlertsRequest(open=opening))
                while (reply := await call.read()) is not _EOF:
                    yield alert_from_wire(reply.alert)
        finally:
            call.cancel()

    async def acknowledge(self, tenant: str, alert: str, assessment: Assessment) -> Alert:
        """Say what an alert was. Raises NotFoundError."""
        request = alerts_pb2.AcknowledgeAlertRequest(
            tenant_id=tenant, alert_id=alert, assessment=assessment_to_wire(assessment)
        )
        return alert_from_wire(await self._ask(self._stub().AcknowledgeAlert, request))


class SyncAlerts:
    """The blocking twin of ``Alerts``: same names, same arguments, same errors."""

    def __init__(self, alerts: Alerts, wait_for: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._alerts = alerts
        self._wait_for = wait_for

    def list(
        self, tenant: str, *, subject: str = "", unseen: bool = False, page_size: int = 100
    ) -> tuple[Alert, ...]:
        """Read a tenant's newest alerts, newest first."""
        work = self._alerts.list(tenant, subject=subject, unseen=unseen, page_size=page_size)
        return tuple(self._wait_for(work))

    def watch(self, tenant: str, after: int | None = None) -> Iterator[Alert]:
        """Follow a tenant's alerts until the server ends the stream."""
        alerts = self._alerts.watch(tenant, after)
        while (one := self._wait_for(following(alerts))) is not None:
            yield one

    def acknowledge(self, tenant: str, alert: str, assessment: Assessment) -> Alert:
        """Say what an alert was. Raises NotFoundError."""
        seen: Alert = self._wait_for(self._alerts.acknowledge(tenant, alert, assessment))
        return seen
