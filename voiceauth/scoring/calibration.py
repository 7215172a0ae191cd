# SPDX-License-Identifier: Apache-2.0
"""Calibration tables: what a raw score is worth, by bandwidth and seconds of net speech.

A table holds nodes at a few lengths of speech. At a node the score becomes a log-likelihood ratio
by a straight line, and two curves give the error rates at that ratio. Between two nodes the line is
interpolated over the logarithm of the seconds, the curves over the logarithm of the rates.

Rules:

* Monotone: a higher raw score never has a higher false-match rate.
* No rate below its node's floor is ever stated: 30 errors must lie behind a rate (rule of 30).
* Less speech than the first node, or a bandwidth without a table: no ratio and no rates.
* More speech than the last node counts as the last node, which understates it: more speech
  separates better.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.types import Bandwidth, ModelHash, Score
from voiceauth.units import Cosine, Llr, Rate, Seconds

Curve = NDArray[np.float64]
"""Rates on the calibration's grid of ratios, shape (grid,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One length of speech of a table.

    Attributes:
        net_seconds: mean net speech of the probes behind it.
        scale: of the line from raw score to ratio; more than 0.
        offset: of that line.
        false_match: at each grid ratio, the bound of the chance that an impostor reaches it.
        false_non_match: at each grid ratio, the bound of the chance that the speaker stays below.
        target_trials: same-speaker comparisons behind it.
        impostor_trials: different-speaker comparisons behind it.
    """

    net_seconds: Seconds
    scale: float
    offset: float
    false_match: Curve
    false_non_match: Curve
    target_trials: int
    impostor_trials: int

    def __post_init__(self) -> None:
        """Refuse a node whose rates are no rates or not monotone."""
        ordered = np.all(np.diff(self.false_match) <= 0) and np.all(
            np.diff(self.false_non_match) >= 0
        )
        rates = np.concatenate([self.false_match, self.false_non_match])
        if not ordered or not np.all((rates > 0.0) & (rates <= 1.0)):
            raise SettingsError("A calibration node has rates outside (0, 1] or not monotone.")
        if not (0.0 < self.scale < np.inf and np.isfinite(self.offset) and self.net_seconds > 0.0):
            raise SettingsError("A calibration node has an impossible line or length.")

    @property
    def false_match_floor(self) -> Rate:
        """The smallest false-match rate that this node states."""
        return float(self.false_match[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The nodes of one bandwidth, by rising net seconds.

    Attributes:
        bandwidth: of the probes.
        least_seconds: less speech has no support; at or a little below the first node.
        nodes: at least one.
        conditions: what the trials were, for people.
    """

    bandwidth: Bandwidth
    least_seconds: Seconds
    nodes: tuple[Node, ...]
    conditions: str

    def __post_init__(self) -> None:
        """Refuse an empty or unordered table."""
        lengths = [node.net_seconds for node in self.nodes]
        rising = all(a < b for a, b in itertools.pairwise(lengths))
        if not lengths or not rising or not 0.0 < self.least_seconds <= lengths[0]:
            raise SettingsError("A calibration table has no nodes or does not rise.")


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How a cosine becomes the raw score.

    Attributes:
        top: nearest cohort members of the adaptive norm; 0 leaves the cosine as it is.
        cohort_sha256: hash of the cohort's embeddings; empty with ``top`` 0.
    """

    top: int = 0
    cohort_sha256: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """All tables of one model.

    Attributes:
        version: names these tables in every verdict.
        model: hash of the model whose scores they read.
        normalisation: which raw score they read.
        data: description of the speech behind them.
        speakers: number of people behind them.
        confidence: one-sided confidence of the stated bounds, over speakers.
        grid: rising ratios at which the curves stand, shape (grid,).
        tables: one per bandwidth.
    """

    version: str
    model: ModelHash
    normalisation: Normalisation
    data: str
    speakers: int
    confidence: float
    grid: NDArray[np.float64]
    tables: tuple[Table, ...]

    def __post_init__(self) -> None:
        """Refuse a grid that does not rise, curves off the grid, or two tables of a bandwidth."""
        if self.grid.ndim != 1 or len(self.grid) < 2 or not np.all(np.diff(self.grid) > 0):  # noqa: PLR2004
            raise SettingsError("The calibration's grid does not rise.")
        for node in (node for table in self.tables for node in table.nodes):
            if not self.grid.shape == node.false_match.shape == node.false_non_match.shape:
                raise SettingsError("A calibration curve does not fit the grid.")
        kinds = [table.bandwidth for table in self.tables]
        if not kinds or len(set(kinds)) != len(kinds):
            raise SettingsError("A calibration needs one table per bandwidth, and at least one.")

    def table(self, bandwidth: Bandwidth) -> Table | None:
        """Return the table of a bandwidth, None if there is none."""
        return next((one for one in self.tables if one.bandwidth is bandwidth), None)

    def score(self, raw: Cosine, net_seconds: Seconds, bandwidth: Bandwidth) -> Score:
        """Calibrate one raw score.

        Args:
            raw: cosine or normalised score, as ``normalisation`` says.
            net_seconds: speech behind the probe.
            bandwidth: of the probe.

        Returns:
            A score without ratio and rates outside the tables' support.
        """
        table = self.table(bandwidth)
        if table is None or not table.least_seconds <= net_seconds or not np.isfinite(raw):
            return Score(raw, llr=None, false_match_rate=None, false_non_match_rate=None)
        low, high, share = between(table, net_seconds)
        llr = _mix(low.scale, high.scale, share) * raw + _mix(low.offset, high.offset, share)
        match = self._rate(low.false_match, high.false_match, share, llr)
        floor = _mix_rates(low.false_match_floor, high.false_match_floor, share)
        return Score(
            raw=raw,
            llr=llr,
            false_match_rate=match,
            false_non_match_rate=self._rate(
                low.false_non_match, high.false_non_match, share, llr, from_below=False
            ),
            floor_reached=match <= floor * (1.0 + 1e-9),
        )

    def _rate(
        self, low: Curve, high: Curve, share: float, llr: Llr, *, from_below: bool = True
    ) -> Rate:
        """Read both curves at a ratio, on the side of the grid that overstates the rate.

        A false-match rate is read at the next lower grid ratio, a false-non-match rate at the next
        higher one: both bounds hold without assuming anything between grid points.
        """
        last = len(self.grid) - 1
        if from_below:
            place = int(np.searchsorted(self.grid, llr, side="right")) - 1
        else:
            place = int(np.searchsorted(self.grid, llr, side="left"))
        # Beyond the upper end of the grid nothing was seen: the rate there is the curve's bound, 1.
        if place < 0 or (place > last and not from_below):
            return 1.0
        place = min(place, last)
        return _mix_rates(float(low[place]), float(high[place]), share)


def between(table: Table, net_seconds: Seconds) -> tuple[Node, Node, float]:
    """Find the nodes around a length of speech and the share of the upper one, 0 to 1."""
    nodes = table.nodes
    lengths = np.array([node.net_seconds for node in nodes])
    above = int(np.searchsorted(lengths, net_seconds, side="right"))
    if above == 0:
        return nodes[0], nodes[0], 0.0
    if above == len(nodes):
        return nodes[-1], nodes[-1], 0.0
    low, high = nodes[above - 1], nodes[above]
    share = np.log(net_seconds / low.net_seconds) / np.log(high.net_seconds / low.net_seconds)
    return low, high, float(share)


def _mix(low: float, high: float, share: float) -> float:
    return low + share * (high - low)


def _mix_rates(low: Rate, high: Rate, share: float) -> Rate:
    return float(np.exp(_mix(float(np.log(low)), float(np.log(high)), share)))
