# SPDX-License-Identifier: Apache-2.0
"""An engine that counts attempts, and calls on it."""

from dataclasses import replace
from pathlib import Path

from fake_engine import TENANT, consenting, make_engine, span

from voiceauth.decision.lockout import LockoutRules, NumberRules
from voiceauth.ports import Clock
from voiceauth.types import (
    AudioFormat,
    CallId,
    Encoding,
    LockoutStanding,
    SubjectId,
    TenantId,
    Verdict,
)
from voiceauth.usecases.attempt_desk import AttemptDesk, VoicePath, VoiceRules
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.keep_attempts import read_lockout
from voiceauth.usecases.verify_call import VerifyCall

MULAW = AudioFormat(Encoding.MULAW)
ANNA, BERT, STRANGER = 7, 8, 9
NUMBER = "+4930123456"


def counting(
    directory: Path,
    *,
    clock: Clock | None = None,
    rules: LockoutRules | None = None,
    numbers: NumberRules | None = None,
    voices: VoiceRules | None = None,
) -> Engine:
    """Return an engine over the vault of a directory that counts attempts."""
    built = make_engine(directory, clock=clock)
    return replace(built, attempts=AttemptDesk(built.clock, rules, numbers, voices))


def enrolled(engine: Engine, name: str, voice: int) -> SubjectId:
    """Create a consenting subject with a voiceprint."""
    subject = consenting(engine, name)
    call = EnrolCall(engine, EnrolmentRequest(CallId("enrol"), TENANT, subject, MULAW))
    call.load()
    for _ in range(3):
        call.weigh(span(voice), engine.embedder.embed(span(voice).samples))
    call.conclude()
    return subject


def opened(
    engine: Engine, name: str = "anna", number: str = "", *, tenant: TenantId = TENANT
) -> VerifyCall:
    """Open a call and load what it is compared with."""
    claim = Claim(CallId("call-1"), tenant, SubjectId(name), MULAW, number=number)
    call = VerifyCall(engine, claim)
    call.load()
    return call


def spoken(engine: Engine, call: VerifyCall, voice: int, seconds: float = 3.0) -> VerifyCall:
    """Let a voice speak in a call, unless it is decided."""
    if not call.decided:
        call.weigh(span(voice, seconds), engine.embedder.embed(span(voice).samples))
    return call


def called(
    engine: Engine,
    voice: int,
    name: str = "anna",
    number: str = "",
    *,
    tenant: TenantId = TENANT,
) -> Verdict:
    """Run a whole call."""
    return spoken(engine, opened(engine, name, number, tenant=tenant), voice).conclude()


def failed(engine: Engine, times: int, name: str = "anna", number: str = "") -> None:
    """Let a stranger call so often, waiting for nothing."""
    for _ in range(times):
        spoken(engine, opened(engine, name, number), STRANGER).conclude()


def standing(engine: Engine, name: str = "anna", number: str = "") -> LockoutStanding:
    """Return the counters."""
    return read_lockout(engine, VoicePath(TENANT, SubjectId(name), number))
