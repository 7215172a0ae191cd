# SPDX-License-Identifier: Apache-2.0
"""``ports.Transaction`` over one SQLite connection: what may be done with the record.

How rows are found, opened and sealed stands in ``subject_rows``; what takes something away, in
``burial_rows``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from voiceauth.errors import InternalError, SubjectExistsError
from voiceauth.keys.voice_transform import VoiceTransform
from voiceauth.ledger.actor import actor
from voiceauth.types import (
    Burial,
    Consent,
    EnrolmentSegment,
    GroupName,
    HeardRecording,
    KeyId,
    LedgerEntry,
    ModelHash,
    Subject,
    SubjectId,
    SubjectState,
    TenantId,
    VoicePage,
    Voiceprint,
)
from voiceauth.vault import codec, ledger_rows
from voiceauth.vault.approval_store import ApprovalRows
from voiceauth.vault.burial_rows import BurialRows
from voiceauth.vault.codec import SubjectRecord
from voiceauth.vault.recording_codec import decode_recordings, encode_recordings
from voiceauth.vault.rekeying import RekeyRows
from voiceauth.vault.sealing import require_text
from voiceauth.vault.subject_rows import SUBJECT_COLUMNS, Row
from voiceauth.vault.voice_pages import voice_page


class SqliteTransaction(BurialRows):
    """One transaction. Not thread-safe, and of no use after its ``with`` block."""

    def subject(self, tenant: TenantId, subject: SubjectId) -> Subject | None:
        """Read one subject, or None.

        Raises:
            TagMismatchError: the row was changed or moved.
            KeyServiceError: its data key cannot be unwrapped.
        """
        row = self._find(tenant, subject)
        return None if row is None else self._opened(row)

    def subjects(
        self, tenant: TenantId, *, after: SubjectId | None, limit: int
    ) -> Sequence[Subject]:
        """Read up to ``limit`` subjects in the order of their row keys, which never changes."""
        require_text(tenant)
        start = b"" if after is None else self._sealer.row_key(tenant, after)
        rows = self._select(
            f"SELECT {SUBJECT_COLUMNS} FROM subjects "  # noqa: S608 - constant columns
            "WHERE tenant = ? AND row_key > ? ORDER BY row_key LIMIT ?",
            tenant,
            start,
            limit,
        )
        return [self._opened(Row(*row)) for row in rows]

    def create_subject(
        self, tenant: TenantId, subject: SubjectId, *, at: datetime, groups: frozenset[GroupName]
    ) -> None:
        """Create a subject with a fresh data key. Raises SubjectExistsError."""
        row_key = self._sealer.row_key(tenant, subject)
        if self._find(tenant, subject) is not None:
            raise SubjectExistsError
        key, key_id, wrapped = self._sealer.new_key(tenant, row_key)
        secret = self._sealer.new_secret()
        record = SubjectRecord(subject, SubjectState.ACTIVE, at, groups, ledger_secret=secret)
        sealed = self._sealer.seal(key, codec.encode_record(record), "subject")
        self._write(
            f"INSERT INTO subjects ({SUBJECT_COLUMNS}) VALUES (?,?,?,?,?,NULL)",  # noqa: S608 - constant columns
            row_key,
            tenant,
            key_id,
            wrapped,
            sealed,
        )
        self._keys[row_key] = key

    def set_state(self, tenant: TenantId, subject: SubjectId, state: SubjectState) -> None:
        """Change a subject's state. Raises NotFoundError if it is not there."""
        row = self._existing(tenant, subject)
        self._put_record(row, replace(self._record(row), state=state))
        if state is SubjectState.OPTED_OUT:
            self._bury(row.row_key, Burial.OPTED_OUT)

    def set_groups(
        self, tenant: TenantId, subject: SubjectId, groups: frozenset[GroupName]
    ) -> None:
        """Replace a subject's groups. Raises NotFoundError if it is not there."""
        row = self._existing(tenant, subject)
        self._put_record(row, replace(self._record(row), groups=groups))

    def note_interaction(self, tenant: TenantId, subject: SubjectId, at: datetime) -> None:
        """Note that the person was there on that day, if no later day stands. NotFoundError."""
        row = self._existing(tenant, subject)
        record = self._record(row)
        day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if record.last_interaction_at is None or record.last_interaction_at < day:
            self._put_record(row, replace(record, last_interaction_at=day))

    def ledger_secret(self, tenant: TenantId, subject: SubjectId) -> bytes:
        """Return what keys a subject's pseudonym in the ledger; empty for an unknown subject."""
        row = self._find(tenant, subject)
        return b"" if row is None else self._record(row).ledger_secret

    def put_consent(self, tenant: TenantId, subject: SubjectId, consent: Consent) -> None:
        """Store the subject's consent, replacing the last one. Raises NotFoundError."""
        row = self._existing(tenant, subject)
        sealed = self._sealer.seal(self._key(row), codec.encode_consent(consent), "consent")
        self._write("UPDATE subjects SET consent = ? WHERE row_key = ?", sealed, row.row_key)
        if consent.withdrawn_at is not None:
            self._bury(row.row_key, Burial.WITHDRAWN, consent.withdrawn_at)

    def add_voiceprint(self, tenant: TenantId, voiceprint: Voiceprint) -> None:
        """Store a voiceprint, encrypted under its subject's data key. Raises NotFoundError."""
        row = self._existing(tenant, voiceprint.subject)
        self._voices.add(self._key(row), voiceprint)

    def voiceprints(
        self, tenant: TenantId, subject: SubjectId, model: ModelHash
    ) -> Sequence[Voiceprint]:
        """Read a subject's voiceprints of one model, oldest first; none for an unknown subject.

        Raises:
            TagMismatchError: a row was changed, or moved from another subject, tenant or model.
            TransformLostError: the secret that they are protected by is missing.
        """
        row = self._find(tenant, subject)
        if row is None:
            return ()
        return self._voices.read(self._key(row), subject, model)

    def voice_page(self, model: ModelHash, *, after: int, limit: int) -> VoicePage:
        """Read up to ``limit`` voiceprints of a model behind a place, in their order.

        Raises:
            TagMismatchError: a row was changed or moved.
        """
        return voice_page(self._select, self._sealer, self._voices, model, after=after, limit=limit)

    def keep_latest_voiceprints(
        self, tenant: TenantId, subject: SubjectId, model: ModelHash, keep: int
    ) -> int:
        """Delete all but the ``keep`` newest voiceprints of a model; return how many are left.

        Raises:
            NotFoundError: there is no such subject.
            InternalError: ``keep`` is negative.
        """
        if keep < 0:
            raise InternalError(detail="cannot keep fewer than no voiceprints")
        row = self._existing(tenant, subject)
        deleted = self._write(
            "DELETE FROM voiceprints WHERE row_key = ?1 AND model = ?2 AND id NOT IN (SELECT id "
            "FROM voiceprints WHERE row_key = ?1 AND model = ?2 ORDER BY id DESC LIMIT ?3)",
            row.row_key,
            model,
            keep,
        )
        self.shredded |= deleted > 0
        left = self._select(
            "SELECT count(*) FROM voiceprints WHERE row_key = ? AND model = ?", row.row_key, model
        )
        return int(left[0][0])

    def pending_segments(
        self, tenant: TenantId, subject: SubjectId, model: ModelHash
    ) -> Sequence[EnrolmentSegment]:
        """Read the segments of an unfinished enrolment, oldest first."""
        row = self._find(tenant, subject)
        if row is None:
            return ()
        return self._voices.pending(self._key(row), model)

    def put_pending_segments(
        self,
        tenant: TenantId,
        subject: SubjectId,
        model: ModelHash,
        segments: Sequence[EnrolmentSegment],
    ) -> None:
        """Replace the segments of an unfinished enrolment; an empty sequence removes them.

        Raises:
            NotFoundError: there is no such subject.
        """
        row = self._existing(tenant, subject)
        self._write("DELETE FROM pending WHERE row_key = ? AND model = ?", row.row_key, model)
        if segments:
            self._voices.put_pending(self._key(row), model, segments)

    def recordings(self, tenant: TenantId, subject: SubjectId) -> Sequence[HeardRecording]:
        """Read what was heard of a subject, oldest first; nothing for an unknown subject.

        Raises:
            TagMismatchError: the recordings were changed, or moved from another subject.
        """
        row = self._find(tenant, subject)
        if row is None:
            return ()
        found = self._select("SELECT sealed FROM recordings WHERE row_key = ?", row.row_key)
        if not found:
            return ()
        return decode_recordings(self._sealer.open(self._key(row), found[0][0], "recordings"))

    def put_recordings(
        self, tenant: TenantId, subject: SubjectId, recordings: Sequence[HeardRecording]
    ) -> None:
        """Replace what was heard of a subject; an empty sequence removes it.

        Raises:
            NotFoundError: there is no such subject.
        """
        row = self._existing(tenant, subject)
        old = self._write("DELETE FROM recordings WHERE row_key = ?", row.row_key)
        self.shredded |= old > 0
        if not recordings:
            return
        sealed = self._sealer.seal(self._key(row), encode_recordings(recordings), "recordings")
        self._write("INSERT INTO recordings (row_key, sealed) VALUES (?,?)", row.row_key, sealed)

    def swept_at(self, tenant: TenantId) -> datetime | None:
        """Return the latest time at which retention was swept; None before the first sweep."""
        found = self._select("SELECT swept_us FROM retention_clock WHERE tenant = ?", tenant)
        return codec.from_microseconds(found[0][0]) if found else None

    def note_sweep(self, tenant: TenantId, at: datetime) -> None:
        """Note that retention was swept; an earlier time than the latest changes nothing."""
        require_text(tenant)
        self._write(
            "INSERT INTO retention_clock (tenant, swept_us) VALUES (?1, ?2) ON CONFLICT (tenant) "
            "DO UPDATE SET swept_us = max(swept_us, excluded.swept_us)",
            tenant,
            codec.to_microseconds(at),
        )

    def append(
        self, *, at: datetime, tenant: TenantId, event: str, body: Mapping[str, object]
    ) -> LedgerEntry:
        """Append one entry to the ledger's chain; ``by`` in its body says who caused it."""
        require_text(tenant)
        self._require_writable()
        if actor():
            body = {**body, "by": actor()}
        entry = ledger_rows.append(self._live(), at=at, tenant=tenant, event=event, body=body)
        self.last_entry = entry
        return entry

    @property
    def approvals(self) -> ApprovalRows:
        """What two persons have agreed on."""
        return ApprovalRows(self._live(), self._sealer, writable=self._writable)

    def rewrap(self, after: bytes, limit: int) -> tuple[bytes | None, int, int]:
        """Wrap a batch of data keys under the current wrapping key.

        Args:
            after: row key to start behind; empty for the first batch.
            limit: most rows to look at.

        Returns:
            The last row key looked at (None when there are no more rows), how many rows that
            were, and how many were wrapped anew.
        """
        rows = [
            Row(*row)
            for row in self._select(
                f"SELECT {SUBJECT_COLUMNS} FROM subjects WHERE row_key > ? "  # noqa: S608 - constant columns
                "ORDER BY row_key LIMIT ?",
                after,
                limit,
            )
        ]
        changed = 0
        for row in rows:
            if row.key_id == self._sealer.current(row.tenant):
                continue
            key_id, wrapped = self._sealer.rewrap(self._key(row))
            changed += self._write(
                "UPDATE subjects SET key_id = ?, wrapped_key = ? WHERE row_key = ?",
                key_id,
                wrapped,
                row.row_key,
            )
        self.shredded |= changed > 0
        return (rows[-1].row_key if rows else None), len(rows), changed

    def wrapped_under(self, key_id: KeyId) -> int:
        """Return how many data keys and voice transforms a wrapping key still wraps."""
        found = self._select(
            "SELECT (SELECT count(*) FROM subjects WHERE key_id = ?1) + "
            "(SELECT count(*) FROM voice_transforms WHERE key_id = ?1)",
            key_id,
        )
        return int(found[0][0])

    def rekeying(self) -> RekeyRows:
        """Return what moves voiceprints from one transform to the next, in this transaction."""
        return RekeyRows(self._select, self._write, self._shred, self._sealer, self._voices)

    def voice_transform(self, tenant: TenantId) -> VoiceTransform | None:
        """Return the transform of a tenant's new rows, None before the first.

        Raises:
            TransformLostError: there are protected rows, but no secret.
        """
        return self._voices.newest(tenant)

    def first_voice_transform(self, tenant: TenantId) -> VoiceTransform:
        """Return the same, making the first one. Raises KeyServiceError besides."""
        return self._voices.current(tenant)
