# SPDX-License-Identifier: Apache-2.0
"""The rule of two persons: who may ask, who may approve, and when an approval may be used.

Pure: no store and no clock. Each check raises; what it returns is the approval's next state.

Rules:

* Asking and approving are permissions of their own for each operation.
* Two principals that share a name are one person. Whoever shows nothing is nobody in particular,
  and can be neither of the two.
* An approval is for one operation with exactly these arguments, for the one who asked, once, and
  until it expires. Time that has gone back leaves nothing usable.

What cannot be told here: whether two principals without a common name are one human being.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from voiceauth.access.principal import Means, Principal
from voiceauth.access.roles import Permission, permissions_of
from voiceauth.access.rules import Refusal
from voiceauth.errors import AccessError, ApprovalInvalidError, SecondPersonMissingError
from voiceauth.types import Approval, ApprovalState, Operation, Party

CORRECTION = timedelta(seconds=60)
"""How far a clock may be set back without anybody meaning anything by it."""


class Unfit(StrEnum):
    """Why an approval could not be given or used: the detail of the error, for ledger and log."""

    MISSING = "approval_missing"
    PENDING = "approval_pending"
    NOBODY = "approval_by_nobody_known"
    SAME_PERSON = "approval_same_person"
    UNKNOWN = "approval_unknown"
    EXPIRED = "approval_expired"
    CLOCK = "approval_from_the_future"
    REFUSED = "approval_refused"
    USED = "approval_used"
    DECIDED = "approval_decided"
    CHANGED = "approval_for_something_else"
    REQUESTER = "approval_of_another_requester"


@dataclass(frozen=True, slots=True)
class Terms:
    """What an operation takes: a permission to ask for it and do it, and one to approve it."""

    ask: Permission
    approve: Permission


TERMS: Mapping[Operation, Terms] = {
    Operation.SUBJECT_EXPORT: Terms(Permission.EXPORT_SUBJECT, Permission.APPROVE_EXPORT),
    Operation.BULK_ERASURE: Terms(Permission.ERASE_SUBJECTS, Permission.APPROVE_ERASURE),
    Operation.KEY_DESTRUCTION: Terms(Permission.DESTROY_KEY, Permission.APPROVE_DESTRUCTION),
}


def party_of(principal: Principal) -> Party:
    """Return who a principal is for the rule of two persons.

    Raises:
        SecondPersonMissingError: it is whoever reaches the port.
    """
    if principal.means is Means.LOCAL:
        raise SecondPersonMissingError(detail=Unfit.NOBODY)
    names = {_folded(principal.name), _folded(principal.person)} - {""}
    return Party(principal.identity, frozenset(names))


def require_asking(principal: Principal, operation: Operation) -> None:
    """Check that a principal may ask for an operation. Raises AccessError."""
    if TERMS[operation].ask not in permissions_of(principal.roles):
        raise AccessError(detail=Refusal.ROLE)


def require_approving(principal: Principal, operation: Operation) -> None:
    """Check that a principal may approve an operation. Raises AccessError."""
    if TERMS[operation].approve not in permissions_of(principal.roles):
        raise AccessError(detail=Refusal.ROLE)


def approved(approval: Approval, by: Party, *, digest: bytes, now: datetime) -> Approval:
    """Return an approval, given.

    (1) It is open, and its time is not over.
    (2) The one who approves names the operation and the arguments that were asked for.
    (3) They are not the one who asked.

    Args:
        approval: as stored.
        by: who approves; the permission is checked by ``require_approving``.
        digest: of what they say they approve.
        now: from ``moment``.

    Raises:
        ApprovalInvalidError: (1) or (2) fails.
        SecondPersonMissingError: (3) fails.
    """
    _require_open(approval, now)  # (1)
    if digest != approval.digest:  # (2)
        raise ApprovalInvalidError(detail=Unfit.CHANGED)
    if by.names & approval.requester.names:  # (3)
        raise SecondPersonMissingError(detail=Unfit.SAME_PERSON)
    return replace(approval, state=ApprovalState.APPROVED, decider=by, decided_at=now)


def refused(approval: Approval, by: Party, *, now: datetime) -> Approval:
    """Return an approval, refused; also by the one who asked. Raises ApprovalInvalidError."""
    _require_open(approval, now)
    return replace(approval, state=ApprovalState.REFUSED, decider=by, decided_at=now)


def used(approval: Approval, by: Party | None, *, digest: bytes, now: datetime) -> Approval:
    """Return an approval, used up.

    (1) It was given, and was not used.
    (2) Its time is not over.
    (3) It is for this operation with these arguments.
    (4) The one who acts is the one who asked.

    Args:
        approval: as stored.
        by: who acts; None for a command on the server's own machine, which names nobody.
        digest: of what is to be done.
        now: as in ``approved``.

    Raises:
        ApprovalInvalidError: a step fails.
        SecondPersonMissingError: nobody has approved it yet.
    """
    if approval.state is ApprovalState.PENDING:  # (1)
        raise SecondPersonMissingError(detail=Unfit.PENDING)
    if approval.state is not ApprovalState.APPROVED:
        before = Unfit.REFUSED if approval.state is ApprovalState.REFUSED else Unfit.USED
        raise ApprovalInvalidError(detail=before)
    _require_current(approval, now)  # (2)
    if digest != approval.digest:  # (3)
        raise ApprovalInvalidError(detail=Unfit.CHANGED)
    if by is not None and by.identity != approval.requester.identity:  # (4)
        raise ApprovalInvalidError(detail=Unfit.REQUESTER)
    return replace(approval, state=ApprovalState.USED)


def shown(approval: Approval, now: datetime) -> Approval:
    """Return an approval as it may be told: one whose time is over says so."""
    waiting = approval.state in (ApprovalState.PENDING, ApprovalState.APPROVED)
    if waiting and over(approval, now):
        return replace(approval, state=ApprovalState.EXPIRED)
    return approval


def over(approval: Approval, now: datetime) -> bool:
    """Say whether an approval's time is over."""
    return now >= approval.expires_at


def moment(now: datetime, latest: datetime | None) -> datetime:
    """Return the time that approvals are held against: it never goes back.

    Args:
        now: of the clock.
        latest: of all that was recorded since the request; None for nothing.

    Raises:
        ApprovalInvalidError: the clock was set back since, further than clocks are corrected.
    """
    if latest is None:
        return now
    if latest - now > CORRECTION:
        raise ApprovalInvalidError(detail=Unfit.CLOCK)
    return max(now, latest)


def _require_open(approval: Approval, now: datetime) -> None:
    if approval.state is not ApprovalState.PENDING:
        raise ApprovalInvalidError(detail=Unfit.DECIDED)
    _require_current(approval, now)


def _require_current(approval: Approval, now: datetime) -> None:
    if over(approval, now):
        raise ApprovalInvalidError(detail=Unfit.EXPIRED)


def _folded(name: str) -> str:
    """Return a name without what differs only in looks: case, width, blanks around it."""
    return unicodedata.normalize("NFKC", name).strip().casefold()
