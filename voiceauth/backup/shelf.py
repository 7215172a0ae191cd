# SPDX-License-Identifier: Apache-2.0
"""Names of archives, and which of them are kept. Pure; files of other names are nobody's business.

Days and weeks are counted, not measured: a clock that jumped ahead makes one archive look old, and
removes none of the others.
"""

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_NAME = re.compile(r"voiceauth-(\d{8}T\d{6}Z)(?:-(\d+))?\.vab\Z")
_STAMP = "%Y%m%dT%H%M%SZ"
JOURNAL = "erasures.jsonl"


@dataclass(frozen=True, slots=True, order=True)
class Shelved:
    """One archive, by its name alone.

    Attributes:
        place: among those of one second, from 1.
    """

    created_at: datetime
    place: int
    name: str


def archive_name(created_at: datetime, taken: Iterable[str] = ()) -> str:
    """Return a name for an archive that none of the others has."""
    stem = f"voiceauth-{created_at.astimezone(UTC).strftime(_STAMP)}"
    others, number, name = set(taken), 1, f"{stem}.vab"
    while name in others:
        number += 1
        name = f"{stem}-{number}.vab"
    return name


def shelved(names: Iterable[str]) -> tuple[Shelved, ...]:
    """Return the archives among file names, oldest first."""
    found = []
    for name in names:
        match = _NAME.match(name)
        if match is None:
            continue
        try:
            made = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue  # no date of the calendar: not ours
        found.append(Shelved(made, int(match[2] or 1), name))
    return tuple(sorted(found))


def kept(archives: Sequence[Shelved], *, daily: int, weekly: int) -> frozenset[str]:
    """Return the names of the archives to keep.

    Args:
        archives: all there are.
        daily: of so many days, newest first, the newest archive of each.
        weekly: likewise of so many ISO weeks.

    Returns:
        Names; the newest archive is always among them.
    """
    newest_first = sorted(archives, reverse=True)
    names = {one.name for one in newest_first[:1]}
    names |= _newest_of_each([(one.created_at.date(), one.name) for one in newest_first], daily)
    weeks = [(one.created_at.isocalendar()[:2], one.name) for one in newest_first]
    return frozenset(names | _newest_of_each(weeks, weekly))


def _newest_of_each(archives: Sequence[tuple[Hashable, str]], most: int) -> set[str]:
    first: dict[Hashable, str] = {}
    for period, name in archives:
        first.setdefault(period, name)
    return set(list(first.values())[:most])
