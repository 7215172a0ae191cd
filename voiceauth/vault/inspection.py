# SPDX-License-Identifier: Apache-2.0
"""Look at a vault's file without its keys, without writing to it and without migrating it."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from voiceauth.errors import IntegrityError
from voiceauth.vault.codec import from_microseconds
from voiceauth.vault.faults import translated
from voiceauth.vault.schema import MIGRATIONS

SQLITE_VERSION = sqlite3.sqlite_version
LEAST_SQLITE = (3, 37)
"""The first with strict tables."""
_WATCHED = ("backup.drilled", "backup.created", "backup.failed")


@dataclass(frozen=True, slots=True)
class VaultLook:
    """What a vault's file shows.

    Attributes:
        schema: of its tables.
        known_schema: what this engine would make of it.
        entries: of the ledger.
        newest_at: when the last one was written.
        events: the last entry of some kinds: when, and its body.
    """

    schema: int
    known_schema: int
    entries: int
    newest_at: datetime | None
    events: Mapping[str, tuple[datetime, str]] = field(default_factory=dict)

    def last(self, event: str) -> tuple[datetime, str] | None:
        """Return the last entry of a kind, None if there is none."""
        return self.events.get(event)


def look_at(path: Path, *, check: bool = True) -> VaultLook:
    """Look at a vault.

    Args:
        path: of the file; it is there.
        check: let SQLite look over the whole file.

    Raises:
        IntegrityError: it is damaged, or no vault.
        StorageError: it cannot be read.
    """
    with (
        translated(),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection,
    ):
        if check:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != ("ok",):
                raise IntegrityError("The vault's file is damaged.", detail=str(found))
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        if not {"schema_version", "ledger"} <= tables:
            raise IntegrityError("This file is a database, but no vault.")
        version = connection.execute("SELECT max(version) FROM schema_version").fetchone()[0]
        last = connection.execute(
            "SELECT sequence, at_us FROM ledger ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        events = {
            event: (from_microseconds(row[0]), row[1])
            for event in _WATCHED
            if (row := _newest(connection, event)) is not None
        }
    return VaultLook(
        schema=int(version or 0),
        known_schema=len(MIGRATIONS),
        entries=0 if last is None else last[0],
        newest_at=None if last is None else from_microseconds(last[1]),
        events=events,
    )


def _newest(connection: sqlite3.Connection, event: str) -> tuple[int, str] | None:
    row: tuple[int, str] | None = connection.execute(
        "SELECT at_us, body FROM ledger WHERE event = ? ORDER BY sequence DESC LIMIT 1", (event,)
    ).fetchone()
    return row
