# SPDX-License-Identifier: Apache-2.0
"""Sweeps of the retention rules on the wire."""

from voiceauth.types import RetentionDue, SubjectId, Sweep
from voiceauth.v1 import retention_pb2
from voiceauth.wire.subjects import time_from_wire, time_to_wire


def sweep_to_wire(sweep: Sweep) -> retention_pb2.SweepRetentionResponse:
    """Build the message of a sweep."""
    return retention_pb2.SweepRetentionResponse(
        due=[
            retention_pb2.RetentionDue(
                subject_id=one.subject,
                rule=one.rule,
                due_at=time_to_wire(one.due_at),
                erases=retention_pb2.RETENTION_ERASES_SUBJECT
                if one.whole
                else retention_pb2.RETENTION_ERASES_VOICE,
            )
            for one in sweep.due
        ],
        more=sweep.more,
        held=sweep.held,
        record_id=sweep.record_id or 0,
    )


def sweep_from_wire(message: retention_pb2.SweepRetentionResponse) -> Sweep:
    """Read a sweep. Raises InputError for a time out of range."""
    return Sweep(
        due=tuple(
            RetentionDue(
                subject=SubjectId(one.subject_id),
                rule=one.rule,
                due_at=time_from_wire(one.due_at),
                whole=one.erases == retention_pb2.RETENTION_ERASES_SUBJECT,
            )
            for one in message.due
        ),
        more=message.more,
        held=message.held,
        record_id=message.record_id or None,
    )
