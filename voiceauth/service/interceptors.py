# SPDX-License-Identifier: Apache-2.0
"""What happens around every RPC of the contract, outside in.

(1) A request id: the caller's own if it has a sane one, else a fresh one. It stands in every log
    line of the RPC and goes back in the trailing metadata.
(2) The table of RPCs: one that is not in it is not served.
(3) Who speaks: a certificate, a token, or the machine itself; nobody else comes further.
(4) Whether one of its roles may; a refusal is recorded.
(5) The gate: a cap on running calls, closed while the server drains.
(6) The deadline of unary RPCs is clamped; streams keep their own time (see ``drive``).
(7) The request is read here, so that garbage is the caller's INVALID_ARGUMENT.
(8) The tenant that the request names is the principal's, and replies are masked (see ``guard``).
(9) Whatever still comes out as an exception is mapped by the table of errors, and logged.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from voiceauth.access.rpcs import ROWS, Row
from voiceauth.errors import EngineError, InputError, TooLargeError
from voiceauth.service.admission import Admission
from voiceauth.service.errors import REFUSALS, SERVER_FAULTS, Answer, TooLateError, answer
from voiceauth.service.faults import engine_errors_only
from voiceauth.service.guard import Guard, GuardedContext
from voiceauth.service.limits import largest_request, longest_seconds
from voiceauth.service.logging import failure
from voiceauth.service.runtime import Runtime
from voiceauth.usecases.acting import acting_as
from voiceauth.wire.metadata import ERROR_CODE, REQUEST_ID

CONTRACT = "/voiceauth.v1."
_SANE_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}\Z")
_REQUEST_ID_BYTES = 8
_Handler = Callable[[Any, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Unreadable:
    """Stands for a request that could not be read, until somebody can answer."""

    error: EngineError


class RpcInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # not generic when run
    """Wraps every RPC of the contract; other services (health, reflection) pass."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """Return the handler of an RPC, wrapped."""
        handler = await continuation(details)
        if handler is None or not details.method.startswith(CONTRACT):
            return handler
        row = ROWS.get(details.method)  # (2)
        if row is None:
            return None
        kind, make = (
            (handler.stream_stream, grpc.stream_stream_rpc_method_handler)
            if row.stream
            else (handler.unary_unary, grpc.unary_unary_rpc_method_handler)
        )
        return make(
            self._wrapped(kind, details.method, row),
            request_deserializer=self._reader(handler.request_deserializer, row),
            response_serializer=handler.response_serializer,
        )

    def _wrapped(self, handler: _Handler, method: str, row: Row) -> _Handler:
        async def guarded(request: Any, context: Any) -> Any:
            request_id = self._request_id(context)  # (1)
            context.set_trailing_metadata(((REQUEST_ID, request_id),))
            structlog.contextvars.bind_contextvars(
                rpc=method, request=request_id, peer=context.peer()
            )
            started = self._runtime.engine.clock.monotonic()
            outcome = "CANCELLED"
            try:
                with engine_errors_only("the service"), self._runtime.gate.enter(call=False):
                    reply = await self._served(handler, request, context, method, row)
                outcome = "OK"
            except EngineError as error:  # (9)
                told = answer(error)
                outcome = told.status.name
                _log_failure(told, error)
                if told.status in SERVER_FAULTS:
                    self._runtime.engine.troubles.tell("rpc", error.code)
                await _abort(context, told, request_id)
            else:
                return reply
            finally:
                seconds = self._runtime.engine.clock.monotonic() - started
                structlog.get_logger().info("rpc", status=outcome, seconds=round(seconds, 4))

        return guarded

    async def _served(
        self, handler: _Handler, request: Any, context: Any, method: str, row: Row
    ) -> Any:
        admission = Admission(self._runtime, method)
        principal = await admission.principal(context, row)  # (3), (4)
        structlog.contextvars.bind_contextvars(by=admission.actor)
        guard = Guard(principal, row, admission.report, admission.nobody)
        with acting_as(admission.actor):
            if row.stream:
                with self._runtime.gate.enter(call=True):  # (5)
                    return await handler(request, GuardedContext(context, guard))
            return await self._timely(handler, request, context, row, guard)

    async def _timely(
        self, handler: _Handler, request: Any, context: Any, row: Row, guard: Guard
    ) -> Any:
        if isinstance(request, Unreadable):  # (7), unary
            raise request.error
        given = context.time_remaining()
        most = longest_seconds(row, self._runtime.limits)
        try:
            async with asyncio.timeout(most if given is None else min(given, most)):  # (6)
                return await guard.served(handler, request, context)  # (8)
        except TimeoutError as error:
            raise TooLateError from error

    def _request_id(self, context: Any) -> str:
        for key, value in context.invocation_metadata() or ():
            if key == REQUEST_ID and isinstance(value, str) and _SANE_ID.match(value):
                return value
        return self._runtime.engine.random.token(_REQUEST_ID_BYTES).hex()

    def _reader(self, read: Callable[[bytes], Any], row: Row) -> Callable[[bytes], Any]:
        most = largest_request(row, self._runtime.limits)

        def reader(data: bytes) -> Any:
            if len(data) > most:
                return Unreadable(TooLargeError())
            try:
                return read(data)
            except DecodeError:
                return Unreadable(InputError("The request is not a message of this contract."))

        return reader


async def _abort(context: Any, told: Answer, request_id: str) -> None:
    trailing = ((ERROR_CODE, told.code), (REQUEST_ID, request_id))
    await context.abort(told.status, told.text, trailing)


def _log_failure(told: Answer, error: EngineError) -> None:
    log = structlog.get_logger()
    report = log.warning if told.status in REFUSALS else log.info
    report = log.error if told.status in SERVER_FAULTS else report
    report("rpc failed", status=told.status.name, **failure(error))
