# SPDX-License-Identifier: Apache-2.0
"""What an installation is told about its own health."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    GOOD = "good"
    WARNING = "warning"
    """It works, and will not for ever, or not as safely as it could."""
    PROBLEM = "problem"
    """Something does not work, or is open to others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: stable name, for monitoring.
        level: how bad it is.
        text: what was found.
        advice: what to do; empty where nothing has to be done.
    """

    check: str
    level: Level
    text: str
    advice: str = ""
