# SPDX-License-Identifier: Apache-2.0
"""The time of day as it goes on from the start, whatever somebody sets the clock to meanwhile."""

from datetime import datetime, timedelta

from voiceauth.ports import Clock


class SteadyTime:
    """The wall clock at the start, carried on by the monotonic one.

    Delays are counted in it, so that a clock that is set forward does not end them while the
    engine runs. After a restart the wall clock is believed again.

    Args:
        clock: of the engine.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall = clock.now()
        self._start = clock.monotonic()

    def now(self) -> datetime:
        """Return the current time, UTC."""
        return self._wall + timedelta(seconds=self._clock.monotonic() - self._start)
