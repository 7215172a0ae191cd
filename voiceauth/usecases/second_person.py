# SPDX-License-Identifier: Apache-2.0
"""Ask for a second person's approval, give or refuse it, and use it once.

The rules are those of ``access.approvals``. Here they meet the vault and the ledger: each step is
one transaction with its entry, and an approval is used up in the transaction of what it allows.

The clock is held against all entries since the request, so that setting it back brings no approval
to life again.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from voiceauth.access import approvals as rules
from voiceauth.access.approvals import Unfit
from voiceauth.config import Settings
from voiceauth.errors import (
    ApprovalInvalidError,
    InputError,
    LimitError,
    SecondPersonMissingError,
)
from voiceauth.keys.canonical import bind
from voiceauth.ports import Clock, Random, Transaction, Vault
from voiceauth.types import (
    Approval,
    ApprovalId,
    KeyId,
    Operation,
    Party,
    Plan,
    SubjectId,
    TenantId,
)
from voiceauth.units import Seconds

MOST_PEOPLE = 500
"""Persons in one bulk erasure: it is one transaction, and every call waits for it."""
MOST_OPEN = 100
"""Approvals of one tenant at once."""
NOT_DEMANDED = "not_demanded"
"""Stands in the ledger for the approval that the settings do not ask for."""
_ID_BYTES = 8
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class ApprovalRules:
    """The settings' ``[approvals]``."""

    demanded_for: frozenset[Operation] = frozenset(Operation)
    valid_seconds: Seconds = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class ApprovalDesk:
    """What approvals need.

    Attributes:
        secret: purpose -> 32-byte installation secret: nobody can try out arguments on a digest.
    """

    vault: Vault
    clock: Clock
    random: Random
    secret: Callable[[str], bytes]
    rules: ApprovalRules = ApprovalRules()

    def demands(self, operation: Operation) -> bool:
        """Say whether an operation needs a second person here."""
        return operation in self.rules.demanded_for


def approval_rules(settings: Settings) -> ApprovalRules:
    """Return what the settings say about second persons."""
    given = settings.approvals
    return ApprovalRules(frozenset(given.demanded_for), given.valid_hours * _HOUR_SECONDS)


def export_plan(tenant: TenantId, subject: SubjectId) -> Plan:
    """Return the plan to hand out all that is known of a subject."""
    return Plan(Operation.SUBJECT_EXPORT, tenant, (subject,))


def erasure_plan(tenant: TenantId, subjects: Sequence[SubjectId]) -> Plan:
    """Return the plan to erase many subjects.

    Raises:
        InputError: none, too many, or one of them twice.
    """
    if not 1 <= len(subjects) <= MOST_PEOPLE:
        raise InputError(f"A bulk erasure names 1 to {MOST_PEOPLE} subjects.")
    if len(set(subjects)) != len(subjects):
        raise InputError("A bulk erasure names each subject once.")
    return Plan(Operation.BULK_ERASURE, tenant, tuple(sorted(subjects)))


def destruction_plan(tenant: TenantId, key: KeyId) -> Plan:
    """Return the plan to destroy a replaced key of a tenant, or of the installation itself."""
    return Plan(Operation.KEY_DESTRUCTION, tenant, key=key)


def ask(desk: ApprovalDesk, plan: Plan, by: Party) -> Approval:
    """Ask for a second person's approval. What is over by now is forgotten.

    Raises:
        LimitError: the tenant has too many approvals already.
        StorageError: nothing was asked.
    """
    now = desk.clock.now()
    with desk.vault.begin() as transaction:
        left = 0
        for one in transaction.approvals.all_of(plan.tenant):
            if rules.over(one, now):
                transaction.approvals.delete(one.approval)
            else:
                left += 1
        if left >= MOST_OPEN:
            raise LimitError("There are too many open approvals; refuse some.")
        name = ApprovalId(desk.random.token(_ID_BYTES).hex())
        digest = _digest(desk, plan)
        body: dict[str, object] = {
            "approval": name,
            "operation": plan.operation.value,
            "digest": digest.hex(),
            "people": len(plan.subjects),
        }
        if plan.key:
            body["key"] = plan.key
        entry = transaction.append(
            at=now, tenant=plan.tenant, event="approval.requested", body=body
        )
        asked = Approval(
            approval=name,
            tenant=plan.tenant,
            operation=plan.operation,
            digest=digest,
            people=len(plan.subjects),
            requester=by,
            requested_at=now,
            expires_at=now + timedelta(seconds=desk.rules.valid_seconds),
            sequence=entry.sequence,
        )
        transaction.approvals.put(asked)
    return asked


