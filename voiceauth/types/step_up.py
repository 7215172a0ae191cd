# SPDX-License-Identifier: Apache-2.0
"""Factors beside the voice, and how one step-up stands."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from voiceauth.types.names import CallId, SubjectId
from voiceauth.types.reasons import Decision
from voiceauth.units import Rate, Seconds


class FactorKind(StrEnum):
    """What a caller can show beside the voice. Names are stable."""

    TOTP = "totp"
    """Codes of an authenticator app or token (RFC 6238)."""
    CODE = "code"
    """A one-time code that is sent to a known place."""
    PIN = "pin"


@dataclass(frozen=True, slots=True)
class Route:
    """One way to be accepted in a step-up: all of its factors, and the voice if it names a rate.

    Attributes:
        factors: each of which has to be shown.
        voice_false_match_rate: that the voice has to have reached in the call; None for a way
            without any voice.
    """

    factors: frozenset[FactorKind]
    voice_false_match_rate: Rate | None = None


class StepUpState(StrEnum):
    """How a step-up stands."""

    READY = "ready"
    """A verdict asks for it; nobody has begun it."""
    OPEN = "open"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    """All answers were used up."""
    EXPIRED = "expired"


class AnswerResult(StrEnum):
    """What one answer was. A factor that nobody enrolled is WRONG like any other."""

    RIGHT = "right"
    WRONG = "wrong"
    THROTTLED = "throttled"
    """The factor is closed for a time after wrong answers; this one was not looked at."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One enrolled factor, as the vault keeps it.

    Attributes:
        secret: what it is checked against: a TOTP secret, the hash of a PIN, a destination.
        last_step: newest time step of a TOTP code that was taken; -1 before the first.
    """

    kind: FactorKind
    secret: str = field(repr=False)
    enrolled_at: datetime
    last_step: int = -1


@dataclass(frozen=True, slots=True)
class FactorInformation:
    """What is told about an enrolled factor."""

    kind: FactorKind
    enrolled_at: datetime


@dataclass(frozen=True, slots=True)
class StepUpRecord:
    """One step-up, as the vault keeps it: bound to one call of one subject.

    Attributes:
        verdict: of the call's verification; None where there was none.
        verdict_record: its ledger sequence number.
        policy: whose routes these are.
        reached: false-match rates that the voice reached in the call.
        step_up: random name that answers have to show; empty before it was begun.
        passed: factors that were shown.
        code_hash: of the one-time code that is out; empty without one.
        outcome_record: ledger sequence number of the outcome; None before it.
    """

    call: CallId
    subject: SubjectId
    verdict: Decision | None
    verdict_record: int | None
    policy: str
    routes: tuple[Route, ...]
    reached: tuple[Rate, ...]
    number: str
    created_at: datetime
    expires_at: datetime
    answers_left: int
    codes_left: int
    state: StepUpState = StepUpState.READY
    step_up: str = field(default="", repr=False)
    passed: frozenset[FactorKind] = frozenset()
    code_hash: str = field(default="", repr=False)
    code_expires_at: datetime | None = None
    outcome_record: int | None = None


@dataclass(frozen=True, slots=True)
class StepUp:
    """What is told about one step-up.

    Attributes:
        step_up: shown with every answer.
        decision: STEP_UP while it is open, then ACCEPT, REJECT (all answers used up) or
            INCONCLUSIVE (time is over).
        ways: what is still to be shown, any one set of them; empty at the end.
        record_id: ledger sequence number of the outcome; None before it.
        guess_rate: chance that somebody who knows nothing gets this far, for the route that was
            taken; None before an ACCEPT.
        last: what the newest answer was; None without one.
        wait_seconds: until a throttled factor may be answered again.
    """

    step_up: str
    state: StepUpState
    decision: Decision
    ways: tuple[frozenset[FactorKind], ...]
    passed: frozenset[FactorKind]
    answers_left: int
    expires_at: datetime
    record_id: int | None = None
    guess_rate: Rate | None = None
    last: AnswerResult | None = None
    wait_seconds: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class CodeMessage:
    """A one-time code on its way to a caller.

    Attributes:
        destination: as it was enrolled.
        expires_at: UTC.
        reference: pseudonym of the call, for whoever delivers.
    """

    destination: str = field(repr=False)
    code: str = field(repr=False)
    expires_at: datetime
    reference: str


@dataclass(frozen=True, slots=True)
class NewFactor:
    """What is enrolled.

    Attributes:
        pin: with a PIN.
        destination: where one-time codes go: a number, a mail address, a device's name.
        label: that the authenticator shows beside the issuer; never a customer's number.
    """

    kind: FactorKind
    pin: str = field(default="", repr=False)
    destination: str = ""
    label: str = "telephone"


@dataclass(frozen=True, slots=True)
class EnrolledFactor:
    """What was enrolled.

    Attributes:
        provisioning_uri: of a TOTP secret, for its owner's authenticator, told once; else empty.
    """

    factor: FactorInformation
    provisioning_uri: str = field(default="", repr=False)
