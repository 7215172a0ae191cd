# SPDX-License-Identifier: Apache-2.0
"""The server's event loop: while many calls run, it takes many messages at a look.

gRPC's thread writes a byte into a socket for every message that has come. Left to itself, the loop
runs once for each such byte: fifty times a second for each call, with caches that the models have
emptied meanwhile, though its first look took all messages that were there.

Rules:

* Bytes beyond the first are read away before gRPC takes its messages: their messages come along.
* While many calls run, the loop looks a few hundred times a second and sleeps in between. With few
  calls it looks at once, as always.
* All of this hangs on how gRPC wakes a loop. Where it does so in another way nothing is read away
  and nobody sleeps: the loop runs as any other.
"""

import asyncio
import functools
import selectors
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

from voiceauth.units import Seconds

LOOK_SECONDS: Seconds = 0.002
"""Between two looks while many calls run: little beside the 150 ms of an answer."""
_GRPC_READER = "_handle_events"
_MOST_BYTES = 65_536
_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class PacedSelector(selectors.DefaultSelector):
    """Looks seldom while it is told to.

    Args:
        monotonic: the time, in seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        monotonic: Callable[[], Seconds] = time.monotonic,
        sleep: Callable[[Seconds], None] = time.sleep,
    ) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._sleep = sleep
        self._last = monotonic()
        self.slow: Callable[[], bool] = lambda: False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Look for what is ready, as every selector does; before it, wait if there is no hurry."""
        if (timeout is None or timeout > 0.0) and self.slow():
            wait = self._last + LOOK_SECONDS - self._monotonic()
            if wait > 0.0:
                self._sleep(wait if timeout is None else min(wait, timeout))
                timeout = None if timeout is None else max(0.0, timeout - wait)
        found = super().select(timeout)
        self._last = self._monotonic()
        return found


class PacedLoop(asyncio.SelectorEventLoop):
    """asyncio's loop over a ``PacedSelector``, which knows how gRPC wakes it."""

    def __init__(self) -> None:
        self._pace = PacedSelector()
        self.looks = 0
        super().__init__(self._pace)

    def pace_while(self, slow: Callable[[], bool]) -> None:
        """Wait between two looks while that is true, from when gRPC's reader was seen."""
        self._pace.slow = lambda: self.looks > 0 and slow()

    def add_reader(self, fd: Any, callback: Callable[[*_Ts], Any], *args: *_Ts) -> None:
        """Call back when there is something to read."""
        own = callback.func if isinstance(callback, functools.partial) else callback
        if getattr(own, "__name__", "") == _GRPC_READER and isinstance(fd, socket.socket):
            callback = self._taking_all(fd, callback)
        super().add_reader(fd, callback, *args)

    def _taking_all(
        self, source: socket.socket, callback: Callable[[*_Ts], Any]
    ) -> Callable[[*_Ts], None]:
        def take(*args: *_Ts) -> None:
            waiting = len(source.recv(_MOST_BYTES, socket.MSG_PEEK))
            self.looks += 1
            if waiting > 1:
                source.recv(waiting - 1)
            callback(*args)

        return take


def pace_while(slow: Callable[[], bool]) -> None:
    """Let the running loop wait between two looks while that is true, if it is one that can."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, PacedLoop):
        loop.pace_while(slow)


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a server's work to its end in such a loop, as ``asyncio.run`` does in an ordinary one."""
    with asyncio.Runner(loop_factory=PacedLoop) as runner:
        return runner.run(work)
