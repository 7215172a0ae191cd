# SPDX-License-Identifier: Apache-2.0
"""Rules about people at work: more than on other days, or at hours at which they are not there.

The baseline is each principal's own, made of its active days, by median and median deviation, so
that a few odd days do not move it; what lies far above the median enters it cut down, so that it
cannot be taught slowly. A principal without history is held against everybody's.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from voiceauth.alerts.counting import MOST_RECORDS, Found
from voiceauth.alerts.reading import Observation, moment, number
from voiceauth.alerts.table import HoursRule, VolumeRule
from voiceauth.alerts.where import Key, fits, key_of
from voiceauth.alerts.windows import MOST_KEYS, Mark, Windows, listed, reading_back
from voiceauth.units import Rate

_MAD_TO_SIGMA = 1.4826
_HOURS = 24
_WEEKEND = 5


class _Days:
    """One principal's active days: what each was worth, the present one last."""

    def __init__(self, day: int) -> None:
        self.day = day
        self.now = 0
        self.past: list[int] = []
        self.records: list[int] = []

    def dump(self) -> list[object]:
        """Return it as JSON can hold it."""
        return [self.day, self.now, self.past, self.records]

    @classmethod
    def of(cls, dumped: Any) -> "_Days":
        """Read what ``dump`` returned. Raises TypeError or ValueError."""
        day, now, past, records = dumped
        found = cls(int(day))
        found.now = int(now)
        found.past, found.records = [int(one) for one in past], [int(one) for one in records]
        return found


class _Roster:
    """The days of every principal, those of the one who worked last at the end."""

    def __init__(self, history_days: int) -> None:
        self._history_days = history_days
        self._days: dict[Key, _Days] = {}

    def at(self, key: Key, day: int, worth: Callable[[_Days], int]) -> _Days:
        """Return a principal's days as of one of them.

        Args:
            key: the principal.
            day: ordinal; where it is another one than before, that one is past.
            worth: what a day that is over enters the history with.
        """
        days = self._days.pop(key, None) or _Days(day)
        self._days[key] = days
        if len(self._days) > MOST_KEYS:
            del self._days[next(iter(self._days))]
        if day != days.day:
            days.past = [*days.past, worth(days)][-self._history_days :]
            days.day, days.now, days.records = day, 0, []
        return days

    def everybody(self, least_days: int) -> list[int]:
        """Return the past days of all who have at least so many."""
        return [
            one for days in self._days.values() if len(days.past) >= least_days for one in days.past
        ]

    def dump(self) -> object:
        """Return everything as JSON can hold it."""
        return [[*key, days.dump()] for key, days in self._days.items()]

    def load(self, dumped: object) -> None:
        """Take back what ``dump`` returned. Raises IntegrityError."""
        with reading_back():
            self._days = {
                (str(tenant), str(name)): _Days.of(days) for tenant, name, days in listed(dumped)
            }


class Volumes:
    """The judge of a ``VolumeRule``."""

    def __init__(self, rule: VolumeRule) -> None:
        self._rule = rule
        self._zone = _zone(rule.timezone)
        self._roster = _Roster(rule.history_days)
        self.dump, self.load = self._roster.dump, self._roster.load

    def observe(self, observation: Observation) -> Found | None:
        """Count what one entry is worth, and hold the day against the days before."""
        rule, key = self._rule, key_of(observation, self._rule.key)
        if key is None or not fits(observation, rule.where):
            return None
        weight = number(observation, rule.weight) if rule.weight else None
        days = self._roster.at(key, _local(observation, self._zone).toordinal(), self._worth)
        days.now += max(1, int(weight or 1))
        days.records = [*days.records[-(MOST_RECORDS - 1) :], observation.sequence]
        if days.now < rule.least:
            return None
        limit = self._limit(days)
        if days.now <= limit:
            return None
        usual = median(days.past) if days.past else 0.0
        counts = (("records", days.now), ("limit", round(limit, 1)), ("usual", usual))
        return Found(key, counts, tuple(days.records))

    def _worth(self, days: _Days) -> int:
        past = self._measure(days)
        return min(days.now, math.ceil(self._usual(past) if past else self._rule.newcomer))

    def _limit(self, days: _Days) -> float:
        rule, past = self._rule, self._measure(days)
        if not past:
            return float(max(rule.least, rule.newcomer))
        return max(float(rule.least), self._usual(past), rule.over_busiest * max(past))

    def _measure(self, days: _Days) -> list[int]:
        """Return the days that a principal is held against: its own, or everybody's."""
        enough = self._rule.least_days
        return days.past if len(days.past) >= enough else self._roster.everybody(enough)

    def _usual(self, past: list[int]) -> float:
        middle = median(past)
        spread = _MAD_TO_SIGMA * median(abs(one - middle) for one in past)
        # However alike the last days happened to be: counts vary by their square root at least.
        least = max(math.sqrt(middle), self._rule.variation * middle, 1.0)
        return middle + self._rule.deviations * max(spread, least)


class Hours:
    """The judge of an ``HoursRule``. A day is worth the set of hours at which there was work."""

    def __init__(self, rule: HoursRule) -> None:
        self._rule = rule
        self._zone = _zone(rule.timezone)
        self._roster = _Roster(rule.history_days)
        self._odd = Windows(rule.window_seconds)

    def observe(self, observation: Observation) -> Found | None:
        """Note the hour of one entry, and count it where it is an unusual one."""
        rule, key = self._rule, key_of(observation, self._rule.key)
        if key is None or not fits(observation, rule.where):
            return None
        local = _local(observation, self._zone)
        slot = local.hour + (_HOURS if local.weekday() >= _WEEKEND else 0)
        days = self._roster.at(key, local.toordinal(), lambda one: one.now)
        days.now |= 1 << slot
        if not self._unusual(days, slot):
            return None
        marks = self._odd.add(key, Mark(observation.at, observation.sequence))
        if len(marks) < rule.threshold:
            return None
        records = tuple(one.sequence for one in marks[-MOST_RECORDS:])
        return Found(key, (("entries", len(marks)), ("hour", local.hour)), records)

    def dump(self) -> object:
        """Return every principal's days, and the odd entries."""
        return [self._roster.dump(), self._odd.dump()]

    def load(self, dumped: object) -> None:
        """Take them back. Raises IntegrityError."""
        with reading_back():
            days, odd = listed(dumped)
        self._roster.load(days)
        self._odd.load(odd)

    def _unusual(self, days: _Days, slot: int) -> bool:
        rule = self._rule
        if len(days.past) < rule.least_days or _share(days.past, slot) > rule.own_share:
            return False
        return _share(self._roster.everybody(1), slot) <= rule.peer_share


def _share(past: list[int], slot: int) -> Rate:
    """Return the share of days with work at this hour or beside it.

    Weekends are held against weekends; where there are none, nobody works then.
    """
    first = slot - slot % _HOURS
    around = 0
    for beside in (-1, 0, 1):
        around |= 1 << (first + (slot - first + beside) % _HOURS)
    alike = [one for one in past if (one >> _HOURS != 0) == (slot >= _HOURS)]
    return sum(1 for one in alike if one & around) / len(alike) if alike else 0.0


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _local(observation: Observation, zone: tzinfo) -> datetime:
    return moment(observation.at).astimezone(zone)
