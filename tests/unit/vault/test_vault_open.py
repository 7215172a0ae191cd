# SPDX-License-Identifier: Apache-2.0
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from voiceauth.errors import (
    ChainBrokenError,
    IntegrityError,
    KeyServiceError,
    StorageError,
    WrongKeyError,
)
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.types import SubjectId, TenantId
from voiceauth.vault.connections import VaultOptions
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK, ALICE = TenantId("bank"), SubjectId("alice")


def opened(path: Path, seed: int = 0, *, accept_ledger_head: bool = False) -> SqliteVault:
    """Open a vault under the keys of ``seed``."""
    return open_vault(
        path,
        FakeKeyService(seed),
        clock=FakeClock(),
        random=FakeRandom(1),
        accept_ledger_head=accept_ledger_head,
    )


def made(path: Path, entries: int = 3) -> Path:
    """Make a vault with one subject and some ledger entries, and close it."""
    vault = opened(path)
    for number in range(entries):
        with vault.begin() as change:
            if number == 0:
                change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())
            change.append(at=EPOCH, tenant=BANK, event="test", body={"n": number})
    vault.close()
    return path


def tampered(path: Path, *statements: str) -> None:
    """Run SQL on the closed file, as somebody with the disk in hands would."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER ledger_keeps_entries")
        connection.execute("DROP TRIGGER ledger_keeps_content")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_keys_of_another_installation_are_refused(tmp_path: Path) -> None:
    """A vault does not open, not even empty, under other keys."""
    path = made(tmp_path / "vault.db", entries=0)

    with pytest.raises(WrongKeyError):
        opened(path, seed=1)
    opened(path).close()


def test_a_changed_canary_is_refused(tmp_path: Path) -> None:
    """The mark by which a vault knows its keys cannot be exchanged or removed."""
    path = made(tmp_path / "vault.db")
    tampered(path, "UPDATE vault_info SET canary = zeroblob(38)")
    with pytest.raises(WrongKeyError):
        opened(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM vault_info")
        connection.commit()
    with pytest.raises(IntegrityError):
        opened(path)


def test_a_key_service_that_is_down_stops_the_opening(tmp_path: Path) -> None:
    """A vault never opens without its keys, and leaves no file behind."""
    keys = FakeKeyService()
    keys.go_down()

    with pytest.raises(KeyServiceError):
        open_vault(tmp_path / "vault.db", keys, clock=FakeClock(), random=FakeRandom())
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Rubbish is damage, not a vault."""
    path = tmp_path / "vault.db"
    path.write_bytes(b"not a database at all" * 500)

    with pytest.raises(IntegrityError):
        opened(path)


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    """Another program's database is not turned into a vault."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(IntegrityError, match="no vault"):
        opened(path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """An older engine does not write into a newer vault."""
    path = made(tmp_path / "vault.db")
    tampered(path, "INSERT INTO schema_version (version) VALUES (99)")

    with pytest.raises(IntegrityError, match="newer"):
        opened(path)


def test_a_torn_page_is_refused(tmp_path: Path) -> None:
    """Damage inside the file is found at opening."""
    path = made(tmp_path / "vault.db", entries=200)
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)

    with pytest.raises(IntegrityError):
        opened(path)


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    """A directory in the file's place, or a file in the directory's, is a matter of storage."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageError):
        opened(tmp_path / "taken")
    with pytest.raises(StorageError):
        opened(tmp_path / "file" / "vault.db")


def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """Database, log, shared memory and anchor are closed to group and world."""
    vault = opened(tmp_path / "home" / "vault.db")
    with vault.begin() as change:
        change.append(at=EPOCH, tenant=BANK, event="test", body={})
    files = sorted((tmp_path / "home").iterdir())

    assert [one.name for one in files] == [
        "vault.db",
        "vault.db-shm",
        "vault.db-wal",
        "vault.db.anchor",
    ]
    assert {one.stat().st_mode & 0o777 for one in files} == {0o600}
    vault.close()


def test_connections_are_set_up_for_durability(tmp_path: Path) -> None:
    """Every commit is flushed, rows cannot be orphaned, and deleted content is overwritten."""
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    vault = opened(tmp_path / "vault.db")
    for lend, read_only in ((vault._connections.alone, 0), (vault._connections.reader, 1)):
        with lend() as connection:
            names = (*expected, "query_only")
            found = {one: connection.execute(f"PRAGMA {one}").fetchone()[0] for one in names}
        assert found == {**expected, "query_only": read_only}
    vault.close()


def test_a_closed_vault_answers_nothing(tmp_path: Path) -> None:
    """Closing twice is fine; using a closed vault is a storage error."""
    vault = opened(tmp_path / "vault.db")
    vault.close()
    vault.close()

    with pytest.raises(StorageError), vault.begin():
        pass
    with pytest.raises(StorageError), vault.read():
        pass
    with pytest.raises(StorageError):
        vault.ledger()


def test_a_vault_closed_under_a_reader_lets_it_finish(tmp_path: Path) -> None:
    """A view that is open when the vault closes still reads, and is closed afterwards."""
    vault = opened(made(tmp_path / "vault.db"))
    with vault.read() as view:
        vault.close()
        assert view.subject(BANK, ALICE) is not None
    assert [one.name for one in tmp_path.iterdir() if one.name.endswith("-wal")] == []


