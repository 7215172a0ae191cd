# SPDX-License-Identifier: Apache-2.0
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from voiceauth.errors import InternalError, TagMismatchError, TransformLostError
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.testing.records import (
    MODEL,
    OTHER_MODEL,
    made_up_embedding,
    made_up_segment,
    made_up_voiceprint,
)
from voiceauth.types import SubjectId, TenantId
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault
from voiceauth.vault.transforms import Transforms

DATA = Path(__file__).resolve().parents[2] / "data"
BANK, SHOP = TenantId("bank"), TenantId("shop")
PEOPLE = [SubjectId(f"s{number}") for number in range(7)]


@pytest.fixture
def people(vault: SqliteVault) -> SqliteVault:
    """A vault with seven people at the bank and one at the shop."""
    with vault.begin() as change:
        for tenant, subject in [*((BANK, one) for one in PEOPLE), (SHOP, PEOPLE[0])]:
            seed = PEOPLE.index(subject)
            change.create_subject(tenant, subject, at=EPOCH, groups=frozenset())
            change.add_voiceprint(
                tenant, made_up_voiceprint(f"v-{tenant}-{subject}", subject, seed=seed)
            )
            change.put_pending_segments(tenant, subject, OTHER_MODEL, [made_up_segment(seed)])
    return vault


def moved(vault: SqliteVault, tenant: TenantId = BANK, limit: int = 3) -> int:
    """Move every subject and return how many rows were turned."""
    after, rows = b"", 0
    while True:
        with vault.begin() as change:
            step = change.rekeying().move(tenant, after, limit)
        rows += step.rows
        if step.last is None:
            return rows
        after = step.last


def all_is_there(vault: SqliteVault, tenant: TenantId = BANK) -> bool:
    """Read everything of a tenant and hold it against what was stored."""
    with vault.read() as view:
        for seed, subject in enumerate(PEOPLE if tenant == BANK else PEOPLE[:1]):
            (print_,) = view.voiceprints(tenant, subject, MODEL)
            (segment,) = view.pending_segments(tenant, subject, OTHER_MODEL)
            expected = made_up_embedding(seed)
            if not np.allclose(print_.embedding, expected, atol=1e-5):
                return False
            if not np.allclose(segment.embedding, expected, atol=1e-5):
                return False
    return True


def test_a_read_only_view_starts_nothing(people: SqliteVault) -> None:
    """Re-keying is a change."""
    with people.read() as view, pytest.raises(InternalError):
        view.rekeying().start(BANK)


def test_old_secrets_stay_while_rows_need_them(people: SqliteVault) -> None:
    """Nothing is destroyed in the middle of a re-keying."""
    with people.begin() as change:
        rows = change.rekeying()
        assert rows.start(BANK) == 2
        assert rows.finish(BANK) is False
        rows.move(BANK, b"", 3)
        assert rows.finish(BANK) is False
        assert rows.due(BANK)

    assert all_is_there(people)


def test_an_unfinished_enrolment_alone_keeps_the_old_secret(people: SqliteVault) -> None:
    """Pending segments are rows that need it, too."""
    with people.begin() as change:
        for subject in PEOPLE:
            change._write("DELETE FROM voiceprints")
            assert change.pending_segments(BANK, subject, OTHER_MODEL)
        rows = change.rekeying()
        rows.start(BANK)
        assert rows.finish(BANK) is False


def test_every_row_can_be_read_at_every_moment(people: SqliteVault) -> None:
    """Before, in the middle of and after a re-keying a tenant's voices are what they were."""
    with people.begin() as change:
        change.rekeying().start(BANK)
    assert all_is_there(people)
    after = b""
    for _ in range(3):
        with people.begin() as change:
            after = change.rekeying().move(BANK, after, 2).last or b""
        assert all_is_there(people)
    assert moved(people) == 2  # the one that the three steps left: voiceprint and segments
    with people.begin() as change:
        assert change.rekeying().finish(BANK)
    assert all_is_there(people)


