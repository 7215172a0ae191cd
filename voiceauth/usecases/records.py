# SPDX-License-Identifier: Apache-2.0
"""What a decision record holds: everything needed to explain it later, and no identifier."""

from voiceauth.types import ChallengeEvidence, Evidence


def evidence_body(evidence: Evidence) -> dict[str, object]:
    """Return the evidence as the ledger keeps it: plain numbers and stable names."""
    score, quality = evidence.score, evidence.quality
    return {
        "heard_seconds": round(evidence.heard_seconds, 3),
        "net_speech_seconds": round(evidence.net_speech_seconds, 3),
        "score": None
        if score is None
        else {
            "raw": score.raw,
            "llr": score.llr,
            "false_match_rate": score.false_match_rate,
            "false_non_match_rate": score.false_non_match_rate,
        },
        "quality": None
        if quality is None
        else {
            "snr_db": quality.snr_db,
            "level_dbfs": quality.level_dbfs,
            "bandwidth": quality.bandwidth.value,
        },
        "reasons": [reason.value for reason in evidence.reasons],
        "challenge": None if evidence.challenge is None else challenge_body(evidence.challenge),
    }


def challenge_body(evidence: ChallengeEvidence) -> dict[str, object]:
    """Return the evidence as the ledger keeps it: numbers and names, no words."""
    return {
        "challenge": evidence.challenge,
        "outcome": evidence.outcome.value,
        "cause": evidence.cause.value,
        "attempt": evidence.attempt,
        "content_llr": evidence.content_llr,
        "voice_llr": evidence.voice_llr,
        "onset_seconds": evidence.onset_seconds,
        "source": None if evidence.source is None else evidence.source.value,
    }
