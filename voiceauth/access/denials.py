# SPDX-License-Identifier: Apache-2.0
"""How many refusals are recorded: all of them, until somebody is refused all the time.

A ledger entry costs a flush of the disk, and a refused request costs its sender nothing. So each
principal's refusals are recorded one by one up to a burst, and further ones are counted: the next
entry says how many were withheld. Nothing is lost but the particulars of a flood.
"""

from dataclasses import dataclass

from voiceauth.units import Seconds

BURST = 20
EVERY_SECONDS: Seconds = 10.0
MOST_SOURCES = 1000
_OTHERS = ""


@dataclass(slots=True)
class _Source:
    """Counts of one principal. Mutable: it is the book's own."""

    left: float
    seen: Seconds
    withheld: int = 0


class DenialBook:
    """Says of each refusal whether it is to be recorded. For one thread."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}

    def admit(self, source: str, now: Seconds) -> int | None:
        """Count one refusal.

        Args:
            source: who was refused. Beyond ``MOST_SOURCES`` all further ones are counted as one.
            now: monotonic.

        Returns:
            How many were withheld before this one, which is to be recorded; None to withhold it.
        """
        known = source if source in self._sources or len(self._sources) < MOST_SOURCES else _OTHERS
        entry = self._sources.setdefault(known, _Source(BURST, now))
        entry.left = min(BURST, entry.left + (now - entry.seen) / EVERY_SECONDS)
        entry.seen = now
        if entry.left < 1:
            entry.withheld += 1
            return None
        entry.left -= 1
        withheld, entry.withheld = entry.withheld, 0
        return withheld