def test_what_is_written_meanwhile_is_of_the_new_generation(people: SqliteVault) -> None:
    """No row that comes in during a re-keying holds it up."""
    new = SubjectId("new")
    with people.begin() as change:
        change.rekeying().start(BANK)
        change.create_subject(BANK, new, at=EPOCH, groups=frozenset())
        change.add_voiceprint(BANK, made_up_voiceprint("v-new", new))
    with people.read() as view:
        generation = view._select("SELECT generation FROM voiceprints WHERE voiceprint = 'v-new'")

    assert generation == [(2,)]
    assert moved(people) == 2 * len(PEOPLE)
    assert moved(people) == 0  # a second time finds nothing


def test_another_tenant_is_not_touched(people: SqliteVault) -> None:
    """A re-keying is one tenant's."""
    with people.begin() as change:
        change.rekeying().start(BANK)
    moved(people)
    with people.begin() as change:
        assert change.rekeying().finish(BANK)
        assert not change.rekeying().due(SHOP)

    assert people.voice_transform(SHOP).generation == 1
    assert people.voice_transform(BANK).generation == 2
    assert all_is_there(people, SHOP)


def test_a_destroyed_secret_is_wiped_from_the_files(people: SqliteVault, tmp_path: Path) -> None:
    """After the end neither database nor log holds the old secret or an old row."""
    with closing(sqlite3.connect(tmp_path / "vault.db")) as connection:
        (old,) = connection.execute(
            "SELECT wrapped FROM voice_transforms WHERE tenant = 'bank'"
        ).fetchone()
        rows = connection.execute("SELECT sealed FROM voiceprints WHERE voiceprint LIKE 'v-bank%'")
        sealed = [row[0][:64] for row in rows]
    with people.begin() as change:
        change.rekeying().start(BANK)
    moved(people)
    with people.begin() as change:
        change.rekeying().finish(BANK)

    stored = b"".join(path.read_bytes() for path in tmp_path.glob("vault.db*"))
    assert old not in stored
    assert [one for one in sealed if one in stored] == []


def test_a_destroyed_secret_does_not_stay_in_memory(people: SqliteVault) -> None:
    """An old row that is put back opens for nobody, in this process either."""
    with people.begin() as change:
        (old,) = change._select("SELECT sealed FROM voiceprints WHERE voiceprint = 'v-bank-s0'")
        change.rekeying().start(BANK)
    moved(people)
    with people.begin() as change:
        change.rekeying().finish(BANK)
        change._write(
            "UPDATE voiceprints SET generation = 1, sealed = ? WHERE voiceprint = 'v-bank-s0'",
            old[0],
        )

    assert not people._sealer.transforms._opened.keys() - {
        row
        for row in people._sealer.transforms._opened
        if row.generation == 2 or row.tenant == SHOP
    }
    with people.read() as view, pytest.raises(TransformLostError):
        view.voiceprints(BANK, PEOPLE[0], MODEL)


def test_a_damaged_row_stops_the_re_keying_and_keeps_the_secret(people: SqliteVault) -> None:
    """What cannot be moved is not thrown away: the error is loud and the old secret stays."""
    with people.begin() as change:
        change.rekeying().start(BANK)
        change._write("UPDATE voiceprints SET sealed = zeroblob(99) WHERE voiceprint = 'v-bank-s3'")

    with pytest.raises(TagMismatchError):
        moved(people)
    with people.begin() as change:
        assert change.rekeying().finish(BANK) is False
        change.erase_subject(BANK, PEOPLE[3])
    moved(people)
    with people.begin() as change:
        assert change.rekeying().finish(BANK)


