# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime, timedelta

from voiceauth.backup.shelf import Shelved, archive_name, kept, shelved

MONDAY = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


def daily(days: int, start: datetime = MONDAY) -> tuple[Shelved, ...]:
    """Return an archive of each of so many days."""
    return shelved(archive_name(start + timedelta(days=day)) for day in range(days))


def dates(names: frozenset[str]) -> list[str]:
    """Return the dates in names, oldest first."""
    return sorted(name[10:18] for name in names)


def test_nothing_but_archives_is_on_the_shelf() -> None:
    """Other files, half ones and impossible dates are nobody's business, so nobody removes them."""
    names = ["erasures.jsonl", ".voiceauth-20260302T030000Z.vab.part", "notes.txt"]

    assert shelved([*names, "voiceauth-20269902T030000Z.vab", "voiceauth-x.vab"]) == ()


def test_the_newest_archive_is_always_kept() -> None:
    """Whatever the numbers say."""
    assert dates(kept(daily(3), daily=0, weekly=0)) == ["20260304"]


def test_days_and_weeks_are_kept() -> None:
    """The last of each of seven days, and the last of each of four weeks."""
    names = kept(daily(60), daily=7, weekly=4)

    assert dates(names) == [
        "20260412",  # a Sunday: the last of its week
        "20260419",
        "20260424",
        "20260425",
        "20260426",
        "20260427",
        "20260428",
        "20260429",
        "20260430",
    ]


def test_of_one_day_the_last_archive_is_kept() -> None:
    """Hourly archives do not push out those of other days."""
    hourly = shelved(archive_name(MONDAY + timedelta(hours=hour)) for hour in range(20))
    names = kept((*daily(2, MONDAY - timedelta(days=2)), *hourly), daily=3, weekly=0)

    assert dates(names) == ["20260228", "20260301", "20260302"]
    assert max(names) < "voiceauth-20260302T235959Z.vab"


def test_a_clock_that_jumped_ahead_removes_no_other_day() -> None:
    """One archive from the future takes one place, not all."""
    future = shelved([archive_name(MONDAY + timedelta(days=36_500))])

    names = kept((*daily(7), *future), daily=7, weekly=0)

    assert len(names) == 7
    assert dates(names)[0] == "20260303"


def test_two_archives_of_one_second_have_two_names() -> None:
    """A name is never taken twice."""
    first = archive_name(MONDAY)
    second = archive_name(MONDAY, [first])
    third = archive_name(MONDAY, [first, second])

    assert len({first, second, third}) == 3
    assert [one.name for one in shelved([third, first, second])] == [first, second, third]
