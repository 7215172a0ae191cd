# SPDX-License-Identifier: Apache-2.0
"""Evidence and verdicts on the wire.

The raw similarity never leaves the server: it would let an attacker climb towards a match. On the
client ``Score.raw`` is therefore ``NOT_SENT``, which is NaN.
"""

import math

from voiceauth.types import (
    CallId,
    Evidence,
    Liveness,
    LivenessSlot,
    ModelHash,
    Quality,
    ReplayEvidence,
    Score,
    Verdict,
)
from voiceauth.v1 import evidence_pb2
from voiceauth.wire.challenge import challenge_evidence_from_wire, challenge_evidence_to_wire
from voiceauth.wire.enums import (
    bandwidth_from_wire,
    bandwidth_to_wire,
    decision_from_wire,
    decision_to_wire,
    liveness_state_from_wire,
    liveness_state_to_wire,
    progress_from_wire,
    progress_to_wire,
    reasons_from_wire,
    reasons_to_wire,
)

NOT_SENT = math.nan
"""Stands for the raw similarity on the client's side."""


def quality_to_wire(quality: Quality) -> evidence_pb2.Quality:
    """Build the message of a quality."""
    return evidence_pb2.Quality(
        snr_db=quality.snr_db,
        level_dbfs=quality.level_dbfs,
        clipped_fraction=quality.clipped_fraction,
        dc_offset=quality.dc_offset,
        bandwidth=bandwidth_to_wire(quality.bandwidth),
        issues=reasons_to_wire(quality.issues),
    )


def quality_from_wire(message: evidence_pb2.Quality) -> Quality:
    """Read a quality."""
    return Quality(
        snr_db=message.snr_db if message.HasField("snr_db") else None,
        level_dbfs=message.level_dbfs,
        clipped_fraction=message.clipped_fraction,
        dc_offset=message.dc_offset,
        bandwidth=bandwidth_from_wire(message.bandwidth),
        issues=reasons_from_wire(message.issues),
    )


def score_to_wire(score: Score) -> evidence_pb2.Score:
    """Build the message of a score, without its raw similarity."""
    return evidence_pb2.Score(
        llr=score.llr,
        false_match_rate=score.false_match_rate,
        false_non_match_rate=score.false_non_match_rate,
        at_table_floor=score.floor_reached,
    )


def score_from_wire(message: evidence_pb2.Score) -> Score:
    """Read a score."""
    return Score(
        raw=NOT_SENT,
        llr=message.llr if message.HasField("llr") else None,
        false_match_rate=message.false_match_rate if message.HasField("false_match_rate") else None,
        false_non_match_rate=message.false_non_match_rate
        if message.HasField("false_non_match_rate")
        else None,
        floor_reached=message.at_table_floor,
    )


def _slot_to_wire(slot: LivenessSlot) -> evidence_pb2.LivenessSlot:
    return evidence_pb2.LivenessSlot(
        state=liveness_state_to_wire(slot.state),
        llr=slot.llr,
        false_accept_rate=slot.false_accept_rate,
        false_reject_rate=slot.false_reject_rate,
    )


def _slot_from_wire(message: evidence_pb2.LivenessSlot) -> LivenessSlot:
    return LivenessSlot(
        state=liveness_state_from_wire(message.state),
        llr=message.llr if message.HasField("llr") else None,
        false_accept_rate=message.false_accept_rate
        if message.HasField("false_accept_rate")
        else None,
        false_reject_rate=message.false_reject_rate
        if message.HasField("false_reject_rate")
        else None,
    )


def liveness_to_wire(liveness: Liveness) -> evidence_pb2.Liveness:
    """Build the message of the liveness layers."""
    return evidence_pb2.Liveness(
        synthetic=_slot_to_wire(liveness.synthetic),
        replay=_slot_to_wire(liveness.replay),
        challenge=_slot_to_wire(liveness.challenge),
        continuity=_slot_to_wire(liveness.continuity),
    )


def liveness_from_wire(message: evidence_pb2.Liveness) -> Liveness:
    """Read the liveness layers; an absent one is not measured."""
    return Liveness(
        synthetic=_slot_from_wire(message.synthetic),
        replay=_slot_from_wire(message.replay),
        challenge=_slot_from_wire(message.challenge),
        continuity=_slot_from_wire(message.continuity),
    )


