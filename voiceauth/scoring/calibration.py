# SPDX-License-Identifier: Apache-2.0
"""Calibration tables: what a raw score is worth under the conditions of its comparison.

Per bandwidth of the probe there is one line from raw score to log-likelihood ratio, whose slope and
offset follow the net speech on both sides and the probe's signal-to-noise ratio (see
``condition``). Nodes at a few lengths of speech then give the error rates at that ratio; between
two nodes the worse of the two holds.

Rules:

* Monotone: a higher raw score never has a higher false-match rate.
* No rate below its node's floor is ever stated: 30 errors must lie behind a rate (rule of 30).
* Less speech or more noise than the table's support, or a bandwidth without a table: no ratio and
  no rates.
* More speech than the last node counts as the last node, which understates it: more speech
  separates better.
* What is not known of a comparison is taken at its worst, for each rate.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.scoring.condition import Condition, Line, Support
from voiceauth.types import Bandwidth, ModelHash, Score
from voiceauth.units import Cosine, Llr, Rate, Seconds

Curve = NDArray[np.float64]
"""Rates on the calibration's grid of ratios, shape (grid,)."""
_HAIR = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """The error rates at one length of speech.

    Attributes:
        net_seconds: mean net speech of the probes behind it.
        false_match: at each grid ratio, the bound of the chance that an impostor reaches it.
        false_non_match: at each grid ratio, the bound of the chance that the speaker stays below.
        target_trials: same-speaker comparisons behind it.
        impostor_trials: different-speaker comparisons behind it.
    """

    net_seconds: Seconds
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
        if not 0.0 < self.net_seconds < np.inf:
            raise SettingsError("A calibration node has an impossible length.")

    @property
    def false_match_floor(self) -> Rate:
        """The smallest false-match rate that this node states."""
        return float(self.false_match[-1])


@dataclass(frozen=True, slots=True)
class Worth:
    """What the ratios of a table cost, on people that the fit did not see.

    Attributes:
        cllr: in bits, cross-validated over people; every length of probe weighs alike.
        min_cllr: what the best monotone calibration of the same ratios would cost.
        before: Cllr of the table that this one was refitted from, on the same trials; None for a
            first fit.
        least_before: minimum Cllr of that table's ratios.
    """

    cllr: float
    min_cllr: float
    before: float | None = None
    least_before: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What is known of one bandwidth.

    Attributes:
        bandwidth: of the probes.
        support: conditions that the table speaks about.
        line: from raw score to ratio; it rises under every condition of the support.
        nodes: at least one, by rising net seconds.
        conditions: what the trials were, for people.
        worth: what the ratios cost; None if it was not measured.
    """

    bandwidth: Bandwidth
    support: Support
    line: Line
    nodes: tuple[Node, ...]
    conditions: str
    worth: Worth | None = None

    def __post_init__(self) -> None:
        """Refuse an empty or unordered table, and a line that falls somewhere."""
        lengths = [node.net_seconds for node in self.nodes]
        rising = all(a < b for a, b in itertools.pairwise(lengths))
        if not lengths or not rising or not self.support.net_seconds.least <= lengths[0]:
            raise SettingsError("A calibration table has no nodes or does not rise.")
        if not all(self.line.at(corner)[0] > 0.0 for corner in self.support.corners()):
            raise SettingsError("A calibration line does not rise with the score.")

    def around(self, net_seconds: Seconds) -> tuple[Node, ...]:
        """Return the node of a length of speech, or the two that it lies between."""
        nodes = self.nodes
        lengths = np.array([node.net_seconds for node in nodes])
        above = int(np.searchsorted(lengths, net_seconds * (1.0 + _HAIR), side="right"))
        if above == 0:
            return nodes[:1]
        at_node = net_seconds <= lengths[above - 1] * (1.0 + _HAIR)
        return nodes[above - 1 : above if at_node else above + 1]


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
        data_sha256: of the list of recordings and labels behind them.
        speakers: number of people behind them.
        confidence: one-sided confidence of the stated bounds, over speakers.
        grid: rising ratios at which the curves stand, shape (grid,).
        tables: one per bandwidth.
    """

    version: str
    model: ModelHash
    normalisation: Normalisation
    data: str
    data_sha256: str
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

    def score(self, raw: Cosine, condition: Condition) -> Score:
        """Calibrate one raw score.

        Args:
            raw: cosine or normalised score, as ``normalisation`` says.
            condition: of the comparison.

        Returns:
            A score without ratio and rates outside the tables' support.
        """
        table = self.table(condition.bandwidth)
        corners = table.support.corners(condition) if table is not None else ()
        if table is None or not corners or not np.isfinite(raw):
            return Score(raw, llr=None, false_match_rate=None, false_non_match_rate=None)
        lines = [table.line.at(corner) for corner in corners]
        ratios = [slope * raw + offset for slope, offset in lines]
        nodes = table.around(condition.net_seconds)
        match = max(self.rate(node.false_match, min(ratios)) for node in nodes)
        floor = max(node.false_match_floor for node in nodes)
        return Score(
            raw=raw,
            llr=min(ratios),
            false_match_rate=match,
            false_non_match_rate=max(
                self.rate(node.false_non_match, max(ratios), from_below=False) for node in nodes
            ),
            floor_reached=match <= floor * (1.0 + _HAIR),
        )

    def rate(self, curve: Curve, llr: Llr, *, from_below: bool = True) -> Rate:
        """Read a curve at a ratio, on the side of the grid that overstates the rate.

        A false-match rate is read at the next lower grid ratio, a false-non-match rate at the next
        higher one: both bounds hold without assuming anything between grid points. A hair beside
        a grid ratio is that ratio, so that rounding, which differs between processors, moves none.
        """
        last = len(self.grid) - 1
        if from_below:
            place = int(np.searchsorted(self.grid, llr + _HAIR, side="right")) - 1
        else:
            place = int(np.searchsorted(self.grid, llr - _HAIR, side="left"))
        # Beyond the upper end of the grid nothing was seen: the rate there is the curve's bound, 1.
        if place < 0 or (place > last and not from_below):
            return 1.0
        return float(curve[min(place, last)])
