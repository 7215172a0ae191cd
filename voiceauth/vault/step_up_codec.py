# SPDX-License-Identifier: Apache-2.0
"""Factors and step-ups as bytes, before they are sealed: canonical JSON. Rules as in ``codec``."""

import json

from voiceauth.errors import IntegrityError
from voiceauth.types import (
    CallId,
    Decision,
    Factor,
    FactorKind,
    Route,
    StepUpRecord,
    StepUpState,
    SubjectId,
)
from voiceauth.vault.codec import from_microseconds, to_microseconds

_FAULTS = (ValueError, KeyError, TypeError, OverflowError)


def encode_factor(factor: Factor) -> bytes:
    """Write a factor; its kind is bound, not written."""
    return _json(
        {
            "secret": factor.secret,
            "enrolled_us": to_microseconds(factor.enrolled_at),
            "last_step": factor.last_step,
        }
    )


def decode_factor(payload: bytes, kind: FactorKind) -> Factor:
    """Read a factor. Raises IntegrityError if it is malformed."""
    try:
        found = json.loads(payload)
        enrolled = from_microseconds(found["enrolled_us"])
        return Factor(kind, found["secret"], enrolled, found["last_step"])
    except _FAULTS as error:
        raise IntegrityError(detail="a stored factor is malformed") from error


def encode_step_up(record: StepUpRecord) -> bytes:
    """Write a step-up."""
    code_expires = record.code_expires_at
    return _json(
        {
            "call": record.call,
            "subject": record.subject,
            "verdict": None if record.verdict is None else record.verdict.value,
            "verdict_record": record.verdict_record,
            "policy": record.policy,
            "routes": [
                [one.voice_false_match_rate, sorted(kind.value for kind in one.factors)]
                for one in record.routes
            ],
            "reached": list(record.reached),
            "number": record.number,
            "created_us": to_microseconds(record.created_at),
            "expires_us": to_microseconds(record.expires_at),
            "answers_left": record.answers_left,
            "codes_left": record.codes_left,
            "state": record.state.value,
            "step_up": record.step_up,
            "passed": sorted(kind.value for kind in record.passed),
            "code_hash": record.code_hash,
            "code_expires_us": None if code_expires is None else to_microseconds(code_expires),
            "outcome_record": record.outcome_record,
        }
    )


def decode_step_up(payload: bytes) -> StepUpRecord:
    """Read a step-up. Raises IntegrityError if it is malformed."""
    try:
        found = json.loads(payload)
        verdict, code_expires = found["verdict"], found["code_expires_us"]
        return StepUpRecord(
            call=CallId(found["call"]),
            subject=SubjectId(found["subject"]),
            verdict=None if verdict is None else Decision(verdict),
            verdict_record=found["verdict_record"],
            policy=found["policy"],
            routes=tuple(
                Route(frozenset(map(FactorKind, kinds)), rate) for rate, kinds in found["routes"]
            ),
            reached=tuple(found["reached"]),
            number=found["number"],
            created_at=from_microseconds(found["created_us"]),
            expires_at=from_microseconds(found["expires_us"]),
            answers_left=found["answers_left"],
            codes_left=found["codes_left"],
            state=StepUpState(found["state"]),
            step_up=found["step_up"],
            passed=frozenset(map(FactorKind, found["passed"])),
            code_hash=found["code_hash"],
            code_expires_at=None if code_expires is None else from_microseconds(code_expires),
            outcome_record=found["outcome_record"],
        )
    except _FAULTS as error:
        raise IntegrityError(detail="a stored step-up is malformed") from error


def _json(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")
