# SPDX-License-Identifier: Apache-2.0
"""Whose voiceprints or groups changed, for the other processes that hold a gallery of this vault.

Triggers note every change, so that no path past them exists. A row names nobody: it has a row key.
Only an erasure leaves a name, sealed, because nothing else could tell a gallery whom to take out.
Those rows go within minutes, see ``forget_changes``.
"""

import json
from dataclasses import dataclass
from typing import Any

from voiceauth.types import KeyId, SubjectId, TenantId
from voiceauth.vault import codec
from voiceauth.vault.sealing import Sealer

_KIND = "change"
Place = tuple[TenantId, SubjectId]


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened behind a number.

    Attributes:
        last: number to go on behind.
        places: whose gallery entries are to be read again.
        missed: older changes were pruned before they were read: everything is to be read again.
    """

    last: int
    places: tuple[Place, ...]
    missed: bool


class ChangeRows:
    """What a transaction knows of changes; mixed into ``SqliteTransaction``."""

    _sealer: Sealer

    def newest_change(self) -> int:
        """Return the number of the newest change, kept or forgotten; 0 before the first."""
        found = self._select("SELECT seq FROM sqlite_sequence WHERE name = 'changes'")
        return int(found[0][0]) if found else 0

    def changes_behind(self, after: int) -> Changes:
        """Read what changed behind a number.

        Raises:
            TagMismatchError: a subject's record, or a name that was left, was changed.
            KeyServiceError: a data key cannot be unwrapped.
        """
        rows = self._select(
            "SELECT id, row_key, sealed FROM changes WHERE id > ? ORDER BY id", after
        )
        places: dict[Place, None] = {}
        for row_key in dict.fromkeys(row[1] for row in rows):
            place = self._place_of(row_key)
            if place is not None:
                places[place] = None
        for _, row_key, sealed in rows:
            if sealed is not None:
                tenant, subject = json.loads(self._sealer.open_kept(row_key, sealed, _KIND))
                places[TenantId(tenant), SubjectId(subject)] = None
        last = self.newest_change()
        first = rows[0][0] if rows else last + 1
        return Changes(last, tuple(places), missed=first > after + 1)

    def forget_changes(self, until: int) -> int:
        """Delete the changes up to a number, which every process has read; return how many."""
        return self._write("DELETE FROM changes WHERE id <= ?", until)

    def _note_erased(self, tenant: TenantId, subject: SubjectId, row_key: bytes) -> None:
        """Leave the name of an erased subject for the galleries of other processes."""
        name = json.dumps([tenant, subject]).encode()
        sealed = self._sealer.seal_kept(row_key, name, _KIND)
        self._write("INSERT INTO changes (row_key, sealed) VALUES (?,?)", row_key, sealed)

    def _place_of(self, row_key: bytes) -> Place | None:
        found = self._select(
            "SELECT tenant, key_id, wrapped_key, record FROM subjects WHERE row_key = ?", row_key
        )
        if not found:
            return None
        tenant, key_id, wrapped, sealed = found[0]
        key = self._sealer.open_key(TenantId(tenant), row_key, KeyId(key_id), wrapped)
        return key.tenant, codec.decode_record(self._sealer.open(key, sealed, "subject")).subject

    def _select(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def _write(self, statement: str, *values: Any) -> int:
        raise NotImplementedError
