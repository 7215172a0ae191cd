# SPDX-License-Identifier: Apache-2.0
"""What somebody can do who may read and write the vault's file, but has no keys: nothing useful."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from voiceauth.errors import IntegrityError, KeyServiceError, TagMismatchError
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.testing.records import (
    MODEL,
    OTHER_MODEL,
    made_up_consent,
    made_up_embedding,
    made_up_segment,
    made_up_voiceprint,
)
from voiceauth.types import SubjectId, TenantId
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK, SHOP = TenantId("bank"), TenantId("shop")
ALICE, MALLORY = SubjectId("alice-4711"), SubjectId("mallory-0815")
PEOPLE = ((BANK, ALICE), (BANK, MALLORY), (SHOP, ALICE))


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[SqliteVault]:
    """A vault with the same things stored for three people."""
    opened = open_vault(
        tmp_path / "vault.db", FakeKeyService(), clock=FakeClock(), random=FakeRandom(1)
    )
    for number, (tenant, subject) in enumerate(PEOPLE):
        with opened.begin() as change:
            change.create_subject(tenant, subject, at=EPOCH, groups=frozenset())
            change.put_consent(tenant, subject, made_up_consent())
            for model in (MODEL, OTHER_MODEL):
                change.add_voiceprint(
                    tenant, made_up_voiceprint(f"v{number}{model[0]}", subject, model=model)
                )
                change.put_pending_segments(tenant, subject, model, [made_up_segment(number)])
            change.append(at=EPOCH, tenant=tenant, event="test", body={})
    yield opened
    opened.close()


@pytest.fixture
def attacker(vault: SqliteVault, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A second pair of hands on the file."""
    with closing(sqlite3.connect(tmp_path / "vault.db", isolation_level=None)) as connection:
        yield connection


def row_key(vault: SqliteVault, tenant: TenantId, subject: SubjectId) -> bytes:
    """Return a row key; the attacker is granted knowledge of whose row is whose."""
    return vault._sealer.row_key(tenant, subject)


def read_everything(vault: SqliteVault, tenant: TenantId, subject: SubjectId) -> int:
    """Read all that is stored for one subject; return how many records came back."""
    with vault.read() as view:
        found = view.subject(tenant, subject)
        records = [
            *view.voiceprints(tenant, subject, MODEL),
            *view.voiceprints(tenant, subject, OTHER_MODEL),
            *view.pending_segments(tenant, subject, MODEL),
            *view.pending_segments(tenant, subject, OTHER_MODEL),
        ]
    return len(records) + (found is not None)


@pytest.mark.parametrize("victim", [(BANK, ALICE), (SHOP, ALICE)])
def test_a_voiceprint_moved_to_another_subject_is_refused(
    vault: SqliteVault, attacker: sqlite3.Connection, victim: tuple[TenantId, SubjectId]
) -> None:
    """Mallory's voiceprint under another subject or tenant gives an error, never a match."""
    source, target = row_key(vault, BANK, MALLORY), row_key(vault, *victim)
    attacker.execute("DELETE FROM voiceprints WHERE row_key = ?", (target,))
    attacker.execute("UPDATE voiceprints SET row_key = ? WHERE row_key = ?", (target, source))

    with vault.read() as view, pytest.raises(TagMismatchError):
        view.voiceprints(*victim, MODEL)
    with vault.read() as view, pytest.raises(TagMismatchError):
        view.subject(*victim)


