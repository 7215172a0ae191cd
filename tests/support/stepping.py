# SPDX-License-Identifier: Apache-2.0
"""A bank whose callers step up: cheap PINs, codes that are kept in a list, and an authenticator."""

from dataclasses import replace
from pathlib import Path

import pyotp
from counted import ANNA, called, counting, enrolled
from fake_engine import TENANT

from voiceauth.decision.policy import Policy
from voiceauth.errors import DeliveryError
from voiceauth.factors.pin import PinCost, PinHasher
from voiceauth.ports import Clock
from voiceauth.types import (
    CallId,
    CodeMessage,
    FactorKind,
    LedgerEntry,
    NewFactor,
    Route,
    StepUp,
    SubjectId,
)
from voiceauth.usecases import keep_factors, step_up
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.step_up_desk import Keys, StepUpDesk, StepUpRules
from voiceauth.usecases.step_up_records import Named

TOTP, CODE, PIN = FactorKind.TOTP, FactorKind.CODE, FactorKind.PIN
CALL, ALICE = CallId("call-1"), SubjectId("anna")
THE_PIN = "802741"
ROUTES = (
    Route(frozenset({TOTP}), 0.01),
    Route(frozenset({CODE}), 0.01),
    Route(frozenset({TOTP, PIN})),
)
POLICY = Policy("standard", routes=ROUTES)


class Phone:
    """A ``ports.CodeDelivery`` that keeps what it was given, or is down."""

    def __init__(self) -> None:
        self.messages: list[CodeMessage] = []
        self.down = False

    def deliver(self, message: CodeMessage) -> None:
        """Keep a code, or fail."""
        if self.down:
            raise DeliveryError
        self.messages.append(message)

    @property
    def code(self) -> str:
        """The newest code."""
        return self.messages[-1].code


def desk_of(engine: Engine, phone: Phone | None, rules: StepUpRules | None = None) -> StepUpDesk:
    """Return a desk with cheap PINs."""
    keys = Keys(engine.secret("one-time-code"), engine.secret("pin-pepper"))
    pins = PinHasher(keys.pins, PinCost(passes=1, memory_kib=8))
    return StepUpDesk(engine.clock, keys, rules, phone, pins)


def stepping(
    directory: Path,
    phone: Phone | None = None,
    *,
    clock: Clock | None = None,
    rules: StepUpRules | None = None,
) -> Engine:
    """Return an engine over the vault of a directory that steps up."""
    built = counting(directory, clock=clock)
    desk = desk_of(built, phone, rules)
    return replace(built, policies={"standard": POLICY}, step_up=desk)


def equipped(engine: Engine, name: str = "anna", voice: int = ANNA) -> str:
    """Enrol a voice and all factors; return the TOTP secret."""
    subject = enrolled(engine, name, voice)
    made = keep_factors.enrol_factor(engine, TENANT, subject, NewFactor(TOTP))
    keep_factors.enrol_factor(engine, TENANT, subject, NewFactor(PIN, pin=THE_PIN))
    keep_factors.enrol_factor(engine, TENANT, subject, NewFactor(CODE, destination="+49301"))
    return str(pyotp.parse_uri(made.provisioning_uri).secret)


def totp(engine: Engine, secret: str, *, steps: int = 0) -> str:
    """Return the code of an authenticator that is so many steps off."""
    return str(pyotp.TOTP(secret).at(engine.clock.now(), counter_offset=steps))


def begun(engine: Engine, voice: int | None = ANNA, name: str = "anna") -> Named:
    """Let a voice call, or nobody, and begin the step-up; return its name."""
    if voice is not None:
        called(engine, voice, name)
    told = step_up.begin(engine, TENANT, CALL, SubjectId(name))
    return Named(TENANT, CALL, told.step_up)


def answered(engine: Engine, named: Named, kind: FactorKind, shown: str) -> StepUp:
    """Give one answer."""
    return step_up.answer(engine, named, kind, shown)


def last(engine: Engine, event: str) -> LedgerEntry:
    """Return the newest entry of that name."""
    return [one for one in engine.vault.ledger() if one.event == event][-1]
