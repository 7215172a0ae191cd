# SPDX-License-Identifier: Apache-2.0
"""Plans and approvals on the wire."""

from voiceauth.errors import InputError
from voiceauth.types import (
    ApprovalId,
    ApprovalNotice,
    ApprovalState,
    Operation,
    Plan,
    TenantId,
)
from voiceauth.v1 import approvals_pb2
from voiceauth.wire.enums import reversed_table, table
from voiceauth.wire.subjects import time_from_wire, time_to_wire

_OPERATIONS = table(Operation, approvals_pb2.Operation, "OPERATION")
_STATES = table(ApprovalState, approvals_pb2.ApprovalState, "APPROVAL_STATE")
_OPERATIONS_BACK = reversed_table(_OPERATIONS)
_STATES_BACK = reversed_table(_STATES)


def plan_to_wire(plan: Plan) -> approvals_pb2.OperationPlan:
    """Build the message of a plan; its tenant stands beside it in a request."""
    if plan.operation is Operation.SUBJECT_EXPORT:
        one = approvals_pb2.SubjectExport(subject_id="".join(plan.subjects))
        return approvals_pb2.OperationPlan(subject_export=one)
    if plan.operation is Operation.BULK_ERASURE:
        many = approvals_pb2.BulkErasure(subject_ids=plan.subjects)
        return approvals_pb2.OperationPlan(bulk_erasure=many)
    key = approvals_pb2.KeyDestruction(key_id=plan.key or "")
    return approvals_pb2.OperationPlan(key_destruction=key)


def notice_to_wire(notice: ApprovalNotice) -> approvals_pb2.Approval:
    """Build the message of an approval."""
    return approvals_pb2.Approval(
        tenant_id=notice.tenant,
        approval_id=notice.approval,
        operation=_OPERATIONS[notice.operation],
        state=_STATES[notice.state],
        people=notice.people,
        requested_by=notice.requested_by,
        decided_by=notice.decided_by,
        requested_at=time_to_wire(notice.requested_at),
        expires_at=time_to_wire(notice.expires_at),
        decided_at=time_to_wire(notice.decided_at),
    )


def notice_from_wire(message: approvals_pb2.Approval) -> ApprovalNotice:
    """Read an approval; a state that this version does not know leads nowhere, as EXPIRED does.

    Raises:
        InputError: a time is out of range, or the operation is not known.
    """
    decided, operation = message.HasField("decided_at"), _OPERATIONS_BACK.get(message.operation)
    if operation is None:
        raise InputError("The operation is not known.")
    return ApprovalNotice(
        approval=ApprovalId(message.approval_id),
        tenant=TenantId(message.tenant_id),
        operation=operation,
        state=_STATES_BACK.get(message.state, ApprovalState.EXPIRED),
        people=message.people,
        requested_by=message.requested_by,
        requested_at=time_from_wire(message.requested_at),
        expires_at=time_from_wire(message.expires_at),
        decided_by=message.decided_by,
        decided_at=time_from_wire(message.decided_at) if decided else None,
    )