def test_a_voiceprint_moved_to_another_model_is_refused(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """A voiceprint cannot be passed off as another model's."""
    attacker.execute("DELETE FROM voiceprints WHERE model = ?", (MODEL,))
    attacker.execute("UPDATE voiceprints SET model = ?", (MODEL,))

    with vault.read() as view, pytest.raises(TagMismatchError):
        view.voiceprints(BANK, ALICE, MODEL)


def test_a_renamed_voiceprint_is_refused(vault: SqliteVault, attacker: sqlite3.Connection) -> None:
    """A voiceprint's id is part of what is authenticated."""
    attacker.execute("UPDATE voiceprints SET voiceprint = 'x' || voiceprint")

    with vault.read() as view, pytest.raises(TagMismatchError):
        view.voiceprints(BANK, ALICE, MODEL)


@pytest.mark.parametrize("column", ["record", "consent", "wrapped_key"])
@pytest.mark.parametrize("victim", [(BANK, ALICE), (SHOP, ALICE)])
def test_a_column_copied_from_another_subject_is_refused(
    vault: SqliteVault,
    attacker: sqlite3.Connection,
    column: str,
    victim: tuple[TenantId, SubjectId],
) -> None:
    """Neither record, consent nor wrapped key of one subject serves another."""
    source, target = row_key(vault, BANK, MALLORY), row_key(vault, *victim)
    attacker.execute(
        f"UPDATE subjects SET {column} = (SELECT {column} FROM subjects WHERE row_key = ?) "  # noqa: S608
        "WHERE row_key = ?",
        (source, target),
    )

    with vault.read() as view, pytest.raises(TagMismatchError):
        view.subject(*victim)


def test_a_record_in_the_place_of_another_kind_is_refused(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Within one subject, under one key, a blob of one kind does not pass as another."""
    attacker.execute("UPDATE subjects SET consent = record")

    with vault.read() as view, pytest.raises(TagMismatchError):
        view.subject(BANK, ALICE)


def test_a_wrapped_key_does_not_even_unwrap_elsewhere(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """The wrapping itself is bound to tenant and subject, before any record is opened."""
    key = row_key(vault, BANK, MALLORY)
    key_id, wrapped = attacker.execute(
        "SELECT key_id, wrapped_key FROM subjects WHERE row_key = ?", (key,)
    ).fetchone()

    assert vault._sealer.open_key(BANK, key, key_id, wrapped).row_key == key
    with pytest.raises(TagMismatchError):
        vault._sealer.open_key(BANK, row_key(vault, BANK, ALICE), key_id, wrapped)
    with pytest.raises(TagMismatchError):
        vault._sealer.open_key(SHOP, key, key_id, wrapped)


def test_a_whole_subject_moved_over_another_is_refused(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Exchanging key, record, consent and voiceprints together does not help either."""
    source, target = row_key(vault, BANK, MALLORY), row_key(vault, BANK, ALICE)
    for table in ("voiceprints", "pending", "subjects"):
        attacker.execute(f"DELETE FROM {table} WHERE row_key = ?", (target,))  # noqa: S608
        attacker.execute(f"UPDATE {table} SET row_key = ? WHERE row_key = ?", (target, source))  # noqa: S608

    with vault.read() as view, pytest.raises(TagMismatchError):
        view.subject(BANK, ALICE)
    with vault.read() as view, pytest.raises(TagMismatchError):
        view.voiceprints(BANK, ALICE, MODEL)


def test_a_subject_moved_to_another_tenant_is_refused(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Rewriting the tenant column shows, in look-ups as in lists."""
    key = row_key(vault, BANK, ALICE)
    attacker.execute("UPDATE subjects SET tenant = 'shop' WHERE row_key = ?", (key,))

    with vault.read() as view, pytest.raises(TagMismatchError):
        view.subject(BANK, ALICE)
    with vault.read() as view, pytest.raises(TagMismatchError):
        view.subjects(SHOP, after=None, limit=10)


def test_pending_segments_moved_to_another_model_or_subject_are_refused(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Half an enrolment cannot be completed with somebody else's voice."""
    source, target = row_key(vault, BANK, MALLORY), row_key(vault, BANK, ALICE)
    attacker.execute("DELETE FROM pending WHERE row_key = ?", (target,))
    attacker.execute("UPDATE pending SET row_key = ? WHERE row_key = ?", (target, source))
    attacker.execute(
        "UPDATE pending SET model = CASE model WHEN ?1 THEN 'x' ELSE ?1 END WHERE row_key = "
        "(SELECT row_key FROM subjects WHERE tenant = 'shop')",
        (MODEL,),
    )

    with vault.read() as view, pytest.raises(TagMismatchError):
        view.pending_segments(BANK, ALICE, MODEL)
    with vault.read() as view, pytest.raises(TagMismatchError):
        view.pending_segments(SHOP, ALICE, MODEL)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("subjects", "wrapped_key"),
        ("subjects", "record"),
        ("subjects", "consent"),
        ("voiceprints", "sealed"),
        ("pending", "sealed"),
    ],
)
def test_any_flipped_byte_of_a_stored_blob_is_refused(
    vault: SqliteVault, attacker: sqlite3.Connection, table: str, column: str
) -> None:
    """Every sealed column is authenticated from its first to its last byte."""
    key = row_key(vault, BANK, ALICE)
    where = "row_key = ?" if table == "subjects" else f"row_key = ? AND model = '{MODEL}'"
    query = f"SELECT {column} FROM {table} WHERE {where}"  # noqa: S608
    (whole,) = attacker.execute(query, (key,)).fetchone()
    step = max(1, len(whole) // 40)
    for place in {*range(0, len(whole), step), len(whole) - 1}:
        changed = whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
        attacker.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (changed, key))  # noqa: S608
        with pytest.raises(TagMismatchError):
            read_everything(vault, BANK, ALICE)
    attacker.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (whole, key))  # noqa: S608

    assert read_everything(vault, BANK, ALICE) == 5


def test_the_file_names_nobody_and_holds_no_voice(vault: SqliteVault, tmp_path: Path) -> None:
    """Database and log show no subject id, call id, consent or embedding."""
    stored = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("vault.db*")))
    secrets = (
        ALICE.encode(),
        MALLORY.encode(),
        b"ivr-keypress",
        b"c0c0c0",
        b"call-1",
        made_up_embedding(1).tobytes()[:16],
    )

    assert MODEL.encode() in stored  # the search itself works
    assert [one for one in secrets if one in stored] == []


