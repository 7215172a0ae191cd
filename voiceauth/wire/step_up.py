# SPDX-License-Identifier: Apache-2.0
"""Factors and step-ups, between messages and value types."""

from voiceauth.errors import InputError
from voiceauth.types import AnswerResult, FactorInformation, FactorKind, StepUp, StepUpState
from voiceauth.v1 import step_up_pb2
from voiceauth.wire.enums import decision_from_wire, decision_to_wire, reversed_table, table
from voiceauth.wire.subjects import time_from_wire, time_to_wire

_KINDS = table(FactorKind, step_up_pb2.FactorKind, "FACTOR_KIND")
_STATES = table(StepUpState, step_up_pb2.StepUpState, "STEP_UP_STATE")
_RESULTS = table(AnswerResult, step_up_pb2.AnswerResult, "ANSWER_RESULT")
_KINDS_BACK = reversed_table(_KINDS)
_STATES_BACK = reversed_table(_STATES)
_RESULTS_BACK = reversed_table(_RESULTS)


def factor_kind_to_wire(kind: FactorKind) -> "step_up_pb2.FactorKind.ValueType":
    """Return the contract's number of a kind."""
    return _KINDS[kind]  # type: ignore[no-any-return]


def factor_kind_from_wire(number: int) -> FactorKind:
    """Return the kind. Raises InputError for none or an unknown one."""
    found = _KINDS_BACK.get(number)
    if found is None:
        raise InputError("The kind of factor is missing or not known.")
    return found


def factor_to_wire(factor: FactorInformation) -> step_up_pb2.Factor:
    """Build the message."""
    return step_up_pb2.Factor(
        kind=factor_kind_to_wire(factor.kind), enrolled_at=time_to_wire(factor.enrolled_at)
    )


def factor_from_wire(message: step_up_pb2.Factor) -> FactorInformation:
    """Read the message. Raises InputError for an unknown kind."""
    return FactorInformation(
        factor_kind_from_wire(message.kind), time_from_wire(message.enrolled_at)
    )


def step_up_to_wire(step_up: StepUp) -> step_up_pb2.StepUp:
    """Build the message."""
    message = step_up_pb2.StepUp(
        step_up_id=step_up.step_up,
        state=_STATES[step_up.state],
        decision=decision_to_wire(step_up.decision),
        ways=[step_up_pb2.Way(factors=_sorted(way)) for way in step_up.ways],
        passed=_sorted(step_up.passed),
        answers_left=step_up.answers_left,
        expires_at=time_to_wire(step_up.expires_at),
        record_id=step_up.record_id or 0,
        wait_seconds=step_up.wait_seconds,
    )
    if step_up.guess_rate is not None:
        message.guess_rate = step_up.guess_rate
    if step_up.last is not None:
        message.last = _RESULTS[step_up.last]
    return message


def step_up_from_wire(message: step_up_pb2.StepUp) -> StepUp:
    """Read the message; unknown states are REFUSED, results WRONG, kinds left out."""
    unanswered = message.last == step_up_pb2.ANSWER_RESULT_UNSPECIFIED
    return StepUp(
        step_up=message.step_up_id,
        state=_STATES_BACK.get(message.state, StepUpState.REFUSED),
        decision=decision_from_wire(message.decision),
        ways=tuple(_kinds(way.factors) for way in message.ways),
        passed=_kinds(message.passed),
        answers_left=message.answers_left,
        expires_at=time_from_wire(message.expires_at),
        record_id=message.record_id or None,
        guess_rate=message.guess_rate if message.HasField("guess_rate") else None,
        last=None if unanswered else _RESULTS_BACK.get(message.last, AnswerResult.WRONG),
        wait_seconds=message.wait_seconds,
    )


def _sorted(kinds: frozenset[FactorKind]) -> list["step_up_pb2.FactorKind.ValueType"]:
    return [factor_kind_to_wire(kind) for kind in sorted(kinds)]


def _kinds(numbers: object) -> frozenset[FactorKind]:
    return frozenset(_KINDS_BACK[one] for one in numbers if one in _KINDS_BACK)  # type: ignore[attr-defined]
