# SPDX-License-Identifier: Apache-2.0
"""What happens around every RPC of the contract, outside in.

(1) A request id: the caller's own if it has a sane one, else a fresh one. It stands in every log
    line of the RPC and goes back in the trailing metadata.
(2) The table of limits: an RPC that is not in it is not served.
(3) The door: a cap on running calls, closed while the server drains.
(4) The deadline of unary RPCs is clamped; streams keep their own time (see ``drive``).
(5) The request is read here, so that garbage is the caller's INVALID_ARGUMENT.
(6) Whatever still comes out as an exception is mapped by the table of errors, and logged.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from voiceauth.errors import EngineError, InputError, TooLargeError
from voiceauth.service.errors import SERVER_FAULTS, Answer, TooLateError, answer
from voiceauth.service.faults import engine_errors_only
from voiceauth.service.limits import RULES, Rule
from voiceauth.service.logging import failure
from voiceauth.service.runtime import Runtime
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
        rule = RULES.get(details.method)  # (2)
        if rule is None:
            return None
        kind, make = (
            (handler.stream_stream, grpc.stream_stream_rpc_method_handler)
            if rule.stream
            else (handler.unary_unary, grpc.unary_unary_rpc_method_handler)
        )
        return make(
            self._wrapped(kind, details.method, rule),
            request_deserializer=self._reader(handler.request_deserializer, rule),
            response_serializer=handler.response_serializer,
        )

    def _wrapped(self, handler: _Handler, method: str, rule: Rule) -> _Handler:
        async def guarded(request: Any, context: Any) -> Any:
            request_id = self._request_id(context)  # (1)
            context.set_trailing_metadata(((REQUEST_ID, request_id),))
            structlog.contextvars.bind_contextvars(
                rpc=method, request=request_id, peer=context.peer()
            )
            started = self._runtime.engine.clock.monotonic()
            outcome = "CANCELLED"
            try:
                with engine_errors_only("the service"), self._runtime.gate.enter(call=rule.stream):
                    reply = await self._timely(handler, request, context, rule)
                outcome = "OK"
            except EngineError as error:  # (6)
                told = answer(error)
                outcome = told.status.name
                _log_failure(told, error)
                await _abort(context, told, request_id)
            else:
                return reply
            finally:
                seconds = self._runtime.engine.clock.monotonic() - started
                structlog.get_logger().info("rpc", status=outcome, seconds=round(seconds, 4))

        return guarded

    async def _timely(self, handler: _Handler, request: Any, context: Any, rule: Rule) -> Any:
        if isinstance(request, Unreadable):  # (5), unary
            raise request.error
        if rule.stream:
            return await handler(request, context)
        given = context.time_remaining()
        most = rule.seconds(self._runtime.limits)
        try:
            async with asyncio.timeout(most if given is None else min(given, most)):  # (4)
                return await handler(request, context)
        except TimeoutError as error:
            raise TooLateError from error

    def _request_id(self, context: Any) -> str:
        for key, value in context.invocation_metadata() or ():
            if key == REQUEST_ID and isinstance(value, str) and _SANE_ID.match(value):
                return value
        return self._runtime.engine.random.token(_REQUEST_ID_BYTES).hex()

    def _reader(self, read: Callable[[bytes], Any], rule: Rule) -> Callable[[bytes], Any]:
        most = rule.request_bytes(self._runtime.limits)

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
    report = log.error if told.status in SERVER_FAULTS else log.info
    report("rpc failed", status=told.status.name, **failure(error))
