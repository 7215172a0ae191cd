# SPDX-License-Identifier: Apache-2.0
"""A distribution that has moved: population stability index and Kolmogorov-Smirnov distance.

The reference is fixed: the first values of a tenant under one calibration. A moving one would
follow a slow drift and never show it.

Source:
    PSI is the symmetrised Kullback-Leibler divergence over the reference's tenths; above 0.2 is by
    custom a population that has shifted. With n and m values and B bins, chance alone gives about
    (B - 1) (1/n + 1/m).
"""

import math
from collections.abc import Sequence
from itertools import accumulate

from voiceauth.alerts.counting import MOST_RECORDS, Found
from voiceauth.alerts.reading import Observation, number, text
from voiceauth.alerts.table import DriftRule
from voiceauth.alerts.where import Key, fits, key_of
from voiceauth.alerts.windows import MOST_KEYS, listed, reading_back

_TENTHS = 10


class _Sample:
    """One key's reference and present batch, as histograms."""

    def __init__(self, bins: int, within: str) -> None:
        self.within = within
        self.reference = [0] * bins
        self.batch = [0] * bins
        self.records: list[int] = []


class Drifting:
    """The judge of a ``DriftRule``."""

    def __init__(self, rule: DriftRule) -> None:
        self._rule = rule
        self._samples: dict[Key, _Sample] = {}

    def observe(self, observation: Observation) -> Found | None:
        """Count one value; at the end of a batch hold it against the reference."""
        rule, key = self._rule, key_of(observation, self._rule.key)
        told = number(observation, rule.value)
        if key is None or told is None or not fits(observation, rule.where):
            return None
        within = text(observation, rule.within) if rule.within else ""
        sample = self._samples.pop(key, None)
        if sample is None or sample.within != within:
            sample = _Sample(rule.bins, within)
        self._samples[key] = sample
        if len(self._samples) > MOST_KEYS:
            del self._samples[next(iter(self._samples))]
        place = int((told - rule.low) / (rule.high - rule.low) * rule.bins)
        place = min(max(place, 0), rule.bins - 1)
        if sum(sample.reference) < rule.reference_values:
            sample.reference[place] += 1
            return None
        sample.batch[place] += 1
        sample.records = [*sample.records[-(MOST_RECORDS - 1) :], observation.sequence]
        if sum(sample.batch) < rule.batch_values:
            return None
        return self._judged(key, sample)

    def dump(self) -> object:
        """Return the histograms."""
        return [
            [*key, one.within, one.reference, one.batch, one.records]
            for key, one in self._samples.items()
        ]

    def load(self, dumped: object) -> None:
        """Take them back. Raises IntegrityError."""
        with reading_back():
            samples = {}
            for tenant, name, within, reference, batch, records in listed(dumped):
                sample = _Sample(self._rule.bins, str(within))
                sample.reference, sample.batch = _histogram(reference), _histogram(batch)
                sample.records = [int(one) for one in records]
                if {len(sample.reference), len(sample.batch)} != {self._rule.bins}:
                    raise ValueError
                samples[str(tenant), str(name)] = sample
        self._samples = samples

    def _judged(self, key: Key, sample: _Sample) -> Found | None:
        moved = stability_index(sample.reference, sample.batch)
        distance = largest_distance(sample.reference, sample.batch)
        values, records = sum(sample.batch), tuple(sample.records)
        sample.batch, sample.records = [0] * self._rule.bins, []
        if moved < self._rule.psi and distance < self._rule.ks:
            return None
        counts = (("psi", round(moved, 3)), ("ks", round(distance, 3)), ("values", values))
        return Found(key, counts, records)


def stability_index(reference: Sequence[int], batch: Sequence[int]) -> float:
    """Return the population stability index of two histograms over the reference's tenths.

    Args:
        reference: counts by bin, not all zero.
        batch: of the same bins, not all zero.
    """
    whole, count = sum(reference), sum(batch)
    total, old, new, due = 0.0, 0, 0, 1
    for here, there, below in zip(reference, batch, accumulate(reference), strict=True):
        old, new = old + here, new + there
        if below * _TENTHS >= due * whole:
            total += _term(old, whole, new, count)
            due = below * _TENTHS // whole + 1
            old = new = 0
    return total + _term(old, whole, new, count) if new else total


def largest_distance(reference: Sequence[int], batch: Sequence[int]) -> float:
    """Return the Kolmogorov-Smirnov distance of two histograms. Arguments as above."""
    whole, count = sum(reference), sum(batch)
    pairs = zip(accumulate(reference), accumulate(batch), strict=True)
    return max(abs(one / whole - other / count) for one, other in pairs)


def _term(old: int, whole: int, new: int, count: int) -> float:
    # Half a value stands in for none, so that an empty tenth costs much and not infinitely much.
    before, after = max(old, 0.5) / whole, max(new, 0.5) / count
    return (after - before) * math.log(after / before)


def _histogram(counts: object) -> list[int]:
    return [int(one) for one in listed([counts])[0]]
