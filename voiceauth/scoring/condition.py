# SPDX-License-Identifier: Apache-2.0
"""Under which conditions two voices were compared, and which conditions a table speaks about.

What a score is worth depends on the probe's bandwidth, on the net speech on both sides and on the
probe's signal-to-noise ratio. Three of these are numbers; a ``Support`` says from where to where
they were seen when the table was made.

Rules:

* Less speech or more noise than was ever seen: no support, and so no ratio and no rates.
* More speech or less noise than was ever seen counts as the most that was seen.
* What was not measured is taken at its worst, never at its best.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.types import Bandwidth
from voiceauth.units import Decibels, Seconds

CONSTANT = "1"
VARIABLES = ("net", "enrolled", "snr")
"""Logarithm of the probe's net seconds, of the enrolment's, and the probe's SNR in tens of dB."""
_USUAL_NET_SECONDS: Seconds = 3.0
_USUAL_ENROLLED_SECONDS: Seconds = 20.0
_USUAL_SNR_DB: Decibels = 20.0
_SNR_STEP_DB: Decibels = 10.0

Corner = tuple[float, float, float]
"""Net seconds, enrolled seconds and SNR in decibels."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How one comparison came about.

    Attributes:
        bandwidth: of the probe.
        net_seconds: speech behind the probe.
        enrolled_seconds: speech behind the voiceprint; None if it is not known.
        snr_db: of the probe, as the signal room measures it; None if it is not known.
    """

    bandwidth: Bandwidth
    net_seconds: Seconds
    enrolled_seconds: Seconds | None = None
    snr_db: Decibels | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """From where to where something was seen."""

    least: float
    most: float

    def __post_init__(self) -> None:
        """Refuse a range that is none."""
        if not (math.isfinite(self.least) and math.isfinite(self.most) and self.least <= self.most):
            raise SettingsError("A calibration's range of support is none.")


@dataclass(frozen=True, slots=True)
class Support:
    """The conditions that a table speaks about.

    Attributes:
        net_seconds: of the probes; more than 0.
        enrolled_seconds: of the enrolments; more than 0.
        snr_db: of the probes.
    """

    net_seconds: Range
    enrolled_seconds: Range
    snr_db: Range

    def __post_init__(self) -> None:
        """Refuse lengths that have no logarithm."""
        if not (self.net_seconds.least > 0.0 and self.enrolled_seconds.least > 0.0):
            raise SettingsError("A calibration's range of support holds no speech.")

    def corners(self, condition: Condition | None = None) -> tuple[Corner, ...]:
        """Return the conditions that a comparison may have been made under.

        Args:
            condition: of the comparison; None for every corner of the support.

        Returns:
            One corner where everything is known, several where it is not, none outside.
        """
        if condition is None:
            net, enrolled, noise = (_within(one, None) for one in self._ranges())
        else:
            net = _within(self.net_seconds, condition.net_seconds)
            enrolled = _within(self.enrolled_seconds, condition.enrolled_seconds)
            noise = _within(self.snr_db, condition.snr_db)
        return tuple(itertools.product(net, enrolled, noise))

    def clipped(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count what lies outside as the nearest that was seen; float64, shape (conditions, 3)."""
        ranges = self._ranges()
        return np.clip(corners, [one.least for one in ranges], [one.most for one in ranges])

    def _ranges(self) -> tuple[Range, Range, Range]:
        return self.net_seconds, self.enrolled_seconds, self.snr_db


@dataclass(frozen=True, slots=True)
class Line:
    """The line from raw score to ratio, whose slope and offset follow the conditions.

    Each is a weighted sum of terms, a term being ``1`` or a product of variables such as ``net`` or
    ``net*snr``, in which no variable stands twice: extremes then lie at corners of the support.

    Attributes:
        terms: names of the terms.
        slope: their weights in the slope.
        offset: their weights in the offset.
    """

    terms: tuple[str, ...]
    slope: tuple[float, ...]
    offset: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse terms without weights, unknown variables and weights that are no numbers."""
        if not len(self.terms) == len(self.slope) == len(self.offset) > 0:
            raise SettingsError("A calibration line has other weights than terms.")
        if not all(math.isfinite(weight) for weight in (*self.slope, *self.offset)):
            raise SettingsError("A calibration line has an infinite weight.")
        for term in self.terms:
            factors = _factors(term)
            if not set(factors) <= set(VARIABLES) or len(set(factors)) != len(factors):
                raise SettingsError(f"A calibration line has the unknown term {term!r}.")

    def at(self, corner: Corner) -> tuple[float, float]:
        """Return slope and offset under one condition."""
        values = terms_of(self.terms, np.array([corner]))[0]
        return float(values @ np.array(self.slope)), float(values @ np.array(self.offset))

    def ratios(
        self, scores: NDArray[np.float64], corners: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the ratios of many scores, shape (scores,), under ``corners``, (scores, 3)."""
        values = terms_of(self.terms, corners)
        slope, offset = values @ np.array(self.slope), values @ np.array(self.offset)
        return np.asarray(slope * scores + offset, dtype=np.float64)


def terms_of(terms: tuple[str, ...], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values of terms under conditions.

    Args:
        terms: names, as in ``Line``.
        corners: net seconds, enrolled seconds and SNR, shape (conditions, 3).

    Returns:
        float64, shape (conditions, terms).
    """
    variables = {
        "net": np.log(corners[:, 0] / _USUAL_NET_SECONDS),
        "enrolled": np.log(corners[:, 1] / _USUAL_ENROLLED_SECONDS),
        "snr": (corners[:, 2] - _USUAL_SNR_DB) / _SNR_STEP_DB,
    }
    columns = []
    for term in terms:
        column = np.ones(len(corners))
        for factor in _factors(term):
            column = column * variables[factor]
        columns.append(column)
    return np.stack(columns, axis=1)


def _factors(term: str) -> tuple[str, ...]:
    return () if term == CONSTANT else tuple(term.split("*"))


def _within(seen: Range, value: float | None) -> tuple[float, ...]:
    """Return the value as far as it was seen, both ends if it is unknown, nothing if too small."""
    if value is None:
        return (seen.least, seen.most)
    # NaN compares as false, and so has no support either.
    return (min(value, seen.most),) if value >= seen.least else ()
