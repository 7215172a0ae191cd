# SPDX-License-Identifier: Apache-2.0
"""Ledger entries as rows: appended inside the transaction whose effect they record."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime

from voiceauth.errors import ChainBrokenError
from voiceauth.ledger.chain import GENESIS, Head, next_entry
from voiceauth.types import LedgerEntry, StoredCheckpoint, TenantId
from voiceauth.vault.codec import from_microseconds, to_microseconds
from voiceauth.vault.faults import translated

_COLUMNS = "sequence, at_us, tenant, event, body, previous_hash, entry_hash"


def head(connection: sqlite3.Connection) -> Head:
    """Return the end of the stored chain."""
    with translated():
        row = connection.execute(
            "SELECT sequence, entry_hash FROM ledger ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
    return GENESIS if row is None else Head(row[0], row[1])


def append(
    connection: sqlite3.Connection,
    *,
    at: datetime,
    tenant: TenantId,
    event: str,
    body: Mapping[str, object],
) -> LedgerEntry:
    """Add the next entry. ``connection`` must be in a write transaction."""
    entry = next_entry(head(connection), at=at, tenant=tenant, event=event, body=body)
    values = (
        entry.sequence,
        to_microseconds(entry.at),
        entry.tenant,
        entry.event,
        entry.body,
        entry.previous_hash,
        entry.entry_hash,
    )
    with translated():
        connection.execute(f"INSERT INTO ledger ({_COLUMNS}) VALUES (?,?,?,?,?,?,?)", values)  # noqa: S608 - constant columns
    return entry


def read(connection: sqlite3.Connection, after: int, limit: int) -> Sequence[LedgerEntry]:
    """Read entries with ``sequence > after`` in order, unverified.

    Raises:
        ChainBrokenError: an entry's time lies outside the calendar.
    """
    with translated():
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM ledger WHERE sequence > ? ORDER BY sequence LIMIT ?",  # noqa: S608 - constant columns
            (after, limit),
        ).fetchall()
    return [_entry(row) for row in rows]


def checkpoint(connection: sqlite3.Connection) -> StoredCheckpoint | None:
    """Read the newest checkpoint, unchecked."""
    with translated():
        row = connection.execute("SELECT note, peaks FROM checkpoint").fetchone()
    return None if row is None else StoredCheckpoint(*row)


def put_checkpoint(connection: sqlite3.Connection, new: StoredCheckpoint) -> None:
    """Replace the newest checkpoint. ``connection`` must be in a write transaction."""
    with translated():
        connection.execute(
            "INSERT OR REPLACE INTO checkpoint (only_row, note, peaks) VALUES (1,?,?)",
            (new.note, new.peaks),
        )


def _entry(row: tuple[int, int, str, str, str, bytes, bytes]) -> LedgerEntry:
    sequence, at_us, tenant, event, body, previous_hash, entry_hash = row
    try:
        moment = from_microseconds(at_us)
    except OverflowError:
        raise ChainBrokenError(sequence, detail="its time is impossible") from None
    return LedgerEntry(sequence, moment, TenantId(tenant), event, body, previous_hash, entry_hash)
