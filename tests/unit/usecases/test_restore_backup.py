# SPDX-License-Identifier: Apache-2.0
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from backed_up import ALICE, BANK, BOB, Installation, installation

from voiceauth.config import Settings
from voiceauth.errors import (
    ChainBrokenError,
    IntegrityError,
    KeyServiceError,
    NotFoundError,
    PolicyError,
    StorageError,
    WrongKeyError,
)
from voiceauth.keys.keyring import FileKeyring
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeRandom
from voiceauth.testing.records import MODEL, made_up_consent
from voiceauth.types import SubjectState
from voiceauth.usecases.back_up import create_backup
from voiceauth.usecases.keep_checkpoints import CheckpointDesk, signing_key
from voiceauth.usecases.keep_keys import KeyDesk, destroy, rotate
from voiceauth.usecases.key_services import existing_keys
from voiceauth.usecases.restore_backup import restore_backup
from voiceauth.vault.open import open_vault
from voiceauth.vault.schema import MIGRATIONS
from voiceauth.vault.store import SqliteVault


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Installation]:
    """An installation with two people."""
    with installation(tmp_path) as opened:
        yield opened


@contextmanager
def reopened(settings: Settings) -> Iterator[SqliteVault]:
    """Open what was restored, as a server would: nothing is taken on anybody's word."""
    clock, random = FakeClock(), FakeRandom(7)
    keys = existing_keys(settings, clock=clock, random=random)
    path = settings.storage.data_dir / "vault.db"
    vault = open_vault(path, keys, clock=clock, random=random)
    try:
        yield vault
    finally:
        vault.close()


def test_a_tampered_backup_is_not_restored(live: Installation, tmp_path: Path) -> None:
    """Nothing is left in the target, so the good one can be restored after it."""
    good = create_backup(live.desk).path
    bad = good.with_name("bad.vab")
    for place in (30, 2000, -70, -1):
        changed = bytearray(good.read_bytes())
        changed[place] ^= 1
        bad.write_bytes(bytes(changed))
        with pytest.raises((IntegrityError, WrongKeyError)):
            restore_backup(live.elsewhere(tmp_path / "new"), bad)
    bad.write_bytes(good.read_bytes()[:-1000])
    with pytest.raises(IntegrityError):
        restore_backup(live.elsewhere(tmp_path / "new"), bad)

    assert list((tmp_path / "new").iterdir()) == []
    restore_backup(live.elsewhere(tmp_path / "new"), good)


def test_a_backup_needs_both_keys(live: Installation, tmp_path: Path) -> None:
    """Neither the vault's keys alone nor the backup key alone bring anything back."""
    made = create_backup(live.desk)
    strange = tmp_path / "strange.json"
    FileKeyring.create(strange, clock=FakeClock(), random=FakeRandom(99))
    settings = live.elsewhere(tmp_path / "new")
    other = settings.model_copy(
        update={"backup": settings.backup.model_copy(update={"key_file": strange})}
    )
    with pytest.raises(WrongKeyError):
        restore_backup(other, made.path)
    storage = settings.storage.model_copy(update={"key_file": strange})
    with pytest.raises(WrongKeyError):
        restore_backup(settings.model_copy(update={"storage": storage}), made.path)
    none = settings.backup.model_copy(update={"key_file": tmp_path / "none.json"})
    with pytest.raises(KeyServiceError):
        restore_backup(settings.model_copy(update={"backup": none}), made.path)


