# SPDX-License-Identifier: Apache-2.0
"""SQLite's errors in the words of the engine: is it the place, or is it the data?"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from voiceauth.errors import EngineError, IntegrityError, InternalError, StorageError

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_OWN_FAULT = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn ``sqlite3.Error`` into the engine's errors.

    Raises:
        IntegrityError: the file is damaged or no vault.
        InternalError: a statement of this room is wrong.
        StorageError: everything else (full, I/O error, locked, read-only, closed).
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(error) from error


def _meaning(error: sqlite3.Error) -> EngineError:
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    primary = None if code is None else code & 0xFF
    if primary in _DAMAGED:
        return IntegrityError("The vault's file is damaged.", detail=f"{name}: {error}")
    if primary in _OWN_FAULT:
        return InternalError(detail=f"{name}: {error}")
    return StorageError(detail=f"{name}: {error}")
