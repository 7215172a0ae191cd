# SPDX-License-Identifier: Apache-2.0
"""Tombstones as rows: written in the transaction that takes something away."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from voiceauth.errors import IntegrityError
from voiceauth.types import Burial, Tombstone
from voiceauth.vault.codec import from_microseconds, to_microseconds
from voiceauth.vault.faults import translated


def add(
    connection: sqlite3.Connection,
    row_key: bytes,
    kind: Burial,
    *,
    at: datetime | None = None,
    number: int | None = None,
) -> None:
    """Add the next one. ``connection`` must be in a write transaction.

    Args:
        connection: of the vault.
        row_key: of the subject.
        kind: what was taken away.
        at: when, where that matters.
        number: that it has elsewhere, and must get here; None for the next.
    """
    moment = None if at is None else to_microseconds(at)
    with translated():
        connection.execute(
            "INSERT INTO tombstones (number, row_key, kind, at_us) VALUES (?,?,?,?)",
            (number, row_key, kind.value, moment),
        )


def read(connection: sqlite3.Connection, after: int, limit: int) -> Sequence[Tombstone]:
    """Read tombstones with ``number > after`` in order.

    Raises:
        IntegrityError: one is damaged.
    """
    with translated():
        rows = connection.execute(
            "SELECT number, row_key, kind, at_us FROM tombstones WHERE number > ? "
            "ORDER BY number LIMIT ?",
            (after, limit),
        ).fetchall()
    try:
        return [
            Tombstone(number, key, Burial(kind), None if at is None else from_microseconds(at))
            for number, key, kind, at in rows
        ]
    except (ValueError, OverflowError):
        raise IntegrityError(detail="a tombstone is damaged") from None
