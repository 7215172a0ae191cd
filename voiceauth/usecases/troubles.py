# SPDX-License-Identifier: Apache-2.0
"""What went wrong in the engine itself, from wherever it was noticed to the alerts' next look.

Whoever notices trouble is on the way of a call or a chore and must not wait, so it is counted here
and written into the ledger later. What cannot be written yet stays.
"""

import threading
from collections.abc import Mapping

MOST_KINDS = 100
_REST = ("elsewhere", "other")

Trouble = tuple[str, str]
"""Where it was noticed, and the error's stable code."""


class TroubleBook:
    """Counts trouble by kind. Safe from several threads, and never waits for anything slow."""

    def __init__(self) -> None:
        self._counts: dict[Trouble, int] = {}
        self._lock = threading.Lock()

    def tell(self, place: str, code: str, count: int = 1) -> None:
        """Count one trouble; beyond ``MOST_KINDS`` kinds, all further ones are one kind."""
        with self._lock:
            kind = (place, code)
            if kind not in self._counts and len(self._counts) >= MOST_KINDS:
                kind = _REST
            self._counts[kind] = self._counts.get(kind, 0) + count

    def take(self) -> Mapping[Trouble, int]:
        """Return all counts and begin anew."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def give_back(self, taken: Mapping[Trouble, int]) -> None:
        """Take counts back that could not be written."""
        for (place, code), count in taken.items():
            self.tell(place, code, count)