def test_an_erased_subject_leaves_neither_key_nor_rows(
    vault: SqliteVault, attacker: sqlite3.Connection, tmp_path: Path
) -> None:
    """After an erasure, database and log hold no byte string of the subject's any more.

    Only the keyed hash of its row stays, as a tombstone, so that no backup brings the person back.
    """
    key = row_key(vault, BANK, ALICE)
    blobs: list[bytes] = []
    for table, columns in (
        ("subjects", ("wrapped_key", "record", "consent")),
        ("voiceprints", ("sealed",)),
        ("pending", ("sealed",)),
    ):
        for column in columns:
            rows = attacker.execute(f"SELECT {column} FROM {table} WHERE row_key = ?", (key,))  # noqa: S608
            blobs += [row[0] for row in rows]
    before = b"".join(path.read_bytes() for path in tmp_path.glob("vault.db*"))
    assert all(blob[:32] in before for blob in blobs)
    assert len(blobs) == 7

    with vault.begin() as change:
        change.erase_subject(BANK, ALICE)
    assert {one.row_key for one in vault.tombstones()} == {key}

    after = b"".join(path.read_bytes() for path in tmp_path.glob("vault.db*"))
    # Large records are spread over pages, so they are looked for piece by piece.
    left = [
        blob[at : at + 32]
        for blob in blobs
        for at in range(0, len(blob) - 31, 32)
        if blob[at : at + 32] in after
    ]
    assert left == []
    assert read_everything(vault, BANK, ALICE) == 0
    assert read_everything(vault, SHOP, ALICE) == 5


def test_an_erasure_beside_a_reader_is_finished_by_the_next_change(
    vault: SqliteVault, attacker: sqlite3.Connection, tmp_path: Path
) -> None:
    """A view that is open during an erasure delays the wiping of the log, but not for good."""
    key = row_key(vault, BANK, ALICE)
    (wrapped,) = attacker.execute(
        "SELECT wrapped_key FROM subjects WHERE row_key = ?", (key,)
    ).fetchone()
    vault._connections._writer.execute("PRAGMA busy_timeout = 50")  # type: ignore[union-attr]
    with vault.read() as view:
        view.subject(BANK, ALICE)
        with vault.begin() as change:
            change.erase_subject(BANK, ALICE)
        assert vault._wipe_due
    with vault.begin() as change:
        change.append(at=EPOCH, tenant=BANK, event="test", body={})

    assert wrapped not in b"".join(path.read_bytes() for path in tmp_path.glob("vault.db*"))


def test_an_erased_subject_stays_unreadable_when_its_rows_are_put_back(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Ciphertext that was copied away is of no use once the data key is destroyed."""
    key = row_key(vault, BANK, ALICE)
    copied = attacker.execute(
        "SELECT model, voiceprint, sealed FROM voiceprints WHERE row_key = ?", (key,)
    ).fetchall()
    with vault.begin() as change:
        change.erase_subject(BANK, ALICE)
        change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())
    attacker.executemany(
        "INSERT INTO voiceprints (row_key, model, voiceprint, sealed) VALUES (?,?,?,?)",
        [(key, *row) for row in copied],
    )

    with vault.read() as view, pytest.raises(TagMismatchError):
        view.voiceprints(BANK, ALICE, MODEL)


def test_a_backup_is_unreadable_once_its_wrapping_key_is_retired(
    vault: SqliteVault, tmp_path: Path
) -> None:
    """Erasure reaches backups when the key they were wrapped under is destroyed."""
    backup = tmp_path / "backup.db"
    with closing(sqlite3.connect(tmp_path / "vault.db")) as source:
        source.execute("VACUUM INTO ?", (str(backup),))
    retired = FakeKeyService()
    retired.rotate()
    del retired._keys[next(iter(retired._keys))]

    restored = open_vault(
        backup, retired, clock=FakeClock(), random=FakeRandom(2), accept_ledger_head=True
    )
    with restored.read() as view, pytest.raises(KeyServiceError):
        view.voiceprints(BANK, ALICE, MODEL)
    restored.close()


def test_an_emptied_blob_is_damage(vault: SqliteVault, attacker: sqlite3.Connection) -> None:
    """A voiceprint that was blanked out is an error, not a subject without voiceprints."""
    attacker.execute("UPDATE voiceprints SET sealed = x''")

    with vault.read() as view, pytest.raises(IntegrityError):
        view.voiceprints(BANK, ALICE, MODEL)


def test_after_a_withdrawal_the_living_keys_open_no_old_voice(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Rows from an old backup that are put back are refused: what is left has a new data key.

    Otherwise whoever has the living vault and the keys could read the voice in every old backup,
    whatever wrapping keys were destroyed meanwhile.
    """
    columns = "row_key, model, voiceprint, sealed"
    query = f"SELECT {columns} FROM voiceprints WHERE row_key = ?"  # noqa: S608 - constant
    old = attacker.execute(query, (row_key(vault, BANK, ALICE),)).fetchall()
    with vault.begin() as change:
        change.delete_voiceprints(BANK, ALICE)
    insert = f"INSERT INTO voiceprints ({columns}) VALUES (?,?,?,?)"  # noqa: S608 - constant
    attacker.executemany(insert, old)

    with vault.read() as view, pytest.raises(TagMismatchError):
        view.voiceprints(BANK, ALICE, MODEL)