def test_a_backup_of_a_newer_engine_is_refused(
    live: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its schema is not known here, so nothing of it is opened."""
    made = create_backup(live.desk)
    older = MIGRATIONS[:-1]
    monkeypatch.setattr("voiceauth.usecases.restored_vault.MIGRATIONS", older)

    with pytest.raises(IntegrityError, match="newer"):
        restore_backup(live.elsewhere(tmp_path / "new"), made.path)


@pytest.mark.parametrize("name", ["vault.db", "vault.db-wal", "notes.txt"])
def test_a_target_that_is_not_empty_is_refused(
    live: Installation, tmp_path: Path, name: str
) -> None:
    """A restore never mixes with, or replaces, what is there."""
    made = create_backup(live.desk)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).write_text("mine")

    with pytest.raises(PolicyError, match=name):
        restore_backup(live.elsewhere(tmp_path / "new"), made.path)

    assert (tmp_path / "new" / name).read_text() == "mine"
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_what_a_broken_restore_left_is_no_obstacle(live: Installation, tmp_path: Path) -> None:
    """A half copy and an anchor without a vault are nobody's data."""
    made = create_backup(live.desk)
    (tmp_path / "new" / ".restoring-x").mkdir(parents=True)
    (tmp_path / "new" / "vault.db.anchor").write_text("half")
    settings = live.elsewhere(tmp_path / "new")
    restore_backup(settings, made.path)

    with reopened(settings) as vault:
        assert vault.verify_ledger()
    assert not (tmp_path / "new" / ".restoring-x").exists()


def test_a_missing_backup_is_said(live: Installation, tmp_path: Path) -> None:
    """And a place that cannot be made is a storage error."""
    with pytest.raises(NotFoundError):
        restore_backup(live.elsewhere(tmp_path / "new"), tmp_path / "none.vab")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        restore_backup(live.elsewhere(tmp_path / "file"), tmp_path / "none.vab")


def test_who_was_erased_after_the_backup_stays_erased(live: Installation, tmp_path: Path) -> None:
    """No key has to be destroyed for it: the journal of erasures is applied."""
    made = create_backup(live.desk)
    with live.vault.begin() as change:
        change.erase_subject(BANK, ALICE)
    settings = live.elsewhere(tmp_path / "new")

    assert restore_backup(settings, made.path).taken_away == 1

    with reopened(settings) as vault, vault.read() as view:
        assert view.subject(BANK, ALICE) is None
        assert not view.voiceprints(BANK, ALICE, MODEL)
        assert len(view.voiceprints(BANK, BOB, MODEL)) == 1


def test_a_person_who_came_back_is_not_erased_again(live: Installation, tmp_path: Path) -> None:
    """Erased, then enrolled anew, then backed up: the old erasure is none of this backup's."""
    with live.vault.begin() as change:
        change.erase_subject(BANK, ALICE)
    with live.vault.begin() as change:
        change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())
    made = create_backup(live.desk)
    settings = live.elsewhere(tmp_path / "new")

    assert restore_backup(settings, made.path).taken_away == 0

    with reopened(settings) as vault, vault.read() as view:
        assert view.subject(BANK, ALICE) is not None


def test_what_was_withdrawn_or_opted_out_stays_so(live: Installation, tmp_path: Path) -> None:
    """Consent, voiceprints and state are as the person wanted them last, not as they were."""
    made = create_backup(live.desk)
    with live.vault.begin() as change:
        change.put_consent(BANK, ALICE, replace(made_up_consent(), withdrawn_at=EPOCH))
        change.delete_voiceprints(BANK, ALICE)
    with live.vault.begin() as change:
        change.delete_voiceprints(BANK, BOB)
        change.set_state(BANK, BOB, SubjectState.OPTED_OUT)
    settings = live.elsewhere(tmp_path / "new")
    restore_backup(settings, made.path)

    with reopened(settings) as vault, vault.read() as view:
        alice, bob = view.subject(BANK, ALICE), view.subject(BANK, BOB)
        assert alice is not None
        assert alice.consent is not None
        assert alice.consent.withdrawn_at == EPOCH
        assert bob is not None
        assert bob.state is SubjectState.OPTED_OUT
        assert (alice.voiceprints, bob.voiceprints) == (0, 0)


def test_without_the_journal_nothing_is_restored(live: Installation, tmp_path: Path) -> None:
    """Only the operator's explicit word brings erased people back, and the ledger says so."""
    with live.vault.begin() as change:
        change.erase_subject(BANK, BOB)
    made = create_backup(live.desk)
    with live.vault.begin() as change:
        change.erase_subject(BANK, ALICE)
    journal = made.path.with_name("erasures.jsonl")
    away = journal.with_name("away")
    journal.rename(away)
    settings = live.elsewhere(tmp_path / "new")
    with pytest.raises(IntegrityError, match="journal"):
        restore_backup(settings, made.path)
    away.rename(journal)

    restore_backup(settings, made.path, forget_erasures=True)

    with reopened(settings) as vault:
        with vault.read() as view:
            assert view.subject(BANK, ALICE) is not None
        last = list(vault.ledger())[-1]
    assert '"erasures_known":false' in last.body
    assert not journal.exists()  # set aside: its numbers are not the restored vault's


