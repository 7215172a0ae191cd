# SPDX-License-Identifier: Apache-2.0
"""Streams spoken by hand, for messages that no well-behaved client would send."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
from served import PCM, TENANT

from voiceauth.client.status import keep_status
from voiceauth.v1 import (
    audio_pb2,
    enrolment_pb2,
    enrolment_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)
from voiceauth.wire.audio import format_to_wire
from voiceauth.wire.metadata import ERROR_CODE

EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Outcome:
    """What came back from a stream."""

    messages: tuple[Any, ...]
    status: grpc.StatusCode
    text: str
    code: str | None

    def kinds(self) -> list[str | None]:
        """Return the message types, in order."""
        return [one.WhichOneof("message") for one in self.messages]


@dataclass(frozen=True)
class Rpc:
    """One streaming RPC and how its first message is built."""

    name: str

    @property
    def request(self) -> Any:
        """The request's class."""
        return {
            "Verify": verification_pb2.VerifyRequest,
            "Identify": verification_pb2.IdentifyRequest,
            "Enrol": enrolment_pb2.EnrolRequest,
        }[self.name]

    def opening(self, subject: str = "alice", **more: Any) -> Any:
        """Build an opening message."""
        common = {"call_id": "call-1", "tenant_id": TENANT, "format": format_to_wire(PCM)}
        given = {**common, **more}
        if self.name == "Identify":
            return self.request(open=verification_pb2.IdentifyOpen(**given))
        if self.name == "Verify":
            return self.request(open=verification_pb2.VerifyOpen(subject_id=subject, **given))
        return self.request(open=enrolment_pb2.EnrolOpen(subject_id=subject, **given))

    def audio(self, data: bytes) -> Any:
        """Build an audio message."""
        return self.request(audio=audio_pb2.AudioChunk(data=data))

    def end(self) -> Any:
        """Build the last message."""
        return self.request(end=audio_pb2.AudioEnd())

    def start(self, channel: grpc.aio.Channel, **more: Any) -> Any:
        """Start a stream."""
        stub: Any = (
            enrolment_pb2_grpc.EnrolmentServiceStub
            if self.name == "Enrol"
            else verification_pb2_grpc.VerificationServiceStub
        )
        return getattr(stub(channel), self.name)(**more)


VERIFY, IDENTIFY, ENROL = Rpc("Verify"), Rpc("Identify"), Rpc("Enrol")


async def exchange(
    target: str, rpc: Rpc, messages: Sequence[Any], *, half_close: bool = True
) -> Outcome:
    """Send all messages, read everything, and return what came back."""
    async with grpc.aio.insecure_channel(target) as channel:
        call = keep_status(rpc.start(channel))
        return await finish(call, messages, half_close=half_close)


async def finish(call: Any, messages: Sequence[Any], *, half_close: bool = True) -> Outcome:
    """Send messages on a running stream and read it to its end."""
    writing = asyncio.create_task(_write(call, messages, half_close=half_close))
    came: list[Any] = []
    try:
        while (message := await call.read()) is not EOF:
            came.append(message)
    except grpc.aio.AioRpcError:
        pass
    await writing
    trailing = dict(await call.trailing_metadata() or ())
    code = trailing.get(ERROR_CODE)
    return Outcome(
        tuple(came),
        await call.code(),
        await call.details() or "",
        code if isinstance(code, str) else None,
    )


async def _write(call: Any, messages: Sequence[Any], *, half_close: bool) -> None:
    with suppress(grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
        for message in messages:  # the server may be done before; reading says why
            await call.write(message)
        if half_close:
            await call.done_writing()
