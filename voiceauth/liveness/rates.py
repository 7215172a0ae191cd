# SPDX-License-Identifier: Apache-2.0
"""From a layer's ratio to the error rates that it implies, and to the layer's word.

A calibrated ratio bounds both rates by itself: an attack reaches a ratio of t with a chance of at
most exp(-t), a living caller falls to it with a chance of at most exp(t) (Markov's inequality for
likelihood ratios). A table that was measured on attacks the fit did not see is sharper, and more
honest where the ratio is not perfectly calibrated; where there is one, it alone speaks.

Rules:

* Monotone: a higher ratio never has a higher false-accept rate.
* No rate below the table's own floor is stated; beyond its ends the end holds.
* The bound of a ratio holds no further than the ratio's own support, which clamps it.
"""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voiceauth.errors import IntegrityError
from voiceauth.types import LivenessSlot, LivenessState
from voiceauth.units import Llr, Rate

PENDING = LivenessSlot(LivenessState.PENDING)
"""The word of a layer that runs and has not heard enough."""
_FIELDS = ("grid", "false_accept", "false_reject")


@dataclass(frozen=True, slots=True)
class RateTable:
    """Measured rates of one layer.

    Attributes:
        grid: ratios, strictly rising.
        false_accept: at each, the bound of the chance that an attack reaches it; falling.
        false_reject: at each, the bound of the chance that a living caller stays at or below it;
            rising.

    Raises:
        IntegrityError: lengths differ, or an order or a range is wrong.
    """

    grid: tuple[Llr, ...]
    false_accept: tuple[Rate, ...]
    false_reject: tuple[Rate, ...]

    def __post_init__(self) -> None:
        """Refuse a table that cannot be."""
        lengths = {len(self.grid), len(self.false_accept), len(self.false_reject)}
        numbers = (*self.grid, *self.false_accept, *self.false_reject)
        ordered = (
            all(a < b for a, b in itertools.pairwise(self.grid))
            and all(a >= b for a, b in itertools.pairwise(self.false_accept))
            and all(a <= b for a, b in itertools.pairwise(self.false_reject))
        )
        rates = (*self.false_accept, *self.false_reject)
        if len(lengths) != 1 or not self.grid or not all(math.isfinite(one) for one in numbers):
            raise IntegrityError("A liveness rate table is empty, uneven or not finite.")
        if not ordered or not all(0.0 < rate <= 1.0 for rate in rates):
            raise IntegrityError("A liveness rate table is not monotone, or has no rates.")

    def accept(self, llr: Llr) -> Rate:
        """Chance that an attack reaches a ratio, read at the next lower grid point."""
        place = bisect_right(self.grid, llr) - 1
        return 1.0 if place < 0 else self.false_accept[place]

    def reject(self, llr: Llr) -> Rate:
        """Chance that a living caller stays so low, read at the next higher grid point."""
        place = bisect_left(self.grid, llr)
        return 1.0 if place >= len(self.grid) else self.false_reject[place]


def rated_slot(llr: Llr, table: RateTable | None = None) -> LivenessSlot:
    """Return a layer's word about a ratio.

    Args:
        llr: calibrated, positive for live, clamped to its support.
        table: measured rates; None to take what the ratio itself implies.

    Returns:
        SUSPECT for a negative ratio, LIVE otherwise, with both implied rates.

    Raises:
        IntegrityError: the ratio is not finite.
    """
    if not math.isfinite(llr):
        raise IntegrityError(detail="a liveness ratio is not finite")
    state = LivenessState.SUSPECT if llr < 0.0 else LivenessState.LIVE
    if table is None:
        return LivenessSlot(state, llr, math.exp(min(0.0, -llr)), math.exp(min(0.0, llr)))
    return LivenessSlot(state, llr, table.accept(llr), table.reject(llr))


def parse_rates(content: object) -> RateTable:
    """Read a table from a parsed JSON object.

    Raises:
        IntegrityError: a field is absent, unknown or no array of numbers, or the table cannot be.
    """
    if not isinstance(content, Mapping) or set(content) != set(_FIELDS):
        raise IntegrityError("A liveness rate table has other fields than expected.")
    return RateTable(*(_numbers(content[name]) for name in _FIELDS))


def format_rates(table: RateTable) -> dict[str, list[float]]:
    """The object that ``parse_rates`` reads."""
    return {name: list(getattr(table, name)) for name in _FIELDS}


def _numbers(content: object) -> tuple[float, ...]:
    if not isinstance(content, Sequence) or isinstance(content, str):
        raise IntegrityError("A liveness rate table lacks an array.")
    if any(isinstance(one, bool) or not isinstance(one, (int, float)) for one in content):
        raise IntegrityError("A liveness rate table holds something other than numbers.")
    return tuple(float(one) for one in content)


def measured_rates(
    living: Sequence[Llr], attacks: Mapping[str, Sequence[Llr]], grid: Sequence[Llr], z: float
) -> RateTable:
    """Make a table from ratios of presentations that the ratio was not fitted to.

    Args:
        living: ratios of living speakers, at least one.
        attacks: species -> ratios, at least one of each; species weigh alike.
        grid: ratios to state rates at, strictly rising.
        z: standard normal quantile of the one-sided bound, for example 1.28 for 90 %.

    Raises:
        IntegrityError: there is nothing to measure on, or the grid cannot be.
    """
    if not living or not attacks or not all(attacks.values()):
        raise IntegrityError("A liveness rate table needs living speakers and attacks.")
    count = sum(len(one) for one in attacks.values())
    reached, fallen = [], []
    for at in grid:
        shares = [sum(llr >= at for llr in one) / len(one) for one in attacks.values()]
        reached.append(_upper(sum(shares) / len(shares), count, z))
        fallen.append(_upper(sum(llr <= at for llr in living) / len(living), len(living), z))
    return RateTable(
        tuple(grid),
        tuple(itertools.accumulate(reached, min)),
        tuple(itertools.accumulate(fallen, max)),
    )


def _upper(rate: Rate, count: int, z: float) -> Rate:
    """Upper Wilson bound of a share; never 0, since nothing seen is not nothing there."""
    weight = z * z / count
    spread = z * math.sqrt(rate * (1.0 - rate) / count + weight / (4.0 * count))
    return min(1.0, (rate + weight / 2.0 + spread) / (1.0 + weight))
