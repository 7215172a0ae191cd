# SPDX-License-Identifier: Apache-2.0
"""What needs a second person, and how far its approval has come."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from voiceauth.types.names import KeyId, SubjectId, TenantId

ApprovalId = NewType("ApprovalId", str)


class Operation(StrEnum):
    """What one person alone may not do. Stable names: they stand in settings and in the ledger."""

    SUBJECT_EXPORT = "subject-export"
    BULK_ERASURE = "bulk-erasure"
    KEY_DESTRUCTION = "key-destruction"


class ApprovalState(StrEnum):
    """How far an approval has come; only APPROVED leads anywhere."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    USED = "used"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Plan:
    """An operation with all its arguments: what is asked for, approved and done.

    Attributes:
        tenant: whose data; empty for the installation's own key.
        subjects: the people that it is about.
        key: of a key destruction.
    """

    operation: Operation
    tenant: TenantId
    subjects: tuple[SubjectId, ...] = ()
    key: KeyId | None = None


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody who asks or approves.

    Attributes:
        identity: of the principal; it stands for one credential.
        names: all names that tell who this is, folded; two parties that share one are one person.
    """

    identity: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Approval:
    """One request for a second person's approval, and what became of it.

    Attributes:
        tenant: whose data it is about; empty for the installation's own key.
        digest: keyed hash of the operation with all its arguments. The arguments themselves are
            not kept: whoever approves has to name them, and so knows them.
        people: how many persons it is about.
        requester: who asked, and alone may use it.
        sequence: of the ledger entry about the request.
        decider: who approved or refused; None before.
    """

    approval: ApprovalId
    tenant: TenantId
    operation: Operation
    digest: bytes
    people: int
    requester: Party
    requested_at: datetime
    expires_at: datetime
    sequence: int
    state: ApprovalState = ApprovalState.PENDING
    decider: Party | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApprovalNotice:
    """What is told of an approval.

    Attributes:
        people: how many persons it is about.
        requested_by: identity of the principal.
        decided_by: likewise; empty before.
    """

    approval: ApprovalId
    tenant: TenantId
    operation: Operation
    state: ApprovalState
    people: int
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    decided_by: str = ""
    decided_at: datetime | None = None
