# SPDX-License-Identifier: Apache-2.0
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from voiceauth.errors import KeyServiceError, TagMismatchError, TransformLostError
from voiceauth.keys.keyring import FileKeyring
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.testing.records import MODEL, OTHER_MODEL, made_up_embedding, made_up_voiceprint
from voiceauth.types import GroupName, SubjectId, TenantId, VoicePage
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK, SHOP = TenantId("bank"), TenantId("shop")
VIP = frozenset({GroupName("vip"), GroupName("staff")})
NONE: frozenset[GroupName] = frozenset()
PEOPLE = [(BANK, "a"), (SHOP, "a"), (BANK, "b"), (SHOP, "b"), (BANK, "c"), (BANK, "d")]
"""In the order in which they are enrolled; the place of each is its number from 1 on."""


def enrol(vault: SqliteVault) -> None:
    """Store one voiceprint of each."""
    for seed, (tenant, name) in enumerate(PEOPLE):
        with vault.begin() as change:
            groups = VIP if name == "b" else NONE
            change.create_subject(tenant, SubjectId(name), at=EPOCH, groups=groups)
            change.add_voiceprint(
                tenant, made_up_voiceprint(f"{tenant}-{name}", name, seed=seed, segments=7)
            )


@pytest.fixture
def people(vault: SqliteVault) -> SqliteVault:
    """A vault with six people of two tenants."""
    enrol(vault)
    return vault


