# SPDX-License-Identifier: Apache-2.0
"""The key file: what stands in it, and how it is written and read without losing or leaking it.

The file is JSON of the form ``{"version": 1, "sha256": ..., "content": ...}``. The content holds
the keys in base64 or, with a passphrase, is the same content sealed under a stretched key. The
checksum finds damage (a damaged key must not be used to encrypt anything); it is no protection
against change, the file's mode is.
"""

import base64
import hashlib
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voiceauth.errors import KeyServiceError, PolicyError, TagMismatchError
from voiceauth.keys.canonical import bind
from voiceauth.keys.envelope import KEY_BYTES, open_sealed, seal
from voiceauth.keys.stretching import ARGON2ID, PARAMETERS, require_known, stretched
from voiceauth.ports import Random
from voiceauth.types import KeyId

Passphrase = Callable[[], bytes]
"""Fetches the passphrase from wherever it is kept; called once per reading or writing."""

_FORMAT = 2
_FORMAT_ARGON2ID = 3
"""Older engines do not know Argon2id; only a file that needs it says so."""
_READABLE = (1, _FORMAT, _FORMAT_ARGON2ID)
"""Format 1 knew no scopes: all its keys are of the empty one."""
_SALT_BYTES = 16
_MOST_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key-encryption key.

    Attributes:
        created_at: ISO 8601, UTC.
        key: 32 bytes.
        scope: whose data keys it wraps.
    """

    key_id: KeyId
    created_at: str
    key: bytes = field(repr=False)
    scope: str = ""


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """All that one key file holds.

    Attributes:
        secret: 32 bytes that survive rotation; other secrets are derived from it.
        keys: oldest first; the last one of a scope is current, the others only unwrap.
    """

    secret: bytes = field(repr=False)
    keys: tuple[KeyRecord, ...] = ()

    def current(self, scope: str) -> KeyRecord | None:
        """Return the current key of a scope, None if it has none."""
        return next((one for one in reversed(self.keys) if one.scope == scope), None)


def read(path: Path, passphrase: Passphrase | None) -> KeyMaterial:
    """Read a key file.

    Raises:
        KeyServiceError: missing, unreadable, readable by others, damaged, or the passphrase is
            missing or wrong.
    """
    try:
        return _parsed(_private_bytes(path), passphrase)
    except OSError as error:
        raise KeyServiceError(
            f"The key file {path} cannot be read.", detail=str(error.strerror)
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise KeyServiceError(
            f"The key file {path} is damaged.", detail=type(error).__name__
        ) from None


def write(
    path: Path,
    material: KeyMaterial,
    *,
    random: Random,
    passphrase: Passphrase | None,
    replace: bool,
    kdf: str = ARGON2ID,
) -> None:
    """Write a key file so that after a crash either the old or the new one is there, whole.

    Args:
        path: the key file.
        material: what it shall hold.
        random: for the salt and nonce of the sealed form.
        passphrase: seals the content if given.
        replace: False refuses to overwrite a file.
        kdf: stretches the passphrase, see ``stretching``.

    Raises:
        PolicyError: there is a file, and ``replace`` is False.
        KeyServiceError: the file cannot be written.
    """
    data = _formatted(material, random, passphrase, kdf)
    draft = path.with_name(f".{path.name}.{random.token(8).hex()}")
    try:
        try:
            _write_private(draft, data)
            if replace:
                _replace(draft, path)
            else:
                path.hardlink_to(draft)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
        _sync_directory(path.parent)
    except FileExistsError:
        raise PolicyError(f"There is a key file {path} already; it is not overwritten.") from None
    except OSError as error:
        raise KeyServiceError(
            f"The key file {path} cannot be written.", detail=str(error.strerror)
        ) from error


def _private_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        # The mode of the opened file, not of the name: the name may point elsewhere by now.
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise KeyServiceError(
                f"The key file {path} is open to others (mode {mode:04o}); chmod it to 0600."
            )
        return file.read(_MOST_BYTES)


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _replace(draft: Path, path: Path) -> None:
    """Put the new file in place of the old one, then overwrite the old one's content.

    A destroyed key shall not linger in a free block. It is the best that can be done from here:
    flash and snapshots may keep copies.
    """
    with path.open("r+b") as old:
        length = os.fstat(old.fileno()).st_size
        draft.replace(path)
        old.write(bytes(length))
        old.flush()
        os.fsync(old.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _formatted(
    material: KeyMaterial, random: Random, passphrase: Passphrase | None, kdf: str
) -> bytes:
    version = _FORMAT
    content: dict[str, Any] = {
        "secret": _base64(material.secret),
        "keys": [
            {
                "id": one.key_id,
                "created_at": one.created_at,
                "scope": one.scope,
                "state": "current" if one is material.current(one.scope) else "unwrap-only",
                "key": _base64(one.key),
            }
            for one in material.keys
        ],
    }
    if passphrase is not None:
        version = _FORMAT_ARGON2ID if kdf == ARGON2ID else _FORMAT
        salt = random.token(_SALT_BYTES)
        key = stretched(passphrase(), salt, kdf)
        box = seal(key, _json(content), _seal_context(salt, version), random)
        stated = {"kdf": kdf, **PARAMETERS[kdf]}
        content = {**stated, "salt": _base64(salt), "box": _base64(box)}
    document = {"version": version, "sha256": _checksum(content), "content": content}
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def _parsed(data: bytes, passphrase: Passphrase | None) -> KeyMaterial:
    document = json.loads(data)
    content = document["content"]
    if document["version"] not in _READABLE:
        raise KeyServiceError("The key file's version is unknown; a newer voiceauth wrote it.")
    if document["sha256"] != _checksum(content):
        raise KeyServiceError("The key file is damaged.", detail="checksum")
    if "kdf" in content:
        content = _unsealed(content, passphrase, document["version"])
    keys = tuple(
        KeyRecord(KeyId(one["id"]), one["created_at"], _key(one["key"]), one.get("scope", ""))
        for one in content["keys"]
    )
    current = [one.get("scope", "") for one in content["keys"] if one["state"] == "current"]
    if not keys or sorted(current) != sorted({one.scope for one in keys}):
        raise KeyServiceError("The key file is damaged.", detail="not one current key per scope")
    return KeyMaterial(_key(content["secret"]), keys)


def _unsealed(
    content: dict[str, Any], passphrase: Passphrase | None, version: int
) -> dict[str, Any]:
    if passphrase is None:
        raise KeyServiceError("The key file needs a passphrase.")
    kdf = require_known(content)
    salt = base64.b64decode(content["salt"], validate=True)
    box = base64.b64decode(content["box"], validate=True)
    try:
        key = stretched(passphrase(), salt, kdf)
        plain = open_sealed(key, box, _seal_context(salt, version))
    except TagMismatchError:
        raise KeyServiceError("The key file's passphrase is wrong.") from None
    opened: dict[str, Any] = json.loads(plain)
    return opened


def _seal_context(salt: bytes, version: int) -> bytes:
    return bind("key-file", version=version, salt=salt)


def _key(text: str) -> bytes:
    key = base64.b64decode(text, validate=True)
    if len(key) != KEY_BYTES:
        raise KeyServiceError("The key file is damaged.", detail="a key has a wrong length")
    return key


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(_json(content)).hexdigest()
