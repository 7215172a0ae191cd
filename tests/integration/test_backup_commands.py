# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from backed_up import BANK, BOB, Installation, installation
from served import Parts, Served, served
from typer.testing import CliRunner

from voiceauth.cli.app import app
from voiceauth.client import SyncClient
from voiceauth.errors import BusyError, IntegrityError, NotFoundError, PolicyError
from voiceauth.types import Finding, Level
from voiceauth.usecases.back_up import list_backups
from voiceauth.v1 import maintenance_pb2
from voiceauth.wire.maintenance import finding_from_wire

RUNNER = CliRunner()


def run(*arguments: str, code: int = 0) -> str:
    """Run a command, check its exit code and return its standard output."""
    result = RUNNER.invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def places(tmp_path: Path) -> tuple[list[str], Path]:
    """Options of an installation with two people, and where its backups go."""
    folder = ["--data-dir", str(tmp_path / "vault")]
    for name in ("anna", "ben"):
        run("subjects", "create", name, *folder)
    return folder, tmp_path / "backups"


def test_backup_restore_and_drill_from_the_command_line(
    places: tuple[list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way with the shipped model: make, list, verify, drill, erase, restore elsewhere."""
    folder, shelf = places
    run("backup", "create", *folder, code=1)  # no place for it
    at = [*folder, "--directory", str(shelf)]
    made = json.loads(run("backup", "create", *at, "--json"))
    assert made["subjects"] == 3  # two people and the known voice
    assert made["backup"] in run("backup", "list", *at)
    assert "holds" in run("backup", "verify", *at)
    assert "comes back" in run("backup", "drill", *at)
    run("backup", "verify", "none.vab", *at, code=1)
    monkeypatch.setenv("VOICEAUTH_BACKUP__DIRECTORY", str(shelf))
    run("subjects", "erase", "anna", "--yes", *folder)

    file = str(shelf / made["backup"])
    key = run("backup", "public-key", *folder).strip()
    run("backup", "check", file, "--public-key", key)
    assert json.loads(run("backup", "check", file, *folder, "--json"))["sha256"] == made["sha256"]
    run("backup", "restore", file, *folder, code=1)  # not empty
    new = tmp_path / "new"
    new.mkdir()
    for name in ("keys.json", "backup-keys.json"):
        shutil.copy(tmp_path / "vault" / name, new / name)
    report = json.loads(run("backup", "restore", file, "--data-dir", str(new), "--json"))
    assert report["taken_away"] == 1
    run("subjects", "show", "ben", "--data-dir", str(new))
    run("subjects", "show", "anna", "--data-dir", str(new), code=1)
    run("ledger", "verify", "--data-dir", str(new))


def test_a_damaged_backup_fails_every_command(
    places: tuple[list[str], Path], tmp_path: Path
) -> None:
    """Verify, drill, check and restore all say no, and nothing is left behind."""
    folder, shelf = places
    at = [*folder, "--directory", str(shelf)]
    file = shelf / json.loads(run("backup", "create", *at, "--json"))["backup"]
    key = run("backup", "public-key", *folder).strip()
    changed = bytearray(file.read_bytes())
    changed[1000] ^= 1
    file.write_bytes(bytes(changed))

    run("backup", "verify", *at, code=1)
    run("backup", "drill", *at, code=1)
    run("backup", "check", str(file), *folder, code=1)
    run("backup", "check", str(file), "--public-key", key, code=1)
    new = tmp_path / "new"
    new.mkdir()
    for name in ("keys.json", "backup-keys.json"):
        shutil.copy(tmp_path / "vault" / name, new / name)
    run("backup", "restore", str(file), "--data-dir", str(new), code=1)
    assert {one.name for one in new.iterdir()} == {"keys.json", "backup-keys.json"}


def test_keys_are_bundled_under_a_passphrase(
    places: tuple[list[str], Path], tmp_path: Path
) -> None:
    """What was bundled opens the backup on another machine."""
    folder, shelf = places
    at = [*folder, "--directory", str(shelf)]
    file = shelf / json.loads(run("backup", "create", *at, "--json"))["backup"]
    secret = tmp_path / "secret"
    secret.write_text("a passphrase\n")
    secret.chmod(0o600)
    new = tmp_path / "new"
    run("backup", "keys", str(new), "--passphrase-file", str(secret), *folder)
    settings = tmp_path / "voiceauth.toml"
    settings.write_text(
        f'keyring.passphrase_file = "{secret}"\nbackup.passphrase_file = "{secret}"\n'
    )

    run("--config", str(settings), "backup", "restore", str(file), "--data-dir", str(new))
    run("--config", str(settings), "subjects", "show", "anna", "--data-dir", str(new))


def test_a_server_is_named_or_a_directory(tmp_path: Path) -> None:
    """Not both, and a server's directory is its own."""
    run("backup", "list", "--server", "x:1", "--data-dir", str(tmp_path), code=2)
    run("backup", "list", "--directory", str(tmp_path), code=2)


@pytest.fixture
def live(tmp_path: Path) -> Any:
    """An installation that is backed up."""
    with installation(tmp_path / "installation") as opened:
        yield opened


@pytest.fixture
async def running(parts: Parts, live: Installation) -> AsyncIterator[Served]:
    """A server that backs that installation up."""
    backed = replace(parts, engine=replace(parts.engine, backups=live.desk))
    async with served(backed) as one:
        yield one


async def test_a_server_without_a_place_makes_no_backups(service: Served) -> None:
    """It says so, and which setting is missing."""
    with pytest.raises(PolicyError, match="directory"):
        await service.client.maintenance.create_backup()
    with pytest.raises(PolicyError):
        await service.client.maintenance.list_backups()


async def test_backups_over_grpc_cannot_leave_their_directory(
    running: Served, live: Installation
) -> None:
    """A name is looked up among the archives; no path is followed."""
    with pytest.raises(NotFoundError):
        await running.client.maintenance.verify_backup("../live/vault.db")
    with pytest.raises(NotFoundError):
        await running.client.maintenance.drill_backup()


async def test_a_backup_is_made_and_drilled_over_grpc(running: Served, live: Installation) -> None:
    """What the client learns is what stands in the archive."""
    made = await running.client.maintenance.create_backup()
    assert made.voiceprints == 3
    assert [one.backup for one in await running.client.maintenance.list_backups()] == [made.backup]
    assert await running.client.maintenance.verify_backup(made.backup) == made
    with live.vault.begin() as change:
        change.erase_subject(BANK, BOB)
    drilled = await running.client.maintenance.drill_backup()
    assert drilled.facts == made
    assert drilled.taken_away == 1
    assert drilled.known_voice_llr > 0


async def test_a_damaged_backup_is_an_error_over_grpc(running: Served, live: Installation) -> None:
    """Integrity is not a matter of a flag in a reply."""
    made = await running.client.maintenance.create_backup()
    path = live.desk.directory / made.backup
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(IntegrityError):
        await running.client.maintenance.verify_backup()
    with pytest.raises(IntegrityError):
        await running.client.maintenance.drill_backup()


async def test_a_second_backup_at_once_is_busy(
    running: Served, live: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client may try again later."""

    def busy(*_: object) -> None:
        raise BusyError

    monkeypatch.setattr("voiceauth.service.maintenance.create_backup", busy)
    with pytest.raises(BusyError):
        await running.client.maintenance.create_backup()
    assert list_backups(live.desk.directory) == ()


async def test_a_server_looks_itself_over(parts: Parts) -> None:
    """What it finds is what the client gets; a level from the future is taken for a problem."""
    finding = Finding("disk", Level.WARNING, "Little is left.", "Make room.")
    examined = replace(parts, engine=replace(parts.engine, examine=lambda: (finding,)))
    async with served(examined) as running:
        assert await running.client.maintenance.diagnose() == (finding,)
        result = await asyncio.to_thread(
            RUNNER.invoke, app, ["doctor", "--server", running.listening.target]
        )
    assert result.exit_code == 10
    assert "Make room." in result.stdout
    unknown: Any = 99
    message = maintenance_pb2.Finding(check="x", level=unknown)
    assert finding_from_wire(message).level is Level.PROBLEM


async def test_an_engine_without_settings_cannot_look_itself_over(service: Served) -> None:
    """It says so."""
    with pytest.raises(PolicyError, match="settings"):
        await service.client.maintenance.diagnose()


async def test_the_blocking_client_maintains_likewise(running: Served) -> None:
    """Same names, same results, same errors."""

    def ask() -> None:
        with SyncClient(running.listening.target) as client:
            maintenance = client.maintenance
            made = maintenance.create_backup()
            assert [one.backup for one in maintenance.list_backups()] == [made.backup]
            assert maintenance.verify_backup() == made
            assert maintenance.drill_backup(made.backup).facts == made
            with pytest.raises(PolicyError):
                maintenance.diagnose()
            with pytest.raises(PolicyError):
                maintenance.migrate_models()

    await asyncio.to_thread(ask)
