# SPDX-License-Identifier: Apache-2.0
"""Read the audit ledger of an installation, and prove that nobody changed it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import Settings
from voiceauth.errors import NotFoundError
from voiceauth.ledger.audit import Audit
from voiceauth.ledger.checkpoint import opened, verifier
from voiceauth.ledger.pseudonym import pseudonym
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest, read_verified
from voiceauth.ports import KeyService
from voiceauth.scoring.calibration import Calibration
from voiceauth.scoring.tables import loads
from voiceauth.types import CallId, LedgerEntry, SubjectId, TenantId
from voiceauth.usecases.erasure_receipt import BackupState, backup_state, issue_receipt
from voiceauth.usecases.explain_verdict import Explanation, explain, is_about
from voiceauth.usecases.keep_checkpoints import CheckpointDesk, ledger_pages, signing_key
from voiceauth.usecases.key_services import VAULT_FILE, open_keys
from voiceauth.vault.open import open_vault
from voiceauth.vault.second_place import SecondPlace
from voiceauth.vault.store import SqliteVault


def verify_ledger(settings: Settings, *, against: Path | None = None) -> Audit:
    """Walk the whole chain and hold it against all that is known of it from elsewhere.

    Args:
        settings: of the installation.
        against: the second place; default that of the settings, if there is one.

    Raises:
        ChainBrokenError: names the first entry that is changed, missing or out of place.
        NotFoundError: there is no vault.
        IntegrityError: the vault, the anchor or a checkpoint is damaged.
    """
    with opened_desk(settings) as (vault, desk, _):
        return audit(vault, desk, against or settings.ledger.export_dir)


def audit(vault: SqliteVault, desk: CheckpointDesk, place: Path | None) -> Audit:
    """Audit an open vault. Arguments and errors as ``verify_ledger``."""
    notes: list[str] = []
    hashes = b""
    if place is not None:
        copy = SecondPlace(place)
        notes, hashes = list(copy.notes()), copy.hashes()
    stored = vault.checkpoint()
    if stored is not None:
        notes.append(stored.note)
    return vault.audit_ledger([opened(note, desk.key.public) for note in notes], hashes)


def read_ledger(settings: Settings, *, after: int, limit: int) -> Sequence[LedgerEntry]:
    """Read up to ``limit`` entries after a sequence number; they are not verified here.

    Raises:
        NotFoundError: there is no vault.
    """
    with opened_desk(settings) as (vault, _, _):
        return vault.ledger(after=after, limit=limit)


def explain_call(settings: Settings, tenant: TenantId, call: CallId) -> tuple[Explanation, ...]:
    """Audit the ledger, then derive every verdict about a call again, oldest first.

    Raises:
        ChainBrokenError: the ledger does not hold, so nothing in it is explained.
        NotFoundError: there is no vault, or no verdict about this call.
    """
    with opened_desk(settings) as (vault, desk, keys):
        audit(vault, desk, settings.ledger.export_dir)
        name = pseudonym(keys.derive("ledger-pseudonym"), tenant, call)
        found = [
            entry
            for page in ledger_pages(vault, 0)
            for entry in page
            if is_about(entry, tenant, name)
        ]
    if not found:
        raise NotFoundError("The ledger has no verdict about this call.")
    tables = _calibration(settings)
    return tuple(explain(entry, tables) for entry in found)


def erasure_receipt(
    settings: Settings, tenant: TenantId, subject: SubjectId, *, token: str = ""
) -> dict[str, object]:
    """Issue a signed receipt of an erasure. Errors as ``issue_receipt``."""
    with opened_desk(settings) as (vault, desk, keys):
        name = pseudonym(keys.derive("ledger-pseudonym"), tenant, subject)
        return issue_receipt(vault, desk, tenant, subject, name, token=token)


def subject_in_backup(
    settings: Settings, backup: Path, tenant: TenantId, subject: SubjectId
) -> BackupState:
    """Say what a backup still holds of a subject. Errors as ``backup_state``."""
    clock, random = SystemClock(), SystemRandom()
    keys = open_keys(settings, clock=clock, random=random)
    return backup_state(backup, keys, tenant, subject, clock=clock, random=random)


def _calibration(settings: Settings) -> Calibration:
    choice = settings.models
    manifest = read_manifest(choice.directory or default_model_directory())
    entry = manifest.entry(choice.speaker)
    content = read_verified(manifest.directory, entry.calibration.file, entry.calibration.sha256)
    return loads(content.decode())


def checkpoint_ledger(settings: Settings, *, export: Path | None = None) -> str | None:
    """Sign how far the ledger has come, and copy that to the second place.

    Args:
        settings: of the installation.
        export: the second place; default that of the settings, if there is one.

    Returns:
        The signed checkpoint; None for an empty ledger.

    Raises:
        ChainBrokenError: the ledger does not continue the last checkpoint or the second place.
        NotFoundError: there is no vault.
        StorageError: the second place is not available.
    """
    with opened_desk(settings) as (vault, desk, _):
        replace(desk, export=export or settings.ledger.export_dir).run()
        stored = vault.checkpoint()
        return None if stored is None else stored.note


def ledger_verifier(settings: Settings) -> str:
    """Return the public key that the ledger's signatures are checked with."""
    with opened_desk(settings) as (_, desk, _):
        return verifier(desk.key.public)


@contextmanager
def opened_desk(settings: Settings) -> Iterator[tuple[SqliteVault, CheckpointDesk, KeyService]]:
    """Open the vault of an installation for work on its ledger. Raises NotFoundError."""
    path = settings.storage.data_dir / VAULT_FILE
    if not path.exists():
        raise NotFoundError(f"There is no vault in {settings.storage.data_dir}.")
    clock, random = SystemClock(), SystemRandom()
    keys = open_keys(settings, clock=clock, random=random)
    vault = open_vault(path, keys, clock=clock, random=random)
    try:
        yield vault, CheckpointDesk(vault, signing_key(keys), clock), keys
    finally:
        vault.close()
