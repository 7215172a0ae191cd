# SPDX-License-Identifier: Apache-2.0
"""Which key seals which row, and what each row is bound to."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from voiceauth.errors import InputError, TagMismatchError, WrongKeyError
from voiceauth.keys.canonical import Form, bind
from voiceauth.keys.envelope import KEY_BYTES, Opener, open_sealed, seal
from voiceauth.ports import KeyService, Random
from voiceauth.types import KeyId, SubjectId, TenantId
from voiceauth.vault.transforms import Transforms

LAYOUT = 1
"""Version of what is sealed and how it is bound; bound into every row."""


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A subject's data key, opened; lives as long as one transaction."""

    tenant: TenantId
    row_key: bytes
    data_key: bytes = field(repr=False)


class Sealer:
    """Seals and opens rows for one vault.

    Attributes:
        transforms: of the tenants' embeddings.
    """

    def __init__(self, keys: KeyService, random: Random) -> None:
        self.transforms = Transforms(keys, random)
        self._keys = keys
        self._random = random
        self._index_key = keys.derive("vault-index")
        self._kept_key = keys.derive("vault-kept")

    def row_key(self, tenant: TenantId, subject: SubjectId) -> bytes:
        """Return the 32 bytes that a subject is found by: a keyed hash, which names nobody.

        Raises:
            InputError: an id is not valid Unicode.
        """
        for text in (tenant, subject):
            require_text(text)
        message = bind("subject-row", tenant=tenant, subject=subject)
        return hmac.digest(self._index_key, message, "sha256")

    def new_secret(self) -> bytes:
        """Make a secret that is stored sealed and keys something outside of the vault."""
        return self._random.token(KEY_BYTES)

    def new_key(self, tenant: TenantId, row_key: bytes) -> tuple[SubjectKey, KeyId, bytes]:
        """Make a subject's data key; return it opened, and wrapped with its wrapping key's id."""
        data_key = self._random.token(KEY_BYTES)
        key_id, wrapped = self._keys.wrap(data_key, _key_context(tenant, row_key), tenant)
        return SubjectKey(tenant, row_key, data_key), key_id, wrapped

    def open_key(
        self, tenant: TenantId, row_key: bytes, key_id: KeyId, wrapped: bytes
    ) -> SubjectKey:
        """Unwrap a subject's data key.

        Raises:
            KeyServiceError: the key service is down or does not know the wrapping key.
            TagMismatchError: the wrapped key is another subject's, or was changed.
        """
        data_key = self._keys.unwrap(key_id, wrapped, _key_context(tenant, row_key))
        return SubjectKey(tenant, row_key, data_key)

    def open_keys(self, rows: Sequence[tuple[TenantId, bytes, KeyId, bytes]]) -> list[Opener]:
        """Unwrap many subjects' data keys. Arguments of each, and errors, as ``open_key``."""
        form = Form("data-key", frozenset({"tenant", "row_key"}), layout=LAYOUT)
        found = self._keys.unwrap_many(
            [
                (key_id, wrapped, form.bind(tenant=tenant, row_key=row_key))
                for tenant, row_key, key_id, wrapped in rows
            ]
        )
        return [Opener(data_key) for data_key in found]

    def rewrap(self, key: SubjectKey) -> tuple[KeyId, bytes]:
        """Wrap an opened data key under the current wrapping key."""
        return self._keys.wrap(key.data_key, _key_context(key.tenant, key.row_key), key.tenant)

    def current(self, tenant: TenantId) -> KeyId:
        """Return a tenant's current wrapping key's id."""
        return self._keys.current(tenant)

    def seal(
        self,
        key: SubjectKey,
        payload: bytes,
        kind: str,
        *,
        record: str = "",
        model: str = "",
        space: str = "",
    ) -> bytes:
        """Seal one record under its subject's key, bound to where it belongs.

        Args:
            key: the subject's.
            payload: what is sealed.
            kind: of the record.
            record: its id, where a subject has several.
            model: whose embeddings are in it.
            space: mark of the voice transform that its embeddings are turned by.
        """
        place = _place(key, kind, record, model, space)
        return seal(key.data_key, payload, place, self._random)

    def open(
        self,
        key: SubjectKey,
        sealed: bytes,
        kind: str,
        *,
        record: str = "",
        model: str = "",
        space: str = "",
    ) -> bytes:
        """Open one record. Raises TagMismatchError if it was changed, or does not belong here."""
        return open_sealed(key.data_key, sealed, _place(key, kind, record, model, space))

    def seal_own(self, payload: bytes, kind: str, record: str) -> bytes:
        """Seal a record of the installation, which is about no subject; it survives rotation."""
        return seal(self._keys.derive(f"vault-{kind}"), payload, _own(kind, record), self._random)

    def open_own(self, sealed: bytes, kind: str, record: str) -> bytes:
        """Open a record of the installation. Raises TagMismatchError as ``open``."""
        return open_sealed(self._keys.derive(f"vault-{kind}"), sealed, _own(kind, record))

    def kept_key(self, tenant: TenantId, kind: str, name: str) -> bytes:
        """Return the 32 bytes that a row of the installation itself is found by.

        Raises:
            InputError: a name is not valid Unicode.
        """
        for text in (tenant, name):
            require_text(text)
        message = bind("kept-row", tenant=tenant, kind=kind, name=name)
        return hmac.digest(self._index_key, message, "sha256")

    def fresh_key(self) -> bytes:
        """Return 32 random bytes, for a row that is never looked up by name."""
        return self._random.token(KEY_BYTES)

    def seal_kept(self, row_key: bytes, payload: bytes, kind: str) -> bytes:
        """Seal one row of the installation itself under a key of its own."""
        return seal(self._kept(row_key), payload, _kept_place(row_key, kind), self._random)

    def open_kept(self, row_key: bytes, sealed: bytes, kind: str) -> bytes:
        """Open such a row. Raises TagMismatchError if it was changed, or does not belong here."""
        return open_sealed(self._kept(row_key), sealed, _kept_place(row_key, kind))

    def _kept(self, row_key: bytes) -> bytes:
        return hmac.digest(self._kept_key, row_key, "sha256")


