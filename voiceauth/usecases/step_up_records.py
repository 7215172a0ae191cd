# SPDX-License-Identifier: Apache-2.0
"""What a step-up leaves behind: its state in the vault, its entries in the ledger, its answers."""

from dataclasses import dataclass, replace
from datetime import timedelta

from voiceauth.decision.policy import Policy
from voiceauth.decision.step_up import decision_of, fulfilled, guess_rate, state_of, ways
from voiceauth.ports import Transaction
from voiceauth.types import (
    AnswerResult,
    CallId,
    FactorKind,
    StepUp,
    StepUpRecord,
    StepUpState,
    SubjectId,
    TenantId,
)
from voiceauth.units import Rate, Seconds
from voiceauth.usecases.attempt_desk import VoicePath
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.records import routes_body
from voiceauth.usecases.step_up_desk import StepUpDesk


@dataclass(frozen=True, slots=True)
class Named:
    """A begun step-up, as a request names it."""

    tenant: TenantId
    call: CallId
    step_up: str


def owner_of(tenant: TenantId, subject: SubjectId) -> str:
    """Return the name that a PIN is bound to."""
    return f"{len(tenant)}:{tenant}{subject}"


def fresh(
    engine: Engine, desk: StepUpDesk, policy: Policy, call: CallId, subject: SubjectId
) -> StepUpRecord:
    """Return the step-up of a call that nothing is known about yet."""
    now = engine.clock.now()
    return StepUpRecord(
        call=call,
        subject=subject,
        verdict=None,
        verdict_record=None,
        policy=policy.name,
        routes=policy.routes,
        reached=(),
        number="",
        created_at=now,
        expires_at=now + timedelta(seconds=desk.rules.open_seconds),
        answers_left=desk.rules.answers,
        codes_left=desk.rules.codes,
    )


def told(
    desk: StepUpDesk,
    record: StepUpRecord,
    last: AnswerResult | None = None,
    wait_seconds: Seconds = 0.0,
) -> StepUp:
    """Return what is told about a step-up, after an answer or without one."""
    over = record.state is not StepUpState.OPEN
    return StepUp(
        step_up=record.step_up,
        state=record.state,
        decision=decision_of(record.state),
        ways=() if over else ways(record.routes, record.reached, record.passed),
        passed=record.passed,
        answers_left=record.answers_left,
        expires_at=record.expires_at,
        record_id=record.outcome_record,
        guess_rate=_guess_rate(desk, record),
        last=last,
        wait_seconds=wait_seconds,
    )


def answered(
    engine: Engine,
    transaction: Transaction,
    tenant: TenantId,
    record: StepUpRecord,
    *,
    kind: FactorKind,
    result: AnswerResult,
) -> None:
    """Record what one answer was."""
    recorded(
        engine,
        transaction,
        tenant,
        record,
        "step_up.answered",
        factor=kind.value,
        result=result.value,
        answers_left=record.answers_left,
    )


def settled(
    engine: Engine,
    desk: StepUpDesk,
    transaction: Transaction,
    tenant: TenantId,
    record: StepUpRecord,
    *,
    expired: bool,
) -> StepUpRecord:
    """Decide, and record the outcome if there is one, with all that it rests on."""
    state = state_of(
        record.routes,
        record.reached,
        record.passed,
        answers_left=record.answers_left,
        expired=expired,
    )
    if state is StepUpState.OPEN:
        return record
    record = replace(record, state=state, code_hash="")
    route = fulfilled(record.routes, record.reached, record.passed)
    accepted = state is StepUpState.ACCEPTED and route is not None
    if accepted and engine.attempts is not None:
        path = VoicePath(tenant, record.subject)
        engine.attempts.forgive(transaction, path)
    entry = recorded(
        engine,
        transaction,
        tenant,
        record,
        "step_up.outcome",
        routes=routes_told(record),
        reached=list(record.reached),
        passed=sorted(kind.value for kind in record.passed),
        answers_left=record.answers_left,
        expired=expired,
        route=routes_body((route,))[0] if accepted and route is not None else None,
        guess_rate=_guess_rate(desk, record),
        decision=decision_of(state).value,
    )
    return replace(record, outcome_record=entry)


def _guess_rate(desk: StepUpDesk, record: StepUpRecord) -> Rate | None:
    route = fulfilled(record.routes, record.reached, record.passed)
    if route is None or record.state is not StepUpState.ACCEPTED:
        return None
    return guess_rate(route, desk.rules.guesses)


def routes_told(record: StepUpRecord) -> list[dict[str, object]]:
    """Return the routes of a step-up as the ledger keeps them."""
    return routes_body(record.routes)


def recorded(
    engine: Engine,
    transaction: Transaction,
    tenant: TenantId,
    record: StepUpRecord,
    event: str,
    /,
    **more: object,
) -> int:
    """Write an entry about a step-up; return its sequence number."""
    entry = transaction.append(
        at=engine.clock.now(),
        tenant=tenant,
        event=event,
        body={
            "call": engine.pseudonym(tenant, record.call),
            "subject": engine.subject_pseudonym(transaction, tenant, record.subject),
            "number": engine.number_pseudonym(tenant, record.number),
            "verdict_record": record.verdict_record,
            "policy": record.policy,
            "state": record.state.value,
            **more,
        },
    )
    return entry.sequence
