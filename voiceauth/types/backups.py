# SPDX-License-Identifier: Apache-2.0
"""What an operator is told about backups."""

from dataclasses import dataclass
from datetime import datetime

from voiceauth.types.names import KeyId
from voiceauth.units import Llr, Seconds


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """One archive.

    Attributes:
        backup: name of its file.
        created_at: the moment that it shows.
        sha256: of the archive, hex; empty in a list, as everything after it is.
        engine_version: that made it.
        entries: of the ledger.
    """

    backup: str
    created_at: datetime
    size_bytes: int
    sha256: str = ""
    engine_version: str = ""
    entries: int = 0
    subjects: int = 0
    voiceprints: int = 0


@dataclass(frozen=True, slots=True)
class DrillFacts:
    """A drill that went well.

    Attributes:
        seconds: from the archive to the score of the known voice.
        taken_away: erasures, withdrawals and opt-outs from after the backup that were repeated.
        lost_keys: destroyed keys; what they wrap stays unreadable.
        known_voice_llr: of the known voice against itself.
    """

    facts: BackupFacts
    seconds: Seconds
    taken_away: int
    lost_keys: tuple[KeyId, ...]
    known_voice_llr: Llr
