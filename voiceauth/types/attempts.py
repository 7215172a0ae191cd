# SPDX-License-Identifier: Apache-2.0
"""What is counted about attempts, and kept until it is reset on purpose."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from voiceauth.types.names import Embedding, SubjectId
from voiceauth.units import Seconds


class Counter(StrEnum):
    """What a row of counters is about. Names are stable: they are part of the rows' keys."""

    VOICE = "voice"
    """A subject's voice path."""
    NUMBER = "number"
    """A calling number, over all subjects of a tenant."""
    TOTP = "totp"
    """Wrong answers of a subject to one factor, here and below."""
    CODE = "code"
    PIN = "pin"
    CODE_SENT = "code-sent"
    """One-time codes that were sent to a subject and not used."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Counters of one thing.

    Attributes:
        failures: since the last success or unlocking.
        undecided: attempts since then that neither failed nor succeeded.
        total: failures ever; it never goes down.
        anchored_at: UTC; from when delays are counted. None while nothing has failed.
    """

    failures: int = 0
    undecided: int = 0
    total: int = 0
    anchored_at: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FailedVoice:
    """The voice of a failed attempt, without a name.

    Attributes:
        embedding: shape (dimension,).
        net_seconds: speech behind it.
        heard_at: UTC.
    """

    embedding: Embedding = field(repr=False)
    net_seconds: Seconds
    heard_at: datetime


@dataclass(frozen=True, slots=True)
class LockoutStanding:
    """How a subject's voice path stands, and a calling number beside it.

    Attributes:
        failures: since the last match or unlocking.
        undecided: attempts since then.
        total: failures ever.
        disabled: closed until staff open it.
        remaining_seconds: of a delay; 0 where there is none.
        number_failures: 0 where no number was named.
    """

    subject: SubjectId
    failures: int
    undecided: int
    total: int
    disabled: bool
    remaining_seconds: Seconds
    number_failures: int = 0
    number_over_budget: bool = False
