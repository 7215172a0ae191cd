# SPDX-License-Identifier: Apache-2.0
"""Open the key service that the settings name: a key file, or a PKCS#11 token."""

from pathlib import Path

from voiceauth.config import Settings
from voiceauth.errors import KeyServiceError, StorageError
from voiceauth.keys.keyfile import Passphrase
from voiceauth.keys.keyring import FileKeyring
from voiceauth.keys.pkcs11 import Pkcs11Keyring, Token
from voiceauth.keys.secret_file import read_secret
from voiceauth.ports import Clock, ManagedKeys, Random

VAULT_FILE = "vault.db"


def open_keys(settings: Settings, *, clock: Clock, random: Random) -> ManagedKeys:
    """Open the keys, or make them when there is no vault that they could belong to.

    Raises:
        KeyServiceError: there is a vault, but its keys are missing; or the service is down.
        StorageError: the data directory cannot be made.
        MissingExtraError: the settings name a token and python-pkcs11 is not installed.
    """
    fresh = not (settings.storage.data_dir / VAULT_FILE).exists()
    if settings.keyring.service == "pkcs11":
        return Pkcs11Keyring(_token(settings), clock=clock, random=random, create=fresh)
    path = settings.storage.keys
    if path.exists():
        return load_key_file(settings, clock=clock, random=random)
    if not fresh:
        raise KeyServiceError(f"The vault's key file {path} is missing; restore it.")
    try:
        settings.storage.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        problem = f"Cannot create {settings.storage.data_dir}: {error.strerror}."
        raise StorageError(problem) from error
    fetch = _passphrase(settings.keyring.passphrase_file)
    kdf = settings.keyring.passphrase_kdf
    return FileKeyring.create(path, clock=clock, random=random, passphrase=fetch, kdf=kdf)


def existing_keys(settings: Settings, *, clock: Clock, random: Random) -> ManagedKeys:
    """Open keys that must be there already. Errors as ``open_keys``."""
    if settings.keyring.service == "pkcs11":
        return Pkcs11Keyring(_token(settings), clock=clock, random=random)
    path = settings.storage.keys
    if not path.exists():
        raise KeyServiceError(f"There is no key file {path}; make one with `voiceauth keys init`.")
    return load_key_file(settings, clock=clock, random=random)


def load_key_file(settings: Settings, *, clock: Clock, random: Random) -> FileKeyring:
    """Open the key file with the passphrase that the settings lead to."""
    fetch = _passphrase(settings.keyring.passphrase_file)
    path = settings.storage.keys
    kdf = settings.keyring.passphrase_kdf
    return FileKeyring.load(path, clock=clock, random=random, passphrase=fetch, kdf=kdf)


def _token(settings: Settings) -> Token:
    keys = settings.keyring
    if keys.pkcs11_module is None or keys.pin_file is None:
        raise KeyServiceError(
            "keyring.service = pkcs11 needs keyring.pkcs11_module and keyring.pin_file."
        )
    pin_file = keys.pin_file
    return Token(
        str(keys.pkcs11_module), keys.token_label, lambda: read_secret(pin_file).decode("utf-8")
    )


def _passphrase(path: Path | None) -> Passphrase | None:
    return None if path is None else lambda: read_secret(path)
