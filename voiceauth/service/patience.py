# SPDX-License-Identifier: Apache-2.0
"""How long a stream waits for its client, at no cost per message.

A timeout around every read would be made and cancelled fifty times a second for each call. Here a
read only notes when it began, and one timer per stream looks at that when it could be too late.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from voiceauth.errors import StreamTooLongError
from voiceauth.units import Seconds


class Patience:
    """Watches one stream's reads.

    Args:
        seconds: longest wait for a message.
    """

    def __init__(self, seconds: Seconds) -> None:
        self._seconds = seconds
        self._since: Seconds | None = None
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        """Note that a read begins."""
        self._since = self._loop.time()

    def end(self) -> None:
        """Note that it has ended: work on what was read is not waiting."""
        self._since = None

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Watch the reads of a block.

        Raises:
            StreamTooLongError: one of them took too long; the block was cancelled there.
        """
        timer: asyncio.TimerHandle | None = None

        def look() -> None:
            nonlocal timer
            now = self._loop.time()
            left = self._seconds if self._since is None else self._since + self._seconds - now
            if left <= 0.0:
                limit.reschedule(now)
            else:
                timer = self._loop.call_later(left, look)

        limit = asyncio.timeout(None)
        try:
            async with limit:
                timer = self._loop.call_later(self._seconds, look)
                try:
                    yield
                finally:
                    timer.cancel()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StreamTooLongError("The stream was silent for too long.") from error
