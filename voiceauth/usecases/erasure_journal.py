# SPDX-License-Identifier: Apache-2.0
"""Carry what was taken away from the record to the journal beside the backups, at once.

A running server does it after every erasure, withdrawal and opt-out, and once more from time to
time, for what could not be written then.
"""

from dataclasses import dataclass

from voiceauth.backup.journal import ErasureJournal
from voiceauth.errors import IntegrityError
from voiceauth.vault.store import SqliteVault

PURPOSE = "erasure-journal"
"""Of the key that the journal's lines are chained under."""
_BATCH = 1000


@dataclass(frozen=True, slots=True, eq=False)
class JournalDesk:
    """A vault and its journal."""

    vault: SqliteVault
    journal: ErasureJournal

    def run(self) -> None:
        """Append what the journal does not have yet.

        Raises:
            IntegrityError: the journal tells of other erasures than the vault.
            StorageError: it is not available.
        """
        count, last = self.journal.last_stone()
        if last is not None:
            known = self.vault.tombstones(after=count - 1, limit=1)
            if list(known) != [last]:
                raise IntegrityError(
                    "The erasure journal is not this vault's.",
                    detail=f"erasure {count} is another one there",
                )
        while stones := self.vault.tombstones(after=count, limit=_BATCH):
            self.journal.extend(stones)
            count = stones[-1].number
