# SPDX-License-Identifier: Apache-2.0
"""Enrolment progress and results on the wire."""

from voiceauth.types import (
    EnrolmentProgress,
    EnrolmentResult,
    SegmentReport,
    SubjectId,
    VoiceprintId,
)
from voiceauth.v1 import enrolment_pb2
from voiceauth.wire.enums import (
    outcome_from_wire,
    outcome_to_wire,
    reasons_from_wire,
    reasons_to_wire,
)
from voiceauth.wire.evidence import quality_from_wire, quality_to_wire


def segment_to_wire(segment: SegmentReport) -> enrolment_pb2.EnrolSegment:
    """Build the message of what became of one stretch of speech."""
    return enrolment_pb2.EnrolSegment(
        start_seconds=segment.start_seconds,
        end_seconds=segment.end_seconds,
        net_speech_seconds=segment.net_seconds,
        counted=segment.counted,
        reasons=reasons_to_wire(segment.reasons),
        quality=quality_to_wire(segment.quality),
    )


def segment_from_wire(message: enrolment_pb2.EnrolSegment) -> SegmentReport:
    """Read what became of one stretch of speech."""
    return SegmentReport(
        start_seconds=message.start_seconds,
        end_seconds=message.end_seconds,
        net_seconds=message.net_speech_seconds,
        counted=message.counted,
        reasons=reasons_from_wire(message.reasons),
        quality=quality_from_wire(message.quality),
    )


def progress_to_wire(progress: EnrolmentProgress) -> enrolment_pb2.EnrolProgress:
    """Build the message of an enrolment's progress."""
    return enrolment_pb2.EnrolProgress(
        net_speech_seconds=progress.net_seconds,
        net_speech_needed_seconds=progress.needed_seconds,
        segment=None if progress.segment is None else segment_to_wire(progress.segment),
        carried_over_seconds=progress.carried_over_seconds,
    )


def progress_from_wire(message: enrolment_pb2.EnrolProgress) -> EnrolmentProgress:
    """Read an enrolment's progress."""
    return EnrolmentProgress(
        net_seconds=message.net_speech_seconds,
        needed_seconds=message.net_speech_needed_seconds,
        carried_over_seconds=message.carried_over_seconds,
        segment=segment_from_wire(message.segment) if message.HasField("segment") else None,
    )


def result_to_wire(result: EnrolmentResult) -> enrolment_pb2.EnrolResult:
    """Build the message of a durable result."""
    return enrolment_pb2.EnrolResult(
        outcome=outcome_to_wire(result.outcome),
        voiceprint_id=result.voiceprint or "",
        net_speech_seconds=result.net_seconds,
        voiceprints=result.voiceprints,
        duplicate_subject_id=result.duplicate or "",
        record_id=result.record_id,
        reasons=reasons_to_wire(result.reasons),
    )


def result_from_wire(message: enrolment_pb2.EnrolResult) -> EnrolmentResult:
    """Read a result; an outcome that this version does not know is PARTIAL: not enrolled."""
    return EnrolmentResult(
        outcome=outcome_from_wire(message.outcome),
        net_seconds=message.net_speech_seconds,
        record_id=message.record_id,
        voiceprints=message.voiceprints,
        voiceprint=VoiceprintId(message.voiceprint_id) if message.voiceprint_id else None,
        duplicate=SubjectId(message.duplicate_subject_id) if message.duplicate_subject_id else None,
        reasons=reasons_from_wire(message.reasons),
    )
