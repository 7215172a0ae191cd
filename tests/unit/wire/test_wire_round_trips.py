# SPDX-License-Identifier: Apache-2.0
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from voiceauth.errors import InputError, UnsupportedFormatError
from voiceauth.types import (
    ApprovalId,
    ApprovalNotice,
    ApprovalState,
    AudioFormat,
    Bandwidth,
    CallId,
    Candidate,
    Consent,
    Continuity,
    Decision,
    Encoding,
    EnrolmentOutcome,
    EnrolmentProgress,
    EnrolmentResult,
    Evidence,
    GroupName,
    Liveness,
    LivenessSlot,
    LivenessState,
    ModelHash,
    Operation,
    Progress,
    Quality,
    Ranking,
    Reason,
    ReplayEvidence,
    Score,
    SegmentReport,
    Subject,
    SubjectId,
    SubjectState,
    TenantId,
    Verdict,
    VoiceprintId,
)
from voiceauth.v1 import (
    audio_pb2,
    enrolment_pb2,
    evidence_pb2,
    subjects_pb2,
    verification_pb2,
)
from voiceauth.wire import enums
from voiceauth.wire.approvals import notice_from_wire, notice_to_wire
from voiceauth.wire.audio import format_from_wire, format_to_wire
from voiceauth.wire.continuity import continuity_from_wire, continuity_to_wire
from voiceauth.wire.enrolment import (
    progress_from_wire,
    progress_to_wire,
    result_from_wire,
    result_to_wire,
)
from voiceauth.wire.evidence import (
    NOT_SENT,
    evidence_from_wire,
    evidence_to_wire,
    verdict_from_wire,
    verdict_to_wire,
)
from voiceauth.wire.identification import ranking_from_wire, ranking_to_wire
from voiceauth.wire.subjects import (
    consent_from_wire,
    subject_from_wire,
    subject_to_wire,
    time_to_wire,
)

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
UNKNOWN = 9999
QUALITY = Quality(
    snr_db=None,
    level_dbfs=-21.5,
    clipped_fraction=0.01,
    dc_offset=-0.002,
    bandwidth=Bandwidth.WIDEBAND,
    issues=(Reason.GAP, Reason.LOW_SNR),
)
SCORE = Score(
    NOT_SENT, llr=-0.0, false_match_rate=0.0, false_non_match_rate=0.5, floor_reached=True
)
EVIDENCE = Evidence(
    progress=Progress.UNDECIDED,
    heard_seconds=9.0,
    net_speech_seconds=4.5,
    net_speech_needed_seconds=10.5,
    score=SCORE,
    quality=QUALITY,
    liveness=Liveness(
        synthetic=LivenessSlot(LivenessState.SUSPECT, -3.0, 0.0, 1.0),
        replay=LivenessSlot(LivenessState.PENDING),
    ),
    reasons=(Reason.UNCERTAIN, Reason.GAP),
    replay=ReplayEvidence(-4.5, NOT_SENT, CallId("call-0"), 3.6, 5.4, 0.98),
    combined_llr=0.0,
    spoof_false_accept_rate=0.0,
)
UNSUPPORTED = Score(NOT_SENT, llr=None, false_match_rate=None, false_non_match_rate=None)
SPARSE = Evidence(Progress.LISTENING, 0.0, 0.0, 2.0)
VERDICT = Verdict(
    decision=Decision.REJECT,
    evidence=EVIDENCE,
    policy="standard",
    target_false_match_rate=0.01,
    record_id=17,
    model=ModelHash("ab" * 32),
    calibration="3",
)
SEGMENT = SegmentReport(1.0, 4.5, 3.0, counted=False, reasons=(Reason.INCOHERENT,), quality=QUALITY)


@pytest.mark.parametrize(
    "evidence",
    [EVIDENCE, SPARSE, replace(EVIDENCE, score=UNSUPPORTED)],
    ids=["full", "sparse", "none"],
)
def test_evidence_survives_the_wire(evidence: Evidence) -> None:
    """Evidence arrives as it was sent; absent stays absent and zero stays zero."""
    assert evidence_from_wire(evidence_to_wire(evidence)) == evidence


def test_a_verdict_survives_the_wire() -> None:
    """A verdict arrives as it was sent, with and without a rate and a model of spoofs."""
    full = replace(VERDICT, max_spoof_false_accept=0.0, spoof_model=ModelHash("cd" * 32))

    assert verdict_from_wire(verdict_to_wire(VERDICT)) == VERDICT
    assert verdict_from_wire(verdict_to_wire(full)) == full


