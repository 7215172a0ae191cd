# SPDX-License-Identifier: Apache-2.0
"""Subjects and consents on the wire."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from voiceauth.errors import InputError
from voiceauth.types import Consent, GroupName, Subject, SubjectId, TenantId
from voiceauth.v1 import subjects_pb2
from voiceauth.wire.enums import subject_state_from_wire, subject_state_to_wire


def time_to_wire(at: datetime | None) -> Timestamp | None:
    """Build the message of a time; None stays None.

    Raises:
        InputError: the time has no zone, so that it names no instant.
    """
    if at is None:
        return None
    if at.tzinfo is None:
        raise InputError("A time must carry its zone.")
    message = Timestamp()
    message.FromDatetime(at)
    return message


def time_from_wire(message: Timestamp) -> datetime:
    """Read a time as UTC. Raises InputError for one outside the years 1 to 9999."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InputError("A time is out of range.", detail=str(error)) from error


def consent_to_wire(consent: Consent) -> subjects_pb2.Consent:
    """Build the message of a consent. Raises InputError for a time without a zone."""
    return subjects_pb2.Consent(
        text_sha256=consent.text_sha256,
        purpose=consent.purpose,
        locale=consent.locale,
        method=consent.method,
        given_at=time_to_wire(consent.given_at),
        expires_at=time_to_wire(consent.expires_at),
        withdrawn_at=time_to_wire(consent.withdrawn_at),
        channel=consent.channel,
        jurisdiction=consent.jurisdiction,
    )


def consent_from_wire(message: subjects_pb2.Consent, *, now: datetime) -> Consent:
    """Read a stored consent.

    Args:
        message: the consent.
        now: stands for an absent ``given_at``.

    Raises:
        InputError: a time is out of range.
    """
    return Consent(
        text_sha256=message.text_sha256,
        purpose=message.purpose,
        locale=message.locale,
        method=message.method,
        given_at=time_from_wire(message.given_at) if message.HasField("given_at") else now,
        expires_at=time_from_wire(message.expires_at) if message.HasField("expires_at") else None,
        withdrawn_at=time_from_wire(message.withdrawn_at)
        if message.HasField("withdrawn_at")
        else None,
        channel=message.channel,
        jurisdiction=message.jurisdiction,
    )


def subject_to_wire(subject: Subject) -> subjects_pb2.Subject:
    """Build the message of a subject, its groups sorted."""
    return subjects_pb2.Subject(
        tenant_id=subject.tenant,
        subject_id=subject.subject,
        state=subject_state_to_wire(subject.state),
        created_at=time_to_wire(subject.created_at),
        groups=sorted(subject.groups),
        consent=None if subject.consent is None else consent_to_wire(subject.consent),
        voiceprints=subject.voiceprints,
        net_enrolled_seconds=subject.net_enrolled_seconds,
        pending_seconds=subject.pending_seconds,
        last_interaction_at=time_to_wire(subject.last_interaction_at),
    )


def subject_from_wire(message: subjects_pb2.Subject) -> Subject:
    """Read a subject. Raises InputError for a time out of range."""
    created = time_from_wire(message.created_at)
    return Subject(
        tenant=TenantId(message.tenant_id),
        subject=SubjectId(message.subject_id),
        state=subject_state_from_wire(message.state),
        created_at=created,
        groups=frozenset(GroupName(name) for name in message.groups),
        consent=consent_from_wire(message.consent, now=created)
        if message.HasField("consent")
        else None,
        voiceprints=message.voiceprints,
        net_enrolled_seconds=message.net_enrolled_seconds,
        pending_seconds=message.pending_seconds,
        last_interaction_at=time_from_wire(message.last_interaction_at)
        if message.HasField("last_interaction_at")
        else None,
    )
