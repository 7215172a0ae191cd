# SPDX-License-Identifier: Apache-2.0
"""The event loop of the blocking client, in a thread that only runs it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from voiceauth.client.errors import ClientError

_T = TypeVar("_T")


class LoopThread:
    """An event loop in a daemon thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="voiceauth-client", daemon=True
        )
        self._thread.start()

    def wait_for(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine there and return what it returns or raise what it raises."""
        if self._loop.is_closed():
            work.close()
            raise ClientError("The client is closed.")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # an interrupt of the waiting thread ends the call, too
            raise

    def call(self, make: Callable[[], _T]) -> _T:
        """Call a function there: what belongs to the loop has to be made there."""

        async def made() -> _T:
            return make()

        return self.wait_for(made())

    @property
    def closed(self) -> bool:
        """True after ``stop``."""
        return self._loop.is_closed()

    def stop(self) -> None:
        """End the thread. Safe to call twice."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def following(items: AsyncIterator[_T]) -> _T | None:
    """Return the next item, none of which is None, or None at the end."""
    return await anext(items, None)
