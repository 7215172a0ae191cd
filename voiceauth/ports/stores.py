# SPDX-License-Identifier: Apache-2.0
"""What is kept beside the subjects, and read and written with them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from voiceauth.types import (
    Approval,
    ApprovalId,
    Attempts,
    CallId,
    CodeMessage,
    Counter,
    Factor,
    FactorKind,
    FailedVoice,
    HeardRecording,
    StepUpRecord,
    SubjectId,
    TenantId,
)


class ReplayStore(Protocol):
    """What was heard of each subject, as keyed fingerprints: part of every transaction."""

    def recordings(self, tenant: TenantId, subject: SubjectId) -> Sequence[HeardRecording]:
        """Read a subject's recordings, oldest first; none for an unknown subject.

        Raises:
            IntegrityError: what is stored was changed; it never reads as "nothing heard".
        """
        ...

    def put_recordings(
        self, tenant: TenantId, subject: SubjectId, recordings: Sequence[HeardRecording]
    ) -> None:
        """Replace a subject's recordings; an empty sequence removes them.

        Raises:
            NotFoundError: there is no such subject.
        """
        ...


class ApprovalStore(Protocol):
    """What two persons have agreed on: part of every transaction."""

    def get(self, tenant: TenantId, approval: ApprovalId) -> Approval | None:
        """Read one approval of a tenant, or None. Raises IntegrityError if it was changed."""
        ...

    def all_of(self, tenant: TenantId) -> Sequence[Approval]:
        """Read a tenant's approvals, oldest first. Raises IntegrityError if one was changed."""
        ...

    def put(self, approval: Approval) -> None:
        """Store an approval, replacing its earlier state."""
        ...

    def delete(self, approval: ApprovalId) -> None:
        """Forget an approval."""
        ...

    def latest_since(self, sequence: int) -> datetime | None:
        """Return the latest time in any ledger entry from ``sequence`` on, None without one."""
        ...

    def used_since(self, approval: ApprovalId, sequence: int) -> bool:
        """Say whether the ledger holds a use of an approval, or a restore, behind ``sequence``."""
        ...


class AttemptStore(Protocol):
    """Counters of attempts, known people's or not: part of every transaction."""

    def attempts(self, tenant: TenantId, counter: Counter, name: str) -> Attempts:
        """Read counters; all zero where nothing was counted.

        Raises:
            IntegrityError: what is stored was changed; it never reads as "nothing counted".
        """
        ...

    def put_attempts(
        self,
        tenant: TenantId,
        counter: Counter,
        name: str,
        attempts: Attempts,
        *,
        at: datetime,
        subject: SubjectId | None = None,
    ) -> None:
        """Replace counters; those about a subject go when the subject is erased."""
        ...

    def forget_attempts(self, counter: Counter, *, before: datetime) -> int:
        """Delete counters of a kind that were not changed since; return how many."""
        ...

    def failed_voices(self, tenant: TenantId, *, since: datetime) -> Sequence[FailedVoice]:
        """Read the voices of failed attempts, oldest first. Raises IntegrityError."""
        ...

    def add_failed_voice(self, tenant: TenantId, voice: FailedVoice, *, keep: int) -> None:
        """Store a voice, and delete the oldest of the tenant beyond ``keep``."""
        ...

    def forget_failed_voices(self, *, before: datetime) -> int:
        """Delete voices that were heard before; return how many."""
        ...


class StepUpStore(Protocol):
    """Factors of subjects, and step-ups of calls: part of every transaction."""

    def factors(self, tenant: TenantId, subject: SubjectId) -> Sequence[Factor]:
        """Read a subject's factors; none for an unknown subject. Raises IntegrityError."""
        ...

    def put_factor(self, tenant: TenantId, subject: SubjectId, factor: Factor) -> None:
        """Store a factor, replacing the one of its kind. Raises NotFoundError."""
        ...

    def delete_factor(self, tenant: TenantId, subject: SubjectId, kind: FactorKind) -> int:
        """Delete a factor; return how many there were. Raises NotFoundError without a subject."""
        ...

    def step_up(self, tenant: TenantId, call: CallId) -> StepUpRecord | None:
        """Read the step-up of a call, None if there is none. Raises IntegrityError."""
        ...

    def put_step_up(self, tenant: TenantId, record: StepUpRecord) -> None:
        """Store the step-up of a call, replacing the last one."""
        ...

    def forget_step_ups(self, *, before: datetime) -> int:
        """Delete step-ups whose time was over before; return how many."""
        ...


class CodeDelivery(Protocol):
    """Hands one-time codes to whoever sends them. Implementations are safe for several threads."""

    def deliver(self, message: CodeMessage) -> None:
        """Hand a code over.

        Raises:
            DeliveryError: it could not be handed over.
        """
        ...
