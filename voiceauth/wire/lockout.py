# SPDX-License-Identifier: Apache-2.0
"""Counters of attempts, between messages and value types."""

from voiceauth.types import LockoutStanding, SubjectId
from voiceauth.v1 import lockout_pb2


def lockout_to_wire(standing: LockoutStanding) -> lockout_pb2.Lockout:
    """Build the message."""
    return lockout_pb2.Lockout(
        subject_id=standing.subject,
        failures=standing.failures,
        undecided=standing.undecided,
        total_failures=standing.total,
        disabled=standing.disabled,
        remaining_seconds=standing.remaining_seconds,
        number_failures=standing.number_failures,
        number_over_budget=standing.number_over_budget,
    )


def lockout_from_wire(message: lockout_pb2.Lockout) -> LockoutStanding:
    """Read the message."""
    return LockoutStanding(
        subject=SubjectId(message.subject_id),
        failures=message.failures,
        undecided=message.undecided,
        total=message.total_failures,
        disabled=message.disabled,
        remaining_seconds=message.remaining_seconds,
        number_failures=message.number_failures,
        number_over_budget=message.number_over_budget,
    )
