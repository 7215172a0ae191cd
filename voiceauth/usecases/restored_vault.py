# SPDX-License-Identifier: Apache-2.0
"""Bring an archive back as an open vault in a place of its own: what restoring and drilling share.

In this order; each failure leaves a place that is thrown away:

(1) Signature, seal and hashes; the schema is one that this engine knows.
(2) SQLite's own check, the keys' canary, and forward migrations.
(3) The ledger is walked, and its end is the one that the signed manifest states.
(4) Everything that was taken away after the backup is taken away again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voiceauth.backup.archive import BackupKeys, archive_hash, open_archive
from voiceauth.backup.journal import ErasureJournal
from voiceauth.backup.manifest import MODELS, VAULT, ArchivedFile, Manifest
from voiceauth.errors import ChainBrokenError, IntegrityError, StorageError
from voiceauth.ports import Clock, ManagedKeys, Random
from voiceauth.types import KeyId, Tombstone
from voiceauth.vault.open import open_vault
from voiceauth.vault.schema import MIGRATIONS
from voiceauth.vault.store import SqliteVault

_BATCH = 500


@dataclass(frozen=True, slots=True, eq=False)
class RestoreDesk:
    """What bringing an archive back needs.

    Attributes:
        keys: of the vault.
        sealing: what seals and signs archives.
        journal: of erasures; None brings erased people back, on the operator's explicit word.
    """

    keys: ManagedKeys
    sealing: BackupKeys
    journal: ErasureJournal | None
    clock: Clock
    random: Random


@dataclass(frozen=True, slots=True, eq=False)
class RestoredVault:
    """A vault that was brought back.

    Attributes:
        vault: open.
        sha256: of the archive, hex.
        taken_away: how many takings away were repeated, and how many of them found anything.
        lost_keys: key-encryption keys that are gone; what they wrap is unreadable.
    """

    vault: SqliteVault
    manifest: Manifest
    sha256: str
    taken_away: tuple[int, int]
    lost_keys: tuple[KeyId, ...]


@contextmanager
def brought_back(archive: Path, place: Path, desk: RestoreDesk) -> Iterator[RestoredVault]:
    """Bring an archive back into an empty directory and open its vault for the time of the block.

    Raises:
        NotFoundError: there is no such archive.
        WrongKeyError: a key is not the one that it was made with.
        IntegrityError: it was changed or cut off, is of a newer engine, its ledger does not hold,
            or the journal of erasures is not the one that it knows.
        StorageError: the directory cannot be written.
        KeyServiceError: a key service is down.
    """
    manifest = _extracted(archive, place, desk)  # (1)
    later: tuple[Tombstone, ...] = ()
    if desk.journal is not None:
        later = desk.journal.since(manifest.erasures, manifest.erasures_mac)
    vault = open_vault(  # (2)
        place / VAULT, desk.keys, clock=desk.clock, random=desk.random, accept_ledger_head=True
    )
    try:
        _require_head(vault, manifest)  # (3)
        found = _taken_away(vault, later)  # (4)
        known = {one.key_id for one in desk.keys.inventory()}
        yield RestoredVault(
            vault=vault,
            manifest=manifest,
            sha256=archive_hash(archive, desk.sealing.signing.public),
            taken_away=(len(later), found),
            lost_keys=tuple(one for one in manifest.keys if one not in known),
        )
    finally:
        vault.close()


def _extracted(archive: Path, place: Path, desk: RestoreDesk) -> Manifest:
    opened = open_archive(archive, desk.sealing.sealing, desk.sealing.signing.public)
    try:
        manifest = opened.manifest
        if manifest.schema > len(MIGRATIONS):
            raise IntegrityError(
                "A newer version of voiceauth made this backup.", detail=f"schema {manifest.schema}"
            )
        if any(one.name.startswith(MODELS) for one in manifest.files):
            _make(place / MODELS)
        opened.extract(lambda one: _target(place, one))
    finally:
        opened.close()
    return manifest


def _target(place: Path, one: ArchivedFile) -> Path:
    return place / one.name


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=0o700)
    except OSError as error:
        raise StorageError(f"{path} cannot be made: {error.strerror}.") from error


def _require_head(vault: SqliteVault, manifest: Manifest) -> None:
    entries = vault.verify_ledger()
    last = vault.ledger(after=entries - 1, limit=1) if entries else ()
    head = last[0].entry_hash.hex() if last else ""
    if (entries, head) != (manifest.entries, manifest.head):
        raise ChainBrokenError(entries, detail="the backup's manifest states another end")


def _taken_away(vault: SqliteVault, stones: tuple[Tombstone, ...]) -> int:
    found = 0
    for start in range(0, len(stones), _BATCH):
        with vault.begin() as change:
            found += sum(change.bury_again(one) for one in stones[start : start + _BATCH])
    return found
