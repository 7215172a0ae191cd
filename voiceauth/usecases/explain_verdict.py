# SPDX-License-Identifier: Apache-2.0
"""Derive a recorded verdict again from nothing but its record, and say whether both agree.

A decision record holds the policy in full and every look at the call: the scores, the conditions
they were calibrated for, and the liveness layers' words. The same state machine is led through the
same looks; where the calibration of the time is still loaded, the rates are computed from the raw
scores again, too.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from voiceauth.decision.permission import respected
from voiceauth.decision.policy import Policy
from voiceauth.decision.step_up import usable
from voiceauth.decision.verdict import FAULTED, Decider, Outcome
from voiceauth.errors import IntegrityError, InternalError, NotFoundError, SettingsError
from voiceauth.liveness.challenge import held_back
from voiceauth.scoring.calibration import Calibration
from voiceauth.scoring.condition import Condition
from voiceauth.types import (
    Bandwidth,
    ChallengeCause,
    ChallengeEvidence,
    ChallengeId,
    ChallengeOutcome,
    Decision,
    LedgerEntry,
    Liveness,
    LivenessLayer,
    LivenessSlot,
    LivenessState,
    Reason,
    Score,
    SubjectStanding,
)
from voiceauth.units import Rate
from voiceauth.usecases.records import routes_of

EVENT = "verify.verdict"
_NEEDED = ("policy_terms", "looks", "fault", "challenge_asked", "standing", "enrolled_seconds")
_RELATIVE_ERROR = 1e-9
_Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One verdict, as recorded and as derived.

    Attributes:
        record_id: sequence number of its ledger entry.
        recorded: the decision that stands in the record.
        derived: None where the record lacks what is needed.
        reasons: that the derivation gives, in order of weight.
        agrees: whether decision and reasons are those of the record.
        calibration: of the record.
        rates_agree: whether the rates follow from the raw scores; None if the calibration of the
            record is not the one at hand.
        missing: what an older record does not hold.
        body: the record itself.
    """

    record_id: int
    at: datetime
    recorded: Decision
    derived: Decision | None
    reasons: tuple[Reason, ...]
    agrees: bool
    calibration: str
    rates_agree: bool | None
    missing: tuple[str, ...]
    body: _Body


def explain(entry: LedgerEntry, calibration: Calibration | None = None) -> Explanation:
    """Derive one verdict again.

    Args:
        entry: of a verdict, from a ledger that was audited.
        calibration: the tables at hand; used only if they are those of the record.

    Raises:
        NotFoundError: the entry records no verdict.
        IntegrityError: the record cannot be what the engine wrote.
    """
    if entry.event != EVENT:
        raise NotFoundError("This ledger entry records no verdict.")
    try:
        body: _Body = json.loads(entry.body)
        missing = tuple(name for name in _NEEDED if name not in body)
        outcome, reached = (None, ()) if missing else _derived(body)
        recorded = Decision(body["decision"])
        reasons = () if outcome is None else outcome.reasons
        told = tuple(Reason(one) for one in body["reasons"])[: len(reasons)]
        same = outcome is not None and outcome.decision is recorded and told == reasons
        same = same and tuple(body.get("reached", reached)) == reached
        return Explanation(
            record_id=entry.sequence,
            at=entry.at,
            recorded=recorded,
            derived=None if outcome is None else outcome.decision,
            reasons=reasons,
            agrees=same,
            calibration=body["calibration"],
            rates_agree=None if missing else _rates_agree(body, calibration),
            missing=missing,
            body=body,
        )
    except (ValueError, KeyError, TypeError, SettingsError, InternalError) as error:
        raise IntegrityError(detail=f"a decision record: {type(error).__name__}") from error


def is_about(entry: LedgerEntry, tenant: str, call: str) -> bool:
    """Return whether an entry is the verdict about a call, given by its pseudonym."""
    if entry.event != EVENT or entry.tenant != tenant or call not in entry.body:
        return False
    return bool(json.loads(entry.body).get("call") == call)


def reached_of(entry: LedgerEntry) -> tuple[Rate, ...]:
    """Derive the rates that a voice reached for a step-up. Raises ValueError, KeyError, ..."""
    return _derived(json.loads(entry.body))[1]


def _derived(body: _Body) -> tuple[Outcome, tuple[Rate, ...]]:
    """Lead the state machine through the recorded looks; return what the voice reached, too."""
    # Records from before there was this term were decided without it.
    terms = {"synthetic_seconds": 0.0, **body["policy_terms"]}
    terms["require_liveness"] = frozenset(map(LivenessLayer, terms["require_liveness"]))
    terms["routes"] = routes_of(terms.get("routes", ()))
    policy = Policy(name=body["policy"], **terms)
    enrolled = SubjectStanding(body["standing"]) is SubjectStanding.ENROLLED
    decider = Decider(policy, may_accept=enrolled)
    if body["fault"]:
        return FAULTED, ()
    closed = tuple(Reason(one) for one in body.get("held", ()))
    outcome = Outcome(None, ())
    for look in body["looks"]:
        outcome = decider.look(
            _score(look["score"]),
            net_seconds=look["net_seconds"],
            final=look["final"],
            liveness=_liveness(look["liveness"]),
        )
    held = held_back(_challenge(body["challenge"]), asked=body["challenge_asked"])
    if outcome.decision is Decision.ACCEPT and held is not None:
        outcome = Outcome(Decision.STEP_UP, (held, *outcome.reasons))
    if closed and not body["looks"]:
        outcome = Outcome(Decision.STEP_UP, closed)
    if "standing_at_end" in body:  # a record from before permission was looked at again has none
        standing = SubjectStanding(body["standing_at_end"])
        outcome = respected(outcome, standing)
        enrolled = standing is SubjectStanding.ENROLLED
    if closed and body["looks"]:
        outcome = Outcome(Decision.STEP_UP, (*closed, *outcome.reasons))
    counts = enrolled and not closed and held is None
    return outcome, usable(outcome, decider.reached) if counts else ()


def _rates_agree(body: _Body, calibration: Calibration | None) -> bool | None:
    if calibration is None or calibration.version != body["calibration"]:
        return None
    if calibration.model != body["model"]:
        return None
    return all(
        _same_score(
            calibration.score(
                look["score"]["raw"],
                Condition(
                    Bandwidth(look["bandwidth"]),
                    look["net_seconds"],
                    body["enrolled_seconds"],
                    look["snr_db"],
                ),
            ),
            _score(look["score"]),
        )
        for look in body["looks"]
        if look["score"] is not None
    )


def _same_score(left: Score, right: Score | None) -> bool:
    if right is None:
        return False
    pairs = (
        (left.llr, right.llr),
        (left.false_match_rate, right.false_match_rate),
        (left.false_non_match_rate, right.false_non_match_rate),
    )
    return all(
        a is b if a is None or b is None else math.isclose(a, b, rel_tol=_RELATIVE_ERROR)
        for a, b in pairs
    )


def _score(found: Mapping[str, Any] | None) -> Score | None:
    return None if found is None else Score(**found)


def _liveness(found: Mapping[str, Any]) -> Liveness:
    return Liveness(
        **{
            name: LivenessSlot(**{**slot, "state": LivenessState(slot["state"])})
            for name, slot in found.items()
        }
    )


def _challenge(found: Mapping[str, Any] | None) -> ChallengeEvidence | None:
    if found is None:
        return None
    return ChallengeEvidence(
        challenge=ChallengeId(found["challenge"]),
        outcome=ChallengeOutcome(found["outcome"]),
        cause=ChallengeCause(found["cause"]),
        attempt=found["attempt"],
    )