def listed(desk: ApprovalDesk, tenant: TenantId) -> tuple[Approval, ...]:
    """Return a tenant's approvals, oldest first; the reading is recorded."""
    now = desk.clock.now()
    with desk.vault.begin() as transaction:
        stored = transaction.approvals.all_of(tenant)
        body = {"returned": len(stored)}
        transaction.append(at=now, tenant=tenant, event="approval.listed", body=body)
    return tuple(rules.shown(one, now) for one in stored)


def approve(desk: ApprovalDesk, approval: ApprovalId, plan: Plan, by: Party) -> Approval:
    """Approve what somebody else asked for, naming it.

    Raises:
        ApprovalInvalidError: it is not open, over, or for something else than is named.
        SecondPersonMissingError: the one who approves is the one who asked.
    """
    with desk.vault.begin() as transaction:
        found, now = _found(desk, transaction, plan.tenant, approval)
        given = rules.approved(found, by, digest=_digest(desk, plan), now=now)
        _put(desk, transaction, given, "approval.approved")
    return given


def refuse(desk: ApprovalDesk, tenant: TenantId, approval: ApprovalId, by: Party) -> Approval:
    """Refuse what was asked for, or take one's own request back. Raises ApprovalInvalidError."""
    with desk.vault.begin() as transaction:
        found, now = _found(desk, transaction, tenant, approval)
        given = rules.refused(found, by, now=now)
        _put(desk, transaction, given, "approval.refused")
    return given


def operation_of(desk: ApprovalDesk, tenant: TenantId, approval: ApprovalId) -> Operation:
    """Return what an approval is for. Raises ApprovalInvalidError for an unknown one."""
    with desk.vault.read() as view:
        return _found(desk, view, tenant, approval)[0].operation


def use(
    desk: ApprovalDesk,
    transaction: Transaction,
    plan: Plan,
    approval: ApprovalId,
    by: Party | None,
) -> dict[str, object]:
    """Use an approval up, in the transaction of what it allows.

    Args:
        desk: of the vault that the transaction is of.
        transaction: writable; if it is rolled back, the approval is not used.
        plan: what is done in it.
        approval: empty where none was named.
        by: who acts; None for a command on the server's own machine.

    Returns:
        What the ledger entries of the effect say about it.

    Raises:
        SecondPersonMissingError: no approval was named, or nobody has given it yet.
        ApprovalInvalidError: it cannot be used for this, now, by this one.
    """
    if not desk.demands(plan.operation):
        return {"approval": NOT_DEMANDED}
    if not approval:
        raise SecondPersonMissingError(detail=Unfit.MISSING)
    found, now = _found(desk, transaction, plan.tenant, approval)
    gone = rules.used(found, by, digest=_digest(desk, plan), now=now)
    if transaction.approvals.used_since(approval, found.sequence):
        raise ApprovalInvalidError(detail=Unfit.USED)  # an old row was put back
    _put(desk, transaction, gone, "approval.used")
    return {"approval": approval}


def _found(
    desk: ApprovalDesk, transaction: Transaction, tenant: TenantId, approval: ApprovalId
) -> tuple[Approval, datetime]:
    found = transaction.approvals.get(tenant, approval)
    if found is None:
        raise ApprovalInvalidError(detail=Unfit.UNKNOWN)
    latest = transaction.approvals.latest_since(found.sequence)
    return found, rules.moment(desk.clock.now(), latest)


def _put(desk: ApprovalDesk, transaction: Transaction, approval: Approval, event: str) -> None:
    transaction.approvals.put(approval)
    transaction.append(
        at=desk.clock.now(),
        tenant=approval.tenant,
        event=event,
        body={"approval": approval.approval, "operation": approval.operation.value},
    )


def _digest(desk: ApprovalDesk, plan: Plan) -> bytes:
    parts = {f"subject-{place}": one for place, one in enumerate(plan.subjects)}
    message = bind(
        "approval", operation=plan.operation.value, tenant=plan.tenant, key=plan.key or "", **parts
    )
    return hmac.digest(desk.secret("approval-arguments"), message, "sha256")
