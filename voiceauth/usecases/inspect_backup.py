# SPDX-License-Identifier: Apache-2.0
"""Look at a backup file without a server: with all keys, or with the public one alone."""

from pathlib import Path

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.backup.archive import archive_hash
from voiceauth.config import Settings
from voiceauth.ledger.checkpoint import public_key, verifier
from voiceauth.types import BackupFacts
from voiceauth.usecases.back_up import backup_facts, check_backup
from voiceauth.usecases.backup_keys import open_backup_keys, signing_key, write_bundle
from voiceauth.usecases.key_services import existing_keys


def inspect_backup(settings: Settings, path: Path) -> BackupFacts:
    """Check signature, seal and hashes with the installation's keys. Errors as ``check_backup``."""
    clock, random = SystemClock(), SystemRandom()
    keys = existing_keys(settings, clock=clock, random=random)
    sealing = open_backup_keys(settings, keys, clock=clock, random=random)
    return backup_facts(check_backup(path, sealing))


def inspect_signature(path: Path, public: str) -> str:
    """Check the signature alone; return the archive's SHA-256, hex.

    Args:
        path: of the archive.
        public: as ``signer_of`` gave it.

    Raises:
        IntegrityError: it does not hold, or the key is none.
    """
    return archive_hash(path, public_key(public))


def signer_of(settings: Settings) -> str:
    """Return the public key that backups of an installation are checked with."""
    keys = existing_keys(settings, clock=SystemClock(), random=SystemRandom())
    return verifier(signing_key(keys).public)


def bundle_keys(settings: Settings, directory: Path, passphrase_file: Path) -> tuple[Path, ...]:
    """Copy all keys, sealed under a passphrase. Errors as ``write_bundle``."""
    return write_bundle(settings, directory, passphrase_file, random=SystemRandom())
