# SPDX-License-Identifier: Apache-2.0
"""Time and chance: where the outside world comes in."""

from datetime import datetime
from typing import Protocol

from voiceauth.units import Seconds


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Return the current time, UTC, aware."""
        ...

    def monotonic(self) -> Seconds:
        """Return seconds from an arbitrary start that never goes back."""
        ...


class Random(Protocol):
    """Where unpredictable bytes come from."""

    def token(self, size: int) -> bytes:
        """Return ``size`` cryptographically random bytes."""
        ...
