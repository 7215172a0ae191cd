# SPDX-License-Identifier: Apache-2.0
"""What was taken away from the record, so that no backup brings it back."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Burial(StrEnum):
    """What was taken away."""

    ERASED = "erased"
    """A subject with everything."""
    CLEARED = "cleared"
    """Voiceprints, unfinished enrolments and recordings of a subject."""
    WITHDRAWN = "withdrawn"
    """A consent."""
    OPTED_OUT = "opted-out"
    """The permission to use voice biometrics at all."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One taking away. It names nobody: subjects are found by a keyed hash.

    Attributes:
        number: counts from 1 without a gap; a backup knows how many there were.
        row_key: the subject's row in the vault, 32 bytes.
        at: of a withdrawal, when.
    """

    number: int
    row_key: bytes
    kind: Burial
    at: datetime | None = None
