# SPDX-License-Identifier: Apache-2.0
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from backed_up import ALICE, BANK, BOB, Installation, installation, keeping

from voiceauth.errors import (
    BusyError,
    IntegrityError,
    NotFoundError,
    PolicyError,
    StorageError,
)
from voiceauth.keys.keyring import FileKeyring
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeRandom
from voiceauth.testing.records import MODEL, OTHER_MODEL
from voiceauth.types import SubjectId
from voiceauth.usecases.back_up import (
    age_seconds,
    create_backup,
    list_backups,
    named_backup,
    verify_backup,
)
from voiceauth.usecases.backup_chores import backup_chores
from voiceauth.usecases.backup_keys import write_bundle
from voiceauth.usecases.canary import SUBJECT, TENANT
from voiceauth.usecases.drill_backup import drill_backup

DAY = timedelta(days=1)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Installation]:
    """An installation with two people."""
    with installation(tmp_path) as opened:
        yield opened


def test_a_directory_that_cannot_be_written_makes_no_backup(
    live: Installation, tmp_path: Path
) -> None:
    """It is a storage error, and nothing else fails for it."""
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError):
        create_backup(replace(live.desk, directory=tmp_path / "file" / "backups"))
    with pytest.raises(StorageError):
        list_backups(tmp_path / "file")


