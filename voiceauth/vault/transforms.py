# SPDX-License-Identifier: Apache-2.0
"""The secrets of voice transforms: made, wrapped under their tenant's key, opened, kept a while.

A secret is wrapped like a data key and bound to its tenant and generation, so that no row serves
another tenant. Opened ones stay in memory, because a verification must not wait for a token and a
matrix; a row that was changed is another entry, and so is opened, and refused.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from voiceauth.keys.canonical import bind
from voiceauth.keys.envelope import KEY_BYTES
from voiceauth.keys.voice_transform import VoiceTransform
from voiceauth.ports import KeyService, Random
from voiceauth.types import KeyId, TenantId

_MOST_OPENED = 64
"""Of each, one matrix per dimension: 256 KiB at 256 dimensions."""


@dataclass(frozen=True, slots=True)
class TransformRow:
    """One row of ``voice_transforms``, as stored."""

    tenant: TenantId
    generation: int
    key_id: KeyId
    wrapped: bytes = field(repr=False)


class Transforms:
    """Makes and opens voice transforms for one vault. Safe from several threads."""

    def __init__(self, keys: KeyService, random: Random) -> None:
        self._keys = keys
        self._random = random
        self._opened: OrderedDict[TransformRow, VoiceTransform] = OrderedDict()
        self._lock = threading.Lock()

    def new(self, tenant: TenantId, generation: int) -> TransformRow:
        """Make a secret for a tenant.

        Raises:
            KeyServiceError: the key service is down.
        """
        context = _context(tenant, generation)
        key_id, wrapped = self._keys.wrap(self._random.token(KEY_BYTES), context, tenant)
        return TransformRow(tenant, generation, key_id, wrapped)

    def open(self, row: TransformRow) -> VoiceTransform:
        """Open a stored secret.

        Raises:
            KeyServiceError: the key service is down or does not know the wrapping key.
            TagMismatchError: the row is another tenant's or generation's, or was changed.
        """
        with self._lock:
            found = self._opened.get(row)
            if found is not None:
                self._opened.move_to_end(row)
                return found
        opened = VoiceTransform(self._secret(row), row.generation)
        with self._lock:
            opened = self._opened.setdefault(row, opened)
            while len(self._opened) > _MOST_OPENED:
                self._opened.popitem(last=False)
        return opened

    def rewrap(self, row: TransformRow) -> TransformRow | None:
        """Wrap a secret under the current key; None if it is. Errors as ``open``."""
        if row.key_id == self._keys.current(row.tenant):
            return None
        context = _context(row.tenant, row.generation)
        key_id, wrapped = self._keys.wrap(self._secret(row), context, row.tenant)
        return TransformRow(row.tenant, row.generation, key_id, wrapped)

    def forget(self, tenant: TenantId) -> None:
        """Drop what is opened of a tenant: a retired secret shall not stay in memory."""
        with self._lock:
            for row in [one for one in self._opened if one.tenant == tenant]:
                del self._opened[row]

    def _secret(self, row: TransformRow) -> bytes:
        return self._keys.unwrap(row.key_id, row.wrapped, _context(row.tenant, row.generation))


def _context(tenant: TenantId, generation: int) -> bytes:
    return bind("voice-transform-secret", tenant=tenant, generation=generation)
