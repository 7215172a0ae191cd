# SPDX-License-Identifier: Apache-2.0
"""When a delivery that failed is tried again. Pure."""

from voiceauth.units import Seconds

FIRST_SECONDS: Seconds = 5.0
LONGEST_SECONDS: Seconds = 3600.0
_MOST_DOUBLINGS = 16


def delay(attempts: int) -> Seconds:
    """Return how long to wait after so many failed attempts: from 5 s, doubling, to an hour."""
    return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(max(attempts - 1, 0), _MOST_DOUBLINGS))
