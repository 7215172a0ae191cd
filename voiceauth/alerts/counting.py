# SPDX-License-Identifier: Apache-2.0
"""Rules that count entries: so many, so many different ones, one after others, too large a share.

A judge takes one entry and returns what it found, or None. It knows nothing of cooldowns.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from voiceauth.alerts.reading import Observation, text
from voiceauth.alerts.table import CountRule, DistinctRule, SequenceRule, ShareRule
from voiceauth.alerts.where import Key, fits, key_of
from voiceauth.alerts.windows import (
    AHEAD_SECONDS,
    MOST_KEYS,
    Mark,
    Windows,
    listed,
    reading_back,
)
from voiceauth.units import Rate, Seconds

MOST_RECORDS = 10
"""Ledger entries that an alert names as its evidence."""
_BUCKETS = 60
_NEGLIGIBLE = 1e-15


@dataclass(frozen=True, slots=True)
class Found:
    """What a judge found.

    Attributes:
        counts: the evidence in numbers, by stable names.
        records: sequence numbers of the entries behind it, the newest ones.
    """

    key: Key
    counts: tuple[tuple[str, float], ...]
    records: tuple[int, ...]


class Judge(Protocol):
    """One rule at work."""

    def observe(self, observation: Observation) -> Found | None:
        """Take one entry."""
        ...

    def dump(self) -> object:
        """Return all that is remembered, as JSON can hold it."""
        ...

    def load(self, dumped: object) -> None:
        """Take back what ``dump`` returned. Raises IntegrityError."""
        ...


class Counting:
    """The judge of a ``CountRule``."""

    def __init__(self, rule: CountRule) -> None:
        self._rule = rule
        self._windows = Windows(rule.window_seconds)
        self.dump, self.load = self._windows.dump, self._windows.load

    def observe(self, observation: Observation) -> Found | None:
        """Count one entry."""
        rule, key = self._rule, key_of(observation, self._rule.key)
        if key is None or not fits(observation, rule.where):
            return None
        marks = self._windows.add(key, Mark(observation.at, observation.sequence))
        if len(marks) < rule.threshold:
            return None
        return Found(key, (("entries", len(marks)),), _records(marks))


class Distinguishing:
    """The judge of a ``DistinctRule``."""

    def __init__(self, rule: DistinctRule) -> None:
        self._rule = rule
        self._windows = Windows(rule.window_seconds, distinct=True)
        self.dump, self.load = self._windows.dump, self._windows.load

    def observe(self, observation: Observation) -> Found | None:
        """Count one value."""
        rule, key = self._rule, key_of(observation, self._rule.key)
        told = text(observation, rule.of)
        if key is None or not told or not fits(observation, rule.where):
            return None
        marks = self._windows.add(key, Mark(observation.at, observation.sequence, told))
        if len(marks) < rule.threshold:
            return None
        return Found(key, (("different", len(marks)),), _records(marks))


class Following:
    """The judge of a ``SequenceRule``."""

    def __init__(self, rule: SequenceRule) -> None:
        self._rule = rule
        self._windows = Windows(rule.window_seconds)
        self.dump, self.load = self._windows.dump, self._windows.load

    def observe(self, observation: Observation) -> Found | None:
        """Remember a first entry, or judge the one that follows."""
        rule, key = self._rule, key_of(observation, self._rule.key)
        if key is None:
            return None
        mark = Mark(observation.at, observation.sequence)
        if fits(observation, rule.then):
            before = self._windows.within(key, observation.at)
            if len(before) >= rule.threshold:
                return Found(key, (("before", len(before)),), _records([*before, mark]))
        elif fits(observation, rule.where):
            self._windows.add(key, mark)
        return None


class Sharing:
    """The judge of a ``ShareRule``. Memory: 60 counts per key."""

    def __init__(self, rule: ShareRule) -> None:
        self._rule = rule
        self._seconds = rule.window_seconds / _BUCKETS
        self._counts: dict[Key, dict[int, list[int]]] = {}
        self._picked = Windows(rule.window_seconds)

    def observe(self, observation: Observation) -> Found | None:
        """Count one entry among the others, and judge the share when it is one that counts."""
        rule, key = self._rule, key_of(observation, self._rule.key)
        if key is None or not fits(observation, rule.among):
            return None
        picked = fits(observation, rule.where)
        whole, hits = self._counted(key, observation.at, picked=picked)
        if not picked:
            return None
        marks = self._picked.add(key, Mark(observation.at, observation.sequence))
        if hits < rule.least or chance_of(hits, whole, rule.expected) > rule.surprise:
            return None
        return Found(key, (("entries", hits), ("of", whole)), _records(marks))

    def dump(self) -> object:
        """Return the counts by key and time."""
        counts = [
            [*key, [[place, *pair] for place, pair in buckets.items()]]
            for key, buckets in self._counts.items()
        ]
        return [counts, self._picked.dump()]

    def load(self, dumped: object) -> None:
        """Take them back. Raises IntegrityError."""
        with reading_back():
            counts, picked = listed(dumped)
            self._counts = {
                (str(tenant), str(name)): {
                    int(place): [int(whole), int(hits)] for place, whole, hits in buckets
                }
                for tenant, name, buckets in listed(counts)
            }
        self._picked.load(picked)

    def _counted(self, key: Key, at: Seconds, *, picked: bool) -> tuple[int, int]:
        place = int(at // self._seconds)
        ahead = math.ceil(AHEAD_SECONDS / self._seconds)
        before = self._counts.pop(key, {})
        buckets = {
            one: pair for one, pair in before.items() if place - _BUCKETS < one <= place + ahead
        }
        entry = buckets.setdefault(place, [0, 0])
        entry[0] += 1
        entry[1] += picked
        self._counts[key] = buckets
        if len(self._counts) > MOST_KEYS:
            del self._counts[next(iter(self._counts))]
        return sum(pair[0] for pair in buckets.values()), sum(pair[1] for pair in buckets.values())


def chance_of(hits: int, whole: int, expected: Rate) -> float:
    """Return the chance of at least so many hits where each comes with the expected rate.

    The upper tail of the binomial distribution, summed from its largest term down.

    Args:
        hits: 0 to ``whole``.
        whole: trials.
        expected: 0 to 1, both excluded.
    """
    if hits <= whole * expected:
        return 1.0  # not more than expected: no need to know by how much
    term = math.exp(
        math.lgamma(whole + 1)
        - math.lgamma(hits + 1)
        - math.lgamma(whole - hits + 1)
        + hits * math.log(expected)
        + (whole - hits) * math.log1p(-expected)
    )
    odds, total = expected / (1 - expected), term
    for place in range(hits, whole):
        term *= odds * (whole - place) / (place + 1)
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return min(1.0, total)


def _records(marks: Sequence[Mark]) -> tuple[int, ...]:
    return tuple(one.sequence for one in marks[-MOST_RECORDS:])