def replay_evidence_to_wire(evidence: ReplayEvidence) -> evidence_pb2.ReplayEvidence:
    """Build the message of a comparison with earlier calls, without its raw agreement."""
    return evidence_pb2.ReplayEvidence(
        llr=evidence.llr,
        call_id=evidence.call or "",
        matched_seconds=evidence.matched_seconds,
        compared_seconds=evidence.compared_seconds,
        speed=evidence.speed,
    )


def replay_evidence_from_wire(message: evidence_pb2.ReplayEvidence) -> ReplayEvidence:
    """Read a comparison with earlier calls."""
    return ReplayEvidence(
        llr=message.llr,
        agreement=NOT_SENT,
        call=CallId(message.call_id) if message.call_id else None,
        matched_seconds=message.matched_seconds,
        compared_seconds=message.compared_seconds,
        speed=message.speed,
    )


def evidence_to_wire(evidence: Evidence) -> evidence_pb2.Evidence:
    """Build the message of evidence."""
    return evidence_pb2.Evidence(
        progress=progress_to_wire(evidence.progress),
        heard_seconds=evidence.heard_seconds,
        net_speech_seconds=evidence.net_speech_seconds,
        net_speech_needed_seconds=evidence.net_speech_needed_seconds,
        score=None if evidence.score is None else score_to_wire(evidence.score),
        quality=None if evidence.quality is None else quality_to_wire(evidence.quality),
        liveness=liveness_to_wire(evidence.liveness),
        reasons=reasons_to_wire(evidence.reasons),
        challenge=None
        if evidence.challenge is None
        else challenge_evidence_to_wire(evidence.challenge),
        replay=None if evidence.replay is None else replay_evidence_to_wire(evidence.replay),
        combined_llr=evidence.combined_llr,
        spoof_false_accept_rate=evidence.spoof_false_accept_rate,
    )


def evidence_from_wire(message: evidence_pb2.Evidence) -> Evidence:
    """Read evidence."""
    return Evidence(
        progress=progress_from_wire(message.progress),
        heard_seconds=message.heard_seconds,
        net_speech_seconds=message.net_speech_seconds,
        net_speech_needed_seconds=message.net_speech_needed_seconds,
        score=score_from_wire(message.score) if message.HasField("score") else None,
        quality=quality_from_wire(message.quality) if message.HasField("quality") else None,
        liveness=liveness_from_wire(message.liveness),
        reasons=reasons_from_wire(message.reasons),
        challenge=challenge_evidence_from_wire(message.challenge)
        if message.HasField("challenge")
        else None,
        replay=replay_evidence_from_wire(message.replay) if message.HasField("replay") else None,
        combined_llr=message.combined_llr if message.HasField("combined_llr") else None,
        spoof_false_accept_rate=message.spoof_false_accept_rate
        if message.HasField("spoof_false_accept_rate")
        else None,
    )


def verdict_to_wire(verdict: Verdict) -> evidence_pb2.Verdict:
    """Build the message of a recorded verdict."""
    return evidence_pb2.Verdict(
        decision=decision_to_wire(verdict.decision),
        evidence=evidence_to_wire(verdict.evidence),
        policy=verdict.policy,
        target_false_match_rate=verdict.target_false_match_rate,
        record_id=verdict.record_id or 0,
        model_sha256=verdict.model,
        calibration_version=verdict.calibration,
        max_spoof_false_accept=verdict.max_spoof_false_accept,
        spoof_model_sha256=verdict.spoof_model or "",
    )


def verdict_from_wire(message: evidence_pb2.Verdict) -> Verdict:
    """Read a verdict; a decision that this version does not know is STEP_UP."""
    return Verdict(
        decision=decision_from_wire(message.decision),
        evidence=evidence_from_wire(message.evidence),
        policy=message.policy,
        target_false_match_rate=message.target_false_match_rate,
        record_id=message.record_id or None,
        model=ModelHash(message.model_sha256),
        calibration=message.calibration_version,
        max_spoof_false_accept=message.max_spoof_false_accept
        if message.HasField("max_spoof_false_accept")
        else None,
        spoof_model=ModelHash(message.spoof_model_sha256) if message.spoof_model_sha256 else None,
    )
