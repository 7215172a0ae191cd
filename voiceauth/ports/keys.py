# SPDX-License-Identifier: Apache-2.0
"""What is asked of a key service."""

from collections.abc import Sequence
from typing import Protocol

from voiceauth.types import KeyId, KeyInfo

WrappedKey = tuple[KeyId, bytes, bytes]
"""The arguments of ``KeyService.unwrap``: wrapping key, wrapped data key, context."""


class KeyService(Protocol):
    """Holds key-encryption keys and never hands them out. Each scope (tenant) has its own."""

    def current(self, scope: str = "") -> KeyId:
        """Return the key that new data keys of a scope are wrapped under, making the first one.

        Raises:
            KeyServiceError: no key is available, and none can be made.
        """
        ...

    def wrap(self, key: bytes, context: bytes, scope: str = "") -> tuple[KeyId, bytes]:
        """Wrap a data key under the scope's current key, bound to ``context`` (authenticated).

        Raises:
            KeyServiceError: the key service is down.
        """
        ...

    def unwrap(self, key_id: KeyId, wrapped: bytes, context: bytes) -> bytes:
        """Unwrap a data key.

        Raises:
            KeyServiceError: the key service is down or does not know ``key_id``.
            TagMismatchError: the wrapped key or its context was changed.
        """
        ...

    def unwrap_many(self, wrapped: Sequence[WrappedKey]) -> Sequence[bytes]:
        """Unwrap data keys, in their order; a failure of one is that of all. Errors as ``unwrap``.

        What became of the wrapping keys is looked up anew in each call, but perhaps only once.
        """
        ...

    def derive(self, purpose: str) -> bytes:
        """Return a 32-byte secret that depends on the installation and ``purpose`` only.

        It keys pseudonyms and decoys: it survives rotation, and is not a data key.
        """
        ...


class ManagedKeys(KeyService, Protocol):
    """A key service whose keys the engine makes, rotates and destroys."""

    def inventory(self) -> Sequence[KeyInfo]:
        """List all keys, oldest first."""
        ...

    def rotate(self, scope: str = "") -> KeyId:
        """Add a new current key to a scope; the old ones still unwrap.

        Raises:
            KeyServiceError: it cannot be made; the old key stays current.
        """
        ...

    def retire(self, key_id: KeyId) -> None:
        """Destroy an old key: what is still wrapped under it, in old backups too, is lost.

        Raises:
            PolicyError: it is a current key.
            KeyServiceError: there is no such key, or it cannot be destroyed.
        """
        ...
