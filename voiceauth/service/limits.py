# SPDX-License-Identifier: Apache-2.0
"""The limits of every RPC under the settings: the bounds that its row in the table names."""

from voiceauth.access.rpcs import Row, Size
from voiceauth.config import ServerSettings
from voiceauth.units import Seconds

ENVELOPE_BYTES = 8192
"""Room for everything in a request that is not audio: ids, and at most 32 group names."""
RESPONSE_BYTES = 2_097_152
"""Largest response; a page of subjects is cut to stay below it."""


def longest_seconds(row: Row, limits: ServerSettings) -> Seconds:
    """Return the longest duration of an RPC."""
    return float(getattr(limits, row.deadline.value))


def largest_request(row: Row, limits: ServerSettings) -> int:
    """Return the largest request message of an RPC, in bytes."""
    return ENVELOPE_BYTES + (limits.max_message_bytes if row.size is Size.AUDIO else 0)
