# SPDX-License-Identifier: Apache-2.0
"""What a decision record holds: everything needed to explain it later, and no identifier."""

from voiceauth.types import Evidence


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
    }
