# SPDX-License-Identifier: Apache-2.0
"""What a decision record holds: everything needed to explain it later, and no identifier."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from voiceauth.decision.policy import RATES, Policy
from voiceauth.types import (
    Bandwidth,
    ChallengeEvidence,
    Evidence,
    FactorKind,
    Liveness,
    LivenessLayer,
    Route,
    Score,
)
from voiceauth.units import Decibels, Seconds


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
        "liveness": liveness_body(evidence.liveness),
        "combined_llr": evidence.combined_llr,
        "spoof_false_accept_rate": evidence.spoof_false_accept_rate,
        "reasons": [reason.value for reason in evidence.reasons],
        "challenge": None if evidence.challenge is None else challenge_body(evidence.challenge),
    }


def liveness_body(liveness: Liveness) -> dict[str, object]:
    """Return every layer's word as the ledger keeps it; an absent layer says that it is."""
    slots = {layer.value: getattr(liveness, layer.value) for layer in LivenessLayer}
    return {
        name: {
            "state": slot.state.value,
            "llr": slot.llr,
            "false_accept_rate": slot.false_accept_rate,
            "false_reject_rate": slot.false_reject_rate,
        }
        for name, slot in slots.items()
    }


def policy_body(policy: Policy) -> dict[str, object]:
    """Return what a decision was asked to keep to, as the ledger keeps it."""
    return {
        "policy": policy.name,
        **{name: getattr(policy, name) for name in RATES},
        "require_liveness": sorted(layer.value for layer in policy.require_liveness),
    }


def terms_body(policy: Policy) -> dict[str, object]:
    """Return a policy in full: its name alone says nothing once the settings have changed."""
    terms = asdict(policy)
    del terms["name"]
    return {
        **terms,
        "require_liveness": sorted(layer.value for layer in policy.require_liveness),
        "routes": routes_body(policy.routes),
    }


def routes_body(routes: Iterable[Route]) -> list[dict[str, object]]:
    """Return the routes of a step-up as the ledger keeps them."""
    return [
        {
            "voice_false_match_rate": route.voice_false_match_rate,
            "factors": sorted(kind.value for kind in route.factors),
        }
        for route in routes
    ]


def routes_of(body: Iterable[Mapping[str, Any]]) -> tuple[Route, ...]:
    """Read routes back. Raises ValueError, KeyError or TypeError for what is none."""
    return tuple(
        Route(frozenset(map(FactorKind, one["factors"])), one["voice_false_match_rate"])
        for one in body
    )


def look_body(
    score: Score | None,
    liveness: Liveness,
    *,
    net_seconds: Seconds,
    final: bool,
    bandwidth: Bandwidth,
    snr_db: Decibels | None,
) -> dict[str, object]:
    """Return one look at a call, unrounded: from these the decision can be derived again."""
    return {
        "net_seconds": net_seconds,
        "final": final,
        "bandwidth": bandwidth.value,
        "snr_db": snr_db,
        "score": None
        if score is None
        else {
            "raw": score.raw,
            "llr": score.llr,
            "false_match_rate": score.false_match_rate,
            "false_non_match_rate": score.false_non_match_rate,
        },
        "liveness": liveness_body(liveness),
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
