# SPDX-License-Identifier: Apache-2.0
"""A copy of one moment of the vault, made while calls go on, and what the copy shows."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from voiceauth.errors import StorageError
from voiceauth.ledger.chain import Head
from voiceauth.types import KeyId
from voiceauth.vault import ledger_rows
from voiceauth.vault.faults import translated

_PAGES = 4096
"""Copied at once; between two steps a call can write."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a copy of the vault shows.

    Attributes:
        schema: version of its tables.
        head: end of its ledger.
        tombstones: how often something had been taken away from it.
        keys: key-encryption keys that its data keys and voice transforms are wrapped under.
    """

    schema: int
    head: Head
    tombstones: int
    subjects: int
    voiceprints: int
    keys: tuple[KeyId, ...]


def copied(connection: sqlite3.Connection, path: Path) -> Snapshot:
    """Copy what a reading connection sees. It is on the disk afterwards.

    Args:
        connection: in a reading transaction, which fixes the moment.
        path: of the copy; must not be there yet.

    Raises:
        StorageError: it is there, or cannot be written.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StorageError(f"{path} cannot be made: {error.strerror}.") from error
    with translated(), closing(sqlite3.connect(path)) as copy:
        copy.execute("PRAGMA synchronous = OFF")  # it is flushed once, below
        connection.backup(copy, pages=_PAGES, sleep=0)
        # One file is easier to carry than three; opening it as a vault brings the log back.
        copy.execute("PRAGMA journal_mode = DELETE")
        found = _read(copy)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return found


def _read(copy: sqlite3.Connection) -> Snapshot:
    def number(question: str) -> int:
        return int(copy.execute(question).fetchone()[0] or 0)

    keys = copy.execute(
        "SELECT key_id FROM subjects UNION SELECT key_id FROM voice_transforms ORDER BY key_id"
    ).fetchall()
    return Snapshot(
        schema=number("SELECT max(version) FROM schema_version"),
        head=ledger_rows.head(copy),
        tombstones=number("SELECT max(number) FROM tombstones"),
        subjects=number("SELECT count(*) FROM subjects"),
        voiceprints=number("SELECT count(*) FROM voiceprints"),
        keys=tuple(KeyId(key) for (key,) in keys),
    )
