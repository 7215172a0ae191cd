# SPDX-License-Identifier: Apache-2.0
"""Hears the audio of all calls: what is due at the same time goes through the signal room at once.

Rules:

* One pass runs at a time, in a thread of its own; what comes meanwhile is for the next one.
* Among many calls a pass waits a moment so that more of them share it, and a call collects most of
  a second of audio before it comes here, at the beginning of a round (``collecting``). Neither is
  done where a span may be completed: an answer rests on that one. What waits goes along with it.
* A call has at most one piece in it: its driver waits. So no call can keep others from their turn,
  and what waits here is bounded by the calls that the gate let in.
* The error of one call is its own.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from voiceauth.errors import EngineError, InternalError
from voiceauth.service.faults import engine_errors_only
from voiceauth.types import Span
from voiceauth.units import Seconds
from voiceauth.usecases.listening import Heard, HearingCall, hear_together

GATHER_SECONDS: Seconds = 0.02
"""How long a pass waits for more calls: little beside the 150 ms that an answer may take."""
ROUND_SECONDS: Seconds = 0.1
"""What many calls have collected is heard at the same time, in rounds of this length: long enough
for several of them, short enough that a pass keeps nobody waiting."""


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    call: HearingCall
    data: bytes
    answer: "asyncio.Future[list[Span]]"
    urgent: bool


class Ear:
    """Brings pieces of calls together. Belongs to one event loop.

    Args:
        monotonic: the time, in seconds.
        many: says that so many calls run that it is worth to wait for one another.
    """

    def __init__(self, monotonic: Callable[[], Seconds], many: Callable[[], bool]) -> None:
        self._monotonic = monotonic
        self._many = many
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voiceauth-ear")
        self._waiting: list[_Piece] = []
        self._timer: asyncio.TimerHandle | None = None
        self._running = False
        self.passes = 0

    @property
    def many(self) -> bool:
        """True while it is worth to wait for other calls."""
        return self._many()

    @property
    def number(self) -> int:
        """Number of the present round, in which calls bring what they have collected."""
        return int(self._monotonic() / ROUND_SECONDS)

    async def hear(self, call: HearingCall, data: bytes) -> list[Span]:
        """Give a call its next bytes; return the spans that they complete.

        Raises:
            EngineError: as ``HearingCall.hear``.
        """
        answer: asyncio.Future[list[Span]] = asyncio.get_running_loop().create_future()
        # Before this call's bytes go in: then its account may be read here.
        urgent = call.speech.may_complete(len(data))
        self._waiting.append(_Piece(call, data, answer, urgent))
        if not self._running:
            self._running = True
            self._soon()
        elif urgent and self._timer is not None:
            self._timer.cancel()
            self._soon()
        return await answer

    def close(self) -> None:
        """Let the running pass end."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _soon(self) -> None:
        wait = self.many and not any(piece.urgent for piece in self._waiting)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(GATHER_SECONDS if wait else 0.0, self._pass)

    def _pass(self) -> None:
        self._timer = None
        pieces, self._waiting = self._waiting, []
        self.passes += 1
        loop = asyncio.get_running_loop()

        def give(work: "Future[list[Heard]]") -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._give, pieces, work)

        self._pool.submit(_all_hear, pieces).add_done_callback(give)

    def _give(self, pieces: Sequence[_Piece], work: "Future[list[Heard]]") -> None:
        for piece, heard in zip(pieces, work.result(), strict=True):
            if piece.answer.done():  # its call was cancelled
                continue
            if isinstance(heard, EngineError):
                piece.answer.set_exception(heard)
            else:
                piece.answer.set_result(heard)
        self._running = bool(self._waiting)
        if self._running:
            self._soon()


def _all_hear(pieces: Sequence[_Piece]) -> list[Heard]:
    """Let each call hear its piece. What is not an error of one call is a fault for all of them."""
    try:
        with engine_errors_only("the signal room"):
            return hear_together([piece.call for piece in pieces], [piece.data for piece in pieces])
    except EngineError as error:
        return [InternalError(detail=error.detail) for _ in pieces]
