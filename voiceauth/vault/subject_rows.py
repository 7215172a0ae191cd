# SPDX-License-Identifier: Apache-2.0
"""Rows of subjects in one transaction: found, opened and sealed again.

A subject's data key is unwrapped at most once per transaction and forgotten with it.
"""

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from voiceauth.errors import (
    InternalError,
    NotFoundError,
    TagMismatchError,
)
from voiceauth.types import (
    KeyId,
    LedgerEntry,
    Subject,
    SubjectId,
    TenantId,
)
from voiceauth.vault import codec
from voiceauth.vault.alert_rows import AlertRows
from voiceauth.vault.attempt_rows import AttemptRows
from voiceauth.vault.challenge_rows import ChallengeRows
from voiceauth.vault.change_rows import ChangeRows
from voiceauth.vault.codec import SubjectRecord
from voiceauth.vault.faults import translated
from voiceauth.vault.sealing import Sealer, SubjectKey
from voiceauth.vault.step_up_rows import StepUpRows
from voiceauth.vault.voice_rows import VoiceRows

SUBJECT_COLUMNS = "row_key, tenant, key_id, wrapped_key, record, consent"
_Value = str | bytes | int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of ``subjects``, as stored."""

    row_key: bytes
    tenant: TenantId
    key_id: KeyId
    wrapped_key: bytes = field(repr=False)
    record: bytes = field(repr=False)
    consent: bytes | None = field(repr=False)


class SubjectRows(AttemptRows, AlertRows, ChangeRows, StepUpRows, ChallengeRows):
    """One transaction's connection, the subjects it found and the data keys it opened."""

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer, *, writable: bool) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._sealer = sealer
        self._writable = writable
        self._keys: dict[bytes, SubjectKey] = {}
        self._voices = VoiceRows(self._select, self._write, sealer)
        self.last_entry: LedgerEntry | None = None
        self.shredded = False
        self.buried = False

    def end(self) -> None:
        """Forget the opened keys and refuse further use."""
        self._keys.clear()
        self._connection = None

    def _find(self, tenant: TenantId, subject: SubjectId) -> Row | None:
        found = self._select(
            f"SELECT {SUBJECT_COLUMNS} FROM subjects WHERE row_key = ?",  # noqa: S608 - constant columns
            self._sealer.row_key(tenant, subject),
        )
        if not found:
            return None
        row = Row(*found[0])
        if row.tenant != tenant:  # the key names the tenant, so the column was changed
            raise TagMismatchError(detail="a subject's row was moved to another tenant")
        return row

    def _existing(self, tenant: TenantId, subject: SubjectId) -> Row:
        self._require_writable()
        row = self._find(tenant, subject)
        if row is None:
            raise NotFoundError("There is no such subject.")
        return row

    def _key(self, row: Row) -> SubjectKey:
        known = self._keys.get(row.row_key)
        if known is None:
            known = self._sealer.open_key(row.tenant, row.row_key, row.key_id, row.wrapped_key)
            self._keys[row.row_key] = known
        return known

    def _subject_key(self, tenant: TenantId, subject: SubjectId) -> SubjectKey | None:
        row = self._find(tenant, subject)
        return None if row is None else self._key(row)

    def _existing_key(self, tenant: TenantId, subject: SubjectId) -> SubjectKey:
        return self._key(self._existing(tenant, subject))

    def _record(self, row: Row) -> SubjectRecord:
        return codec.decode_record(self._sealer.open(self._key(row), row.record, "subject"))

    def _put_record(self, row: Row, record: SubjectRecord) -> None:
        sealed = self._sealer.seal(self._key(row), codec.encode_record(record), "subject")
        self._write("UPDATE subjects SET record = ? WHERE row_key = ?", sealed, row.row_key)

    def _renew_key(self, row: Row) -> None:
        record, consent = self._record(row), row.consent
        if consent is not None:
            consent = self._sealer.open(self._key(row), consent, "consent")
        old = self._key(row)
        key, key_id, wrapped = self._sealer.new_key(row.tenant, row.row_key)
        self._reseal_factors(old, key)
        self._keys[row.row_key] = key
        self._write(
            "UPDATE subjects SET key_id = ?, wrapped_key = ?, record = ?, consent = ? "
            "WHERE row_key = ?",
            key_id,
            wrapped,
            self._sealer.seal(key, codec.encode_record(record), "subject"),
            None if consent is None else self._sealer.seal(key, consent, "consent"),
            row.row_key,
        )
        self.shredded = True

    def _opened(self, row: Row) -> Subject:
        record, key = self._record(row), self._key(row)
        consent = None
        if row.consent is not None:
            consent = codec.decode_consent(self._sealer.open(key, row.consent, "consent"))
        held = self._voices.holdings(key)
        return Subject(
            tenant=row.tenant,
            subject=record.subject,
            state=record.state,
            created_at=record.created_at,
            groups=record.groups,
            consent=consent,
            voiceprints=held.voiceprints,
            net_enrolled_seconds=held.net_seconds,
            pending_seconds=held.pending_seconds,
            last_interaction_at=record.last_interaction_at,
        )

    def _select(self, statement: str, *values: _Value) -> list[tuple[Any, ...]]:
        with translated():
            return self._live().execute(statement, values).fetchall()

    def _write(self, statement: str, *values: _Value) -> int:
        self._require_writable()
        with translated():
            return self._live().execute(statement, values).rowcount

    def _shred(self) -> None:
        self.shredded = True

    def _live(self) -> sqlite3.Connection:
        if self._connection is None:
            raise InternalError(detail="a transaction was used after its end")
        return self._connection

    def _require_writable(self) -> None:
        if not self._writable:
            raise InternalError(detail="a read-only view cannot write")