def test_the_ledger_comes_back_and_verifies(tmp_path: Path) -> None:
    """Entries survive a restart, in order, in pages, and the chain goes on."""
    vault = opened(made(tmp_path / "vault.db", entries=5))
    with vault.begin() as change:
        entry = change.append(at=EPOCH, tenant=BANK, event="more", body={"x": 0.1})

    assert [one.sequence for one in vault.ledger()] == [1, 2, 3, 4, 5, 6]
    assert [one.sequence for one in vault.ledger(after=2, limit=3)] == [3, 4, 5]
    assert vault.ledger(after=5) == [entry]
    assert vault.ledger(after=6) == []
    assert vault.verify_ledger() == 6
    vault.close()


def test_the_ledger_only_grows(tmp_path: Path) -> None:
    """Even the engine's own connection cannot change or delete an entry."""
    vault = opened(made(tmp_path / "vault.db"))
    with vault._connections.alone() as connection:
        for statement in ("DELETE FROM ledger", "UPDATE ledger SET body = '{}'"):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)
    vault.close()


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("UPDATE ledger SET body = '{\"n\":9}' WHERE sequence = 2", 2),
        ("UPDATE ledger SET at_us = at_us + 1 WHERE sequence = 2", 2),
        ("UPDATE ledger SET tenant = 'shop' WHERE sequence = 3", 3),
        ("UPDATE ledger SET event = CAST(x'ff' AS TEXT) WHERE sequence = 1", 1),
        ("UPDATE ledger SET at_us = 9223372036854775807 WHERE sequence = 2", 2),
        ("DELETE FROM ledger WHERE sequence = 2", 2),
    ],
)
def test_a_changed_ledger_is_found(tmp_path: Path, statement: str, index: int) -> None:
    """Verification names the first entry that is not what was written."""
    path = made(tmp_path / "vault.db")
    tampered(path, statement)
    vault = opened(path)

    with pytest.raises(ChainBrokenError) as caught:
        vault.verify_ledger()
    assert caught.value.index == index
    vault.close()


def test_a_cut_off_tail_stops_the_opening(tmp_path: Path) -> None:
    """The anchor beside the vault remembers how far the ledger had come."""
    path = made(tmp_path / "vault.db", entries=5)
    tampered(path, "DELETE FROM ledger WHERE sequence > 3")

    with pytest.raises(ChainBrokenError) as caught:
        opened(path)
    assert caught.value.index == 4


def test_a_tail_cut_off_under_a_running_vault_is_found(tmp_path: Path) -> None:
    """The anchor is also held against the chain by the verification."""
    path = made(tmp_path / "vault.db", entries=5)
    vault = opened(path)
    tampered(path, "DELETE FROM ledger WHERE sequence > 3")

    with pytest.raises(ChainBrokenError) as caught:
        vault.verify_ledger()
    assert caught.value.index == 4
    vault.close()


def test_a_rewritten_end_stops_the_opening(tmp_path: Path) -> None:
    """An entry exchanged at the anchored place is found without walking the chain."""
    path = made(tmp_path / "vault.db")
    tampered(path, "UPDATE ledger SET entry_hash = zeroblob(32) WHERE sequence = 3")

    with pytest.raises(ChainBrokenError):
        opened(path)


def test_a_missing_anchor_stops_the_opening(tmp_path: Path) -> None:
    """Removing the anchor does not hide a cut-off tail."""
    path = made(tmp_path / "vault.db")
    (tmp_path / "vault.db.anchor").unlink()

    with pytest.raises(ChainBrokenError):
        opened(path)


def test_a_forged_anchor_stops_the_opening(tmp_path: Path) -> None:
    """An anchor that was written without the key is refused."""
    path = made(tmp_path / "vault.db", entries=5)
    anchor = tmp_path / "vault.db.anchor"
    anchor.write_bytes(anchor.read_bytes().replace(b'"sequence": 5', b'"sequence": 3'))

    with pytest.raises(IntegrityError):
        opened(path)


def test_an_anchor_that_lags_is_fine(tmp_path: Path) -> None:
    """A crash between commit and anchor is no tampering."""
    path = made(tmp_path / "vault.db", entries=3)
    older = (tmp_path / "vault.db.anchor").read_bytes()
    vault = opened(path)
    with vault.begin() as change:
        change.append(at=EPOCH, tenant=BANK, event="test", body={})
    vault.close()
    (tmp_path / "vault.db.anchor").write_bytes(older)

    vault = opened(path)
    assert vault.verify_ledger() == 4
    vault.close()


def test_an_operator_can_accept_a_restored_ledger(tmp_path: Path) -> None:
    """After a restored backup the shorter ledger is anchored anew, on an explicit word only."""
    path = made(tmp_path / "vault.db", entries=5)
    tampered(path, "DELETE FROM ledger WHERE sequence > 3")

    opened(path, accept_ledger_head=True).close()

    vault = opened(path)
    assert vault.verify_ledger() == 3
    vault.close()


@pytest.mark.parametrize(("most", "looks"), [(0, 0), (2**30, 1)], ids=["larger", "within"])
def test_a_large_file_is_not_looked_over_at_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, looks: int
) -> None:
    """The start of a large installation does not wait for a reading of the whole file."""
    path, looked = made(tmp_path / "vault.db"), []
    monkeypatch.setattr("voiceauth.vault.open.check_file", lambda *_: looked.append(1))

    options = VaultOptions(most_checked_bytes=most)
    keys = FakeKeyService()
    open_vault(path, keys, clock=FakeClock(), random=FakeRandom(), options=options).close()

    assert len(looked) == looks
