# SPDX-License-Identifier: Apache-2.0
"""Make, list and rotate the key-encryption keys of an installation."""

from dataclasses import dataclass

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import Settings
from voiceauth.errors import KeyServiceError
from voiceauth.keys.keyring import FileKeyring
from voiceauth.types import KeyId, TenantId
from voiceauth.usecases.assemble import VAULT_FILE, open_keys
from voiceauth.vault.open import open_vault


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did: the new current key, and how many data keys are wrapped under it."""

    current: KeyId
    rewrapped: int


def init_keys(settings: Settings) -> tuple[KeyId, ...]:
    """Create the key file of a new installation.

    Raises:
        PolicyError: there is a key file already.
        KeyServiceError: a vault is there that a new key could not open.
        StorageError: the directory cannot be made.
    """
    clock, random = SystemClock(), SystemRandom()
    path = settings.storage.keys
    if path.exists():  # refuses with the reason; nothing is replaced
        return FileKeyring.create(path, clock=clock, random=random).key_ids()
    return open_keys(settings, clock=clock, random=random).key_ids()


def list_keys(settings: Settings) -> tuple[KeyId, ...]:
    """Return the ids of the keys, oldest first; the last one is current.

    Raises:
        KeyServiceError: there is no usable key file.
    """
    return _existing(settings).key_ids()


def rotate_keys(settings: Settings) -> Rotation:
    """Add a new current key, wrap every data key of the vault under it, and record it.

    The old keys stay in the file, because backups made before still need them. A rotation that
    broke off is finished by the next one.

    Raises:
        KeyServiceError: there is no usable key file, or it cannot be written.
        StorageError: the vault cannot be written; both keys still open it.
    """
    keys = _existing(settings)
    current = keys.rotate()
    path = settings.storage.data_dir / VAULT_FILE
    if not path.exists():
        return Rotation(current, 0)
    clock = SystemClock()
    vault = open_vault(path, keys, clock=clock, random=SystemRandom())
    try:
        rewrapped = vault.rewrap_keys()
        with vault.begin() as transaction:
            transaction.append(
                at=clock.now(),
                tenant=TenantId(""),
                event="keys.rotated",
                body={"key": current, "rewrapped": rewrapped},
            )
    finally:
        vault.close()
    return Rotation(current, rewrapped)


def _existing(settings: Settings) -> FileKeyring:
    path = settings.storage.keys
    if not path.exists():
        raise KeyServiceError(f"There is no key file {path}; make one with `voiceauth keys init`.")
    return FileKeyring.load(path, clock=SystemClock(), random=SystemRandom())
