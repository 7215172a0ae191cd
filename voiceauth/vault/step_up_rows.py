# SPDX-License-Identifier: Apache-2.0
"""The part of a transaction that keeps factors and step-ups.

A factor is sealed under its subject's data key and goes with it. A step-up may be about somebody
whom nobody knows, so it is sealed like counters of attempts, under a key of its own row.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from voiceauth.types import CallId, Factor, FactorKind, StepUpRecord, SubjectId, TenantId
from voiceauth.vault.codec import to_microseconds
from voiceauth.vault.sealing import Sealer, SubjectKey
from voiceauth.vault.step_up_codec import (
    decode_factor,
    decode_step_up,
    encode_factor,
    encode_step_up,
)

_KIND = "step-up"


class StepUpRows:
    """``ports.StepUpStore`` over one connection; ``SqliteTransaction`` completes it."""

    _sealer: Sealer
    shredded: bool

    def factors(self, tenant: TenantId, subject: SubjectId) -> Sequence[Factor]:
        """Read a subject's factors, in the order of their kinds; none for an unknown subject.

        Raises:
            TagMismatchError: a row was changed, or moved from another subject.
        """
        key = self._subject_key(tenant, subject)
        if key is None:
            return ()
        rows = self._select(
            "SELECT kind, sealed FROM factors WHERE row_key = ? ORDER BY kind", key.row_key
        )
        return tuple(
            decode_factor(self._sealer.open(key, sealed, "factor", record=kind), FactorKind(kind))
            for kind, sealed in rows
        )

    def put_factor(self, tenant: TenantId, subject: SubjectId, factor: Factor) -> None:
        """Store a factor, replacing the one of its kind. Raises NotFoundError."""
        key = self._existing_key(tenant, subject)
        kind = factor.kind.value
        sealed = self._sealer.seal(key, encode_factor(factor), "factor", record=kind)
        self._write(
            "INSERT INTO factors (row_key, kind, sealed) VALUES (?,?,?) "
            "ON CONFLICT (row_key, kind) DO UPDATE SET sealed = excluded.sealed",
            key.row_key,
            kind,
            sealed,
        )

    def delete_factor(self, tenant: TenantId, subject: SubjectId, kind: FactorKind) -> int:
        """Delete a factor; return how many there were. Raises NotFoundError without a subject."""
        key = self._existing_key(tenant, subject)
        gone = self._write(
            "DELETE FROM factors WHERE row_key = ? AND kind = ?", key.row_key, kind.value
        )
        self.shredded |= gone > 0
        return gone

    def _reseal_factors(self, old: SubjectKey, new: SubjectKey) -> None:
        """Seal a subject's factors under a new data key: they outlive the voice."""
        rows = self._select("SELECT kind, sealed FROM factors WHERE row_key = ?", old.row_key)
        for kind, sealed in rows:
            payload = self._sealer.open(old, sealed, "factor", record=kind)
            self._write(
                "UPDATE factors SET sealed = ? WHERE row_key = ? AND kind = ?",
                self._sealer.seal(new, payload, "factor", record=kind),
                old.row_key,
                kind,
            )

    def step_up(self, tenant: TenantId, call: CallId) -> StepUpRecord | None:
        """Read the step-up of a call, None if there is none.

        Raises:
            TagMismatchError: the row was changed or moved.
        """
        row_key = self._sealer.kept_key(tenant, _KIND, call)
        found = self._select("SELECT sealed FROM step_ups WHERE row_key = ?", row_key)
        if not found:
            return None
        return decode_step_up(self._sealer.open_kept(row_key, found[0][0], _KIND))

    def put_step_up(self, tenant: TenantId, record: StepUpRecord) -> None:
        """Store the step-up of a call, replacing the last one."""
        row_key = self._sealer.kept_key(tenant, _KIND, record.call)
        self._write(
            "INSERT INTO step_ups (row_key, subject_key, expires_us, sealed) VALUES (?,?,?,?) "
            "ON CONFLICT (row_key) DO UPDATE SET subject_key = excluded.subject_key, "
            "expires_us = excluded.expires_us, sealed = excluded.sealed",
            row_key,
            self._sealer.row_key(tenant, record.subject),
            to_microseconds(record.expires_at),
            self._sealer.seal_kept(row_key, encode_step_up(record), _KIND),
        )

    def forget_step_ups(self, *, before: datetime) -> int:
        """Delete step-ups whose time was over before; return how many."""
        return self._write("DELETE FROM step_ups WHERE expires_us < ?", to_microseconds(before))

    def _subject_key(self, tenant: TenantId, subject: SubjectId) -> SubjectKey | None:
        raise NotImplementedError

    def _existing_key(self, tenant: TenantId, subject: SubjectId) -> SubjectKey:
        raise NotImplementedError

    def _select(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def _write(self, statement: str, *values: Any) -> int:
        raise NotImplementedError
