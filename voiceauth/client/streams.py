# SPDX-License-Identifier: Apache-2.0
"""The three streaming calls: audio goes up, updates and one final answer come down.

Rules:

* Answers are read in the background from the start, so that sending never waits for a caller who
  does not read, and reading never waits for one who does not send.
* The server may give its final answer before the audio ends. Sending after that does nothing; the
  answer waits to be read.
* Leaving the ``async with`` block before the final answer hangs up: the server records a lost call.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc

from voiceauth.client.errors import ClientError, engine_error
from voiceauth.client.status import keep_status
from voiceauth.errors import DependencyError, EngineError
from voiceauth.types import (
    Continuity,
    EnrolmentProgress,
    EnrolmentResult,
    Evidence,
    Ranking,
    Verdict,
)
from voiceauth.units import Seconds
from voiceauth.v1 import audio_pb2, enrolment_pb2, verification_pb2
from voiceauth.wire.continuity import continuity_from_wire
from voiceauth.wire.enrolment import progress_from_wire, result_from_wire
from voiceauth.wire.evidence import evidence_from_wire, verdict_from_wire
from voiceauth.wire.identification import ranking_from_wire

Update = TypeVar("Update")
Final = TypeVar("Final")

_EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
MOST_CHUNK_BYTES = 16_384
"""Longer data is sent in pieces of this size, which every server takes."""
ANSWER_SECONDS = 30.0
"""Longest wait for a next message after the end of the audio."""
_FAREWELL_SECONDS = 1.0
_MILLISECONDS = 1000


class CallStream(Generic[Update, Final]):
    """What the three streams share.

    Args:
        method: the stub's method.
        opening: the first request, ``open`` filled in.
    """

    def __init__(self, method: Any, opening: Any) -> None:
        self._method = method
        self._opening = opening
        self._request = type(opening)
        self._call: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._updates: asyncio.Queue[Update | Final | None] = asyncio.Queue()
        self._final: Final | None = None
        self._failure: EngineError | None = None
        self._over = False
        self._ended = False

    async def __aenter__(self) -> Self:
        """Open the call."""
        try:
            self._call = keep_status(self._method())
        except grpc.aio.UsageError as error:
            raise ClientError("The client is closed.", detail=str(error)) from error
        self._reader = asyncio.create_task(self._read())
        await self._write(self._opening)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up, unless the final answer is here."""
        if self._reader is None:
            return
        if self._final is not None:
            await asyncio.wait([self._reader], timeout=_FAREWELL_SECONDS)
        self._call.cancel()
        await asyncio.wait([self._reader])

    async def send(self, data: bytes) -> None:
        """Send audio bytes of any length.

        Does nothing once the server has given its final answer or failed: the answer or the error
        comes from reading.

        Raises:
            ClientError: after ``end``.
        """
        for start in range(0, len(data), MOST_CHUNK_BYTES):
            piece = data[start : start + MOST_CHUNK_BYTES]
            await self._say(self._request(audio=audio_pb2.AudioChunk(data=piece)))

    async def dtmf(self, digit: str, seconds: Seconds = 0.0) -> None:
        """Report a key press of that length, 0 if unknown. Errors as ``send``."""
        held = max(0, round(seconds * _MILLISECONDS))
        mark = audio_pb2.DtmfMark(digit=digit, duration_milliseconds=held)
        await self._say(self._request(dtmf=mark))

    async def gap(self, seconds: Seconds) -> None:
        """Report lost audio. Errors as ``send``."""
        await self._say(self._request(gap=audio_pb2.AudioGap(lost_seconds=seconds)))

    async def end(self) -> None:
        """Say that no more audio comes. A second time does nothing."""
        if self._ended:
            return
        await self._say(self._request(end=audio_pb2.AudioEnd()))
        self._ended = True
        await self._half_close()

    @property
    def finished(self) -> bool:
        """True once the server has given its final answer or failed: no audio is needed."""
        return self._over

    def __aiter__(self) -> AsyncIterator[Update | Final]:
        """Iterate over the updates; the last item is the final answer."""
        return self

    async def __anext__(self) -> Update | Final:
        """Return the next update.

        Raises:
            EngineError: the class that the server's error code names.
            DependencyError: the connection broke, or no answer came after ``end``.
            ClientError: the stream ended without a final answer.
        """
        update = await self._next()
        if update is not None:
            return update
        self._updates.put_nowait(None)  # for whoever asks again
        if self._final is not None:
            raise StopAsyncIteration
        raise self._failure or ClientError("The stream ended without a final answer.")

    async def run(self, chunks: Iterable[bytes] | AsyncIterable[bytes]) -> Final:
        """Send all chunks, as far as the server wants them, and return the final answer.

        Chunks are sent as fast as they come; pace them at their source. Errors as ``__anext__``.
        """
        async for chunk in _each(chunks):
            if self._over:
                break
            await self.send(chunk)
        await self.end()
        return await self.final()

    async def final(self) -> Final:
        """Wait for the final answer and return it, as often as asked. Errors as ``__anext__``."""
        if self._final is None:
            async for _ in self:
                pass
        if self._final is None:
            raise ClientError("The stream ended without a final answer.")
        return self._final

    @abstractmethod
    def _item(self, message: Any) -> tuple[Update | None, Final | None]:
        """Read one response; (None, None) for one that this version does not know."""

    async def _next(self) -> Update | Final | None:
        if self._reader is None:
            raise ClientError("The stream is not open: use it in an 'async with' block.")
        try:
            async with asyncio.timeout(ANSWER_SECONDS if self._ended else None):
                return await self._updates.get()
        except TimeoutError as error:
            raise DependencyError("The server did not answer in time.") from error

    async def _read(self) -> None:
        try:
            while (message := await self._call.read()) is not _EOF:
                update, final = self._item(message)
                if final is not None:
                    self._final = final
                    self._over = True
                    await self._half_close()
                item = final if final is not None else update
                if item is not None:
                    self._updates.put_nowait(item)
        except grpc.aio.AioRpcError as failure:
            self._failure = engine_error(failure)
        except asyncio.CancelledError:  # hung up by us, or the channel was closed
            self._failure = DependencyError("The call was cancelled.")
        except EngineError as failure:  # a message that cannot be read
            self._failure = failure
            self._call.cancel()
        finally:
            self._over = True
            self._updates.put_nowait(None)

    async def _say(self, message: Any) -> None:
        if self._call is None:
            raise ClientError("The stream is not open: use it in an 'async with' block.")
        if self._over:
            return
        if self._ended:
            raise ClientError("Nothing can be sent after the end of the audio.")
        await self._write(message)

    async def _half_close(self) -> None:
        """Tell the server that nothing more comes, if it is still there to be told."""
        with suppress(grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
            await self._call.done_writing()

    async def _write(self, message: Any) -> None:
        try:
            await self._call.write(message)
        except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
            # The server is done with this call. Its answer or error is for the reader to find.
            self._over = True


class AnsweringStream(CallStream[Update, Final]):
    """What the streams of a verification share: the marks of a challenge."""

    async def prompted(self, challenge: str) -> None:
        """Say that the prompt of a challenge ended here in the audio. Errors as ``send``."""
        mark = verification_pb2.ChallengePrompted(challenge_id=challenge)
        await self._say(self._request(challenge_prompted=mark))

    async def recognised(self, challenge: str, text: str, confidence: float) -> None:
        """Pass on what a recogniser of one's own heard in the answer. Errors as ``send``."""
        heard = verification_pb2.ChallengeRecognised(
            challenge_id=challenge, text=text, confidence=confidence
        )
        await self._say(self._request(challenge_recognised=heard))


class VerifyStream(AnsweringStream[Evidence, Verdict]):
    """Yields Evidence, and one Verdict last."""

    async def verdict(self) -> Verdict:
        """Wait for the verdict and return it. Errors as ``__anext__``."""
        return await self.final()

    def _item(
        self, message: verification_pb2.VerifyResponse
    ) -> tuple[Evidence | None, Verdict | None]:
        kind = message.WhichOneof("message")
        if kind == "evidence":
            return evidence_from_wire(message.evidence), None
        if kind == "verdict":
            return None, verdict_from_wire(message.verdict)
        return None, None


class WatchStream(AnsweringStream[Evidence | Verdict | Continuity, Continuity]):
    """Yields Evidence, one Verdict, and then Continuity; the last one has ``final=True``."""

    def _item(
        self, message: verification_pb2.VerifyResponse
    ) -> tuple[Evidence | Verdict | Continuity | None, Continuity | None]:
        kind = message.WhichOneof("message")
        if kind == "evidence":
            return evidence_from_wire(message.evidence), None
        if kind == "verdict":
            return verdict_from_wire(message.verdict), None
        if kind == "continuity":
            continuity = continuity_from_wire(message.continuity)
            return (None, continuity) if continuity.final else (continuity, None)
        return None, None


class EnrolStream(CallStream[EnrolmentProgress, EnrolmentResult]):
    """Yields EnrolmentProgress, and one EnrolmentResult last."""

    async def result(self) -> EnrolmentResult:
        """Wait for the result and return it. Errors as ``__anext__``."""
        return await self.final()

    def _item(
        self, message: enrolment_pb2.EnrolResponse
    ) -> tuple[EnrolmentProgress | None, EnrolmentResult | None]:
        kind = message.WhichOneof("message")
        if kind == "progress":
            return progress_from_wire(message.progress), None
        if kind == "result":
            return None, result_from_wire(message.result)
        return None, None


class IdentifyStream(CallStream[Ranking, Ranking]):
    """Yields Rankings; the last one has ``final=True``."""

    async def ranking(self) -> Ranking:
        """Wait for the final ranking and return it. Errors as ``__anext__``."""
        return await self.final()

    def _item(
        self, message: verification_pb2.IdentifyResponse
    ) -> tuple[Ranking | None, Ranking | None]:
        ranking = ranking_from_wire(message)
        return (None, ranking) if ranking.final else (ranking, None)


async def _each(chunks: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk
