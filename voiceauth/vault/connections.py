# SPDX-License-Identifier: Apache-2.0
"""SQLite connections, set up for durability: one that writes, and a few idle ones that read."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from voiceauth.errors import IntegrityError, InternalError, StorageError
from voiceauth.units import Seconds
from voiceauth.vault.faults import translated


@dataclass(frozen=True, slots=True)
class VaultOptions:
    """How a vault is opened.

    Attributes:
        busy_seconds: longest wait for another writer, of this process or another one.
        check_at_open: run SQLite's ``quick_check``; its time grows with the file.
        most_checked_bytes: larger files are not looked over at open, for a start must not take
            minutes; ``voiceauth doctor`` looks, and every row that is read is authenticated.
        idle_readers: reading connections kept open between calls.
    """

    busy_seconds: Seconds = 5.0
    check_at_open: bool = True
    most_checked_bytes: int = 256 * 2**20
    idle_readers: int = 16


class Connections:
    """Lends connections to one database file. Safe from several threads."""

    def __init__(self, path: Path, options: VaultOptions) -> None:
        self._path = path
        self._options = options
        self._writing = threading.Lock()
        self._writer_thread: int | None = None
        self._writer: sqlite3.Connection | None = None
        self._pool = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """Lend the writing connection to one thread at a time, outside a transaction.

        Raises:
            StorageError: another thread held on for too long, or the vault is closed.
            InternalError: this thread has it already.
        """
        if self._writer_thread == threading.get_ident():
            raise InternalError(detail="a thread opened a second write transaction inside its own")
        if not self._writing.acquire(timeout=self._options.busy_seconds):
            raise StorageError(detail="another thread holds the writer's lock")
        try:
            self._writer_thread = threading.get_ident()
            if self._closed:
                raise StorageError(detail="the vault is closed")
            if self._writer is None:
                self._writer = self._connect(writable=True)
            yield self._writer
        finally:
            self._writer_thread = None
            self._writing.release()

    @contextmanager
    def change(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Put a write transaction around a block: commit at its end, roll back on an exception.

        Raises:
            StorageError: another process held on for too long, or the file cannot be written.
        """
        try:
            with translated():
                connection.execute("BEGIN IMMEDIATE")
            yield
            with translated():
                connection.execute("COMMIT")
        finally:
            self._leave(connection)

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """Lend a reading connection that sees one moment of the vault.

        Raises:
            StorageError: the file cannot be read, or the vault is closed.
        """
        connection = self._take()
        try:
            with translated():
                connection.execute("BEGIN")
                # BEGIN alone is lazy: the first reading statement fixes the moment.
                connection.execute("SELECT version FROM schema_version").fetchone()
            yield connection
        finally:
            self._give(connection)

    def close(self) -> None:
        """Close everything; connections that are lent are closed when they come back."""
        with self._writing:
            with self._pool:
                self._closed = True
                idle, self._idle = self._idle, []
            for connection in idle:
                connection.close()
            if self._writer is not None:
                with translated():
                    self._writer.close()
                self._writer = None

    def _leave(self, connection: sqlite3.Connection) -> None:
        """Roll back what is open; a connection that cannot even do that is given up."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._writer = None
            with suppress(sqlite3.Error):
                connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._pool:
            if self._closed:
                raise StorageError(detail="the vault is closed")
            if self._idle:
                return self._idle.pop()
        return self._connect(writable=False)

    def _give(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("ROLLBACK")
            with self._pool:
                if not self._closed and len(self._idle) < self._options.idle_readers:
                    self._idle.append(connection)
                    return
        except sqlite3.Error:
            pass  # given up below; the reading itself has succeeded or raised already
        connection.close()

    def _connect(self, *, writable: bool) -> sqlite3.Connection:
        with translated():
            connection = sqlite3.connect(
                self._path,
                timeout=self._options.busy_seconds,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                _set_up(connection, writable=writable)
            except BaseException:
                connection.close()
                raise
        return connection


def make_file(path: Path) -> None:
    """Make the database file, for its owner only; SQLite gives its side files the same mode.

    Raises:
        StorageError: the directory or file cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StorageError(
            f"The vault {path} cannot be opened.", detail=str(error.strerror)
        ) from error


def check_file(path: Path, options: VaultOptions) -> None:
    """Let SQLite look over the whole file.

    Raises:
        IntegrityError: the file is damaged.
        StorageError: it cannot be read, or is locked for too long.
    """
    with translated(), closing(sqlite3.connect(path, timeout=options.busy_seconds)) as connection:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise IntegrityError("The vault's file is damaged.", detail=str(found))


def _set_up(connection: sqlite3.Connection, *, writable: bool) -> None:
    # A damaged byte in a text must reach the chain's hash instead of failing to decode.
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != ("wal",):
        raise StorageError("The vault's file system cannot hold a write-ahead log.")
    for pragma in (
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "temp_store = MEMORY",
        f"query_only = {'OFF' if writable else 'ON'}",
    ):
        connection.execute(f"PRAGMA {pragma}")
