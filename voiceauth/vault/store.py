# SPDX-License-Identifier: Apache-2.0
"""``ports.Vault`` over SQLite: transactions, the ledger beside them, and its anchor."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from voiceauth.errors import EngineError, StorageError
from voiceauth.keys.voice_transform import VoiceTransform
from voiceauth.ledger.audit import Audit, Testimony, audit
from voiceauth.ledger.chain import head_of
from voiceauth.ledger.checkpoint import Checkpoint
from voiceauth.types import LedgerEntry, StoredCheckpoint, SubjectId, TenantId, Tombstone
from voiceauth.vault import ledger_rows, snapshot, tombstone_rows
from voiceauth.vault.anchor_file import AnchorFile
from voiceauth.vault.connections import Connections
from voiceauth.vault.faults import translated
from voiceauth.vault.sealing import Sealer
from voiceauth.vault.snapshot import Snapshot
from voiceauth.vault.transaction import SqliteTransaction

_BATCH = 500
_REWRAP_BATCH = 50
"""Rows per write transaction: a call that has to write waits for one batch at most."""


_ROWS_OF = {
    "subjects": "SELECT count(*) FROM subjects WHERE row_key = ?",
    "voiceprints": "SELECT count(*) FROM voiceprints WHERE row_key = ?",
    "pending": "SELECT count(*) FROM pending WHERE row_key = ?",
    "recordings": "SELECT count(*) FROM recordings WHERE row_key = ?",
    "factors": "SELECT count(*) FROM factors WHERE row_key = ?",
    "changes": "SELECT count(*) FROM changes WHERE row_key = ? AND sealed IS NOT NULL",
}
"""Tables with what is known of a person. Tombstones stay, and failed attempts may come later."""


class SqliteVault:
    """The record in one SQLite file. Safe from several threads and processes."""

    def __init__(self, connections: Connections, sealer: Sealer, anchor: AnchorFile) -> None:
        self._connections = connections
        self._sealer = sealer
        self._anchor = anchor
        self._wipe_due = False
        self.after_burial: Callable[[], None] | None = None
        """Called once something was taken away from the record, outside every lock."""

    @contextmanager
    def begin(self) -> Iterator[SqliteTransaction]:
        """Open a write transaction: commit on leaving, roll back on an exception.

        When it has been left without an error, the change is on the disk. One write transaction
        runs at a time; do nothing slow in it.

        Raises:
            StorageError: the vault cannot be written (full disk, I/O error, locked too long).
            InternalError: this thread has a write transaction open already.
        """
        with self._connections.alone() as connection:
            transaction = SqliteTransaction(connection, self._sealer, writable=True)
            try:
                with self._connections.change(connection):
                    yield transaction
            finally:
                transaction.end()
            self._settle(connection, transaction)
        if transaction.buried and self.after_burial is not None:
            with suppress(EngineError):  # the commit stands; whoever is called tries again
                self.after_burial()

    @contextmanager
    def read(self) -> Iterator[SqliteTransaction]:
        """Open a consistent read-only view. Writing through it raises InternalError."""
        with self._connections.reader() as connection:
            transaction = SqliteTransaction(connection, self._sealer, writable=False)
            try:
                yield transaction
            finally:
                transaction.end()

    def tenants(self) -> Sequence[TenantId]:
        """List the tenants that have subjects, in alphabetical order."""
        with self._connections.reader() as connection, translated():
            rows = connection.execute("SELECT DISTINCT tenant FROM subjects ORDER BY tenant")
            return [TenantId(row[0]) for row in rows]

    def rows_of(self, tenant: TenantId, subject: SubjectId) -> Mapping[str, int]:
        """Count the rows of each table that belong to a subject, readable or not."""
        key = self._sealer.row_key(tenant, subject)
        with self._connections.reader() as connection, translated():
            return {
                table: int(connection.execute(query, (key,)).fetchone()[0])
                for table, query in _ROWS_OF.items()
            }

    def ledger(self, *, after: int = 0, limit: int = 1000) -> Sequence[LedgerEntry]:
        """Read ledger entries in order, ``sequence > after``; they are not verified here."""
        with self._connections.reader() as connection:
            return ledger_rows.read(connection, after, limit)

    def ledger_head(self) -> int:
        """Return the sequence number of the newest entry, 0 for none."""
        with self._connections.reader() as connection:
            return ledger_rows.head(connection).sequence

    def checkpoint(self) -> StoredCheckpoint | None:
        """Return the newest checkpoint, unchecked; None before the first."""
        with self._connections.reader() as connection:
            return ledger_rows.checkpoint(connection)

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Replace the newest checkpoint. Raises StorageError."""
        with self._connections.alone() as connection, self._connections.change(connection):
            ledger_rows.put_checkpoint(connection, checkpoint)

    def tombstones(self, *, after: int = 0, limit: int = 1000) -> Sequence[Tombstone]:
        """Read what was taken away from the record, in order, ``number > after``."""
        with self._connections.reader() as connection:
            return tombstone_rows.read(connection, after, limit)

    def copy_to(self, path: Path) -> Snapshot:
        """Copy one moment of the vault to a new file, while calls go on; say what it shows.

        Raises:
            StorageError: the file is there, or cannot be written.
        """
        with self._connections.reader() as connection:
            return snapshot.copied(connection, path)

    def verify_ledger(self) -> int:
        """Walk the whole chain and hold it against the anchor; return the last sequence number.

        Raises:
            ChainBrokenError: names the first entry that is changed, missing or out of place.
            IntegrityError: the anchor is damaged.
        """
        return self.audit_ledger().entries

    def audit_ledger(self, checkpoints: Sequence[Checkpoint] = (), hashes: bytes = b"") -> Audit:
        """Walk the whole chain and hold it against all that is known of it.

        Args:
            checkpoints: with signatures already checked.
            hashes: of the entries from the first on, as copied to a second place.

        Raises:
            ChainBrokenError: names the first entry that is changed, missing or out of place.
            IntegrityError: the anchor is damaged.
        """
        # The anchor first: entries that are committed meanwhile only make the chain longer.
        anchored = self._anchor.read()
        return audit(self._entries(), Testimony(anchored, checkpoints, hashes))

    def rewrap_keys(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Wrap every data key under its tenant's current key; return how many changed.

        The secrets of voice transforms are wrapped anew last, and not counted.

        Works in short transactions, so that calls go on; may be repeated after a failure.

        Args:
            progress: called after each step with the subjects looked at, and all there are.

        Raises:
            KeyServiceError: the key service is down, or does not know an old key.
            StorageError: the vault cannot be written; what was done so far stays done.
        """
        total, seen, after = 0, 0, b""
        with self._connections.reader() as connection, translated():
            whole = int(connection.execute("SELECT count(*) FROM subjects").fetchone()[0])
        while True:
            with self.begin() as transaction:
                last, looked, changed = transaction.rewrap(after, _REWRAP_BATCH)
            total, seen = total + changed, seen + looked
            if last is None:
                break
            if progress is not None:
                progress(min(seen, whole), whole)
            after = last
        with self.begin() as transaction:
            transaction.rekeying().rewrap()
        return total

    def voice_transform(self, tenant: TenantId) -> VoiceTransform:
        """Return the transform of a tenant's newest generation, making its first one.

        Not within a write transaction of the same thread.

        Raises:
            KeyServiceError: the key service is down.
            TransformLostError: there are protected voiceprints, but no secret.
            StorageError: the first one cannot be written.
        """
        with self.read() as view:
            found = view.voice_transform(tenant)
        if found is not None:
            return found
        with self.begin() as transaction:
            return transaction.first_voice_transform(tenant)

    def close(self) -> None:
        """Release the files. Safe to call twice."""
        self._connections.close()

    def _entries(self) -> Iterator[LedgerEntry]:
        after = 0
        while page := self.ledger(after=after, limit=_BATCH):
            yield from page
            after = page[-1].sequence

    def _settle(self, connection: sqlite3.Connection, transaction: SqliteTransaction) -> None:
        """Anchor the ledger and wipe deleted data, after the commit.

        The commit stands whatever happens here, so a failure must not look like a failed commit:
        the anchor then lags, and the wiping is tried again after the next commit.
        """
        if transaction.last_entry is not None:
            with suppress(StorageError):
                self._anchor.replace(head_of(transaction.last_entry))
        self._wipe_due |= transaction.shredded
        if self._wipe_due:
            with suppress(EngineError):
                self._wipe_due = not _emptied_log(connection)


def _emptied_log(connection: sqlite3.Connection) -> bool:
    """Move the log into the database, where deleted content is overwritten, and cut it to zero.

    Returns:
        False if a reader still needs the log.
    """
    with translated():
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return bool(busy == 0)
