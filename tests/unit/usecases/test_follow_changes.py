# SPDX-License-Identifier: Apache-2.0
"""A process's gallery follows what other processes do to the vault."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.testing.records import MODEL, made_up_embedding, made_up_voiceprint
from voiceauth.types import GroupName, SubjectId, TenantId
from voiceauth.usecases.engine import Chore
from voiceauth.usecases.follow_changes import ChangeTidier, GalleryFollower
from voiceauth.usecases.worker_chores import shared_out
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

TENANT, ALICE, VIP = TenantId("bank"), SubjectId("alice"), GroupName("vip")


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[SqliteVault]:
    """Return the vault of the process that changes it."""
    yield from opened(tmp_path)


@pytest.fixture
def theirs(tmp_path: Path, ours: SqliteVault) -> Iterator[SqliteVault]:
    """Return the same vault, as another process has it open."""
    del ours
    yield from opened(tmp_path)


def opened(folder: Path) -> Iterator[SqliteVault]:
    """Open a vault and close it."""
    vault = open_vault(
        folder / "vault.db", FakeKeyService(), clock=FakeClock(), random=FakeRandom()
    )
    yield vault
    vault.close()


def enrol(vault: SqliteVault, seed: int = 1) -> None:
    """Store Alice with a voiceprint."""
    with vault.begin() as transaction:
        if transaction.subject(TENANT, ALICE) is None:
            transaction.create_subject(TENANT, ALICE, at=EPOCH, groups=frozenset())
        transaction.add_voiceprint(TENANT, made_up_voiceprint(f"print-{seed}", ALICE, seed=seed))


def found(gallery: FaissGallery, group: GroupName | None = None) -> list[SubjectId]:
    """Search for whoever is there."""
    hits = gallery.search(TENANT, made_up_embedding(1), group=group, limit=5)
    return [subject for subject, _ in hits]


def followed(vault: SqliteVault) -> tuple[FaissGallery, GalleryFollower]:
    """Return an empty gallery that follows."""
    gallery = FaissGallery(192)
    return gallery, GalleryFollower(vault, gallery, MODEL)


def test_an_enrolment_elsewhere_is_found_here(ours: SqliteVault, theirs: SqliteVault) -> None:
    """Who was enrolled by another process is searched by this one."""
    gallery, follower = followed(theirs)
    enrol(ours)
    follower.run()

    assert found(gallery) == [ALICE]


def test_an_erasure_elsewhere_takes_the_voice_out_here(
    ours: SqliteVault, theirs: SqliteVault
) -> None:
    """No voiceprint of an erased person stays in the memory of any process."""
    gallery, follower = followed(theirs)
    enrol(ours)
    follower.run()
    with ours.begin() as transaction:
        transaction.erase_subject(TENANT, ALICE)
    follower.run()

    assert len(gallery) == 0


def test_new_groups_elsewhere_hold_here(ours: SqliteVault, theirs: SqliteVault) -> None:
    """A watchlist means the same in every process."""
    gallery, follower = followed(theirs)
    enrol(ours)
    follower.run()
    with ours.begin() as transaction:
        transaction.set_groups(TENANT, ALICE, frozenset({VIP}))
    follower.run()

    assert found(gallery, VIP) == [ALICE]


def test_deleted_voiceprints_go_here_as_well(ours: SqliteVault, theirs: SqliteVault) -> None:
    """Somebody who opted out elsewhere is not searched here."""
    gallery, follower = followed(theirs)
    enrol(ours)
    follower.run()
    with ours.begin() as transaction:
        transaction.delete_voiceprints(TENANT, ALICE)
    follower.run()

    assert found(gallery) == []


def test_what_was_rolled_back_changes_nothing(ours: SqliteVault, theirs: SqliteVault) -> None:
    """A change counts from its commit on, and not without one."""
    gallery, follower = followed(theirs)
    with suppress(ZeroDivisionError), ours.begin() as transaction:
        transaction.create_subject(TENANT, ALICE, at=EPOCH, groups=frozenset())
        transaction.add_voiceprint(TENANT, made_up_voiceprint("print", ALICE, seed=1))
        raise ZeroDivisionError
    follower.run()

    assert len(gallery) == 0


def test_a_follower_that_was_stopped_for_long_looks_at_everybody(
    ours: SqliteVault, theirs: SqliteVault
) -> None:
    """Changes that were forgotten before they were read are not missed."""
    gallery, follower = followed(theirs)
    enrol(ours)
    with ours.begin() as transaction:
        transaction.forget_changes(transaction.newest_change())
    follower.run()

    assert found(gallery) == [ALICE]


def test_the_name_of_an_erased_person_does_not_stay(ours: SqliteVault, tmp_path: Path) -> None:
    """What tells other processes of an erasure is sealed, and deleted after two rounds."""
    tidier = ChangeTidier(ours)
    enrol(ours)
    with ours.begin() as transaction:
        transaction.erase_subject(TENANT, ALICE)
    with closing(sqlite3.connect(tmp_path / "vault.db")) as raw:
        names = [row[0] for row in raw.execute("SELECT sealed FROM changes") if row[0]]
        assert len(names) == 1
        assert ALICE.encode() not in names[0]
        tidier.run()
        tidier.run()
        assert raw.execute("SELECT count(*) FROM changes").fetchone() == (0,)


def test_one_process_looks_after_the_vault_and_each_after_its_gallery(
    ours: SqliteVault,
) -> None:
    """Checkpoints are written once; galleries are kept by their owners."""
    alone = tuple(Chore(name, 1.0, ours.close) for name in ("checkpoint", "keys", "voiceprints"))
    _, follower = followed(ours)
    first, second = (
        [one.name for one in shared_out(alone, worker, follower, ChangeTidier(ours))]
        for worker in (0, 1)
    )

    assert first == ["checkpoint", "keys", "voiceprints", "old changes", "changes"]
    assert second == ["voiceprints", "changes"]
