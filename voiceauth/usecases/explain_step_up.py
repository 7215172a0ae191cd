# SPDX-License-Identifier: Apache-2.0
"""Derive a recorded outcome of a step-up again from nothing but its records."""

import json
from dataclasses import dataclass
from datetime import datetime

from voiceauth.decision.step_up import decision_of, state_of
from voiceauth.errors import IntegrityError, NotFoundError, SettingsError
from voiceauth.types import Decision, FactorKind, LedgerEntry
from voiceauth.units import Rate
from voiceauth.usecases.explain_verdict import reached_of
from voiceauth.usecases.records import routes_of

EVENT = "step_up.outcome"


@dataclass(frozen=True, slots=True)
class StepUpExplanation:
    """One outcome, as recorded and as derived.

    Attributes:
        record_id: sequence number of its ledger entry.
        verdict_record: of the verification that it builds on; None where there was none.
        passed: factors that were shown.
        reached: rates that the voice reached.
        agrees: whether the decision follows from the routes, the voice and the factors.
        voice_agrees: whether the voice's rates follow from the verdict's record; None where that
            record is not at hand.
    """

    record_id: int
    at: datetime
    recorded: Decision
    derived: Decision
    verdict_record: int | None
    passed: tuple[FactorKind, ...]
    reached: tuple[Rate, ...]
    agrees: bool
    voice_agrees: bool | None


def explain_step_up(entry: LedgerEntry, verdict: LedgerEntry | None = None) -> StepUpExplanation:
    """Derive one outcome again.

    Args:
        entry: of an outcome, from a ledger that was audited.
        verdict: entry of the verification that it names.

    Raises:
        NotFoundError: the entry records no outcome.
        IntegrityError: the record cannot be what the engine wrote.
    """
    if entry.event != EVENT:
        raise NotFoundError("This ledger entry records no outcome of a step-up.")
    try:
        body = json.loads(entry.body)
        reached = tuple(body["reached"])
        passed = tuple(map(FactorKind, body["passed"]))
        state = state_of(
            routes_of(body["routes"]),
            reached,
            passed,
            answers_left=body["answers_left"],
            expired=body["expired"],
        )
        recorded, derived = Decision(body["decision"]), decision_of(state)
        same = None
        if verdict is not None and verdict.sequence == body["verdict_record"]:
            same = reached_of(verdict) == reached
        return StepUpExplanation(
            record_id=entry.sequence,
            at=entry.at,
            recorded=recorded,
            derived=derived,
            verdict_record=body["verdict_record"],
            passed=passed,
            reached=reached,
            agrees=recorded is derived,
            voice_agrees=same,
        )
    except (ValueError, KeyError, TypeError, SettingsError) as error:
        raise IntegrityError(detail=f"a step-up record: {type(error).__name__}") from error


def is_about(entry: LedgerEntry, tenant: str, call: str) -> bool:
    """Return whether an entry is the outcome of a call's step-up, given by its pseudonym."""
    if entry.event != EVENT or entry.tenant != tenant or call not in entry.body:
        return False
    return bool(json.loads(entry.body).get("call") == call)