def test_the_raw_similarity_does_not_leave_the_server() -> None:
    """A score on the wire holds no raw similarity that an attacker could climb by."""
    telling = replace(EVIDENCE, score=replace(SCORE, raw=0.123456789))

    received = evidence_from_wire(evidence_to_wire(telling))

    assert evidence_to_wire(telling) == evidence_to_wire(EVIDENCE)
    assert received.score is not None
    assert math.isnan(received.score.raw)


@pytest.mark.parametrize(
    "continuity",
    [
        Continuity(LivenessState.PENDING, 9.0),
        Continuity(LivenessState.SUSPECT, 9.0, 3.0, -0.0, 0.0, (Reason.SPEAKER_CHANGED,), True, 17),
    ],
    ids=["sparse", "full"],
)
def test_continuity_survives_the_wire(continuity: Continuity) -> None:
    """A word about continuity arrives as it was sent; absent stays absent, zero stays zero."""
    assert continuity_from_wire(continuity_to_wire(continuity)) == continuity


def test_an_unknown_continuity_state_is_no_pass() -> None:
    """What a newer server says and this client does not know is NOT_MEASURED."""
    message = verification_pb2.Continuity(state=UNKNOWN)  # type: ignore[arg-type]

    assert continuity_from_wire(message).state is LivenessState.NOT_MEASURED


def test_a_ranking_survives_the_wire() -> None:
    """A ranking arrives in order, with and without a rate."""
    ranking = Ranking(
        candidates=(Candidate(SubjectId("b"), SCORE), Candidate(SubjectId("a"), UNSUPPORTED)),
        evidence=SPARSE,
        searched=12,
        false_positive_identification_rate=0.0,
        final=True,
    )
    without = replace(ranking, false_positive_identification_rate=None, candidates=())

    assert ranking_from_wire(ranking_to_wire(ranking)) == ranking
    assert ranking_from_wire(ranking_to_wire(without)) == without


@pytest.mark.parametrize("segment", [None, SEGMENT])
def test_enrolment_progress_survives_the_wire(segment: SegmentReport | None) -> None:
    """Progress arrives as it was sent; the first one has no segment."""
    progress = EnrolmentProgress(4.0, 16.0, 1.5, segment)

    assert progress_from_wire(progress_to_wire(progress)) == progress


@pytest.mark.parametrize("outcome", list(EnrolmentOutcome))
def test_an_enrolment_result_survives_the_wire(outcome: EnrolmentOutcome) -> None:
    """A result arrives as it was sent, with and without the optional names."""
    bare = EnrolmentResult(outcome, net_seconds=20.0, record_id=3, voiceprints=1)
    full = replace(bare, voiceprint=VoiceprintId("f" * 32), duplicate=SubjectId("bob"))
    full = replace(full, reasons=(Reason.SPOOF_SUSPECTED,))

    assert result_from_wire(result_to_wire(bare)) == bare
    assert result_from_wire(result_to_wire(full)) == full


def test_a_subject_survives_the_wire() -> None:
    """A subject arrives as it was sent, its groups sorted on the wire."""
    consent = Consent(
        "cd" * 32, "authentication", "en-GB", "spoken", NOON, NOON, NOON, "web", "US-IL"
    )
    subject = Subject(
        tenant=TenantId("bank"),
        subject=SubjectId("alice"),
        state=SubjectState.OPTED_OUT,
        created_at=NOON,
        groups=frozenset({GroupName("vip"), GroupName("staff")}),
        consent=consent,
        voiceprints=2,
        net_enrolled_seconds=40.0,
        pending_seconds=3.0,
        last_interaction_at=NOON,
    )

    assert subject_from_wire(subject_to_wire(subject)) == subject
    assert list(subject_to_wire(subject).groups) == ["staff", "vip"]
    bare = replace(subject, consent=None, groups=frozenset(), last_interaction_at=None)
    assert subject_from_wire(subject_to_wire(bare)) == bare


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_format_survives_the_wire(encoding: Encoding) -> None:
    """A format arrives as it was sent."""
    audio_format = AudioFormat(encoding, rate_hz=16_000, channels=2, channel=1)

    assert format_from_wire(format_to_wire(audio_format)) == audio_format


def test_zeros_in_a_format_mean_the_telephone() -> None:
    """A format that only names its encoding is 8000 Hz, one channel."""
    message = audio_pb2.AudioFormat(encoding=audio_pb2.ENCODING_MULAW)

    assert format_from_wire(message) == AudioFormat(Encoding.MULAW, 8000, 1, 0)


@pytest.mark.parametrize("encoding", [0, UNKNOWN])
def test_an_unknown_encoding_is_refused(encoding: Any) -> None:
    """Nothing is guessed about how bytes are coded."""
    with pytest.raises(UnsupportedFormatError):
        format_from_wire(audio_pb2.AudioFormat(encoding=encoding))


