# SPDX-License-Identifier: Apache-2.0
"""When evidence has changed enough to be sent."""

from voiceauth.types import Evidence
from voiceauth.units import Seconds

NOTICEABLE_SECONDS: Seconds = 0.5
"""Growth of net speech that is worth a message of its own."""


def noticeable(before: Evidence | None, now: Evidence) -> bool:
    """Say whether evidence has changed enough to be sent."""
    return (
        before is None
        or now.progress is not before.progress
        or now.score != before.score
        or now.reasons != before.reasons
        or now.challenge != before.challenge
        or now.liveness != before.liveness
        or now.net_speech_seconds - before.net_speech_seconds >= NOTICEABLE_SECONDS
    )
