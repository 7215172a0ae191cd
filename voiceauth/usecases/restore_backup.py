# SPDX-License-Identifier: Apache-2.0
"""Put an installation back from a backup, into an empty place.

Nothing stands under the vault's name before all of it was checked, so a restore that breaks off
leaves a place into which the next one goes. The ledger goes on from the backup's end, with an entry
that says what was restored and how much is lost.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.backup.archive import sync_directory
from voiceauth.backup.journal import ErasureJournal
from voiceauth.backup.manifest import MODELS, VAULT
from voiceauth.backup.shelf import JOURNAL
from voiceauth.config import Settings
from voiceauth.errors import PolicyError, StorageError
from voiceauth.ledger.chain import HASH_BYTES
from voiceauth.types import KeyId, TenantId
from voiceauth.units import Seconds
from voiceauth.usecases.backup_keys import backup_key_path, open_backup_keys
from voiceauth.usecases.erasure_journal import PURPOSE
from voiceauth.usecases.key_services import existing_keys
from voiceauth.usecases.restored_vault import RestoreDesk, RestoredVault, brought_back
from voiceauth.vault.second_place import HASHES_FILE, NOTES_FILE, SecondPlace

SCRATCH = ".restoring-"
_ANCHOR = f"{VAULT}.anchor"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore brought back, and what it could not.

    Attributes:
        created_at: the moment that is back; everything later is lost.
        subjects, voiceprints, entries: in the backup.
        taken_away: erasures, withdrawals and opt-outs from after the backup that were repeated.
        lost_entries: ledger entries that the second place knows and the backup does not; None
            without a second place.
        lost_keys: destroyed key-encryption keys; what they wrap is unreadable, as it should be.
    """

    created_at: datetime
    age_seconds: Seconds
    subjects: int
    voiceprints: int
    entries: int
    taken_away: int
    lost_entries: int | None
    lost_keys: tuple[KeyId, ...]


def restore_backup(
    settings: Settings,
    archive: Path,
    *,
    journal: Path | None = None,
    forget_erasures: bool = False,
) -> Restored:
    """Restore into the settings' data directory.

    Args:
        settings: of the installation; its keys are there, its data directory is empty but for them.
        archive: to restore.
        journal: of erasures; default the one beside the archive.
        forget_erasures: restore without a journal, which brings back people who were erased.

    Raises:
        PolicyError: the data directory is not empty.
        Others: as ``restored_vault.brought_back``.
    """
    clock, random = SystemClock(), SystemRandom()
    home = settings.storage.data_dir
    _require_empty(home, settings)
    keys = existing_keys(settings, clock=clock, random=random)
    sealing = open_backup_keys(settings, keys, clock=clock, random=random)
    path = journal or archive.parent / JOURNAL
    known = None if forget_erasures else ErasureJournal(path, keys.derive(PURPOSE))
    desk = RestoreDesk(keys, sealing, known, clock, random)
    with _scratch(home, random.token(8).hex()) as place:
        with brought_back(archive, place, desk) as found:
            lost = _lost_entries(found, settings.ledger.export_dir)
            report = Restored(
                created_at=found.manifest.created_at,
                age_seconds=(clock.now() - found.manifest.created_at).total_seconds(),
                subjects=found.manifest.subjects,
                voiceprints=found.manifest.voiceprints,
                entries=found.manifest.entries,
                taken_away=found.taken_away[0],
                lost_entries=lost,
                lost_keys=found.lost_keys,
            )
            _record(found, archive, report, clock.now(), with_journal=known is not None)
        if settings.ledger.export_dir is not None:
            _set_aside(settings.ledger.export_dir, (HASHES_FILE, NOTES_FILE), clock.now())
        if forget_erasures:  # its numbers are not the restored vault's
            _set_aside(path.parent, (path.name,), clock.now())
        _move_in(place, home)
    return report


def _require_empty(home: Path, settings: Settings) -> None:
    allowed = {settings.storage.keys.resolve(), backup_key_path(settings).resolve()}
    # An anchor alone is what a restore left that broke off just before its end.
    try:
        found = [
            one.name
            for one in home.iterdir()
            if one.resolve() not in allowed
            and one.name != _ANCHOR
            and not one.name.startswith(SCRATCH)
        ]
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{home} cannot be read: {error.strerror}.") from error
    if found:
        raise PolicyError(f"{home} is not empty ({min(found)}); restore into an empty directory.")


def _lost_entries(found: RestoredVault, place: Path | None) -> int | None:
    """Hold the restored ledger against the second place; return how many entries only that knows.

    Raises:
        ChainBrokenError: the second place tells of another history.
    """
    if place is None:
        return None
    hashes = SecondPlace(place).hashes()
    entries = found.manifest.entries
    found.vault.audit_ledger([], hashes[: entries * HASH_BYTES])
    return max(0, len(hashes) // HASH_BYTES - entries)


def _record(
    found: RestoredVault, archive: Path, report: Restored, now: datetime, *, with_journal: bool
) -> None:
    with found.vault.begin() as change:
        change.append(
            at=now,
            tenant=TenantId(""),
            event="backup.restored",
            body={
                "file": archive.name,
                "sha256": found.sha256,
                "made_at": found.manifest.created_at.isoformat(),
                "entries": report.entries,
                "lost_entries": report.lost_entries,
                "taken_away": found.taken_away[0],
                "erasures_known": with_journal,
                "lost_keys": list(report.lost_keys),
            },
        )


def _set_aside(directory: Path, names: tuple[str, ...], now: datetime) -> None:
    """Keep what tells of the lost history under another name, and let a new one begin."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    try:
        for name in names:
            with suppress(FileNotFoundError):
                (directory / name).rename(directory / f"{name}.until-{stamp}")
    except OSError as error:
        raise StorageError(
            f"{directory} cannot be changed: name a new directory in ledger.export_dir.",
            detail=str(error.strerror),
        ) from error


def _move_in(place: Path, home: Path) -> None:
    """Give everything its name, the vault last."""
    names = [one.name for one in place.iterdir() if one.name not in {VAULT, _ANCHOR}]
    try:
        for name in (*names, _ANCHOR, VAULT):
            os.rename(place / name, home / name)  # noqa: PTH104 - never over something
        sync_directory(home)
    except OSError as error:
        raise StorageError(f"{home} cannot be written: {error.strerror}.") from error


@contextmanager
def _scratch(home: Path, name: str) -> Iterator[Path]:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in home.glob(f"{SCRATCH}*"):
            shutil.rmtree(left)
        place = home / f"{SCRATCH}{name}"
        place.mkdir(mode=0o700)
    except OSError as error:
        raise StorageError(f"{home} cannot be written: {error.strerror}.") from error
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


MODELS_DIRECTORY = MODELS.rstrip("/")
"""Below the data directory: an operator's own models, if they were in the backup."""
