# SPDX-License-Identifier: Apache-2.0
"""What is taken away in one transaction, and the tombstones that say so.

A backup from before must not bring back what a person had destroyed, withdrew or objected to. So
each taking away leaves a tombstone in its own transaction, and ``bury_again`` repeats it in a vault
that was restored.
"""

from dataclasses import replace
from datetime import datetime

from voiceauth.errors import KeyServiceError
from voiceauth.types import Burial, SubjectId, SubjectState, TenantId, Tombstone
from voiceauth.vault import codec, tombstone_rows
from voiceauth.vault.subject_rows import SUBJECT_COLUMNS, Row, SubjectRows


class BurialRows(SubjectRows):
    """Erasures over one connection; ``SqliteTransaction`` completes it."""

    def delete_voiceprints(self, tenant: TenantId, subject: SubjectId) -> int:
        """Delete voiceprints, pending segments and recordings; return how many voiceprints.

        What is left of the subject is sealed under a new data key, so that the living vault cannot
        open what an old backup holds.

        Raises:
            NotFoundError: there is no such subject.
        """
        row = self._existing(tenant, subject)
        pending = self._write("DELETE FROM pending WHERE row_key = ?", row.row_key)
        heard = self._write("DELETE FROM recordings WHERE row_key = ?", row.row_key)
        prints = self._write("DELETE FROM voiceprints WHERE row_key = ?", row.row_key)
        if pending + heard + prints > 0:
            self._renew_key(row)
        self._bury(row.row_key, Burial.CLEARED)
        return prints

    def erase_subject(self, tenant: TenantId, subject: SubjectId) -> None:
        """Destroy the subject's data key and delete every row of it. Raises NotFoundError."""
        row = self._existing(tenant, subject)
        self._forget_tries(row.row_key)
        for table in ("pending", "recordings", "voiceprints", "factors", "subjects"):
            self._write(f"DELETE FROM {table} WHERE row_key = ?", row.row_key)  # noqa: S608 - constant
        self._note_erased(tenant, subject, row.row_key)
        self._keys.pop(row.row_key, None)
        self.shredded = True
        self._bury(row.row_key, Burial.ERASED)

    def bury_again(self, stone: Tombstone) -> bool:
        """Repeat a taking away that came after this vault was backed up; say if it found anything.

        Raises:
            InternalError: it is not the next one.
        """
        found = self._select(
            f"SELECT {SUBJECT_COLUMNS} FROM subjects WHERE row_key = ?",  # noqa: S608 - constant columns
            stone.row_key,
        )
        self._bury(stone.row_key, stone.kind, stone.at, number=stone.number)
        if stone.kind is Burial.ERASED:
            self._forget_tries(stone.row_key)
        if not found:
            return False
        row = Row(*found[0])
        try:
            self._take_away(row, stone)
        except KeyServiceError:  # nothing can open it any more, so nothing can mark it
            self._write("DELETE FROM subjects WHERE row_key = ?", row.row_key)
        self.shredded = True
        return True

    def _forget_tries(self, row_key: bytes) -> None:
        """Delete what is counted and stepped up about a subject, known or not."""
        for table in ("attempts", "step_ups"):
            self._write(f"DELETE FROM {table} WHERE subject_key = ?", row_key)  # noqa: S608 - constant

    def _take_away(self, row: Row, stone: Tombstone) -> None:
        if stone.kind is Burial.ERASED:
            self._write("DELETE FROM subjects WHERE row_key = ?", row.row_key)
        elif stone.kind is Burial.CLEARED:
            for table in ("pending", "recordings", "voiceprints"):
                self._write(f"DELETE FROM {table} WHERE row_key = ?", row.row_key)  # noqa: S608 - constant
        elif stone.kind is Burial.OPTED_OUT:
            self._put_record(row, replace(self._record(row), state=SubjectState.OPTED_OUT))
        elif row.consent is not None:
            key = self._key(row)
            consent = codec.decode_consent(self._sealer.open(key, row.consent, "consent"))
            ended = codec.encode_consent(replace(consent, withdrawn_at=stone.at))
            sealed = self._sealer.seal(key, ended, "consent")
            self._write("UPDATE subjects SET consent = ? WHERE row_key = ?", sealed, row.row_key)

    def _bury(
        self, row_key: bytes, kind: Burial, at: datetime | None = None, number: int | None = None
    ) -> None:
        """Leave a tombstone: a backup from before must not bring back what was taken away."""
        tombstone_rows.add(self._live(), row_key, kind, at=at, number=number)
        self.buried = True