def test_a_failed_backup_is_recorded_and_leaves_nothing(
    live: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a half archive nor a copy of the vault stays behind."""

    def fail(*_: object) -> str:
        raise StorageError

    monkeypatch.setattr("voiceauth.usecases.back_up.write_archive", fail)
    with pytest.raises(StorageError):
        create_backup(live.desk)

    assert live.events()[-1] == "backup.failed"
    names = {one.name for one in live.desk.directory.iterdir()}
    assert names <= {".lock", "erasures.jsonl"}


def test_two_backups_at_once_are_one_too_many(live: Installation) -> None:
    """The second one is told to come later, from whichever process it is."""
    live.desk.directory.mkdir()
    holder = os.open(live.desk.directory / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(BusyError):
        create_backup(live.desk)
    os.close(holder)
    create_backup(live.desk)


def test_no_key_is_in_a_backup(live: Installation, tmp_path: Path) -> None:
    """Neither the vault's nor its own, in clear or in the manifest."""
    made = create_backup(live.desk)
    content = made.path.read_bytes()
    for file in (live.settings.storage.keys, tmp_path / "live" / "backup-keys.json"):
        for key in json.loads(file.read_bytes())["content"]["keys"]:
            assert key["key"].encode() not in content
    assert [one.name for one in made.manifest.files] == ["vault.db"]


def test_a_backup_that_was_changed_does_not_verify(live: Installation) -> None:
    """The outcome stands in the ledger either way."""
    made = create_backup(live.desk)
    assert verify_backup(live.desk, made.path).manifest == made.manifest
    changed = bytearray(made.path.read_bytes())
    changed[500] ^= 1
    made.path.write_bytes(bytes(changed))

    with pytest.raises(IntegrityError):
        verify_backup(live.desk, made.path)

    held = [one.body for one in live.vault.ledger() if one.event == "backup.verified"]
    assert [json.loads(body)["holds"] for body in held] == [True, False]


def test_a_backup_shows_one_moment_while_calls_go_on(live: Installation) -> None:
    """What is committed during the copy is in it whole or not at all."""
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with live.vault.begin() as change:
                name = SubjectId(f"s{number}")
                change.create_subject(BANK, name, at=EPOCH, groups=frozenset())
                change.append(at=EPOCH, tenant=BANK, event="created", body={"n": number})

    worker = threading.Thread(target=work)
    worker.start()
    try:
        made = []
        for _ in range(3):
            live.clock.advance(DAY.total_seconds())
            made.append(create_backup(live.desk))
    finally:
        stop.set()
        worker.join()
    for one in made:
        drill_backup(live.desk, one.path)
    # Two people, the known voice, and one per entry of the worker.
    events = [one.event for one in live.vault.ledger(limit=100_000)]
    for one in made:
        created = events[: one.manifest.entries].count("created")
        assert one.manifest.subjects == 3 + created


def test_a_drill_finds_a_voice_that_no_longer_sounds_like_itself(live: Installation) -> None:
    """A model that hears something else fails the drill, although every byte is whole."""
    made = create_backup(live.desk)
    live.embedder.deaf = True

    with pytest.raises(IntegrityError, match="known voice"):
        drill_backup(live.desk, made.path)

    last = list(live.vault.ledger())[-1]
    assert (last.event, json.loads(last.body)["holds"]) == ("backup.drilled", False)


def test_a_drill_without_a_known_voice_fails(live: Installation) -> None:
    """Of another model nothing can be said."""
    made = create_backup(live.desk)
    live.embedder.model = OTHER_MODEL

    with pytest.raises(IntegrityError, match="known voice"):
        drill_backup(live.desk, made.path)


def test_a_drill_goes_the_whole_way_and_leaves_nothing(live: Installation, tmp_path: Path) -> None:
    """It restores, walks the ledger, applies erasures, scores the known voice, and cleans up."""
    made = create_backup(live.desk)
    with live.vault.begin() as change:
        change.erase_subject(BANK, ALICE)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    drill = drill_backup(live.desk, made.path, scratch=scratch)

    assert (drill.facts.entries, drill.taken_away) == (made.manifest.entries, 1)
    assert drill.known_voice_llr > 0
    assert list(scratch.iterdir()) == []
    assert live.events()[-1] == "backup.drilled"
    with live.vault.read() as view:
        assert view.subject(BANK, BOB) is not None


def test_a_drill_needs_a_place(live: Installation, tmp_path: Path) -> None:
    """Without one it is a storage error, recorded."""
    made = create_backup(live.desk)

    with pytest.raises(StorageError):
        drill_backup(live.desk, made.path, scratch=tmp_path / "none")


def test_a_server_backs_up_when_it_is_due(live: Installation) -> None:
    """Not before; and a clock that was set back does not keep it from doing so."""
    live.desk.run()
    live.clock.advance(DAY.total_seconds() - 1)
    live.desk.run()
    assert len(list_backups(live.desk.directory)) == 1
    live.clock.advance(1)
    live.desk.run()
    assert len(list_backups(live.desk.directory)) == 2
    live.clock.jump(-3 * DAY.total_seconds())
    live.desk.run()
    assert len(list_backups(live.desk.directory)) == 3


def test_old_backups_are_removed_and_recorded(live: Installation) -> None:
    """As many are kept as wanted; the journal and strangers' files stay."""
    desk = keeping(live.desk, daily=2, weekly=0)
    (desk.directory).mkdir()
    (desk.directory / "mine.txt").write_text("")
    for _ in range(4):
        create_backup(desk)
        live.clock.advance(DAY.total_seconds())

    names = [one.name for one in list_backups(desk.directory)]

    assert [name[10:18] for name in names] == ["20260103", "20260104"]
    assert live.events().count("backup.removed") == 2
    assert (desk.directory / "mine.txt").exists()
    assert age_seconds(desk.directory, live.clock) == DAY.total_seconds()


def test_what_a_killed_backup_left_is_removed(live: Installation) -> None:
    """A copy of the vault and half an archive do not pile up."""
    live.desk.directory.mkdir()
    (live.desk.directory / ".making-x").mkdir()
    (live.desk.directory / ".making-x" / "vault.db").write_text("")
    (live.desk.directory / ".voiceauth-20260101T000000Z.vab.part").write_text("")

    create_backup(live.desk)

    assert len([one for one in live.desk.directory.iterdir() if one.name[0] == "."]) == 1


def test_no_backup_is_there_is_said(live: Installation, tmp_path: Path) -> None:
    """An empty shelf is not an error to list, but there is no newest one."""
    assert list_backups(tmp_path / "none") == ()
    assert age_seconds(tmp_path / "none", live.clock) is None
    with pytest.raises(NotFoundError):
        named_backup(tmp_path / "none")
    made = create_backup(live.desk)
    assert named_backup(live.desk.directory) == made.path
    for name in ("../live/vault.db", "erasures.jsonl", "voiceauth-20200101T000000Z.vab"):
        with pytest.raises(NotFoundError):
            named_backup(live.desk.directory, name)


def test_an_operators_own_models_are_in_the_backup(live: Installation, tmp_path: Path) -> None:
    """Calibration and cohort of their own lines cannot be downloaded again."""
    own = tmp_path / "models"
    own.mkdir()
    (own / "manifest.json").write_text("{}")

    made = create_backup(replace(live.desk, models=own))

    assert [one.name for one in made.manifest.files] == ["vault.db", "models/manifest.json"]
    drill_backup(live.desk, made.path)
    with pytest.raises(StorageError):
        create_backup(replace(live.desk, models=tmp_path / "none"))


def test_the_known_voice_is_stored_once(live: Installation) -> None:
    """Under a tenant that no request can name."""
    create_backup(live.desk)
    live.clock.advance(1)
    create_backup(live.desk)

    with live.vault.read() as view:
        assert len(view.voiceprints(TENANT, SUBJECT, MODEL)) == 1


def test_a_journal_of_another_vault_stops_a_backup(live: Installation, tmp_path: Path) -> None:
    """Its erasures would be applied to the wrong people, and ours be passed over."""
    with installation(tmp_path / "other") as other, other.vault.begin() as change:
        change.erase_subject(BANK, ALICE)
    live.desk.directory.mkdir()
    stranger = tmp_path / "other" / "backups" / "erasures.jsonl"
    stranger.rename(live.desk.directory / "erasures.jsonl")

    with pytest.raises(IntegrityError, match="journal"):
        create_backup(live.desk)


def test_an_erasure_stands_while_the_journal_is_away(live: Installation) -> None:
    """It is carried over with the next one that can be written."""
    live.desk.directory.write_text("no directory")
    with live.vault.begin() as change:
        change.erase_subject(BANK, ALICE)
    live.desk.directory.unlink()

    live.desk.journal.run()

    assert len(live.desk.journal.journal.read()) == 1
    with live.vault.read() as view:
        assert view.subject(BANK, ALICE) is None


def test_a_bundle_of_keys_is_sealed_and_made_only_on_request(
    live: Installation, tmp_path: Path
) -> None:
    """Both key files, readable with the passphrase alone; an old bundle is not replaced."""
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    write_bundle(live.settings, tmp_path / "bundle", secret, random=FakeRandom(4))

    opened = FileKeyring.load(
        tmp_path / "bundle" / "keys.json",
        clock=FakeClock(),
        random=FakeRandom(5),
        passphrase=lambda: b"correct horse",
    )
    assert opened.derive("x") == live.keys.derive("x")
    assert b'"kdf"' in (tmp_path / "bundle" / "backup-keys.json").read_bytes()
    with pytest.raises(PolicyError):
        write_bundle(live.settings, tmp_path / "bundle", secret, random=FakeRandom(4))
    token = live.settings.keyring.model_copy(update={"service": "pkcs11"})
    with pytest.raises(PolicyError, match="token"):
        write_bundle(
            live.settings.model_copy(update={"keyring": token}),
            tmp_path / "else",
            secret,
            random=FakeRandom(4),
        )


def test_a_command_that_ends_makes_no_backup_of_its_own(live: Installation) -> None:
    """Only a server that goes on does; erasures are carried over in any case."""
    chores = {one.name: one.at_end for one in backup_chores(live.desk)}

    assert chores == {"erasure journal": True, "backup": False}
    assert backup_chores(None) == ()
