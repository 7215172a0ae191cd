# SPDX-License-Identifier: Apache-2.0
"""What happened under each key within a time window, bounded and able to be written down."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from voiceauth.alerts.where import Key
from voiceauth.errors import IntegrityError
from voiceauth.units import Seconds

MOST_KEYS = 50_000
MOST_MARKS = 500
AHEAD_SECONDS: Seconds = 120.0
"""An entry this much newer than the present one was written while the clock stood wrong."""
_SWEEP = 2_000


@dataclass(frozen=True, slots=True)
class Mark:
    """One entry under a key.

    Attributes:
        value: what is counted as different, if anything is.
    """

    at: Seconds
    sequence: int
    value: str = ""


class Windows:
    """Marks by key. The times are the entries' own, and may jump either way.

    Args:
        seconds: how far back.
        distinct: a value that comes again takes the place of the one before.
    """

    def __init__(self, seconds: Seconds, *, distinct: bool = False) -> None:
        self._seconds = seconds
        self._distinct = distinct
        self._marks: dict[Key, list[Mark]] = {}
        self._since_sweep = 0

    def add(self, key: Key, mark: Mark) -> Sequence[Mark]:
        """Put one mark and return all of its key within the window, oldest first."""
        kept = [
            one
            for one in self.within(key, mark.at)
            if not (self._distinct and one.value == mark.value)
        ]
        # Taken out and put in again: keys stand in the order of their last mark.
        self._marks.pop(key, None)
        self._marks[key] = [*kept[-(MOST_MARKS - 1) :], mark]
        self._since_sweep += 1
        if self._since_sweep >= _SWEEP or len(self._marks) > MOST_KEYS:
            self._sweep(mark.at)
        return self._marks[key]

    def within(self, key: Key, now: Seconds) -> Sequence[Mark]:
        """Return the marks of a key within the window, oldest first."""
        return [one for one in self._marks.get(key, ()) if self._live(one, now)]

    def dump(self) -> list[object]:
        """Return everything as JSON can hold it."""
        return [
            [*key, [[one.at, one.sequence, one.value] for one in marks]]
            for key, marks in self._marks.items()
        ]

    def load(self, dumped: object) -> None:
        """Take back what ``dump`` returned. Raises IntegrityError."""
        with reading_back():
            self._marks = {
                (str(tenant), str(name)): [
                    Mark(float(at), int(sequence), str(value)) for at, sequence, value in marks
                ]
                for tenant, name, marks in listed(dumped)
            }

    def _live(self, mark: Mark, now: Seconds) -> bool:
        return -AHEAD_SECONDS <= now - mark.at <= self._seconds

    def _sweep(self, now: Seconds) -> None:
        self._since_sweep = 0
        self._marks = {
            key: marks
            for key, marks in self._marks.items()
            if any(self._live(one, now) for one in marks)
        }
        while len(self._marks) > MOST_KEYS:
            del self._marks[next(iter(self._marks))]


@contextmanager
def reading_back() -> Iterator[None]:
    """Turn everything that a malformed memory raises into IntegrityError."""
    try:
        yield
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise IntegrityError(detail="what the alert rules remember cannot be read") from error


def listed(dumped: object) -> list[list[Any]]:
    """Return a list of lists. Raises TypeError for anything else."""
    if not isinstance(dumped, list) or not all(isinstance(one, list) for one in dumped):
        raise TypeError
    return dumped
