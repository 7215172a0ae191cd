# SPDX-License-Identifier: Apache-2.0
"""Every RPC of the contract and its limits. An RPC that is not listed here is not served."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from voiceauth.config import ServerSettings
from voiceauth.units import Seconds

ENVELOPE_BYTES = 8192
"""Room for everything in a request that is not audio: ids, and at most 32 group names."""
RESPONSE_BYTES = 2_097_152
"""Largest response; a page of subjects is cut to stay below it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The limits of one RPC.

    Attributes:
        stream: True for a call with audio, which is capped and may last long.
        seconds: longest duration under the given settings.
        request_bytes: largest request message under the given settings.
    """

    stream: bool
    seconds: Callable[[ServerSettings], Seconds]
    request_bytes: Callable[[ServerSettings], int]


_CALL = Rule(
    stream=True,
    seconds=lambda limits: limits.max_stream_seconds,
    request_bytes=lambda limits: limits.max_message_bytes + ENVELOPE_BYTES,
)
_REQUEST = Rule(
    stream=False,
    seconds=lambda limits: limits.request_seconds,
    request_bytes=lambda _: ENVELOPE_BYTES,
)

RULES: Mapping[str, Rule] = {
    "/voiceauth.v1.VerificationService/Verify": _CALL,
    "/voiceauth.v1.VerificationService/Identify": _CALL,
    "/voiceauth.v1.VerificationService/CreateChallenge": _REQUEST,
    "/voiceauth.v1.EnrolmentService/Enrol": _CALL,
    "/voiceauth.v1.SubjectService/CreateSubject": _REQUEST,
    "/voiceauth.v1.SubjectService/GetSubject": _REQUEST,
    "/voiceauth.v1.SubjectService/ListSubjects": _REQUEST,
    "/voiceauth.v1.SubjectService/SetSubjectGroups": _REQUEST,
    "/voiceauth.v1.SubjectService/RecordConsent": _REQUEST,
    "/voiceauth.v1.SubjectService/WithdrawConsent": _REQUEST,
    "/voiceauth.v1.SubjectService/OptOut": _REQUEST,
    "/voiceauth.v1.SubjectService/UndoOptOut": _REQUEST,
    "/voiceauth.v1.SubjectService/EraseSubject": _REQUEST,
    "/voiceauth.v1.InformationService/GetInformation": _REQUEST,
}