def test_a_vault_from_before_there_were_transforms_is_brought_forward(tmp_path: Path) -> None:
    """Its rows are read as they are, wait to be moved, and are the same voices afterwards."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "vault-schema-2.sql").read_text("utf-8"))
    path.with_name("old.db.anchor").write_bytes((DATA / "vault-schema-2.anchor").read_bytes())
    vault = open_vault(path, FakeKeyService(), clock=FakeClock(), random=FakeRandom(2))

    def voices() -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        with vault.read() as view:
            return [
                *(one.embedding for one in view.voiceprints(BANK, SubjectId("alice"), MODEL)),
                *(one.embedding for one in view.pending_segments(BANK, SubjectId("bob"), MODEL)),
            ]

    before = voices()
    with vault.read() as view:
        assert view.voice_transform(BANK) is None
        assert view.rekeying().due(BANK)
    rows = moved(vault, BANK)
    with vault.begin() as change:
        assert change.rekeying().finish(BANK)
        assert not change.rekeying().due(BANK)
    after = voices()
    with closing(sqlite3.connect(path)) as connection:
        left = connection.execute("SELECT count(*) FROM voiceprints WHERE generation = 0")
        assert left.fetchone() == (0,)
    vault.close()

    assert rows >= 2
    assert len(before) == 2
    np.testing.assert_allclose(np.stack(after), np.stack(before), atol=1e-6)
    assert np.array_equal(before[0], made_up_embedding(5))  # unturned to the last bit


def test_a_server_looks_for_unfinished_work_without_reading_the_vault(
    people: SqliteVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question is asked every ten seconds: its plan begins with indexes that are empty."""
    asked: list[str] = []
    with people.read() as view:
        rows = view.rekeying()
        select = rows._select

        def explained(statement: str, *values: str) -> list[tuple[int]]:
            asked.extend(row[3] for row in select(f"EXPLAIN QUERY PLAN {statement}", *values))
            return [(0,)]

        monkeypatch.setattr(rows, "_select", explained)
        assert not rows.due(BANK)

    reads = [one for one in asked if "voiceprints" in one or "pending" in one]
    assert len(reads) == 2
    assert all("_unprotected" in one for one in reads)
    assert not any("subjects_by_tenant (tenant=?)" in one for one in asked)


def test_secrets_follow_a_key_rotation(people: SqliteVault, keys: FakeKeyService) -> None:
    """Wrapping anew takes the secrets along, and changes no voice."""
    old = keys.current()
    keys.rotate()

    assert people.rewrap_keys() == len(PEOPLE) + 1
    with people.begin() as change:
        assert change.wrapped_under(old) == 0
        assert change.rekeying().rewrap() == 0
    assert all_is_there(people)


def test_opened_secrets_are_bounded(keys: FakeKeyService) -> None:
    """Many tenants do not fill the memory with matrices; those in use stay."""
    transforms = Transforms(keys, FakeRandom(3))
    rows = [transforms.new(TenantId(f"t{number}"), 1) for number in range(70)]
    first = transforms.open(rows[0])
    for row in rows[1:]:
        transforms.open(row)
        assert transforms.open(rows[0]) is first

    assert len(transforms._opened) == 64
    transforms.forget(TenantId("t0"))
    assert transforms.open(rows[0]) is not first


def test_a_tenants_first_transform_is_made_when_it_is_asked_for(vault: SqliteVault) -> None:
    """It is there from then on, and the same."""
    first = vault.voice_transform(BANK)

    assert vault.voice_transform(BANK) is first
    assert first.generation == 1


def test_segments_of_another_dimension_are_turned_each_by_itself(vault: SqliteVault) -> None:
    """No record is assumed to hold vectors of one length only."""
    odd = made_up_segment(1)
    odd = replace(odd, embedding=made_up_embedding(1, 16))
    print_ = replace(made_up_voiceprint("v", "one", seed=1), segments=(odd,))
    with vault.begin() as change:
        change.create_subject(BANK, SubjectId("one"), at=EPOCH, groups=frozenset())
        change.add_voiceprint(BANK, print_)
    with vault.read() as view:
        (found,) = view.voiceprints(BANK, SubjectId("one"), MODEL)

    np.testing.assert_allclose(found.embedding, print_.embedding, atol=1e-6)
    np.testing.assert_allclose(found.segments[0].embedding, odd.embedding, atol=1e-6)
