# SPDX-License-Identifier: Apache-2.0
"""Start the server, keep it running, and take it down without dropping a call.

Going down, in this order:

(1) Health says NOT_SERVING, so that load balancers send nothing new.
(2) The door closes: a new RPC gets UNAVAILABLE; running calls go on.
(3) When all are done, or ``drain_seconds`` are over, gRPC stops; what still runs is cancelled.
(4) The records of cancelled calls are written.
(5) The threads end. The engine stays the caller's to close.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from voiceauth.config import Settings
from voiceauth.errors import SettingsError
from voiceauth.service.address import listening_address, local_host, server_options
from voiceauth.service.alerts import AlertServicer
from voiceauth.service.approvals import ApprovalServicer
from voiceauth.service.enrolment import EnrolmentServicer
from voiceauth.service.health import SERVICES, Health, announced
from voiceauth.service.information import InformationServicer
from voiceauth.service.interceptors import RpcInterceptor
from voiceauth.service.keys import KeyServicer
from voiceauth.service.lockout import LockoutServicer
from voiceauth.service.logging import configure_logging
from voiceauth.service.maintenance import MaintenanceServicer
from voiceauth.service.memory import leave_no_core
from voiceauth.service.retention import RetentionServicer
from voiceauth.service.runtime import Runtime, start_runtime, stop_runtime
from voiceauth.service.scheduling import run_in_batches
from voiceauth.service.step_up import StepUpServicer
from voiceauth.service.subjects import SubjectServicer
from voiceauth.service.transport import server_credentials
from voiceauth.service.upkeep import upkeep
from voiceauth.service.verification import VerificationServicer
from voiceauth.usecases.acting import log_pseudonym
from voiceauth.usecases.engine import Engine
from voiceauth.v1 import (
    alerts_pb2_grpc,
    approvals_pb2_grpc,
    enrolment_pb2_grpc,
    information_pb2_grpc,
    keys_pb2_grpc,
    lockout_pb2_grpc,
    maintenance_pb2_grpc,
    retention_pb2_grpc,
    step_up_pb2_grpc,
    subjects_pb2_grpc,
    verification_pb2_grpc,
)

_LAST_WORDS_SECONDS = 1.0
"""For the final statuses of calls that ended just now, and for health watchers, who never leave."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a running server can be reached.

    Attributes:
        target: ``host:port`` for a client on this machine.
    """

    port: int
    target: str


async def serve(
    engine: Engine, settings: Settings, *, ready: Callable[[int], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Only for the main thread.

    Args:
        engine: the caller closes its vault afterwards.
        settings: of which ``server`` and ``log`` matter here.
        ready: called with the bound port once calls are taken.

    Raises:
        SettingsError: the address may not or cannot be listened on.
    """
    configure_logging(settings.log, lambda text: log_pseudonym(engine, text))
    leave_no_core()
    run_in_batches()
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for one in signals:
        loop.add_signal_handler(one, stop.set)
    try:
        async with running_server(engine, settings) as listening:
            if ready is not None:
                ready(listening.port)
            await stop.wait()
    finally:
        for one in signals:
            loop.remove_signal_handler(one)


@asynccontextmanager
async def running_server(engine: Engine, settings: Settings) -> AsyncIterator[Listening]:
    """Serve for the time of the block, then drain. Touches no signal and no logging set-up.

    Raises:
        SettingsError: the address may not or cannot be listened on.
    """
    limits = settings.server
    address = listening_address(limits, encrypted=settings.tls.certificate is not None)
    credentials = server_credentials(settings.tls, engine.clock)
    runtime = start_runtime(engine, settings)
    try:
        server, health = _server(runtime)
        port = _bind(server, address, credentials)
        await server.start()
    except BaseException:
        stop_runtime(runtime)
        raise
    await health.serving()
    log = structlog.get_logger()
    log.info("listening", address=address, port=port, tls=credentials is not None)
    if runtime.door.keeper.is_open:
        log.info("whoever reaches the port may act: access.anonymous_roles")
    try:
        async with (
            upkeep(engine.chores, engine.troubles),
            announced(health, engine.gallery),
        ):
            yield Listening(port, f"{local_host(limits.host)}:{port}")
    finally:
        log.info("draining", seconds=limits.drain_seconds)
        await _drain(server, health, runtime)
        log.info("stopped")


async def _drain(server: Any, health: Health, runtime: Runtime) -> None:
    await health.draining()  # (1)
    runtime.gate.close()  # (2)
    if not await runtime.gate.wait_empty(runtime.limits.drain_seconds):
        structlog.get_logger().warning("calls are cut off: drain_seconds are over")
    await server.stop(_LAST_WORDS_SECONDS)  # (3)
    await runtime.gate.wait_empty(_LAST_WORDS_SECONDS)  # gRPC does not wait for what it cancelled
    await runtime.aftercare.settle()  # (4)
    await asyncio.to_thread(stop_runtime, runtime)  # (5)


def _server(runtime: Runtime) -> tuple[Any, Health]:
    limits = runtime.limits
    server = grpc.aio.server(
        interceptors=(RpcInterceptor(runtime),),
        options=server_options(limits),
        maximum_concurrent_rpcs=limits.max_concurrent_requests,
    )
    services: tuple[tuple[Any, Callable[[Runtime], Any]], ...] = (
        (verification_pb2_grpc.add_VerificationServiceServicer_to_server, VerificationServicer),
        (enrolment_pb2_grpc.add_EnrolmentServiceServicer_to_server, EnrolmentServicer),
        (retention_pb2_grpc.add_RetentionServiceServicer_to_server, RetentionServicer),
        (subjects_pb2_grpc.add_SubjectServiceServicer_to_server, SubjectServicer),
        (alerts_pb2_grpc.add_AlertServiceServicer_to_server, AlertServicer),
        (approvals_pb2_grpc.add_ApprovalServiceServicer_to_server, ApprovalServicer),
        (step_up_pb2_grpc.add_StepUpServiceServicer_to_server, StepUpServicer),
        (lockout_pb2_grpc.add_LockoutServiceServicer_to_server, LockoutServicer),
        (information_pb2_grpc.add_InformationServiceServicer_to_server, InformationServicer),
        (maintenance_pb2_grpc.add_MaintenanceServiceServicer_to_server, MaintenanceServicer),
        (keys_pb2_grpc.add_KeyServiceServicer_to_server, KeyServicer),
    )
    for add, servicer in services:
        add(servicer(runtime), server)
    health = Health()
    health.add_to(server)
    if limits.reflection:
        _reflect(server)
    return server, health


def _reflect(server: Any) -> None:
    from grpc_reflection.v1alpha import reflection  # noqa: PLC0415 - only where it is switched on

    names = (*SERVICES, "grpc.health.v1.Health", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)


def _bind(server: Any, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            port = int(server.add_insecure_port(address))
        else:
            port = int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        text = f"Cannot listen on {address}: the port is taken or the address is not this machine's"
        raise SettingsError(f"{text}; change server.host or server.port.") from error
    if port == 0:
        raise SettingsError(f"Cannot listen on {address}.")
    return port
