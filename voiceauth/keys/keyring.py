# SPDX-License-Identifier: Apache-2.0
"""``ports.ManagedKeys`` over one key file: the default, for an installation without a KMS or HSM.

The file must be kept, and backed up, apart from the vault: whoever has both can read everything,
and whoever loses it has lost every voiceprint.
"""

import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from voiceauth.errors import KeyServiceError, PolicyError
from voiceauth.keys import keyfile
from voiceauth.keys.canonical import Form, bind
from voiceauth.keys.envelope import KEY_BYTES, Opener, open_sealed, seal
from voiceauth.keys.keyfile import KeyMaterial, KeyRecord, Passphrase
from voiceauth.keys.stretching import ARGON2ID
from voiceauth.ports import Clock, Random, WrappedKey
from voiceauth.types import KeyId, KeyInfo


class FileKeyring:
    """Wraps and unwraps data keys. Safe from several threads.

    Made by ``create`` or ``load``. A key that another process added is found by reading the file
    again when its id turns up, so a rotation needs no restart.
    """

    def __init__(
        self,
        path: Path,
        material: KeyMaterial,
        *,
        clock: Clock,
        random: Random,
        passphrase: Passphrase | None,
        kdf: str = ARGON2ID,
    ) -> None:
        self._path = path
        self._material = material
        self._clock = clock
        self._random = random
        self._passphrase = passphrase
        self._kdf = kdf
        self._lock = threading.Lock()
        self._seen = _stamp(path)

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        clock: Clock,
        random: Random,
        passphrase: Passphrase | None = None,
        kdf: str = ARGON2ID,
    ) -> "FileKeyring":
        """Make a key file with one key and a new installation secret, mode 0600.

        Args:
            path: the file to make; its directory exists.
            clock: dates the key.
            random: makes the keys.
            passphrase: if given, seals the file's content.
            kdf: stretches the passphrase, see ``stretching``.

        Raises:
            PolicyError: there is a file already.
            KeyServiceError: the file cannot be written.
        """
        secret = random.token(KEY_BYTES)
        material = KeyMaterial(secret, (_new_key(clock, random),))
        keyfile.write(path, material, random=random, passphrase=passphrase, replace=False, kdf=kdf)
        return cls(path, material, clock=clock, random=random, passphrase=passphrase, kdf=kdf)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        clock: Clock,
        random: Random,
        passphrase: Passphrase | None = None,
        kdf: str = ARGON2ID,
    ) -> "FileKeyring":
        """Open a key file; ``kdf`` is what it is written with the next time.

        Raises:
            KeyServiceError: missing, damaged, readable by others, or a wrong passphrase.
        """
        material = keyfile.read(path, passphrase)
        return cls(path, material, clock=clock, random=random, passphrase=passphrase, kdf=kdf)

    def current(self, scope: str = "") -> KeyId:
        """Return the id of the key that new data keys of a scope are wrapped under.

        Raises:
            KeyServiceError: the scope has no key yet, and the file cannot be written.
        """
        return self._current(scope).key_id

    def key_ids(self) -> tuple[KeyId, ...]:
        """Return the ids of all keys, oldest first."""
        return tuple(one.key_id for one in self._material.keys)

    def inventory(self) -> tuple[KeyInfo, ...]:
        """List all keys, oldest first."""
        self._refresh()
        material = self._material
        return tuple(
            KeyInfo(
                one.key_id,
                one.scope,
                datetime.fromisoformat(one.created_at),
                current=one is material.current(one.scope),
            )
            for one in material.keys
        )

    def wrap(self, key: bytes, context: bytes, scope: str = "") -> tuple[KeyId, bytes]:
        """Wrap a data key under the scope's current key, bound to ``context`` (authenticated).

        Raises:
            KeyServiceError: the scope has no key yet, and the file cannot be written.
        """
        kek = self._current(scope)
        return kek.key_id, seal(kek.key, key, _bound(kek.key_id, context), self._random)

    def unwrap(self, key_id: KeyId, wrapped: bytes, context: bytes) -> bytes:
        """Unwrap a data key.

        Raises:
            KeyServiceError: ``key_id`` is not in the file.
            TagMismatchError: the wrapped key, its id or its context was changed.
        """
        self._refresh()
        return open_sealed(self._find(key_id).key, wrapped, _bound(key_id, context))

    def unwrap_many(self, wrapped: Sequence[WrappedKey]) -> Sequence[bytes]:
        """Unwrap data keys with one look at the file for all. Errors as ``unwrap``."""
        self._refresh()
        keks: dict[KeyId, tuple[Opener, Form]] = {}
        opened = []
        for key_id, box, context in wrapped:
            kek = keks.get(key_id)
            if kek is None:
                form = Form("wrapped-key", frozenset({"context"}), key_id=key_id)
                kek = keks[key_id] = (Opener(self._find(key_id).key), form)
            opened.append(kek[0].open(box, kek[1].bind(context=context)))
        return opened

    def derive(self, purpose: str) -> bytes:
        """Return a 32-byte secret that depends on the installation and ``purpose`` only."""
        info = bind("derive", purpose=purpose)
        kdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info)
        return kdf.derive(self._material.secret)

    def rotate(self, scope: str = "") -> KeyId:
        """Add a new current key to a scope; the old ones still unwrap.

        Raises:
            KeyServiceError: the file cannot be written; the old key stays current.
        """
        with self._exclusive() as material:
            new = _new_key(self._clock, self._random, scope)
            self._store(KeyMaterial(material.secret, (*material.keys, new)))
        return new.key_id

    def retire(self, key_id: KeyId) -> None:
        """Destroy an old key: what is still wrapped under it, in old backups too, is lost.

        Call it only after every data key of the vault was wrapped anew.

        Raises:
            PolicyError: it is a current key.
            KeyServiceError: there is no such key, or the file cannot be written.
        """
        with self._exclusive() as material:
            gone = next((one for one in material.keys if one.key_id == key_id), None)
            if gone is None:
                raise KeyServiceError("The key file has no such key.", detail=key_id)
            if gone is material.current(gone.scope):
                raise PolicyError("A current key cannot be retired; rotate first.")
            kept = tuple(one for one in material.keys if one is not gone)
            self._store(KeyMaterial(material.secret, kept))

    def _store(self, material: KeyMaterial) -> None:
        keyfile.write(
            self._path,
            material,
            random=self._random,
            passphrase=self._passphrase,
            replace=True,
            kdf=self._kdf,
        )
        self._material, self._seen = material, _stamp(self._path)

    def _current(self, scope: str) -> KeyRecord:
        self._refresh()
        found = self._material.current(scope)
        if found is not None:
            return found
        with self._exclusive() as material:
            found = material.current(scope)  # another process may have come first
            if found is None:
                found = _new_key(self._clock, self._random, scope)
                self._store(KeyMaterial(material.secret, (*material.keys, found)))
        return found

    def _refresh(self) -> None:
        """Take over what another process wrote: a new key, or that one was destroyed.

        While the file is away, what is known stays in use: its absence destroys nothing.
        """
        stamp = _stamp(self._path)
        if stamp is not None and stamp != self._seen:
            self._reload()
            self._seen = stamp

    def _find(self, key_id: KeyId) -> KeyRecord:
        for attempt in range(2):
            for one in self._material.keys:
                if one.key_id == key_id:
                    return one
            if attempt == 0:
                self._reload()
        raise KeyServiceError(detail=f"the key file has no key {key_id}")

    def _reload(self) -> None:
        found = keyfile.read(self._path, self._passphrase)
        if found.secret == self._material.secret:  # another installation's file is not taken over
            self._material = found

    @contextmanager
    def _exclusive(self) -> Iterator[KeyMaterial]:
        """Lock out other threads and processes, and give what the file holds now."""
        with self._lock:
            descriptor = _directory(self._path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield keyfile.read(self._path, self._passphrase)
            finally:
                os.close(descriptor)


def _directory(path: Path) -> int:
    try:
        return os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeyServiceError(
            f"The key file {path} cannot be read.", detail=str(error.strerror)
        ) from error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what changes whenever the file is replaced; None while it is away."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _new_key(clock: Clock, random: Random, scope: str = "") -> KeyRecord:
    name = KeyId(f"kek-{random.token(8).hex()}")
    made = clock.now().isoformat(timespec="seconds")
    return KeyRecord(name, made, random.token(KEY_BYTES), scope)


def _bound(key_id: KeyId, context: bytes) -> bytes:
    return bind("wrapped-key", key_id=key_id, context=context)
