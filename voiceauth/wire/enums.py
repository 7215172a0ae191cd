# SPDX-License-Identifier: Apache-2.0
"""The enums of the contract beside those of ``voiceauth.types``.

The names are the same but for the contract's prefix, so the tables are built from the names; a
value without a counterpart stops the import.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Protocol, TypeVar

from voiceauth.errors import UnsupportedFormatError
from voiceauth.types import (
    Bandwidth,
    Decision,
    Encoding,
    EnrolmentOutcome,
    LivenessState,
    Progress,
    Reason,
    SubjectState,
)
from voiceauth.v1 import audio_pb2, enrolment_pb2, evidence_pb2, subjects_pb2

_E = TypeVar("_E", bound=Enum)


class _WireEnum(Protocol):
    def Value(self, name: str) -> Any:  # noqa: N802 - protobuf's name
        """Return the number of a name."""


def table(kind: type[_E], wire: _WireEnum, prefix: str) -> Mapping[_E, Any]:
    """Return the contract's number of each value."""
    return {member: wire.Value(f"{prefix}_{member.name}") for member in kind}


_DECISIONS = table(Decision, evidence_pb2.Decision, "DECISION")
_PROGRESS = table(Progress, evidence_pb2.Progress, "PROGRESS")
_REASONS = table(Reason, evidence_pb2.Reason, "REASON")
_LIVENESS = table(LivenessState, evidence_pb2.LivenessState, "LIVENESS_STATE")
_BANDWIDTHS = table(Bandwidth, audio_pb2.Bandwidth, "BANDWIDTH")
_ENCODINGS = table(Encoding, audio_pb2.Encoding, "ENCODING")
_OUTCOMES = table(EnrolmentOutcome, enrolment_pb2.EnrolOutcome, "ENROL_OUTCOME")
_STATES = table(SubjectState, subjects_pb2.SubjectState, "SUBJECT_STATE")


def reversed_table(numbers: Mapping[_E, Any]) -> Mapping[int, _E]:
    """Return the value of each number."""
    return {int(number): member for member, number in numbers.items()}


_DECISIONS_BACK = reversed_table(_DECISIONS)
_PROGRESS_BACK = reversed_table(_PROGRESS)
_REASONS_BACK = reversed_table(_REASONS)
_LIVENESS_BACK = reversed_table(_LIVENESS)
_BANDWIDTHS_BACK = reversed_table(_BANDWIDTHS)
_ENCODINGS_BACK = reversed_table(_ENCODINGS)
_OUTCOMES_BACK = reversed_table(_OUTCOMES)
_STATES_BACK = reversed_table(_STATES)


def decision_to_wire(decision: Decision) -> "evidence_pb2.Decision.ValueType":
    """Return the contract's number of a decision."""
    return _DECISIONS[decision]  # type: ignore[no-any-return]


def decision_from_wire(number: int) -> Decision:
    """Return the decision; STEP_UP for one that this version does not know."""
    return _DECISIONS_BACK.get(number, Decision.STEP_UP)


def progress_to_wire(progress: Progress) -> "evidence_pb2.Progress.ValueType":
    """Return the contract's number of a progress."""
    return _PROGRESS[progress]  # type: ignore[no-any-return]


def progress_from_wire(number: int) -> Progress:
    """Return the progress; LISTENING, which claims nothing, for an unknown one."""
    return _PROGRESS_BACK.get(number, Progress.LISTENING)


def reasons_to_wire(reasons: Iterable[Reason]) -> list["evidence_pb2.Reason.ValueType"]:
    """Return the contract's numbers, in order."""
    return [_REASONS[reason] for reason in reasons]


def reasons_from_wire(numbers: Iterable[int]) -> tuple[Reason, ...]:
    """Return the known reasons, in order; a reason of a newer server is left out."""
    return tuple(_REASONS_BACK[number] for number in numbers if number in _REASONS_BACK)


def liveness_state_to_wire(state: LivenessState) -> "evidence_pb2.LivenessState.ValueType":
    """Return the contract's number of a liveness state."""
    return _LIVENESS[state]  # type: ignore[no-any-return]


def liveness_state_from_wire(number: int) -> LivenessState:
    """Return the state; NOT_MEASURED, which is not a pass, for an unknown one."""
    return _LIVENESS_BACK.get(number, LivenessState.NOT_MEASURED)


def bandwidth_to_wire(bandwidth: Bandwidth) -> "audio_pb2.Bandwidth.ValueType":
    """Return the contract's number of a bandwidth."""
    return _BANDWIDTHS[bandwidth]  # type: ignore[no-any-return]


def bandwidth_from_wire(number: int) -> Bandwidth:
    """Return the bandwidth; NARROWBAND, the lesser claim, for an unknown one."""
    return _BANDWIDTHS_BACK.get(number, Bandwidth.NARROWBAND)


def encoding_to_wire(encoding: Encoding) -> "audio_pb2.Encoding.ValueType":
    """Return the contract's number of an encoding."""
    return _ENCODINGS[encoding]  # type: ignore[no-any-return]


def encoding_from_wire(number: int) -> Encoding:
    """Return the encoding. Raises UnsupportedFormatError for none or an unknown one."""
    found = _ENCODINGS_BACK.get(number)
    if found is None:
        raise UnsupportedFormatError("The audio encoding is missing or not known.")
    return found


def outcome_to_wire(outcome: EnrolmentOutcome) -> "enrolment_pb2.EnrolOutcome.ValueType":
    """Return the contract's number of an enrolment outcome."""
    return _OUTCOMES[outcome]  # type: ignore[no-any-return]


def outcome_from_wire(number: int) -> EnrolmentOutcome:
    """Return the outcome; PARTIAL, which is not enrolled, for an unknown one."""
    return _OUTCOMES_BACK.get(number, EnrolmentOutcome.PARTIAL)


def subject_state_to_wire(state: SubjectState) -> "subjects_pb2.SubjectState.ValueType":
    """Return the contract's number of a subject's state."""
    return _STATES[state]  # type: ignore[no-any-return]


def subject_state_from_wire(number: int) -> SubjectState:
    """Return the state; OPTED_OUT, in which nothing is done, for an unknown one."""
    return _STATES_BACK.get(number, SubjectState.OPTED_OUT)
