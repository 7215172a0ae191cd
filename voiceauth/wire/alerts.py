# SPDX-License-Identifier: Apache-2.0
"""Alerts as messages."""

from voiceauth.errors import InputError
from voiceauth.types import (
    Acknowledgement,
    Alert,
    AlertId,
    Assessment,
    Severity,
    TenantId,
)
from voiceauth.v1 import alerts_pb2
from voiceauth.wire.enums import reversed_table, table
from voiceauth.wire.subjects import time_from_wire, time_to_wire

_SEVERITIES = table(Severity, alerts_pb2.AlertSeverity, "ALERT_SEVERITY")
_SEVERITIES_BACK = reversed_table(_SEVERITIES)
_ASSESSMENTS = table(Assessment, alerts_pb2.AlertAssessment, "ALERT_ASSESSMENT")
_ASSESSMENTS_BACK = reversed_table(_ASSESSMENTS)


def alert_to_wire(alert: Alert) -> alerts_pb2.Alert:
    """Build the message of an alert."""
    seen = alert.acknowledged
    return alerts_pb2.Alert(
        alert_id=alert.alert,
        tenant_id=alert.tenant,
        raised_at=time_to_wire(alert.at),
        rule=alert.rule,
        severity=_SEVERITIES[alert.severity],
        about=alert.about,
        pseudonym=alert.pseudonym,
        counts=[alerts_pb2.AlertCount(name=name, number=one) for name, one in alert.counts],
        records=alert.records,
        runbook=alert.runbook,
        record_id=alert.record_id,
        acknowledgement=None
        if seen is None
        else alerts_pb2.AlertAcknowledgement(
            acknowledged_at=time_to_wire(seen.at),
            acknowledged_by=seen.by,
            assessment=_ASSESSMENTS[seen.assessment],
        ),
    )


def alert_from_wire(message: alerts_pb2.Alert) -> Alert:
    """Read an alert. Raises InputError for a time out of range or a value that is not known."""
    seen = message.acknowledgement
    severity = _SEVERITIES_BACK.get(int(message.severity))
    if severity is None:
        raise InputError("The severity of an alert is not known.")
    return Alert(
        alert=AlertId(message.alert_id),
        at=time_from_wire(message.raised_at),
        rule=message.rule,
        severity=severity,
        tenant=TenantId(message.tenant_id),
        about=message.about,
        pseudonym=message.pseudonym,
        counts=tuple((one.name, one.number) for one in message.counts),
        records=tuple(message.records),
        runbook=message.runbook,
        record_id=message.record_id,
        acknowledged=Acknowledgement(
            time_from_wire(seen.acknowledged_at),
            seen.acknowledged_by,
            assessment_from_wire(seen.assessment),
        )
        if message.HasField("acknowledgement")
        else None,
    )


def assessment_to_wire(assessment: Assessment) -> alerts_pb2.AlertAssessment.ValueType:
    """Return the contract's value."""
    return alerts_pb2.AlertAssessment.ValueType(_ASSESSMENTS[assessment])


def assessment_from_wire(number: int) -> Assessment:
    """Read an assessment. Raises InputError for one that is not known."""
    found = _ASSESSMENTS_BACK.get(int(number))
    if found is None:
        raise InputError("assessment must be one of the contract.")
    return found