def test_a_restored_vault_goes_on_with_the_same_journal(live: Installation, tmp_path: Path) -> None:
    """Erasures of both lives are applied to every backup of the first."""
    made = create_backup(live.desk)
    with live.vault.begin() as change:
        change.erase_subject(BANK, ALICE)
    first, second = live.elsewhere(tmp_path / "new"), live.elsewhere(tmp_path / "newer")
    restore_backup(first, made.path)
    with reopened(first) as vault:
        vault.after_burial = replace(live.desk, vault=vault).journal.run
        with vault.begin() as change:
            change.erase_subject(BANK, BOB)

    assert restore_backup(second, made.path).taken_away == 2

    with reopened(second) as vault, vault.read() as view:
        assert view.subject(BANK, ALICE) is None
        assert view.subject(BANK, BOB) is None


def test_what_a_destroyed_key_wraps_stays_unreadable(live: Installation, tmp_path: Path) -> None:
    """The restore says which keys are gone; what they wrap opens no more than before."""
    made = create_backup(live.desk)
    old = live.keys.current(BANK)
    desk = KeyDesk(live.vault, live.keys, live.clock)
    rotate(desk, scopes=(BANK,))
    destroy(desk, old)
    with live.vault.begin() as change:  # a withdrawal that cannot be written into the old row
        change.put_consent(BANK, ALICE, replace(made_up_consent(), withdrawn_at=EPOCH))
    settings = live.elsewhere(tmp_path / "new")

    assert restore_backup(settings, made.path).lost_keys == (old,)

    with reopened(settings) as vault, vault.read() as view:
        assert view.subject(BANK, ALICE) is None
        with pytest.raises(KeyServiceError):
            view.subject(BANK, BOB)


def test_the_ledger_goes_on_from_the_backup(live: Installation, tmp_path: Path) -> None:
    """Its chain holds, an entry tells what was restored, and how much of the history is lost."""
    checkpoints = CheckpointDesk(
        live.vault, signing_key(live.keys), live.clock, live.settings.ledger.export_dir
    )
    made = create_backup(live.desk)
    for number in range(3):
        with live.vault.begin() as change:
            change.append(at=EPOCH, tenant=BANK, event="later", body={"n": number})
    checkpoints.run()
    settings = live.elsewhere(tmp_path / "new")

    report = restore_backup(settings, made.path)

    assert report.lost_entries == 4  # the backup's own entry, and three
    with reopened(settings) as vault:
        last = list(vault.ledger())[-1]
        assert last.event == "backup.restored"
        assert vault.verify_ledger() == made.manifest.entries + 1
        CheckpointDesk(
            vault, checkpoints.key, live.clock, settings.ledger.export_dir
        ).run()  # a new second place begins; the old one is kept beside it
    assert len(list((tmp_path / "second").glob("*.until-*"))) == 2


def test_a_second_place_of_another_history_stops_the_restore(
    live: Installation, tmp_path: Path
) -> None:
    """A backup of a rewritten ledger does not come back quietly."""
    CheckpointDesk(
        live.vault, signing_key(live.keys), live.clock, live.settings.ledger.export_dir
    ).run()
    made = create_backup(live.desk)
    (tmp_path / "second" / "entry-hashes").write_bytes(bytes(64))

    with pytest.raises(ChainBrokenError):
        restore_backup(live.elsewhere(tmp_path / "new"), made.path)


def test_a_backup_of_an_older_schema_is_brought_forward(
    live: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore ends with the schema of this engine."""
    made = create_backup(live.desk)
    longer = (*MIGRATIONS, "CREATE TABLE later (x INTEGER)")
    monkeypatch.setattr("voiceauth.vault.schema.MIGRATIONS", longer)
    monkeypatch.setattr("voiceauth.usecases.restored_vault.MIGRATIONS", longer)
    settings = live.elsewhere(tmp_path / "new")
    restore_backup(settings, made.path)

    with closing(sqlite3.connect(tmp_path / "new" / "vault.db")) as connection:
        found = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    assert found == (len(longer),)
