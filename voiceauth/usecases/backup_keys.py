# SPDX-License-Identifier: Apache-2.0
"""The key that seals backups, whose signature they bear, and how all keys are carried elsewhere.

The backup key lies in a key file of its own: who can read backups need not be able to read the
vault's keys, and an archive is of no use without both. No archive ever holds either.
"""

from pathlib import Path

from voiceauth.backup.archive import BackupKeys
from voiceauth.config import Settings
from voiceauth.errors import KeyServiceError, PolicyError, StorageError
from voiceauth.keys import keyfile
from voiceauth.keys.keyfile import Passphrase
from voiceauth.keys.keyring import FileKeyring
from voiceauth.keys.secret_file import read_secret
from voiceauth.keys.signing import SigningKey
from voiceauth.ports import Clock, KeyService, Random

SIGNING = "backup-signing"
DEFAULT_FILE = "backup-keys.json"
BUNDLED_VAULT_KEYS, BUNDLED_BACKUP_KEYS = "keys.json", DEFAULT_FILE


def backup_key_path(settings: Settings) -> Path:
    """Return the file of the backup key."""
    return settings.backup.key_file or settings.storage.data_dir / DEFAULT_FILE


def open_backup_keys(
    settings: Settings, keys: KeyService, *, clock: Clock, random: Random, create: bool = False
) -> BackupKeys:
    """Open what seals and signs backups.

    Args:
        settings: of the installation.
        keys: of its vault; they sign.
        clock: dates a new key.
        random: makes it.
        create: make the backup key if there is none.

    Raises:
        KeyServiceError: the backup key is missing, damaged, readable by others, or its passphrase
            is wrong.
        StorageError: its directory cannot be made.
    """
    path, fetch = backup_key_path(settings), _passphrase(settings.backup.passphrase_file)
    if create and not path.exists():
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot create {path.parent}: {error.strerror}.") from error
        sealing = FileKeyring.create(path, clock=clock, random=random, passphrase=fetch)
    else:
        sealing = FileKeyring.load(path, clock=clock, random=random, passphrase=fetch)
    return BackupKeys(sealing, signing_key(keys))


def signing_key(keys: KeyService) -> SigningKey:
    """Return the key that this installation signs its backups with. Raises KeyServiceError."""
    return SigningKey(keys.derive(SIGNING))


def write_bundle(
    settings: Settings, directory: Path, passphrase_file: Path, *, random: Random
) -> tuple[Path, ...]:
    """Copy the vault's keys and the backup key, each sealed under a passphrase of its own purpose.

    The copies are key files like any other: name them and the passphrase in the settings of the
    machine that restores.

    Returns:
        The files.

    Raises:
        PolicyError: the vault's keys are on a token and cannot be copied, or there is such a file.
        KeyServiceError: a key file cannot be read, or the copy not be written.
    """
    if settings.keyring.service != "file":
        raise PolicyError("The vault's keys are on a token; back the token up by its own means.")
    secret = read_secret(passphrase_file)
    sources = (
        (settings.storage.keys, settings.keyring.passphrase_file, BUNDLED_VAULT_KEYS),
        (backup_key_path(settings), settings.backup.passphrase_file, BUNDLED_BACKUP_KEYS),
    )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyServiceError(f"Cannot create {directory}: {error.strerror}.") from error
    material = [keyfile.read(path, _passphrase(opened_by)) for path, opened_by, _ in sources]
    written = []
    for (_, _, name), content in zip(sources, material, strict=True):
        target = directory / name
        keyfile.write(target, content, random=random, passphrase=lambda: secret, replace=False)
        written.append(target)
    return tuple(written)


def _passphrase(path: Path | None) -> Passphrase | None:
    return None if path is None else lambda: read_secret(path)
