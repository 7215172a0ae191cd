# SPDX-License-Identifier: Apache-2.0
"""Full disks, held locks and failing anchors: the vault says so, loses nothing and recovers."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from voiceauth.errors import IntegrityError, InternalError, StorageError
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.testing.records import MODEL, made_up_voiceprint
from voiceauth.types import SubjectId, TenantId
from voiceauth.vault.anchor_file import AnchorFile
from voiceauth.vault.connections import _set_up
from voiceauth.vault.faults import translated
from voiceauth.vault.open import VaultOptions, open_vault
from voiceauth.vault.store import SqliteVault

BANK, ALICE = TenantId("bank"), SubjectId("alice")


def opened(home: Path) -> SqliteVault:
    """Open the vault of ``home``, impatient with locks."""
    return open_vault(
        home / "vault.db",
        FakeKeyService(),
        clock=FakeClock(),
        random=FakeRandom(1),
        options=VaultOptions(busy_seconds=0.05),
    )


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[SqliteVault]:
    """A vault that holds one subject."""
    made = opened(tmp_path)
    with made.begin() as change:
        change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())
        change.append(at=EPOCH, tenant=BANK, event="created", body={})
    yield made
    made.close()


def enrol(vault: SqliteVault, name: str) -> None:
    """Store a large voiceprint and its ledger entry."""
    with vault.begin() as change:
        change.append(at=EPOCH, tenant=BANK, event="enrolled", body={})
        change.add_voiceprint(BANK, made_up_voiceprint(name, ALICE, segments=200))


@contextmanager
def limited_file_size(vault: SqliteVault, home: Path) -> Iterator[None]:
    """Let every write fail that makes a file longer than the vault's log is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (home / "vault.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def limited_pages(vault: SqliteVault, home: Path) -> Iterator[None]:
    """Let SQLite find the disk full."""
    with vault._connections.alone() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    yield
    with vault._connections.alone() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")


@pytest.mark.parametrize("fault", [limited_file_size, limited_pages])
def test_a_full_disk_is_a_storage_error_and_passes(
    vault: SqliteVault,
    tmp_path: Path,
    fault: Callable[[SqliteVault, Path], AbstractContextManager[None]],
) -> None:
    """Nothing half is stored, reading goes on, and writing works again without a restart."""
    with fault(vault, tmp_path):
        for _ in range(3):
            with pytest.raises(StorageError):
                enrol(vault, "v1")
        with vault.read() as view:
            assert view.subject(BANK, ALICE) is not None
            assert view.voiceprints(BANK, ALICE, MODEL) == ()
        assert vault.verify_ledger() == 1

    enrol(vault, "v1")

    with vault.read() as view:
        assert len(view.voiceprints(BANK, ALICE, MODEL)) == 1
    assert vault.verify_ledger() == 2


def test_a_lock_that_another_process_holds_is_a_storage_error(
    vault: SqliteVault, tmp_path: Path
) -> None:
    """A writer waits for its time and then says so; readers are not affected."""
    with closing(sqlite3.connect(tmp_path / "vault.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError):
            enrol(vault, "v1")
        with vault.read() as view:
            assert view.subject(BANK, ALICE) is not None
        other.execute("ROLLBACK")
    enrol(vault, "v1")


@pytest.mark.parametrize("check", [True, False])
def test_a_locked_file_does_not_open(tmp_path: Path, check: bool) -> None:
    """Opening waits for its time and then says so, with and without the check of the file."""
    options = VaultOptions(busy_seconds=0.05, check_at_open=check)
    with closing(sqlite3.connect(tmp_path / "vault.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError):
            open_vault(
                tmp_path / "vault.db",
                FakeKeyService(),
                clock=FakeClock(),
                random=FakeRandom(),
                options=options,
            )


def test_a_file_system_without_a_write_ahead_log_is_refused() -> None:
    """Durability is not traded away in silence."""
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(StorageError):
        _set_up(connection, writable=True)


def test_an_anchor_that_cannot_be_written_does_not_undo_a_commit(
    vault: SqliteVault, tmp_path: Path
) -> None:
    """The anchor lags, the record stands, and the next commit anchors again."""
    anchor = vault._anchor
    vault._anchor = AnchorFile(tmp_path / "nowhere" / "anchor", b"")
    enrol(vault, "v1")
    vault._anchor = anchor
    lagging = anchor.read()
    enrol(vault, "v2")
    current = anchor.read()

    assert lagging is not None
    assert current is not None
    assert (lagging.sequence, current.sequence) == (1, 3)
    assert vault.verify_ledger() == 3


def test_a_writer_that_cannot_roll_back_is_replaced(vault: SqliteVault) -> None:
    """A connection in an unknown state is given up; the next change gets a new one."""

    def lose_the_connection() -> None:
        with vault.begin():
            connection = vault._connections._writer
            if connection is not None:
                connection.close()

    with pytest.raises(StorageError):
        lose_the_connection()
    enrol(vault, "v1")
    assert vault.verify_ledger() == 2


def test_a_reader_that_broke_is_not_kept(vault: SqliteVault) -> None:
    """A broken reading connection does not go back among the idle ones."""

    def lose_the_connection() -> None:
        with vault.read() as view:
            if view._connection is not None:
                view._connection.close()
            view.subject(BANK, ALICE)

    with pytest.raises(StorageError):
        lose_the_connection()
    with vault.read() as view:
        assert view.subject(BANK, ALICE) is not None


def test_an_anchor_that_is_a_directory_is_a_storage_error(
    vault: SqliteVault, tmp_path: Path
) -> None:
    """What cannot be read is not taken for absent."""
    vault.close()
    (tmp_path / "vault.db.anchor").unlink()
    (tmp_path / "vault.db.anchor").mkdir()

    with pytest.raises(StorageError):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (sqlite3.SQLITE_FULL, StorageError),
        (sqlite3.SQLITE_IOERR, StorageError),
        (sqlite3.SQLITE_IOERR_FSYNC, StorageError),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StorageError),
        (sqlite3.SQLITE_READONLY, StorageError),
        (sqlite3.SQLITE_CANTOPEN, StorageError),
        (sqlite3.SQLITE_NOMEM, StorageError),
        (sqlite3.SQLITE_CORRUPT, IntegrityError),
        (sqlite3.SQLITE_CORRUPT_VTAB, IntegrityError),
        (sqlite3.SQLITE_NOTADB, IntegrityError),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, InternalError),
        (sqlite3.SQLITE_ERROR, InternalError),
        (None, StorageError),
    ],
)
def test_every_error_of_sqlite_has_a_meaning(code: int | None, meaning: type[Exception]) -> None:
    """The place, the data or our own statement: the operator learns which."""
    error = sqlite3.OperationalError("made up")
    if code is not None:
        error.sqlite_errorcode = code
        error.sqlite_errorname = "SQLITE_MADE_UP"

    with pytest.raises(meaning), translated():
        raise error