@pytest.mark.parametrize("audio_format", [AudioFormat(Encoding.MULAW, rate_hz=-1)])
def test_an_impossible_format_is_refused_before_it_is_sent(audio_format: AudioFormat) -> None:
    """A number that the contract cannot carry is an InputError, not a library's exception."""
    with pytest.raises(UnsupportedFormatError):
        format_to_wire(audio_format)


@pytest.mark.parametrize("decision", [0, UNKNOWN])
def test_an_unknown_decision_is_step_up(decision: Any) -> None:
    """A decision of a newer server, or none at all, never reads as ACCEPT."""
    message = verdict_to_wire(VERDICT)
    message.decision = decision

    assert verdict_from_wire(message).decision is Decision.STEP_UP


def test_unknown_values_claim_the_least() -> None:
    """Values of a newer server are read as the least that they could mean."""
    assert enums.progress_from_wire(UNKNOWN) is Progress.LISTENING
    assert enums.liveness_state_from_wire(UNKNOWN) is LivenessState.NOT_MEASURED
    assert enums.bandwidth_from_wire(UNKNOWN) is Bandwidth.NARROWBAND
    assert enums.outcome_from_wire(UNKNOWN) is EnrolmentOutcome.PARTIAL
    assert enums.subject_state_from_wire(UNKNOWN) is SubjectState.OPTED_OUT
    assert enums.reasons_from_wire([UNKNOWN, int(evidence_pb2.REASON_GAP)]) == (Reason.GAP,)


@pytest.mark.parametrize(
    ("kind", "wire", "prefix"),
    [
        (Decision, evidence_pb2.Decision, "DECISION"),
        (Progress, evidence_pb2.Progress, "PROGRESS"),
        (Reason, evidence_pb2.Reason, "REASON"),
        (LivenessState, evidence_pb2.LivenessState, "LIVENESS_STATE"),
        (Bandwidth, audio_pb2.Bandwidth, "BANDWIDTH"),
        (Encoding, audio_pb2.Encoding, "ENCODING"),
        (EnrolmentOutcome, enrolment_pb2.EnrolOutcome, "ENROL_OUTCOME"),
        (SubjectState, subjects_pb2.SubjectState, "SUBJECT_STATE"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_contract_and_the_engine_know_the_same_values(
    kind: type[Enum], wire: Any, prefix: str
) -> None:
    """Neither side has a value that the other one cannot say."""
    ours = {f"{prefix}_{member.name}" for member in kind}

    assert {*ours, f"{prefix}_UNSPECIFIED"} == set(wire.keys())


def test_an_absent_time_of_consent_means_now() -> None:
    """A consent without ``given_at`` was given now."""
    consent = consent_from_wire(subjects_pb2.Consent(purpose="authentication"), now=NOON)

    assert (consent.given_at, consent.expires_at) == (NOON, None)


@pytest.mark.parametrize("seconds", [2**62, -(2**62)])
def test_an_impossible_time_is_refused(seconds: int) -> None:
    """A time outside the calendar is an InputError, not an overflow."""
    message = subjects_pb2.Consent(given_at=Timestamp(seconds=seconds))

    with pytest.raises(InputError):
        consent_from_wire(message, now=NOON)


def test_a_time_without_a_zone_is_refused() -> None:
    """A naive time names no instant and is not sent."""
    with pytest.raises(InputError):
        time_to_wire(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


APPROVAL = ApprovalNotice(
    ApprovalId("0123"),
    TenantId("bank"),
    Operation.BULK_ERASURE,
    ApprovalState.APPROVED,
    3,
    "token:anna",
    NOON,
    NOON + timedelta(days=1),
    "token:ben",
    NOON + timedelta(hours=1),
)


@pytest.mark.parametrize(
    "notice", [APPROVAL, replace(APPROVAL, decided_by="", decided_at=None)], ids=["decided", "open"]
)
def test_an_approval_survives_the_way(notice: ApprovalNotice) -> None:
    """What is told of an approval is the same at the other end."""
    assert notice_from_wire(notice_to_wire(notice)) == notice


def test_an_approval_of_an_unknown_kind_leads_nowhere() -> None:
    """A newer state is taken as expired, and a newer operation is refused."""
    message = notice_to_wire(APPROVAL)
    message.state = 99  # type: ignore[assignment]
    assert notice_from_wire(message).state is ApprovalState.EXPIRED
    message.operation = 99  # type: ignore[assignment]
    with pytest.raises(InputError):
        notice_from_wire(message)
