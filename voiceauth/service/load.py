# SPDX-License-Identifier: Apache-2.0
"""How long work waits for the processor, so that new calls are shed before running ones are late.

Two waits are watched: of the event loop (how much later than asked for a timer runs) and of spans
for a model's thread. Each is a mean that forgets within a second: one slow moment sheds nobody, and
an overload is noticed within half a second.
"""

import asyncio
import math
from collections.abc import Callable

from voiceauth.units import Seconds

SAMPLE_SECONDS: Seconds = 0.05
FORGET_SECONDS: Seconds = 0.5


class Lag:
    """A mean of waits that forgets.

    Args:
        monotonic: the time, in seconds.
    """

    def __init__(self, monotonic: Callable[[], Seconds]) -> None:
        self._monotonic = monotonic
        self._mean: Seconds = 0.0
        self._at = monotonic()

    def note(self, waited: Seconds) -> None:
        """Count a wait."""
        self._mean = self.mean()
        self._at = self._monotonic()
        self._mean += 0.25 * (max(waited, 0.0) - self._mean)

    def mean(self) -> Seconds:
        """Return the mean as it is now; without waits it falls to nothing."""
        return self._mean * math.exp((self._at - self._monotonic()) / FORGET_SECONDS)


class LoadMeter:
    """Watches one event loop and the threads beside it. Belongs to the loop.

    Args:
        monotonic: the time, in seconds.
        most: mean wait at which no further call is let in.
    """

    def __init__(self, monotonic: Callable[[], Seconds], most: Seconds) -> None:
        self._monotonic = monotonic
        self._most = most
        self._stopped = False
        self.loop, self.models = Lag(monotonic), Lag(monotonic)
        self._look(monotonic())

    def busy(self) -> bool:
        """Say whether a further call would make the running ones late."""
        return max(self.loop.mean(), self.models.mean()) > self._most

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped = True

    def _look(self, due: Seconds) -> None:
        if self._stopped:
            return
        now = self._monotonic()
        self.loop.note(now - due)
        asyncio.get_running_loop().call_later(SAMPLE_SECONDS, self._look, now + SAMPLE_SECONDS)
