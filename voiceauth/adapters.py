# SPDX-License-Identifier: Apache-2.0
"""The only place where real time and real randomness enter the engine.

Everything else receives ``ports.Clock`` and ``ports.Random``, so that tests decide what time it is
and every run of a simulation can be repeated.
"""

import secrets
import time
from datetime import UTC, datetime

from voiceauth.units import Seconds


class SystemClock:
    """``ports.Clock`` over the operating system's clocks."""

    def now(self) -> datetime:
        """Return the current time, UTC, aware."""
        return datetime.now(UTC)

    def monotonic(self) -> Seconds:
        """Return seconds from an arbitrary start that never goes back."""
        return time.monotonic()


class SystemRandom:
    """``ports.Random`` over the operating system's generator. Safe from several threads."""

    def token(self, size: int) -> bytes:
        """Return ``size`` cryptographically random bytes."""
        return secrets.token_bytes(size)
