# SPDX-License-Identifier: Apache-2.0
"""Challenges and their evidence on the wire."""

from datetime import UTC

from voiceauth.types import (
    Challenge,
    ChallengeCause,
    ChallengeEvidence,
    ChallengeId,
    ChallengeKind,
    ChallengeOutcome,
    RecognitionSource,
)
from voiceauth.v1 import evidence_pb2, verification_pb2
from voiceauth.wire.enums import reversed_table, table

_KINDS = table(ChallengeKind, verification_pb2.ChallengeKind, "CHALLENGE_KIND")
_OUTCOMES = table(ChallengeOutcome, evidence_pb2.ChallengeOutcome, "CHALLENGE_OUTCOME")
_CAUSES = table(ChallengeCause, evidence_pb2.ChallengeCause, "CHALLENGE_CAUSE")
_SOURCES = table(RecognitionSource, evidence_pb2.RecognitionSource, "RECOGNITION_SOURCE")
_KINDS_BACK = reversed_table(_KINDS)
_OUTCOMES_BACK = reversed_table(_OUTCOMES)
_CAUSES_BACK = reversed_table(_CAUSES)
_SOURCES_BACK = reversed_table(_SOURCES)


def challenge_kind_to_wire(kind: ChallengeKind) -> "verification_pb2.ChallengeKind.ValueType":
    """Return the contract's number of a kind."""
    return _KINDS[kind]  # type: ignore[no-any-return]


def challenge_kind_from_wire(number: int) -> ChallengeKind:
    """Return the kind; DIGITS for none or an unknown one."""
    return _KINDS_BACK.get(number, ChallengeKind.DIGITS)


def challenge_to_wire(challenge: Challenge) -> verification_pb2.Challenge:
    """Build the message of a challenge."""
    message = verification_pb2.Challenge(
        challenge_id=challenge.challenge,
        kind=_KINDS[challenge.kind],
        words=challenge.words,
        start_within_seconds=challenge.start_within_seconds,
        attempt=challenge.attempt,
        attempts_left=challenge.attempts_left,
    )
    message.expires_at.FromDatetime(challenge.expires_at)
    return message


def challenge_from_wire(message: verification_pb2.Challenge) -> Challenge:
    """Read a challenge."""
    return Challenge(
        challenge=ChallengeId(message.challenge_id),
        kind=challenge_kind_from_wire(message.kind),
        words=tuple(message.words),
        expires_at=message.expires_at.ToDatetime(UTC),
        start_within_seconds=message.start_within_seconds,
        attempt=message.attempt,
        attempts_left=message.attempts_left,
    )


def challenge_evidence_to_wire(evidence: ChallengeEvidence) -> evidence_pb2.ChallengeEvidence:
    """Build the message of how a challenge was met."""
    return evidence_pb2.ChallengeEvidence(
        challenge_id=evidence.challenge,
        outcome=_OUTCOMES[evidence.outcome],
        cause=_CAUSES[evidence.cause],
        attempt=evidence.attempt,
        content_llr=evidence.content_llr,
        voice_llr=evidence.voice_llr,
        onset_seconds=evidence.onset_seconds,
        source=evidence_pb2.RECOGNITION_SOURCE_UNSPECIFIED
        if evidence.source is None
        else _SOURCES[evidence.source],
    )


def challenge_evidence_from_wire(message: evidence_pb2.ChallengeEvidence) -> ChallengeEvidence:
    """Read how a challenge was met; an unknown outcome or cause is no pass."""
    return ChallengeEvidence(
        challenge=ChallengeId(message.challenge_id),
        outcome=_OUTCOMES_BACK.get(message.outcome, ChallengeOutcome.ABSENT),
        cause=_CAUSES_BACK.get(message.cause, ChallengeCause.RECOGNISER_FAILED),
        attempt=message.attempt,
        content_llr=message.content_llr if message.HasField("content_llr") else None,
        voice_llr=message.voice_llr if message.HasField("voice_llr") else None,
        onset_seconds=message.onset_seconds if message.HasField("onset_seconds") else None,
        source=_SOURCES_BACK.get(message.source),
    )
