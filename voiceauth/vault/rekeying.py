# SPDX-License-Identifier: Apache-2.0
"""Move a tenant's voiceprints from one secret transform to the next, a few subjects at a time.

(1) ``start`` adds the next generation's secret: from here on, every new row is of it.
(2) ``move`` takes the next subjects and turns their rows; it may run twice over any of them.
(3) ``finish`` destroys the older secrets, once no row needs them.

Until (3) both secrets are there, so every row can be read at every moment, and a process that dies
in between leaves nothing but work to go on with.
"""

from collections.abc import Callable
from dataclasses import dataclass

from voiceauth.keys.voice_transform import VoiceTransform
from voiceauth.types import KeyId, ModelHash, TenantId
from voiceauth.vault.sealing import Sealer, SubjectKey
from voiceauth.vault.transforms import TransformRow
from voiceauth.vault.voice_rows import Select, VoiceRows, Write

_OLDER = (
    "SELECT EXISTS (SELECT 1 FROM {table} JOIN subjects USING (row_key) "
    "WHERE tenant = ? AND generation < ?)"
)


@dataclass(frozen=True, slots=True)
class Moved:
    """What one step did.

    Attributes:
        last: row key to go on behind; None when there are no more subjects.
        subjects: looked at.
        rows: voiceprints and unfinished enrolments that were turned.
    """

    last: bytes | None
    subjects: int
    rows: int


class RekeyRows:
    """The re-keying of one write transaction.

    Args:
        select: reads within the transaction.
        write: changes within it.
        shred: has deleted content wiped after the commit.
        sealer: of the vault.
        voices: the rows of the same transaction.
    """

    def __init__(
        self,
        select: Select,
        write: Write,
        shred: Callable[[], None],
        sealer: Sealer,
        voices: VoiceRows,
    ) -> None:
        self._select = select
        self._write = write
        self._shred = shred
        self._sealer = sealer
        self._voices = voices

    def subjects(self, tenant: TenantId) -> int:
        """Return how many subjects a tenant has."""
        found = self._select("SELECT count(*) FROM subjects WHERE tenant = ?", tenant)
        return int(found[0][0])

    def due(self, tenant: TenantId) -> bool:
        """Say whether rows wait for the newest transform: a broken re-keying, or an old vault.

        Costs the same in a large vault: the indexes of unprotected rows are empty for most of its
        life, and CROSS JOIN has SQLite begin with them.
        """
        found = self._select(
            "SELECT (SELECT count(*) FROM voice_transforms WHERE tenant = ?1) > 1 "
            "OR EXISTS (SELECT 1 FROM voiceprints CROSS JOIN subjects USING (row_key) "
            "WHERE generation = 0 AND tenant = ?1) "
            "OR EXISTS (SELECT 1 FROM pending CROSS JOIN subjects USING (row_key) "
            "WHERE generation = 0 AND tenant = ?1)",
            tenant,
        )
        return bool(found[0][0])

    def start(self, tenant: TenantId) -> int:
        """Make the next secret and return its generation.

        Raises:
            KeyServiceError: the key service is down.
            TransformLostError: the secret before it is missing.
        """
        newest = self._voices.newest(tenant)
        return self._voices.make(tenant, 1 if newest is None else newest.generation + 1).generation

    def move(self, tenant: TenantId, after: bytes, limit: int) -> Moved:
        """Turn the rows of the next subjects to the newest generation.

        Args:
            tenant: whose subjects.
            after: row key to start behind; empty for the first step.
            limit: most subjects to look at.

        Raises:
            KeyServiceError: the key service is down.
            TagMismatchError: a row or a secret was changed.
            TransformLostError: a secret is missing.
        """
        into = self._voices.current(tenant)
        people = self._select(
            "SELECT row_key, key_id, wrapped_key FROM subjects WHERE tenant = ? AND row_key > ? "
            "ORDER BY row_key LIMIT ?",
            tenant,
            after,
            limit,
        )
        rows = 0
        for row_key, key_id, wrapped in people:
            prints = self._select(
                "SELECT id, voiceprint, model, generation, sealed FROM voiceprints "
                "WHERE row_key = ? AND generation < ?",
                row_key,
                into.generation,
            )
            waiting = self._select(
                "SELECT id, model, generation, sealed FROM pending "
                "WHERE row_key = ? AND generation < ?",
                row_key,
                into.generation,
            )
            if prints or waiting:
                key = self._sealer.open_key(tenant, row_key, KeyId(key_id), wrapped)
                rows += self._turn_prints(key, prints, into)
                rows += self._turn_pending(key, waiting, into)
        return Moved(people[-1][0] if people else None, len(people), rows)

    def finish(self, tenant: TenantId) -> bool:
        """Destroy all secrets but the newest; False, and nothing done, while rows need them."""
        newest = self._voices.current(tenant).generation
        for table in ("voiceprints", "pending"):
            if self._select(_OLDER.format(table=table), tenant, newest) != [(0,)]:
                return False
        self._write(
            "DELETE FROM voice_transforms WHERE tenant = ? AND generation < ?", tenant, newest
        )
        self._sealer.transforms.forget(tenant)
        self._shred()
        return True

    def rewrap(self) -> int:
        """Wrap every secret under its tenant's current key; return how many changed.

        Raises:
            KeyServiceError: the key service is down, or does not know an old key.
        """
        changed = 0
        for row in self._select("SELECT tenant, generation, key_id, wrapped FROM voice_transforms"):
            new = self._sealer.transforms.rewrap(TransformRow(*row))
            if new is not None:
                changed += self._write(
                    "UPDATE voice_transforms SET key_id = ?, wrapped = ? "
                    "WHERE tenant = ? AND generation = ?",
                    new.key_id,
                    new.wrapped,
                    new.tenant,
                    new.generation,
                )
        if changed:
            self._shred()
        return changed

    def _turn_prints(
        self, key: SubjectKey, found: list[tuple[int, str, str, int, bytes]], into: VoiceTransform
    ) -> int:
        for row, name, model, generation, sealed in found:
            plain = self._voices.open_print(key, name, model, generation, sealed)
            self._write(
                "UPDATE voiceprints SET generation = ?, sealed = ? WHERE id = ?",
                into.generation,
                self._voices.seal_print(key, plain, into),
                row,
            )
        return len(found)

    def _turn_pending(
        self, key: SubjectKey, found: list[tuple[int, str, int, bytes]], into: VoiceTransform
    ) -> int:
        for row, model, generation, sealed in found:
            plain = self._voices.open_segments(key, model, generation, sealed)
            self._write(
                "UPDATE pending SET generation = ?, sealed = ? WHERE id = ?",
                into.generation,
                self._voices.seal_segments(key, ModelHash(model), plain, into),
                row,
            )
        return len(found)