def new_canary(keys: KeyService, random: Random) -> bytes:
    """Make the blob by which a vault recognises its keys."""
    return seal(keys.derive("vault-canary"), b"voiceauth", bind("vault-canary"), random)


def check_canary(keys: KeyService, canary: bytes) -> None:
    """Refuse keys of another installation.

    Raises:
        WrongKeyError: this vault was made under other keys, or its canary was changed.
    """
    try:
        open_sealed(keys.derive("vault-canary"), canary, bind("vault-canary"))
    except TagMismatchError as error:
        raise WrongKeyError from error


def require_text(text: str) -> None:
    """Refuse text that cannot be stored. Raises InputError."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("An identifier is not valid Unicode.") from None


def _key_context(tenant: TenantId, row_key: bytes) -> bytes:
    return bind("data-key", tenant=tenant, row_key=row_key, layout=LAYOUT)


def _own(kind: str, record: str) -> bytes:
    return bind("own-row", kind=kind, record=record, layout=LAYOUT)


def _kept_place(row_key: bytes, kind: str) -> bytes:
    return bind("kept", row_key=row_key, kind=kind, layout=LAYOUT)


def _place(key: SubjectKey, kind: str, record: str, model: str, space: str) -> bytes:
    fixed = _common(kind, key.tenant, model, space)
    return bind("row", row_key=key.row_key, record=record, **fixed)


def place_form(kind: str, tenant: TenantId, *, model: str = "", space: str = "") -> Form:
    """Return what a tenant's rows of a kind are bound to, ``row_key`` and ``record`` left open."""
    fixed = _common(kind, tenant, model, space)
    return Form("row", frozenset({"row_key", "record"}), **fixed)


def _common(kind: str, tenant: TenantId, model: str, space: str) -> dict[str, str | int]:
    # Rows from before there were transforms were sealed without the space.
    rest = {"space": space} if space else {}
    return {"tenant": tenant, "kind": kind, "model": model, "layout": LAYOUT, **rest}
