# SPDX-License-Identifier: Apache-2.0
"""The driver that the three streaming RPCs share: messages in, spans to the model, answers out.

The order of one stream:

(1) The first message is ``open``, once. Before it nothing is looked at.
(2) Audio and marks reach the use case in stream order. Short chunks are collected until the signal
    room can do something with them, among many calls for up to a second while no span can come of
    them, and heard together with those of other calls; long ones are heard beside them. News is
    looked for after each span and mark, and once or twice a second.
(3) Counted spans are embedded in the pool; while they are, nothing is read, so a fast client is
    slowed by flow control.
(4) The stream ends when the use case has enough, when ``end`` comes, or when the client half-closes
    without it. What a client sends after that is not looked at. A lost call looks half-closed for a
    moment: the last audio is worked on meanwhile, and nothing is concluded before that is over.
(5) The use case concludes in work that outlives the call: once begun, a record is finished.
(6) The final answer is sent, and the stream is held open for a moment so that a client that still
    talks can hear it, stop and close its side: some gRPC libraries lose an answer behind a reset.
(7) A client that vanishes before (5) leaves a record of a lost call and nothing else.
(8) A use case may go on listening after its answer; then (2), (3), (4), (5) and (7) hold once more
    for what comes after, which ends with an answer of its own, before (6).
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

import grpc
import structlog

from voiceauth.config import ServerSettings
from voiceauth.errors import EngineError, StreamOrderError, StreamTooLongError, TooLargeError
from voiceauth.service.collecting import Collector
from voiceauth.service.faults import engine_errors_only
from voiceauth.service.interceptors import Unreadable
from voiceauth.service.logging import failure
from voiceauth.service.patience import Patience
from voiceauth.service.runtime import Runtime
from voiceauth.types import AudioFormat, CallId, Encoding, Span, TenantId
from voiceauth.usecases.listening import HearingCall

LONG_SECONDS = 1.0
"""Longer audio is not heard together with other calls, which would wait for it."""
LOOK_SECONDS = 0.5
"""Audio after which news is looked for, though no span was completed."""
HALF_CLOSE_SECONDS = 0.05
"""A cancelled call looks like a half-closed one for a moment; the cancellation follows within."""
LINGER_SECONDS = 1.0
"""How long a client may go on talking after its final answer before it is cut off."""
_MILLISECONDS = 1000
_EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it

Reply = TypeVar("Reply")


class Talk(ABC, Generic[Reply]):
    """What differs between the three streams. One instance per stream."""

    opened: bool = False
    """True from the moment at which a lost call leaves a record."""

    @abstractmethod
    async def open(self, opening: Any) -> tuple[HearingCall, AudioFormat]:
        """Begin, from the ``open`` message. What it raises ends the stream."""

    @property
    @abstractmethod
    def done(self) -> bool:
        """True once no more audio is needed."""

    @abstractmethod
    async def take(self, span: Span) -> Sequence[Reply]:
        """Take one span, embed it if it counts, and return what there is to say."""

    @abstractmethod
    def news(self) -> Sequence[Reply]:
        """Return what there is to say now that something was heard."""

    async def mark(self, message: Any) -> None:
        """Take a message that only this RPC has; by default there is none."""
        del message
        raise StreamOrderError("A message of the stream is empty or not known.")

    async def attend(self) -> None:
        """Do what is due beside the spans, now that something was heard."""
        return

    @abstractmethod
    async def conclude(self) -> Reply:
        """Record the outcome and return the final answer."""

    def go_on(self, *, ended: bool) -> HearingCall | None:
        """Say that listening goes on after the answer that was sent; None if it does not.

        Args:
            ended: no more audio will come.
        """
        del ended
        return None

    @property
    def owes_last_word(self) -> bool:
        """True if an answer is due after the one that ``conclude`` gave, audio or not."""
        return False

    @abstractmethod
    async def rescue(self, error: EngineError) -> Reply:
        """Return a safe final answer after an error, or record what is due and raise it."""

    @abstractmethod
    async def lost(self) -> None:
        """Record that the client vanished."""


class Drive(Generic[Reply]):
    """Drives one stream from its first message to its final answer.

    Args:
        talk: the RPC's own part.
        context: of gRPC.
        runtime: the engine with its threads.
    """

    def __init__(self, talk: Talk[Reply], context: Any, runtime: Runtime) -> None:
        self._talk = talk
        self._context = context
        self._runtime = runtime
        self._limits: ServerSettings = runtime.limits
        self._patience = Patience(runtime.limits.idle_seconds)
        self._hearing: HearingCall | None = None
        self._second_bytes = 0
        self._unlooked_bytes = 0
        self._collector = Collector(runtime.ear)
        self._concluding = False
        self._ended = False

    async def run(self) -> None:
        """Drive the stream. What it raises is the status that the client gets."""
        try:
            await self._send(await self._final(self._converse))
            if self._talk.owes_last_word:
                await self._send(await self._final(self._go_on))  # (8)
            await self._linger()  # (6)
        except asyncio.CancelledError:  # (7)
            self._leave()
            raise

    async def _linger(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while await self._context.read() is not _EOF:
                    pass

    async def _final(self, converse: Callable[[], Coroutine[Any, Any, None]]) -> Reply:
        self._concluding = False
        try:
            await self._in_time(converse)
            self._concluding = True
            return await self._runtime.aftercare.finish(self._talk.conclude())  # (5)
        except EngineError as error:
            if not self._talk.opened:
                raise
            self._concluding = True
            return await self._runtime.aftercare.finish(self._talk.rescue(error))

    async def _in_time(self, converse: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            async with asyncio.timeout(self._limits.max_stream_seconds):
                with engine_errors_only("the call"):
                    async with self._patience.watched():
                        await converse()
        except TimeoutError as error:
            raise StreamTooLongError from error

    async def _converse(self) -> None:
        await self._open()
        await self._listen()

    async def _go_on(self) -> None:
        hearing = self._talk.go_on(ended=self._ended)
        if hearing is not None:
            self._hearing = hearing
            await self._listen()

    async def _listen(self) -> None:
        while not self._talk.done and await self._turn(await self._next()):
            pass

    async def _open(self) -> None:  # (1)
        message = await self._next()
        if message is None:
            raise StreamOrderError("The stream is empty: its first message must be 'open'.")
        if message.WhichOneof("message") != "open":
            raise StreamOrderError("The first message of a stream must be 'open'.")
        self._hearing, audio_format = await self._talk.open(message.open)
        self._second_bytes = _bytes_per_second(audio_format)
        await self._say(self._talk.news())

    async def _turn(self, message: Any) -> bool:
        """Take one message; return False when no further one is to be read."""
        if message is None:  # (4)
            await self._half_closed()
            return False
        kind = message.WhichOneof("message")
        if kind == "end":
            await self._finish()
            return False
        if kind == "audio":
            await self._audio(message.audio.data)
        elif kind == "dtmf":
            held = message.dtmf.duration_milliseconds / _MILLISECONDS
            await self._mark(lambda: self._listener.dtmf(message.dtmf.digit, held))
        elif kind == "gap":
            await self._mark(lambda: self._listener.gap(message.gap.lost_seconds))
        elif kind == "open":
            raise StreamOrderError("A stream is opened once; its format cannot change.")
        else:
            await self._flush()
            if not self._talk.done:
                await self._talk.mark(message)
        return True

    async def _audio(self, data: bytes) -> None:  # (2)
        if len(data) > self._limits.max_message_bytes:
            raise TooLargeError("The audio chunk is larger than the server takes.")
        if self._collector.add(self._listener, data):
            await self._flush()

    async def _mark(self, note: Callable[[], list[Span]]) -> None:
        """Note a mark, and do what is due then."""
        await self._note(note)
        await self._heard(look=True)

    async def _note(self, note: Callable[[], list[Span]]) -> None:
        """Note a mark where it stands in the audio, and take the spans that it completes."""
        await self._flush()
        if not self._talk.done:
            with engine_errors_only("the signal room"):
                spans = note()
            await self._take(spans)

    async def _flush(self) -> None:
        data = self._collector.take()
        if not data:
            return
        if len(data) < self._listener.speech.missing_bytes:
            spans = self._hear_guarded(data)  # only kept: it makes no block, and costs nothing
        elif len(data) <= self._second_bytes * LONG_SECONDS:
            spans = await self._runtime.ear.hear(self._listener, data)
        else:
            spans = await self._runtime.inference.run(lambda: self._hear_guarded(data))
        self._unlooked_bytes += len(data)
        await self._take(spans)
        await self._heard(look=self._unlooked_bytes >= self._second_bytes * LOOK_SECONDS)

    def _hear_guarded(self, data: bytes) -> list[Span]:
        with engine_errors_only("the signal room"):
            return self._listener.hear(data)

    async def _finish(self) -> None:
        self._ended = True
        await self._mark(self._listener.finish)

    async def _half_closed(self) -> None:
        """Finish, but conclude and record nothing until it is sure that the call was not lost."""
        sure = asyncio.get_running_loop().time() + HALF_CLOSE_SECONDS
        self._ended = True
        try:
            await self._note(self._listener.finish)
        except EngineError:
            await _until(sure)
            raise
        await _until(sure)
        await self._heard(look=True)

    async def _take(self, spans: Sequence[Span]) -> None:  # (3)
        for span in spans:
            if self._talk.done:
                return
            await self._say(await self._talk.take(span))

    async def _heard(self, *, look: bool) -> None:
        """Do what is due now that something was heard; where ``look``, look for news as well."""
        if self._talk.done:
            return
        await self._talk.attend()
        if look:
            self._unlooked_bytes = 0
            await self._say(self._talk.news())

    @property
    def _listener(self) -> HearingCall:
        if self._hearing is None:
            raise StreamOrderError
        return self._hearing

    async def _next(self) -> Any:
        """Read one message, or None at the end of the client's side."""
        self._patience.begin()
        message = await self._context.read()
        self._patience.end()
        if isinstance(message, Unreadable):
            raise message.error
        return None if message is _EOF else message

    async def _say(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            await self._send(reply)

    async def _send(self, reply: Reply) -> None:
        try:
            await self._context.write(reply)
        except grpc.aio.BaseError as error:
            # Nobody is there. gRPC's own cancellation of this task may follow or not.
            raise asyncio.CancelledError from error

    def _leave(self) -> None:
        if self._talk.opened and not self._concluding:
            self._runtime.aftercare.leave(self._talk.lost(), event="lost call not recorded")


async def _until(moment: float) -> None:
    """Wait for a moment of the loop's time that may have passed."""
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))


def _bytes_per_second(audio_format: AudioFormat) -> int:
    width = 2 if audio_format.encoding is Encoding.PCM16LE else 1
    return width * audio_format.rate_hz * audio_format.channels


def bind_call(runtime: Runtime, tenant: TenantId, call: CallId) -> None:
    """Put the call's pseudonym, the one that the ledger has, into the log lines of this RPC."""
    structlog.contextvars.bind_contextvars(call=runtime.engine.pseudonym(tenant, call))


async def recorded(record: Coroutine[Any, Any, None]) -> None:
    """Write a record after an error; its own failure is logged and does not hide the error."""
    try:
        await record
    except EngineError as error:
        structlog.get_logger().error("lost call not recorded", **failure(error))
