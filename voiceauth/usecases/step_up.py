# SPDX-License-Identifier: Apache-2.0
"""Run a step-up: what a STEP_UP asks for, factor by factor, to an answer that is recorded.

The order of one step-up; each step is durable before its answer leaves:

(1) ``offer`` leaves what a verification has found, in the transaction of its verdict.
(2) ``begin`` opens the step-up of a call. Without a verification there is no voice to build on, and
    only the routes without one are left. After a REJECT there is none for that call.
(3) ``send_code`` hands a one-time code to the delivery; it is kept as a hash, bound to the step-up.
(4) ``answer``: (a) the attempt is counted as failed, before anything is looked at; (b) what was
    shown is checked, outside of any transaction, as a PIN takes its time; (c) if it is right, and
    still what is asked for, the count is taken back and the factor has passed. A process that dies
    on the way leaves a failed attempt.
(5) With the last factor of a route, the last answer or the end of the time, the outcome is recorded
    with all that it rests on.

Rules:

* A subject whom nobody knows, or who has no such factor, meets the same ways, limits and answers.
* A time step or a code is taken once, whichever calls show it at the same time.
* Wrong answers to a factor close that factor alone, for a time; nothing else of the subject.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from voiceauth.decision.lockout import Attempt, counted, lock_of, unlocked
from voiceauth.decision.policy import Policy
from voiceauth.decision.step_up import ways
from voiceauth.errors import ClockJumpedError, LimitError, PolicyError, StepUpRefusedError
from voiceauth.factors.codes import code_hash, is_code, new_code
from voiceauth.factors.totp import matching_step
from voiceauth.ports import Transaction
from voiceauth.types import (
    AnswerResult,
    CallId,
    CodeMessage,
    Counter,
    Decision,
    Factor,
    FactorKind,
    StepUp,
    StepUpRecord,
    StepUpState,
    SubjectId,
    TenantId,
)
from voiceauth.units import Rate
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.step_up_desk import COUNTERS, TOLERATED_SECONDS, StepUpDesk
from voiceauth.usecases.step_up_records import (
    Named,
    answered,
    fresh,
    owner_of,
    recorded,
    routes_told,
    settled,
    told,
)

_NAME_BYTES = 16


@dataclass(frozen=True, slots=True)
class Found:
    """What a verification found, for a step-up to build on."""

    call: CallId
    tenant: TenantId
    subject: SubjectId
    number: str
    decision: Decision
    record_id: int
    reached: tuple[Rate, ...]


def offer(engine: Engine, transaction: Transaction, policy: Policy, found: Found) -> None:
    """Leave what a verification found, in the transaction of its verdict."""
    if engine.step_up is None:
        return
    made = fresh(engine, engine.step_up, policy, found.call, found.subject)
    transaction.put_step_up(
        found.tenant,
        replace(
            made,
            verdict=found.decision,
            verdict_record=found.record_id,
            reached=found.reached,
            number=found.number,
        ),
    )


def begin(engine: Engine, tenant: TenantId, call: CallId, subject: SubjectId) -> StepUp:
    """Open the step-up of a call; beginning it twice is beginning it once.

    Raises:
        StepUpRefusedError: the call was rejected, is another subject's, its step-up is over, or
            its policy has none.
        ClockJumpedError: the clock was set back.
        StorageError: nothing was begun.
    """
    desk = _desk(engine)
    now = desk.now()
    with engine.vault.begin() as transaction:
        record = transaction.step_up(tenant, call)
        if record is None:
            record = fresh(engine, desk, engine.policy(""), call, subject)
        _check_clock(desk, record)
        if record.subject != subject or record.verdict is Decision.REJECT or not record.routes:
            raise StepUpRefusedError
        if record.state is StepUpState.OPEN and now <= record.expires_at:
            recorded(engine, transaction, tenant, record, "step_up.read")
            return told(desk, record)
        if record.state is not StepUpState.READY or now > record.expires_at:
            raise StepUpRefusedError("The step-up of this call is over.")
        name = engine.random.token(_NAME_BYTES).hex()
        record = replace(record, state=StepUpState.OPEN, step_up=name)
        transaction.put_step_up(tenant, record)
        recorded(engine, transaction, tenant, record, "step_up.begun", routes=routes_told(record))
    return told(desk, record)


def send_code(engine: Engine, named: Named) -> StepUp:
    """Send a one-time code to where the subject's codes go; the last one is no longer taken.

    Raises:
        StepUpRefusedError: there is no such step-up, or it takes no code.
        LimitError: this step-up, or this subject, has had enough codes for now.
        DeliveryError: the code could not be handed over.
        ClockJumpedError: the clock was set back.
    """
    desk = _desk(engine)
    if desk.delivery is None:
        raise StepUpRefusedError("No one-time codes are sent here.")
    with engine.vault.begin() as transaction:
        record = _open(engine, desk, transaction, named)
        if record.state is not StepUpState.OPEN:
            recorded(engine, transaction, named.tenant, record, "step_up.read")
            return told(desk, record)
        _require_way(record, FactorKind.CODE)
        sent = transaction.attempts(named.tenant, Counter.CODE_SENT, record.subject)
        if record.codes_left < 1 or lock_of(sent, desk.steady(), desk.limits).closed:
            raise LimitError("No further code is sent now.")
        _count(desk, transaction, named.tenant, record.subject, Counter.CODE_SENT)
        place = _factor(transaction, named.tenant, record.subject, FactorKind.CODE)
        code, now = new_code(engine.random), desk.now()
        record = replace(
            record,
            codes_left=record.codes_left - 1,
            code_hash=code_hash(desk.code_key, record.step_up, code) if place else "",
            code_expires_at=now + timedelta(seconds=desk.rules.code_seconds),
        )
        transaction.put_step_up(named.tenant, record)
        recorded(engine, transaction, named.tenant, record, "step_up.code_sent")
    if place is not None and record.code_expires_at is not None:
        reference = engine.pseudonym(named.tenant, named.call)
        desk.delivery.deliver(CodeMessage(place.secret, code, record.code_expires_at, reference))
    return told(desk, record)


def answer(engine: Engine, named: Named, kind: FactorKind, shown: str) -> StepUp:
    """Take one answer of the caller.

    Raises:
        StepUpRefusedError: there is no such step-up, or it does not ask for this factor.
        ClockJumpedError: the clock was set back.
        StorageError: nothing was decided; the answer may count as a wrong one.
        IntegrityError: what is stored was changed; nothing was decided.
    """
    desk = _desk(engine)
    with engine.vault.begin() as transaction:  # (4a)
        record = _open(engine, desk, transaction, named)
        if record.state is not StepUpState.OPEN:
            recorded(engine, transaction, named.tenant, record, "step_up.read")
            return told(desk, record)
        _require_way(record, kind)
        tried = transaction.attempts(named.tenant, COUNTERS[kind], record.subject)
        lock = lock_of(tried, desk.steady(), desk.limits)
        if lock.closed:
            wait = lock.remaining_seconds or desk.limits.longest_delay_seconds
            throttled = AnswerResult.THROTTLED
            answered(engine, transaction, named.tenant, record, kind=kind, result=throttled)
            return told(desk, record, AnswerResult.THROTTLED, wait)
        _count(desk, transaction, named.tenant, record.subject, COUNTERS[kind])
        factor = _factor(transaction, named.tenant, record.subject, kind)
        record = replace(record, answers_left=record.answers_left - 1)
        transaction.put_step_up(named.tenant, record)
    before, checked = (
        record,
        _checked(desk, named, record, kind=kind, factor=factor, shown=shown),
    )  # (4b)
    with engine.vault.begin() as transaction:  # (4c)
        record = _open(engine, desk, transaction, named)
        if record.state is not StepUpState.OPEN:
            recorded(engine, transaction, named.tenant, record, "step_up.read")
            return told(desk, record)
        right = checked is not None and _taken(transaction, named, (before, record), kind, checked)
        result = AnswerResult.RIGHT if right else AnswerResult.WRONG
        if right:
            _forgive(desk, transaction, named.tenant, record.subject, kind)
            record = replace(
                record,
                passed=record.passed | {kind},
                answers_left=record.answers_left + 1,
                code_hash="" if kind is FactorKind.CODE else record.code_hash,
            )
        answered(engine, transaction, named.tenant, record, kind=kind, result=result)
        record = settled(engine, desk, transaction, named.tenant, record, expired=False)
        transaction.put_step_up(named.tenant, record)
    return told(desk, record, result)


def outcome(engine: Engine, named: Named) -> StepUp:
    """Read how a step-up stands; the reading is recorded.

    Raises:
        StepUpRefusedError: there is no such step-up.
        ClockJumpedError: the clock was set back.
    """
    desk = _desk(engine)
    with engine.vault.begin() as transaction:
        record = _open(engine, desk, transaction, named)
        recorded(engine, transaction, named.tenant, record, "step_up.read")
    return told(desk, record)


def _desk(engine: Engine) -> StepUpDesk:
    if engine.step_up is None:
        raise PolicyError("No step-ups are run here.")
    return engine.step_up


def _check_clock(desk: StepUpDesk, record: StepUpRecord) -> None:
    """Refuse a time before the call, as a clock that was set back before a restart shows it."""
    if desk.now() < record.created_at - timedelta(seconds=TOLERATED_SECONDS):
        raise ClockJumpedError(detail="it is earlier than the call that is stepped up")


def _open(engine: Engine, desk: StepUpDesk, transaction: Transaction, named: Named) -> StepUpRecord:
    """Read a begun step-up and end it if its time is over. Raises StepUpRefusedError."""
    record = transaction.step_up(named.tenant, named.call)
    if record is None or not record.step_up or record.step_up != named.step_up:
        raise StepUpRefusedError
    _check_clock(desk, record)
    if record.state is StepUpState.OPEN and desk.now() > record.expires_at:
        record = settled(engine, desk, transaction, named.tenant, record, expired=True)
        transaction.put_step_up(named.tenant, record)
    return record


def _require_way(record: StepUpRecord, kind: FactorKind) -> None:
    missing = ways(record.routes, record.reached, record.passed)
    if not any(kind in way for way in missing):
        raise StepUpRefusedError("This step-up does not ask for this factor now.")


def _factor(
    transaction: Transaction, tenant: TenantId, subject: SubjectId, kind: FactorKind
) -> Factor | None:
    found = (one for one in transaction.factors(tenant, subject) if one.kind is kind)
    return next(found, None)


def _checked(
    desk: StepUpDesk,
    named: Named,
    record: StepUpRecord,
    *,
    kind: FactorKind,
    factor: Factor | None,
    shown: str,
) -> Factor | None:
    """Return the factor as it is after a right answer, None after a wrong one."""
    shown, now = shown.strip(), desk.now()
    if kind is FactorKind.PIN:
        owner = owner_of(named.tenant, record.subject)
        kept = None if factor is None else factor.secret
        return factor if desk.pins.matches(owner, shown, kept) else None
    if factor is None:
        return None
    if kind is FactorKind.CODE:
        fresh = record.code_expires_at is not None and now <= record.code_expires_at
        right = is_code(desk.code_key, record.step_up, shown, record.code_hash)
        return factor if right and fresh else None
    step = matching_step(
        factor.secret,
        shown,
        at=now.timestamp(),
        window=desk.rules.totp_window,
        after=factor.last_step,
    )
    return None if step is None else replace(factor, last_step=step)


def _taken(
    transaction: Transaction,
    named: Named,
    records: tuple[StepUpRecord, StepUpRecord],
    kind: FactorKind,
    checked: Factor,
) -> bool:
    """Say whether what was checked is still what is asked for, and use it up if it is.

    Args:
        transaction: in which it is used up.
        named: the step-up.
        records: when it was checked, and now.
        kind: of the factor.
        checked: the factor after the answer.
    """
    before, record = records
    now = _factor(transaction, named.tenant, record.subject, kind)
    if now is None or now.secret != checked.secret or kind in record.passed:
        return False
    if kind is FactorKind.TOTP:
        if now.last_step >= checked.last_step:
            return False
        transaction.put_factor(named.tenant, record.subject, checked)
    return kind is not FactorKind.CODE or record.code_hash == before.code_hash


def _count(
    desk: StepUpDesk,
    transaction: Transaction,
    tenant: TenantId,
    subject: SubjectId,
    counter: Counter,
) -> None:
    now = desk.steady()
    before = transaction.attempts(tenant, counter, subject)
    after = counted(before, Attempt.FAILED, now, desk.limits)
    transaction.put_attempts(tenant, counter, subject, after, at=now, subject=subject)


def _forgive(
    desk: StepUpDesk,
    transaction: Transaction,
    tenant: TenantId,
    subject: SubjectId,
    kind: FactorKind,
) -> None:
    counters = [COUNTERS[kind]]
    if kind is FactorKind.CODE:
        counters.append(Counter.CODE_SENT)
    for counter in counters:
        after = unlocked(transaction.attempts(tenant, counter, subject))
        transaction.put_attempts(tenant, counter, subject, after, at=desk.steady(), subject=subject)
