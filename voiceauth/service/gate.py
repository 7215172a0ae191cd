# SPDX-License-Identifier: Apache-2.0
"""Who may come in: a cap on running calls, and the closed door while the server drains."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog

from voiceauth.errors import BusyError, DependencyError, EngineError
from voiceauth.units import Seconds

_T = TypeVar("_T")


MANY_CALLS = 8
"""Calls from which on it is worth to let one wait a moment for the others."""
NEVER_SHED = 16
"""Calls that any machine carries: fewer are let in however it is with the processor, which others
may be using."""


class Gate:
    """Counts what runs.

    Args:
        most_calls: streams at once.
        busy: says that a further stream would make the running ones late.
    """

    def __init__(self, most_calls: int, busy: Callable[[], bool] = lambda: False) -> None:
        self._most_calls = most_calls
        self._busy = busy
        self._calls = 0
        self._inside = 0
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    @contextmanager
    def enter(self, *, call: bool) -> Iterator[None]:
        """Be counted for the time of the block.

        Args:
            call: True for a stream, False for a unary request.

        Raises:
            BusyError: the cap on calls is reached, or the machine cannot do with more of them;
                running calls are not touched.
            DependencyError: the server is going down.
        """
        if self._closed:
            raise DependencyError("The server is shutting down.")
        full = self._calls >= self._most_calls
        if call and (full or (self._calls >= NEVER_SHED and self._busy())):
            raise BusyError
        self._calls += call
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._calls -= call
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    @property
    def many(self) -> bool:
        """True while so many calls run that they should share what they cost."""
        return self._calls >= MANY_CALLS

    @property
    def closed(self) -> bool:
        """True once nobody is let in any more: who only waits should leave."""
        return self._closed

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    async def wait_empty(self, seconds: Seconds) -> bool:
        """Wait until everybody has left; False if somebody is still there after that time."""
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True


class Aftercare:
    """Work that must outlive the call that asked for it: records of lost calls, mostly.

    A cancelled handler may not wait for the vault any more, so its record is written here, and the
    server waits for it before it goes down.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def finish(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Wait for work that goes on even if the one who waits is cancelled."""
        return await asyncio.shield(self._start(work))

    def leave(self, work: Coroutine[Any, Any, object], *, event: str) -> None:
        """Do work that nobody waits for; a failure of it is logged as ``event``."""
        self._start(self._logged(work, event))

    async def settle(self) -> None:
        """Wait until nothing is left to do."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: the one who waited may be gone

    @staticmethod
    async def _logged(work: Coroutine[Any, Any, object], event: str) -> None:
        try:
            await work
        except EngineError as error:
            structlog.get_logger().error(event, code=error.code, detail=error.detail)