@pytest.fixture
def attacker(people: SqliteVault, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A second pair of hands on the file."""
    with closing(sqlite3.connect(tmp_path / "vault.db", isolation_level=None)) as connection:
        yield connection


def page(vault: SqliteVault, after: int = 0, limit: int = 100) -> VoicePage:
    """Read one page in a view of its own."""
    with vault.read() as view:
        return view.voice_page(MODEL, after=after, limit=limit)


def held(found: VoicePage) -> dict[tuple[TenantId, str], tuple[frozenset[GroupName], int]]:
    """Return groups and seed of the voice of everybody on a page; the seed that fits best."""
    voices = np.stack([made_up_embedding(seed) for seed in range(len(PEOPLE))])
    return {
        (one.tenant, subject): (groups, int(np.argmax(voices @ vector)))
        for one in found.voices
        for subject, groups, vector in zip(one.subjects, one.groups, one.embeddings, strict=True)
    }


@pytest.mark.parametrize(
    "column", ["subjects.wrapped_key", "subjects.record", "voiceprints.sealed"]
)
@pytest.mark.parametrize("victim", [0, 2, 5])
def test_a_page_with_one_changed_row_raises(
    people: SqliteVault, attacker: sqlite3.Connection, column: str, victim: int
) -> None:
    """Each row is authenticated: its key, its record and its voiceprint, wherever it stands."""
    table, name = column.split(".")
    find = f"SELECT {name} FROM {table} WHERE row_key = ?"  # noqa: S608 - names from above
    write = f"UPDATE {table} SET {name} = ? WHERE row_key = ?"  # noqa: S608
    (key,) = attacker.execute("SELECT row_key FROM voiceprints ORDER BY id").fetchall()[victim]
    (blob,) = attacker.execute(find, (key,)).fetchone()
    for place in (0, 5, len(blob) // 2, len(blob) - 1):
        changed = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
        attacker.execute(write, (changed, key))
        with pytest.raises(TagMismatchError):
            page(people)

    attacker.execute(write, (blob, key))
    assert len(page(people)) == len(PEOPLE)


@pytest.mark.parametrize(
    "statement",
    [
        (
            "UPDATE voiceprints AS v SET row_key = w.row_key FROM voiceprints AS w "
            "WHERE v.id = 1 AND w.id = 3"
        ),
        (
            "UPDATE voiceprints AS v SET sealed = w.sealed FROM voiceprints AS w "
            "WHERE v.id = 1 AND w.id = 3"
        ),
        "UPDATE voiceprints SET voiceprint = 'another' WHERE id = 1",
        (
            "UPDATE subjects AS s SET tenant = 'shop' FROM voiceprints AS w "
            "WHERE s.row_key = w.row_key AND w.id = 1"
        ),
        (
            "UPDATE voiceprints AS v SET model = w.model FROM voiceprints AS w "
            "WHERE v.id = 7 AND w.id = 1"
        ),
    ],
)
def test_a_page_with_a_row_that_was_moved_raises(
    people: SqliteVault, attacker: sqlite3.Connection, statement: str
) -> None:
    """Subject, tenant, name and model belong to a row; in another place it does not open."""
    with people.begin() as change:
        print_ = made_up_voiceprint("of-another-model", "d", model=OTHER_MODEL)
        change.add_voiceprint(BANK, print_)
    assert attacker.execute(statement).rowcount == 1

    with pytest.raises(TagMismatchError):
        page(people)


def test_a_page_without_its_transform_raises(
    people: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Nothing falls back to vectors as they are stored."""
    attacker.execute("DELETE FROM voice_transforms WHERE tenant = 'shop'")

    with pytest.raises(TransformLostError):
        page(people)


def test_a_page_needs_the_key_service(people: SqliteVault, keys: FakeKeyService) -> None:
    """No key service, no voices; it goes on where it was when the service is back."""
    first = page(people, limit=3)
    keys.go_down()
    with pytest.raises(KeyServiceError):
        page(people, after=first.last)
    keys.come_up()

    assert len(page(people, after=first.last)) == 3


def test_a_wrapping_key_that_is_destroyed_between_two_pages_is_noticed(tmp_path: Path) -> None:
    """Another process retires the key: the page in hand is the last one that it opened."""
    path, clock = tmp_path / "keys.json", FakeClock()
    server = FileKeyring.create(path, clock=clock, random=FakeRandom(1))
    vault = open_vault(tmp_path / "vault.db", server, clock=clock, random=FakeRandom(1))
    enrol(vault)
    first = page(vault, limit=1)  # the bank's only
    command = FileKeyring.load(path, clock=clock, random=FakeRandom(2))
    old = command.current(BANK)
    command.rotate(BANK)
    command.retire(old)

    with pytest.raises(KeyServiceError) as caught:
        page(vault, after=first.last, limit=2)
    assert old in str(caught.value.detail)
    vault.close()


def test_an_erased_subject_is_on_no_later_page(people: SqliteVault) -> None:
    """What was read ahead of a change is not read from memory again."""
    first = page(people, limit=2)
    with people.begin() as change:
        change.erase_subject(BANK, SubjectId("b"))

    assert (BANK, "b") not in held(page(people, after=first.last))
    assert (BANK, "b") not in held(page(people))


def test_pages_hold_everybody_once_in_order(people: SqliteVault) -> None:
    """Pages of any size together hold each voice under its name, tenant and groups."""
    expected = {
        (tenant, name): (VIP if name == "b" else NONE, seed)
        for seed, (tenant, name) in enumerate(PEOPLE)
    }
    for limit in (1, 2, 4, 6, 100):
        after = 0
        found: dict[tuple[TenantId, str], tuple[frozenset[GroupName], int]] = {}
        while rows := page(people, after, limit):
            assert len(rows) <= limit
            assert rows.last > after
            found |= held(rows)
            after = rows.last
        assert found == expected
        assert after == len(PEOPLE)


def test_a_page_behind_the_last_is_empty_and_stays_there(people: SqliteVault) -> None:
    """Whoever reads on behind an empty page begins nowhere anew."""
    nothing = page(people, after=len(PEOPLE))

    assert (len(nothing), nothing.last) == (0, len(PEOPLE))


def test_a_page_gives_what_reading_one_by_one_gives(people: SqliteVault) -> None:
    """The quick way to an embedding and the careful one end at the same vector and name."""
    for one in page(people).voices:
        for number, subject in enumerate(one.subjects):
            with people.read() as view:
                (single,) = view.voiceprints(one.tenant, subject, MODEL)
            assert one.voiceprints[number] == single.voiceprint
            np.testing.assert_allclose(one.embeddings[number], single.embedding, atol=1e-6)


def test_a_page_in_the_middle_of_a_rekeying_holds_both_generations(people: SqliteVault) -> None:
    """Each row is turned back by the secret of its own generation."""
    before = held(page(people))
    with people.begin() as change:
        change.rekeying().start(BANK)
        change.rekeying().move(BANK, b"", 2)

    both = page(people)
    assert [one.tenant for one in both.voices].count(BANK) == 2
    assert held(both) == before
