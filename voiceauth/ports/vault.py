# SPDX-License-Identifier: Apache-2.0
"""The record: subjects, voiceprints, and the ledger that is written with them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from voiceauth.ports.stores import ApprovalStore, AttemptStore, ReplayStore, StepUpStore
from voiceauth.types import (
    Consent,
    Embedding,
    EnrolmentSegment,
    GroupName,
    LedgerEntry,
    ModelHash,
    StoredCheckpoint,
    Subject,
    SubjectId,
    SubjectState,
    TenantId,
    VoicePage,
    Voiceprint,
)


class Transaction(ReplayStore, AttemptStore, StepUpStore, Protocol):
    """One atomic, durable change of the vault. Nothing in it is visible until it commits."""

    @property
    def approvals(self) -> ApprovalStore:
        """What two persons have agreed on."""
        ...

    def subject(self, tenant: TenantId, subject: SubjectId) -> Subject | None:
        """Read one subject, or None."""
        ...

    def subjects(
        self, tenant: TenantId, *, after: SubjectId | None, limit: int
    ) -> Sequence[Subject]:
        """Read up to ``limit`` subjects in a stable order, after ``after`` exclusively."""
        ...

    def create_subject(
        self, tenant: TenantId, subject: SubjectId, *, at: datetime, groups: frozenset[GroupName]
    ) -> None:
        """Create a subject with a fresh data key.

        Raises:
            SubjectExistsError: it is already there.
        """
        ...

    def set_state(self, tenant: TenantId, subject: SubjectId, state: SubjectState) -> None:
        """Change a subject's state. Raises NotFoundError if it is not there."""
        ...

    def set_groups(
        self, tenant: TenantId, subject: SubjectId, groups: frozenset[GroupName]
    ) -> None:
        """Replace a subject's groups. Raises NotFoundError if it is not there."""
        ...

    def note_interaction(self, tenant: TenantId, subject: SubjectId, at: datetime) -> None:
        """Note the day on which the person was there. Raises NotFoundError if it is not there."""
        ...

    def ledger_secret(self, tenant: TenantId, subject: SubjectId) -> bytes:
        """Return what keys a subject's pseudonym in the ledger; empty for an unknown subject."""
        ...

    def put_consent(self, tenant: TenantId, subject: SubjectId, consent: Consent) -> None:
        """Store the subject's consent, encrypted, replacing the last one."""
        ...

    def add_voiceprint(self, tenant: TenantId, voiceprint: Voiceprint) -> None:
        """Store a voiceprint, encrypted under its subject's data key."""
        ...

    def voiceprints(
        self, tenant: TenantId, subject: SubjectId, model: ModelHash
    ) -> Sequence[Voiceprint]:
        """Read a subject's voiceprints of one model, oldest first."""
        ...

    def voice_page(self, model: ModelHash, *, after: int, limit: int) -> VoicePage:
        """Read up to ``limit`` voiceprints of a model, of all tenants, behind a place."""
        ...

    def keep_latest_voiceprints(
        self, tenant: TenantId, subject: SubjectId, model: ModelHash, keep: int
    ) -> int:
        """Delete all but the ``keep`` newest voiceprints of a model; return how many are left."""
        ...

    def delete_voiceprints(self, tenant: TenantId, subject: SubjectId) -> int:
        """Delete voiceprints, pending segments and recordings; return how many voiceprints."""
        ...

    def pending_segments(
        self, tenant: TenantId, subject: SubjectId, model: ModelHash
    ) -> Sequence[EnrolmentSegment]:
        """Read the segments of an unfinished enrolment, oldest first."""
        ...

    def put_pending_segments(
        self,
        tenant: TenantId,
        subject: SubjectId,
        model: ModelHash,
        segments: Sequence[EnrolmentSegment],
    ) -> None:
        """Replace the segments of an unfinished enrolment; an empty sequence removes them."""
        ...

    def erase_subject(self, tenant: TenantId, subject: SubjectId) -> None:
        """Destroy the subject's data key and delete every row of it. NotFoundError if absent."""
        ...

    def swept_at(self, tenant: TenantId) -> datetime | None:
        """Return the latest time at which retention was swept; None before the first sweep."""
        ...

    def note_sweep(self, tenant: TenantId, at: datetime) -> None:
        """Note that retention was swept; an earlier time than the latest changes nothing."""
        ...

    def append(
        self, *, at: datetime, tenant: TenantId, event: str, body: Mapping[str, object]
    ) -> LedgerEntry:
        """Append one entry to the ledger's chain."""
        ...


class Vault(Protocol):
    """The record: subjects, voiceprints, consent, and the ledger beside them."""

    def begin(self) -> AbstractContextManager[Transaction]:
        """Open a write transaction: commit on leaving, roll back on an exception.

        Raises:
            StorageError: the vault cannot be written (full disk, I/O error, locked too long).
        """
        ...

    def read(self) -> AbstractContextManager[Transaction]:
        """Open a consistent read-only view. Writing through it raises InternalError."""
        ...

    def tenants(self) -> Sequence[TenantId]:
        """List the tenants that have subjects."""
        ...

    def ledger(self, *, after: int = 0, limit: int = 1000) -> Sequence[LedgerEntry]:
        """Read ledger entries in order, ``sequence > after``."""
        ...

    def close(self) -> None:
        """Release the files. Safe to call twice."""
        ...


class LedgerStore(Protocol):
    """The ledger's entries, and the newest statement of how far it had come."""

    def ledger(self, *, after: int = 0, limit: int = 1000) -> Sequence[LedgerEntry]:
        """Read ledger entries in order, ``sequence > after``."""
        ...

    def checkpoint(self) -> StoredCheckpoint | None:
        """Return the newest checkpoint, unchecked; None before the first."""
        ...

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Replace the newest checkpoint.

        Raises:
            StorageError: the vault cannot be written.
        """
        ...


class VoiceTransform(Protocol):
    """A tenant's secret rotation of embedding space: inner products stay, directions do not."""

    @property
    def generation(self) -> int:
        """Which of the tenant's secrets it is; 1 is the first."""
        ...

    def protect(self, vectors: Embedding) -> Embedding:
        """Turn vectors into this space, shape (dimension,) or (count, dimension)."""
        ...

    def reveal(self, vectors: Embedding) -> Embedding:
        """Turn vectors of this space back."""
        ...
