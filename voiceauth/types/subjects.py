# SPDX-License-Identifier: Apache-2.0
"""People, their consent and their voiceprints."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum

from voiceauth.types.names import (
    CallId,
    Embedding,
    GroupName,
    ModelHash,
    SubjectId,
    TenantId,
    VoiceprintId,
)
from voiceauth.types.reasons import Reason
from voiceauth.types.speech import Bandwidth, Quality
from voiceauth.units import Decibels, Seconds


class SubjectState(StrEnum):
    """Life of a subject, without erasure: an erased subject leaves no record."""

    ACTIVE = "active"
    OPTED_OUT = "opted_out"


@dataclass(frozen=True, slots=True)
class Consent:
    """A recorded permission to collect and use one subject's voiceprint.

    Attributes:
        text_sha256: hash of the exact text that was read or shown, lower-case hex.
        purpose: what it permits, for example ``authentication``.
        locale: BCP 47 tag of the text.
        method: how it was given, for example ``ivr-keypress`` or ``spoken``.
        given_at: UTC.
        expires_at: the end of its term, UTC; None for no fixed end.
        withdrawn_at: UTC; None while in force.
        channel: where it was given, for example ``phone`` or ``branch``; empty if not told.
        jurisdiction: whose law protects the person, an ISO 3166 code such as ``US-IL`` or ``DE``;
            empty if not told, and then the settings say it.
    """

    text_sha256: str
    purpose: str
    locale: str
    method: str
    given_at: datetime
    expires_at: datetime | None = None
    withdrawn_at: datetime | None = None
    channel: str = ""
    jurisdiction: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A person known to one tenant, as read from the vault.

    Attributes:
        groups: named lists that Identify may search; names only.
        net_enrolled_seconds: over all voiceprints of the current model.
        pending_seconds: net speech of an unfinished enrolment.
        last_interaction_at: when the person was last known to be there, to the day: a consent, an
            enrolment, a voice that matched; None for one that an earlier version created.
    """

    tenant: TenantId
    subject: SubjectId
    state: SubjectState
    created_at: datetime
    groups: frozenset[GroupName] = frozenset()
    consent: Consent | None = None
    voiceprints: int = 0
    net_enrolled_seconds: Seconds = 0.0
    pending_seconds: Seconds = 0.0
    last_interaction_at: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EnrolmentSegment:
    """One counted stretch of enrolment speech, with where it came from.

    Attributes:
        embedding: unit norm, shape (dimension,).
        net_seconds: weight in the voiceprint.
        call: the call it was heard in.
        start_seconds: stream time in that call.
        end_seconds: stream time in that call.
        snr_db: None if unknown.
        bandwidth: of the source.
    """

    embedding: Embedding
    net_seconds: Seconds
    call: CallId
    start_seconds: Seconds
    end_seconds: Seconds
    snr_db: Decibels | None
    bandwidth: Bandwidth


@dataclass(frozen=True, slots=True, eq=False)
class Voiceprint:
    """One enrolment of a subject under one model.

    Attributes:
        embedding: net-seconds-weighted mean of its segments, unit norm, shape (dimension,).
        model: hash of the model that made it; scores never cross models.
        net_seconds: total net speech in it.
        segments: provenance; a segment can be withdrawn and the voiceprint rebuilt.
    """

    voiceprint: VoiceprintId
    subject: SubjectId
    model: ModelHash
    embedding: Embedding
    net_seconds: Seconds
    created_at: datetime
    segments: tuple[EnrolmentSegment, ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """What became of one stretch of enrolment speech."""

    start_seconds: Seconds
    end_seconds: Seconds
    net_seconds: Seconds
    counted: bool
    reasons: tuple[Reason, ...]
    quality: Quality


@dataclass(frozen=True, slots=True)
class EnrolmentProgress:
    """How far an enrolment has come, earlier calls included."""

    net_seconds: Seconds
    needed_seconds: Seconds
    carried_over_seconds: Seconds
    segment: SegmentReport | None = None


class EnrolmentOutcome(StrEnum):
    """How an enrolment call ended."""

    ENROLLED = "enrolled"
    """A voiceprint was stored."""
    PARTIAL = "partial"
    """Not enough yet; what was collected is kept for the next call."""
    DUPLICATE = "duplicate"
    """The voice is already enrolled under another subject; what was collected was discarded."""
    INCOHERENT = "incoherent"
    """The segments do not sound like one person; what was collected was discarded."""
    NOT_LIVE = "not_live"
    """The call's speech is not shown to be living; nothing of it was stored, earlier calls stay."""
    WATCHLISTED = "watchlisted"
    """The voice is on a watchlist; what was collected was discarded. Whose it is, is not told."""


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """What is durable after an enrolment call.

    Attributes:
        net_seconds: in the stored voiceprint, or kept for the next call.
        record_id: ledger sequence number.
        voiceprints: of this subject now.
        voiceprint: id of the stored one, if one was stored.
        duplicate: the other subject, with DUPLICATE only.
        reasons: why, with NOT_LIVE.
    """

    outcome: EnrolmentOutcome
    net_seconds: Seconds
    record_id: int
    voiceprints: int
    voiceprint: VoiceprintId | None = None
    duplicate: SubjectId | None = None
    reasons: tuple[Reason, ...] = ()


class SubjectStanding(Enum):
    """What Verify finds behind a claim; never shown to the caller of Verify."""

    ENROLLED = "enrolled"
    UNKNOWN = "unknown"
    NOT_ENROLLED = "not_enrolled"
    CONSENT_ENDED = "consent_ended"
    OPTED_OUT = "opted_out"
