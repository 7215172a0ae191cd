# SPDX-License-Identifier: Apache-2.0
"""The RPCs that take two persons: who speaks is taken from the door, never from the request."""

from typing import Any

from voiceauth.access.approvals import party_of, require_approving, require_asking
from voiceauth.errors import InputError, PolicyError
from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.service.speaker import speaker
from voiceauth.types import Approval, ApprovalNotice, Operation, Party, Plan, TenantId
from voiceauth.usecases import second_person
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.erase_subjects import erase_subjects
from voiceauth.usecases.export_subject import export_subject
from voiceauth.usecases.identifiers import approval_id, key_id, subject_id, tenant_id
from voiceauth.usecases.keep_keys import destroy_approved
from voiceauth.v1 import approvals_pb2, approvals_pb2_grpc
from voiceauth.wire.approvals import notice_to_wire


class ApprovalServicer(approvals_pb2_grpc.ApprovalServiceServicer):
    """Asking, approving, and what is done with it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def _engine(self) -> Engine:
        return self._runtime.engine

    async def RequestApproval(  # noqa: N802 - gRPC's names, here and below
        self, request: approvals_pb2.RequestApprovalRequest, context: Any
    ) -> approvals_pb2.Approval:
        """Ask for a second person's approval."""
        del context
        plan, who = plan_of(request), speaker()
        require_asking(who, plan.operation)
        by, desk = party_of(who), self._engine.approval_desk
        return _told(await in_vault(self._runtime, lambda: second_person.ask(desk, plan, by)))

    async def ListApprovals(  # noqa: N802
        self, request: approvals_pb2.ListApprovalsRequest, context: Any
    ) -> approvals_pb2.ListApprovalsResponse:
        """List a tenant's approvals."""
        del context
        tenant, desk = tenant_id(request.tenant_id), self._engine.approval_desk
        found = await in_vault(self._runtime, lambda: second_person.listed(desk, tenant))
        return approvals_pb2.ListApprovalsResponse(approvals=[_told(one) for one in found])

    async def Approve(  # noqa: N802
        self, request: approvals_pb2.ApproveRequest, context: Any
    ) -> approvals_pb2.Approval:
        """Approve what another person asked for."""
        del context
        plan, who, name = plan_of(request), speaker(), approval_id(request.approval_id)
        require_approving(who, plan.operation)
        by, desk = party_of(who), self._engine.approval_desk
        work = lambda: second_person.approve(desk, name, plan, by)  # noqa: E731
        return _told(await in_vault(self._runtime, work))

    async def Refuse(  # noqa: N802
        self, request: approvals_pb2.RefuseRequest, context: Any
    ) -> approvals_pb2.Approval:
        """Refuse what was asked for."""
        del context
        tenant, name = _tenant(request.tenant_id), approval_id(request.approval_id)
        by, desk = party_of(speaker()), self._engine.approval_desk
        work = lambda: second_person.refuse(desk, tenant, name, by)  # noqa: E731
        return _told(await in_vault(self._runtime, work))

    async def ExportSubject(  # noqa: N802
        self, request: approvals_pb2.ExportSubjectRequest, context: Any
    ) -> approvals_pb2.ExportSubjectResponse:
        """Hand out all that is known of a person."""
        del context
        tenant, subject = tenant_id(request.tenant_id), subject_id(request.subject_id)
        name, by = approval_id(request.approval_id), self._doer(Operation.SUBJECT_EXPORT)
        work = lambda: export_subject(self._engine, tenant, subject, name, by)  # noqa: E731
        text = await in_vault(self._runtime, work)
        return approvals_pb2.ExportSubjectResponse(document=text.encode())

    async def EraseSubjects(  # noqa: N802
        self, request: approvals_pb2.EraseSubjectsRequest, context: Any
    ) -> approvals_pb2.EraseSubjectsResponse:
        """Forget many people."""
        del context
        tenant = tenant_id(request.tenant_id)
        subjects = [subject_id(one) for one in request.subject_ids]
        name, by = approval_id(request.approval_id), self._doer(Operation.BULK_ERASURE)
        work = lambda: erase_subjects(self._engine, tenant, subjects, name, by)  # noqa: E731
        done = await in_vault(self._runtime, work)
        return approvals_pb2.EraseSubjectsResponse(
            record_id=done.record_id,
            subjects=done.subjects,
            voiceprints=done.voiceprints,
            unknown=done.unknown,
        )

    async def DestroyKey(  # noqa: N802
        self, request: approvals_pb2.DestroyKeyRequest, context: Any
    ) -> approvals_pb2.DestroyKeyResponse:
        """Destroy a replaced key."""
        del context
        keys = self._engine.keys
        if keys is None:
            raise PolicyError("This server does not look after keys.")
        plan = second_person.destruction_plan(_tenant(request.tenant_id), key_id(request.key_id))
        name, by = approval_id(request.approval_id), self._doer(Operation.KEY_DESTRUCTION)
        desk = self._engine.approval_desk
        work = lambda: destroy_approved(keys, desk, plan, name, by)  # noqa: E731
        await in_vault(self._runtime, work)
        return approvals_pb2.DestroyKeyResponse()

    def _doer(self, operation: Operation) -> Party | None:
        """Return who acts, None only where nobody has to be known for it.

        Raises:
            SecondPersonMissingError: somebody has to be, and whoever reaches the port is nobody.
        """
        demanded = self._engine.approval_desk.demands(operation)
        return party_of(speaker()) if demanded else None


def plan_of(request: Any) -> Plan:
    """Read the operation that a request names, with its tenant.

    Raises:
        InputError: it names none, or its arguments are malformed.
    """
    which, given = request.plan.WhichOneof("plan"), request.plan
    if which == "key_destruction":
        key = key_id(given.key_destruction.key_id)
        return second_person.destruction_plan(_tenant(request.tenant_id), key)
    tenant = tenant_id(request.tenant_id)
    if which == "subject_export":
        return second_person.export_plan(tenant, subject_id(given.subject_export.subject_id))
    if which == "bulk_erasure":
        subjects = [subject_id(one) for one in given.bulk_erasure.subject_ids]
        return second_person.erasure_plan(tenant, subjects)
    raise InputError("The request names no operation.")


def _tenant(text: str) -> TenantId:
    """Read a tenant; an empty one is the installation itself, for its own keys.

    Only a principal of all tenants comes this far with it.
    """
    return tenant_id(text) if text else TenantId("")


def _told(approval: Approval) -> approvals_pb2.Approval:
    decider = approval.decider
    return notice_to_wire(
        ApprovalNotice(
            approval=approval.approval,
            tenant=approval.tenant,
            operation=approval.operation,
            state=approval.state,
            people=approval.people,
            requested_by=approval.requester.identity,
            requested_at=approval.requested_at,
            expires_at=approval.expires_at,
            decided_by="" if decider is None else decider.identity,
            decided_at=approval.decided_at,
        )
    )
