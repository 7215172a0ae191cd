# SPDX-License-Identifier: Apache-2.0
"""Repeated looks at one call: how a rate is spent so that its total holds.

A call is scored again after every span. Comparing each score with the full target would let an
impostor win by being looked at often: with five looks the false-match rate of the call can approach
five times the target. So each look has a share of the target, and by the union bound the chance
that any look errs is at most the sum of the shares, whatever the dependence between looks.

Later looks rest on more speech and separate better, so half of the target is kept for the last one.
A call that ends early spends what is left on its last look. That stays within the bound as long as
the moment of hanging up does not depend on the scores; callers never see them.
"""

import math

from voiceauth.units import Rate, Seconds

LAST_SHARE = 0.5


class Spending:
    """The account of one error rate over the looks of one call.

    Args:
        total: the rate that the whole call may reach.
        looks: planned number of looks, at least 1.

    Example:
        >>> account = Spending(0.01, looks=3)
        >>> [account.next_target(final=False) for _ in range(2)]
        [0.0025, 0.0025]
        >>> account.next_target(final=True)
        0.005
    """

    def __init__(self, total: Rate, looks: int) -> None:
        self._last = total * LAST_SHARE if looks > 1 else total
        self._early = total - self._last
        self._share = self._early / max(looks - 1, 1)

    def next_target(self, *, final: bool) -> Rate:
        """Return the target of the next look and book it.

        Args:
            final: no further look will follow; everything left is spent.

        Returns:
            A rate; 0.0 once nothing is left. Unplanned early looks never touch the last one's
            share.
        """
        if final:
            share = self._early + self._last
            self._early = self._last = 0.0
            return share
        share = min(self._share, self._early)
        self._early -= share
        return share


def planned_looks(floor: Seconds, full: Seconds, step: Seconds) -> int:
    """Count the looks between the floor and the full length.

    Returns:
        1 for the floor itself plus one per step up to and including the full length.
    """
    return 1 + max(0, math.ceil((full - floor) / step - 1e-9))
