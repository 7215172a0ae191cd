# SPDX-License-Identifier: Apache-2.0
"""What takes two persons, from a client's side: ask, approve, refuse, and do it. Never repeated."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from voiceauth.types import ApprovalNotice, Plan
from voiceauth.v1 import approvals_pb2
from voiceauth.wire.approvals import notice_from_wire, plan_to_wire

_T = TypeVar("_T")


class Approvals:
    """The approvals of a server; ``Client.approvals`` makes it.

    Args:
        ask: sends one request.
        stub: returns the generated stub, which has no types of its own.
    """

    def __init__(self, ask: Callable[[Any, Any], Awaitable[Any]], stub: Callable[[], Any]) -> None:
        self._ask = ask
        self._stub = stub

    async def request(self, plan: Plan) -> ApprovalNotice:
        """Ask for a second person's approval.

        Raises:
            AccessError: this principal may not ask for it.
            LimitError: the tenant has too many approvals already.
        """
        request = approvals_pb2.RequestApprovalRequest(
            tenant_id=plan.tenant, plan=plan_to_wire(plan)
        )
        return notice_from_wire(await self._ask(self._stub().RequestApproval, request))

    async def list(self, tenant: str) -> tuple[ApprovalNotice, ...]:
        """Read a tenant's approvals, oldest first."""
        request = approvals_pb2.ListApprovalsRequest(tenant_id=tenant)
        reply = await self._ask(self._stub().ListApprovals, request)
        return tuple(notice_from_wire(one) for one in reply.approvals)

    async def approve(self, approval: str, plan: Plan) -> ApprovalNotice:
        """Approve what another person asked for, naming it.

        Raises:
            SecondPersonMissingError: this is the person who asked.
            ApprovalInvalidError: it is not open, over, or for something else than ``plan``.
        """
        request = approvals_pb2.ApproveRequest(
            tenant_id=plan.tenant, approval_id=approval, plan=plan_to_wire(plan)
        )
        return notice_from_wire(await self._ask(self._stub().Approve, request))

    async def refuse(self, tenant: str, approval: str) -> ApprovalNotice:
        """Refuse what was asked for, or take it back. Raises ApprovalInvalidError."""
        request = approvals_pb2.RefuseRequest(tenant_id=tenant, approval_id=approval)
        return notice_from_wire(await self._ask(self._stub().Refuse, request))

    async def export_subject(self, tenant: str, subject: str, approval: str = "") -> str:
        """Return all that is kept about a subject, as a signed JSON document.

        Raises:
            SecondPersonMissingError: nobody has approved it.
            ApprovalInvalidError: the approval cannot be used for this.
            NotFoundError: there is no such subject.
        """
        request = approvals_pb2.ExportSubjectRequest(
            tenant_id=tenant, subject_id=subject, approval_id=approval
        )
        reply = await self._ask(self._stub().ExportSubject, request)
        return str(reply.document.decode())

    async def erase_subjects(
        self, tenant: str, subjects: Iterable[str], approval: str = ""
    ) -> tuple[int, int, int]:
        """Erase many subjects; return how many persons, voiceprints and unknown ids there were.

        Raises:
            SecondPersonMissingError: nobody has approved it.
            ApprovalInvalidError: the approval cannot be used for this list.
            NotFoundError: none of them is there.
        """
        request = approvals_pb2.EraseSubjectsRequest(
            tenant_id=tenant, subject_ids=subjects, approval_id=approval
        )
        reply = await self._ask(self._stub().EraseSubjects, request)
        return reply.subjects, reply.voiceprints, reply.unknown

    async def destroy_key(self, tenant: str, key: str, approval: str = "") -> None:
        """Destroy a replaced key of a tenant.

        Raises:
            SecondPersonMissingError: nobody has approved it.
            ApprovalInvalidError: the approval cannot be used for this key.
            PolicyError: the key is current, or the vault still needs it.
            NotFoundError: the tenant has no such key.
        """
        request = approvals_pb2.DestroyKeyRequest(
            tenant_id=tenant, key_id=key, approval_id=approval
        )
        await self._ask(self._stub().DestroyKey, request)


class SyncApprovals:
    """The blocking twin of ``Approvals``: same names, same arguments, same errors."""

    def __init__(
        self, approvals: Approvals, wait_for: Callable[[Coroutine[Any, Any, Any]], Any]
    ) -> None:
        self._approvals = approvals
        self._wait_for = wait_for

    def request(self, plan: Plan) -> ApprovalNotice:
        """Ask for a second person's approval."""
        return self._done(self._approvals.request(plan))

    def list(self, tenant: str) -> tuple[ApprovalNotice, ...]:
        """Read a tenant's approvals, oldest first."""
        return self._done(self._approvals.list(tenant))

    def approve(self, approval: str, plan: Plan) -> ApprovalNotice:
        """Approve what another person asked for, naming it."""
        return self._done(self._approvals.approve(approval, plan))

    def refuse(self, tenant: str, approval: str) -> ApprovalNotice:
        """Refuse what was asked for, or take it back."""
        return self._done(self._approvals.refuse(tenant, approval))

    def export_subject(self, tenant: str, subject: str, approval: str = "") -> str:
        """Return all that is kept about a subject, as a signed JSON document."""
        return self._done(self._approvals.export_subject(tenant, subject, approval))

    def erase_subjects(
        self, tenant: str, subjects: Iterable[str], approval: str = ""
    ) -> tuple[int, int, int]:
        """Erase many subjects; return how many persons, voiceprints and unknown ids there were."""
        return self._done(self._approvals.erase_subjects(tenant, subjects, approval))

    def destroy_key(self, tenant: str, key: str, approval: str = "") -> None:
        """Destroy a replaced key of a tenant."""
        self._done(self._approvals.destroy_key(tenant, key, approval))

    def _done(self, work: Coroutine[Any, Any, _T]) -> _T:
        done: _T = self._wait_for(work)
        return done
