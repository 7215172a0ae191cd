# SPDX-License-Identifier: Apache-2.0
"""Make a backup of a running installation, check backups, and keep as many as are wanted.

A backup is made like this; a failure leaves no archive and no half one:

(1) Nobody else makes one in this directory meanwhile; what a killed one left is removed.
(2) The vault gets its known voice, if it has none of this model.
(3) One moment of the vault is copied beside the backups; calls go on. What it holds of people is
    sealed there as it is in the vault.
(4) The journal of erasures is brought up to that moment, at least.
(5) The copy is hashed, sealed and signed into one file, which gets its name when it is whole.
(6) The ledger records it, and archives that are older than wanted are removed, and recorded, too.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from voiceauth import __version__
from voiceauth.backup.archive import BackupKeys, archive_hash, open_archive, write_archive
from voiceauth.backup.journal import ErasureJournal
from voiceauth.backup.manifest import MODELS, VAULT, ArchivedFile, Manifest
from voiceauth.backup.shelf import JOURNAL, Shelved, archive_name, kept, shelved
from voiceauth.errors import BusyError, EngineError, NotFoundError, StorageError
from voiceauth.ports import Clock, ManagedKeys, Random
from voiceauth.types import BackupFacts, TenantId
from voiceauth.units import Seconds
from voiceauth.usecases.canary import Hearing, canary_models, keep_canary
from voiceauth.usecases.erasure_journal import PURPOSE, JournalDesk
from voiceauth.vault.store import SqliteVault

SCRATCH = ".making-"
_BLOCK = 1_048_576
_INSTALLATION = TenantId("")


@dataclass(frozen=True, slots=True)
class Backup:
    """One archive and what it shows."""

    path: Path
    sha256: str
    size: int
    manifest: Manifest


@dataclass(frozen=True, slots=True, eq=False)
class BackupDesk:
    """What backing up needs.

    Attributes:
        vault: to back up.
        keys: of the vault.
        sealing: what seals and signs archives.
        hearing: for the known voice.
        directory: of the archives.
        models: an operator's own model directory, which belongs into a backup; None for the
            packaged one.
        every: age of the newest archive at which the next one is due.
    """

    vault: SqliteVault
    keys: ManagedKeys
    sealing: BackupKeys
    hearing: Hearing
    clock: Clock
    random: Random
    directory: Path
    models: Path | None = None
    every: timedelta = timedelta(days=1)
    keep_daily: int = 7
    keep_weekly: int = 4

    @property
    def journal(self) -> JournalDesk:
        """What carries erasures to the directory."""
        path = self.directory / JOURNAL
        return JournalDesk(self.vault, ErasureJournal(path, self.keys.derive(PURPOSE)))

    def run(self) -> None:
        """Make a backup if one is due. Errors as ``create_backup``."""
        newest = max((one.created_at for one in list_backups(self.directory)), default=None)
        # One from the future was made before the clock was set back: it proves nothing.
        now = self.clock.now()
        if newest is None or not timedelta(0) <= now - newest < self.every:
            create_backup(self)


def create_backup(desk: BackupDesk) -> Backup:
    """Make a backup and remove those that are not kept any longer.

    Raises:
        BusyError: another one is being made here.
        StorageError: the directory or the vault cannot be used; nothing was made.
        KeyServiceError: a key is not available.
        IntegrityError: the journal of erasures is not this vault's.
    """
    with _alone(desk.directory):  # (1)
        started = desk.clock.monotonic()
        try:
            made = _made(desk)
        except EngineError as error:
            _record(desk, "backup.failed", {"code": error.code})
            raise
        _record(
            desk,
            "backup.created",
            {
                "file": made.path.name,
                "sha256": made.sha256,
                "bytes": made.size,
                "entries": made.manifest.entries,
                "subjects": made.manifest.subjects,
                "seconds": round(desk.clock.monotonic() - started, 3),
            },
        )  # (6)
        _prune(desk)
        return made


def list_backups(directory: Path) -> tuple[Shelved, ...]:
    """Return the archives of a directory, oldest first. Raises StorageError."""
    try:
        return shelved(one.name for one in directory.iterdir())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StorageError(f"{directory} cannot be read: {error.strerror}.") from error


def named_backup(directory: Path, name: str = "") -> Path:
    """Return an archive of the directory, the newest for an empty name.

    Raises:
        NotFoundError: it is not one of the archives there.
        StorageError: the directory cannot be read.
    """
    found = [one.name for one in list_backups(directory)]
    if not found or name not in {"", *found}:
        raise NotFoundError("There is no such backup.")
    return directory / (name or found[-1])


def listed_backups(directory: Path) -> tuple[BackupFacts, ...]:
    """Tell what is known of the archives without opening them. Raises StorageError."""
    try:
        return tuple(
            BackupFacts(one.name, one.created_at, (directory / one.name).stat().st_size)
            for one in list_backups(directory)
        )
    except OSError as error:
        raise StorageError(f"{directory} cannot be read: {error.strerror}.") from error


def backup_facts(backup: Backup) -> BackupFacts:
    """Tell what an operator wants to know of an archive."""
    shown = backup.manifest
    return BackupFacts(
        backup=backup.path.name,
        created_at=shown.created_at,
        size_bytes=backup.size,
        sha256=backup.sha256,
        engine_version=shown.engine,
        entries=shown.entries,
        subjects=shown.subjects,
        voiceprints=shown.voiceprints,
    )


def check_backup(path: Path, sealing: BackupKeys) -> Backup:
    """Check signature, seal, and every file's hash, without writing anything.

    Raises:
        NotFoundError: there is no such file.
        WrongKeyError: a key is not the one that it was made with.
        IntegrityError: it was changed or cut off.
        StorageError: it cannot be read.
    """
    public = sealing.signing.public
    archive = open_archive(path, sealing.sealing, public)
    try:
        archive.extract(lambda one: None)  # noqa: ARG005 - nowhere
        return Backup(path, archive_hash(path, public), path.stat().st_size, archive.manifest)
    finally:
        archive.close()


def verify_backup(desk: BackupDesk, path: Path) -> Backup:
    """Check a backup and record the outcome. Errors as ``check_backup``."""
    try:
        found = check_backup(path, desk.sealing)
    except EngineError as error:
        _record(desk, "backup.verified", {"file": path.name, "holds": False, "code": error.code})
        raise
    _record(desk, "backup.verified", {"file": path.name, "holds": True, "sha256": found.sha256})
    return found


def age_seconds(directory: Path, clock: Clock) -> Seconds | None:
    """Return the age of the newest archive; None without one. Raises StorageError."""
    found = list_backups(directory)
    return (clock.now() - found[-1].created_at).total_seconds() if found else None


def _made(desk: BackupDesk) -> Backup:
    keep_canary(desk.vault, desk.hearing.embedder, clock=desk.clock, random=desk.random)  # (2)
    with _scratch(desk) as scratch:
        now = desk.clock.now()
        sources = {VAULT: scratch / VAULT, **_model_files(desk.models)}
        shown = desk.vault.copy_to(sources[VAULT])  # (3)
        desk.journal.run()  # (4)
        with desk.vault.read() as view:
            canary = canary_models(view, (desk.hearing.embedder.model,))
        manifest = Manifest(
            created_at=now,
            engine=__version__,
            schema=shown.schema,
            entries=shown.head.sequence,
            head=shown.head.entry_hash.hex() if shown.head.sequence else "",
            erasures=shown.tombstones,
            erasures_mac=desk.journal.journal.code_at(shown.tombstones),
            subjects=shown.subjects,
            voiceprints=shown.voiceprints,
            keys=shown.keys,
            canary=canary,
            files=tuple(_described(name, path) for name, path in sources.items()),
        )
        taken = [one.name for one in list_backups(desk.directory)]
        path = desk.directory / archive_name(now, taken)
        digest = write_archive(path, manifest, sources, desk.sealing, desk.random)  # (5)
        return Backup(path, digest, path.stat().st_size, manifest)


def _prune(desk: BackupDesk) -> None:
    archives = list_backups(desk.directory)
    wanted = kept(archives, daily=desk.keep_daily, weekly=desk.keep_weekly)
    for one in archives:
        if one.name in wanted:
            continue
        try:
            (desk.directory / one.name).unlink()
        except OSError as error:
            raise StorageError(f"{one.name} cannot be removed: {error.strerror}.") from error
        _record(desk, "backup.removed", {"file": one.name})


def _record(desk: BackupDesk, event: str, body: dict[str, object]) -> None:
    with desk.vault.begin() as transaction:
        transaction.append(at=desk.clock.now(), tenant=_INSTALLATION, event=event, body=body)


def _model_files(directory: Path | None) -> dict[str, Path]:
    if directory is None:
        return {}
    try:
        files = sorted(path for path in directory.iterdir() if path.is_file())
    except OSError as error:
        raise StorageError(f"{directory} cannot be read: {error.strerror}.") from error
    return {f"{MODELS}{path.name}": path for path in files}


def _described(name: str, path: Path) -> ArchivedFile:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from error
    return ArchivedFile(name, size, digest.hexdigest())


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"{directory} cannot be written: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError("Another backup is being made; try again later.") from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _scratch(desk: BackupDesk) -> Iterator[Path]:
    try:
        for left in desk.directory.glob(f"{SCRATCH}*"):  # nobody else is here: see _alone
            shutil.rmtree(left)
        for left in desk.directory.glob(".voiceauth-*.vab.part"):
            left.unlink()
        place = desk.directory / f"{SCRATCH}{desk.random.token(8).hex()}"
        place.mkdir(mode=0o700)
    except OSError as error:
        raise StorageError(f"{desk.directory} cannot be written: {error.strerror}.") from error
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
