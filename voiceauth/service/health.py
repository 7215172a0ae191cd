# SPDX-License-Identifier: Apache-2.0
"""``grpc.health.v1``, as load balancers and container platforms ask for it.

The empty name and every service of the contract are SERVING from start to drain. While the server
drains they are NOT_SERVING, so that no new call is sent here; running calls go on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc

from voiceauth.ports import Gallery
from voiceauth.v1 import (
    alerts_pb2,
    approvals_pb2,
    enrolment_pb2,
    information_pb2,
    keys_pb2,
    lockout_pb2,
    maintenance_pb2,
    retention_pb2,
    step_up_pb2,
    subjects_pb2,
    verification_pb2,
)

SERVICES: tuple[str, ...] = tuple(
    service.full_name
    for module in (
        verification_pb2,
        enrolment_pb2,
        subjects_pb2,
        approvals_pb2,
        step_up_pb2,
        lockout_pb2,
        alerts_pb2,
        information_pb2,
        maintenance_pb2,
        keys_pb2,
        retention_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
)
"""Full names of the contract's services."""
IDENTIFICATION = "voiceauth.v1.VerificationService/Identify"
"""What is asked for whether 1:N search is open; the rest of its service does not wait for it."""
_LOOK_SECONDS = 0.5


class Health:
    """The server's word about itself."""

    def __init__(self) -> None:
        self._servicer = grpc_health.aio.HealthServicer()  # type: ignore[attr-defined]  # the stubs lack it

    def add_to(self, server: Any) -> None:
        """Serve it."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def serving(self) -> None:
        """Say that everything serves, but for 1:N search; ``identifying`` says that."""
        for name in ("", *SERVICES):
            await self._servicer.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def identifying(self, gallery: Gallery) -> None:
        """Say that 1:N search does not serve, wait until it can, and say that."""
        if not gallery.ready:
            await self._servicer.set(IDENTIFICATION, health_pb2.HealthCheckResponse.NOT_SERVING)
        while not gallery.ready:  # noqa: ASYNC110 - the gallery is filled by a thread, no loop of ours
            await asyncio.sleep(_LOOK_SECONDS)
        await self._servicer.set(IDENTIFICATION, health_pb2.HealthCheckResponse.SERVING)

    async def draining(self) -> None:
        """Say that nothing serves any more. There is no way back."""
        await self._servicer.enter_graceful_shutdown()


@asynccontextmanager
async def announced(health: Health, gallery: Gallery) -> AsyncIterator[None]:
    """Have health say, for the time of the block, whether 1:N search is open."""
    saying = asyncio.create_task(health.identifying(gallery))
    try:
        yield
    finally:
        saying.cancel()
        with suppress(asyncio.CancelledError):
            await saying
