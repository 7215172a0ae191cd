# SPDX-License-Identifier: Apache-2.0
"""What must not become an ACCEPT in a step-up, and what must not be lost."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from counted import ANNA, BERT, STRANGER, called, enrolled, failed
from fake_engine import TENANT
from stepping import (
    ALICE,
    CALL,
    CODE,
    PIN,
    THE_PIN,
    TOTP,
    Phone,
    answered,
    begun,
    desk_of,
    equipped,
    stepping,
    totp,
)

from voiceauth.decision.policy import Policy
from voiceauth.errors import (
    ClockJumpedError,
    DeliveryError,
    IntegrityError,
    LimitError,
    PolicyError,
    StepUpRefusedError,
    StorageError,
)
from voiceauth.factors.codes import is_code
from voiceauth.factors.totp import matching_step
from voiceauth.testing.fakes import FakeClock
from voiceauth.types import (
    AnswerResult,
    CallId,
    Counter,
    Decision,
    FactorKind,
    NewFactor,
    StepUpState,
    SubjectId,
    TenantId,
)
from voiceauth.usecases import step_up
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.erase_subject import erase_subject
from voiceauth.usecases.keep_factors import enrol_factor, remove_factor
from voiceauth.usecases.step_up_desk import StepUpRules
from voiceauth.usecases.step_up_records import Named
from voiceauth.vault.transaction import SqliteTransaction


@pytest.fixture
def clock() -> FakeClock:
    """Return the engine's clock."""
    return FakeClock()


@pytest.fixture
def phone() -> Phone:
    """Return what codes are sent to."""
    return Phone()


@pytest.fixture
def engine(tmp_path: Path, phone: Phone, clock: FakeClock) -> Iterator[Engine]:
    """Return an engine that steps up."""
    built = stepping(tmp_path, phone, clock=clock)
    yield built
    built.vault.close()


@pytest.fixture
def secret(engine: Engine) -> str:
    """Enrol anna with her voice and all factors; return her TOTP secret."""
    return equipped(engine)


def tried(engine: Engine, counter: Counter) -> int:
    """Return how many wrong answers in a row are counted for anna."""
    with engine.vault.read() as view:
        return view.attempts(TENANT, counter, ALICE).failures


def test_a_code_that_was_used_is_never_taken_again(engine: Engine, secret: str) -> None:
    """Whoever overheard it, in this call or another, has nothing."""
    code = totp(engine, secret)
    assert answered(engine, begun(engine), TOTP, code).decision is Decision.ACCEPT

    told = answered(engine, begun(engine), TOTP, code)

    assert told.last is AnswerResult.WRONG
    assert told.decision is Decision.STEP_UP


def test_a_used_code_is_not_taken_after_a_restart(
    engine: Engine, secret: str, clock: FakeClock, tmp_path: Path
) -> None:
    """The newest step that was taken is durable."""
    code = totp(engine, secret)
    answered(engine, begun(engine), TOTP, code)
    engine.vault.close()
    again = stepping(tmp_path, clock=clock)

    assert answered(again, begun(again), TOTP, code).last is AnswerResult.WRONG
    again.vault.close()


def test_an_earlier_code_is_not_taken_after_a_later_one(engine: Engine, secret: str) -> None:
    """Codes are used in their order."""
    answered(engine, begun(engine), TOTP, totp(engine, secret))
    told = answered(engine, begun(engine), TOTP, totp(engine, secret, steps=-1))

    assert told.last is AnswerResult.WRONG


def test_a_clock_that_is_set_back_takes_no_code_at_all(
    engine: Engine, secret: str, clock: FakeClock
) -> None:
    """Codes of the past would be right again, so none is looked at; nothing is accepted."""
    named = begun(engine)
    step_up.send_code(engine, named)
    old = totp(engine, secret, steps=-120)
    clock.jump(-3600)

    for work in (
        lambda: answered(engine, named, TOTP, old),
        lambda: answered(engine, named, CODE, "123456"),
        lambda: step_up.send_code(engine, named),
        lambda: step_up.outcome(engine, named),
        lambda: begun(engine, None),
    ):
        with pytest.raises(ClockJumpedError):
            work()


def test_a_clock_that_was_set_back_before_a_restart_takes_no_code_of_the_call(
    engine: Engine, secret: str, clock: FakeClock, tmp_path: Path
) -> None:
    """A call that is still to come, by the clock, is not stepped up."""
    named = begun(engine)
    engine.vault.close()
    clock.jump(-3600)
    again = stepping(tmp_path, clock=clock)

    with pytest.raises(ClockJumpedError):
        answered(again, named, TOTP, totp(again, secret))
    again.vault.close()


def test_a_clock_that_is_set_forward_ends_a_step_up_and_accepts_nobody(
    engine: Engine, secret: str, clock: FakeClock
) -> None:
    """After a jump the time is over; the right code of that time does not help."""
    named = begun(engine)
    clock.jump(86_400 * 365)
    told = answered(engine, named, TOTP, totp(engine, secret))

    assert (told.state, told.decision) == (StepUpState.EXPIRED, Decision.INCONCLUSIVE)
    assert told.record_id is not None


def test_a_one_time_code_is_taken_once_in_time_and_in_its_call(
    engine: Engine, secret: str, phone: Phone, clock: FakeClock
) -> None:
    """Another call, a second use, and the eleventh minute are all wrong."""
    del secret
    first = begun(engine)
    step_up.send_code(engine, first)
    code = phone.code
    assert answered(engine, first, CODE, code).decision is Decision.ACCEPT

    second = begun(engine)
    assert answered(engine, second, CODE, code).last is AnswerResult.WRONG
    step_up.send_code(engine, second)
    late = phone.code
    clock.advance(599)
    step_up.send_code(engine, second)
    assert answered(engine, second, CODE, late).last is AnswerResult.WRONG
    clock.advance(2)
    assert answered(engine, second, CODE, phone.code).state is StepUpState.EXPIRED


def test_a_code_is_over_before_its_step_up_is(
    tmp_path: Path, phone: Phone, clock: FakeClock
) -> None:
    """The code's own time counts, however long the step-up stays open."""
    rules = StepUpRules(open_seconds=3600.0, code_seconds=60.0)
    engine = stepping(tmp_path, phone, clock=clock, rules=rules)
    equipped(engine)
    named = begun(engine)
    step_up.send_code(engine, named)
    clock.advance(61)

    assert answered(engine, named, CODE, phone.code).last is AnswerResult.WRONG
    engine.vault.close()


def test_no_code_is_right_before_one_was_sent(engine: Engine, secret: str) -> None:
    """An empty answer to no code is wrong."""
    del secret
    assert answered(engine, begun(engine), CODE, " ").last is AnswerResult.WRONG


def test_the_name_of_another_calls_step_up_opens_nothing(engine: Engine, secret: str) -> None:
    """A step-up is named by its call and its own random name, both together."""
    named = begun(engine)
    code = totp(engine, secret)

    for wrong in (
        replace(named, call=CallId("call-2")),
        replace(named, step_up="0" * 32),
        replace(named, step_up=""),
        replace(named, tenant=TenantId("shop")),
    ):
        with pytest.raises(StepUpRefusedError):
            answered(engine, wrong, TOTP, code)
        with pytest.raises(StepUpRefusedError):
            step_up.outcome(engine, wrong)


def test_a_call_cannot_be_stepped_up_for_somebody_else(engine: Engine, secret: str) -> None:
    """The voice was anna's: bert's factors do not turn it into bert."""
    del secret
    enrolled(engine, "bert", BERT)
    called(engine, ANNA)

    with pytest.raises(StepUpRefusedError):
        step_up.begin(engine, TENANT, CALL, SubjectId("bert"))


def test_a_rejected_call_has_no_step_up(engine: Engine, secret: str) -> None:
    """A wrong voice is not argued away in the same call."""
    del secret
    called(engine, STRANGER)

    with pytest.raises(StepUpRefusedError):
        step_up.begin(engine, TENANT, CALL, ALICE)


@pytest.mark.parametrize("voice", [None, STRANGER])
def test_without_the_voice_no_single_factor_is_enough(
    engine: Engine, secret: str, voice: int | None
) -> None:
    """Nobody who did not sound like anna gets in with her authenticator alone."""
    if voice is not None:
        called(engine, voice)
        engine.clock.advance(1)  # type: ignore[attr-defined]
    named = Named(
        TENANT,
        CallId("call-9"),
        step_up.begin(engine, TENANT, CallId("call-9"), ALICE).step_up,
    )

    told = answered(engine, named, TOTP, totp(engine, secret))

    assert told.last is AnswerResult.RIGHT
    assert told.decision is Decision.STEP_UP
    assert told.ways == (frozenset({PIN}),)


def test_a_closed_voice_path_leaves_the_other_factors_open(engine: Engine, secret: str) -> None:
    """Whoever burns anna's voice path has not locked her out; and her success opens it again."""
    failed(engine, 5)
    named = begun(engine)
    assert answered(engine, named, TOTP, totp(engine, secret)).decision is Decision.STEP_UP

    told = answered(engine, named, PIN, THE_PIN)

    assert told.decision is Decision.ACCEPT
    assert called(engine, ANNA).evidence.score is not None


def test_a_disabled_voice_path_stays_closed_for_staff(engine: Engine, secret: str) -> None:
    """Other factors let anna in; they do not give an attacker fifty attempts again."""
    with engine.vault.begin() as change:
        spent = replace(change.attempts(TENANT, Counter.VOICE, ALICE), failures=50)
        change.put_attempts(TENANT, Counter.VOICE, ALICE, spent, at=engine.clock.now())
    named = begun(engine)
    answered(engine, named, TOTP, totp(engine, secret))

    assert answered(engine, named, PIN, THE_PIN).decision is Decision.ACCEPT
    assert called(engine, ANNA).evidence.score is None


@pytest.mark.parametrize("kind", [TOTP, CODE, PIN])
def test_a_factor_that_nobody_enrolled_is_only_ever_wrong(engine: Engine, kind: FactorKind) -> None:
    """Subjects without factors, and subjects whom nobody knows, meet the same answers."""
    enrolled(engine, "anna", ANNA)
    known = begun(engine)
    told = step_up.begin(engine, TENANT, CallId("call-2"), SubjectId("ghost"))
    unknown = Named(TENANT, CallId("call-2"), told.step_up)
    if kind is CODE:
        step_up.send_code(engine, known)
    for named in (known,) if kind is CODE else (unknown,) if kind is PIN else (known, unknown):
        told = answered(engine, named, kind, THE_PIN)
        assert (told.last, told.answers_left) == (AnswerResult.WRONG, 4)


def test_answers_run_out(engine: Engine, secret: str) -> None:
    """After five wrong answers the step-up is refused; a right one does not reopen it."""
    named = begun(engine)
    for left in (4, 3, 2, 1):
        assert answered(engine, named, TOTP, "000000").answers_left == left
    assert answered(engine, named, TOTP, "000000").state is StepUpState.REFUSED

    told = answered(engine, named, TOTP, totp(engine, secret))

    assert step_up.send_code(engine, named).state is StepUpState.REFUSED
    assert (told.state, told.decision) == (StepUpState.REFUSED, Decision.REJECT)
    assert told.ways == ()


def test_wrong_answers_close_a_factor_over_all_calls(
    engine: Engine, secret: str, clock: FakeClock
) -> None:
    """Beginning again gives no further tries: the factor is closed for a time, and only it."""
    named = begun(engine)
    for _ in range(5):
        answered(engine, named, TOTP, "000000")
    fresh = begun(engine)

    told = answered(engine, fresh, TOTP, totp(engine, secret))

    assert (told.last, told.wait_seconds) == (AnswerResult.THROTTLED, 30.0)
    assert told.answers_left == 5
    step_up.send_code(engine, fresh)
    clock.advance(30)
    assert answered(engine, fresh, TOTP, totp(engine, secret)).decision is Decision.ACCEPT


def test_a_factor_that_was_tried_out_waits_for_staff(engine: Engine, secret: str) -> None:
    """At fifty wrong answers in a row no time opens it; enrolling it anew does."""
    with engine.vault.begin() as change:
        spent = replace(change.attempts(TENANT, Counter.TOTP, ALICE), failures=50)
        change.put_attempts(TENANT, Counter.TOTP, ALICE, spent, at=engine.clock.now())
    named = begun(engine)
    told = answered(engine, named, TOTP, totp(engine, secret))
    assert (told.last, told.wait_seconds) == (AnswerResult.THROTTLED, 3600.0)

    enrol_factor(engine, TENANT, ALICE, NewFactor(TOTP))

    assert answered(engine, named, TOTP, "000000").last is AnswerResult.WRONG


def test_codes_run_out(engine: Engine, secret: str) -> None:
    """Nobody's telephone is flooded: three in one step-up, and then over all calls ever slower."""
    del secret
    named = begun(engine)
    for _ in range(3):
        step_up.send_code(engine, named)
    with pytest.raises(LimitError):
        step_up.send_code(engine, named)
    again = begun(engine)
    for _ in range(2):
        step_up.send_code(engine, again)
    with pytest.raises(LimitError):
        step_up.send_code(engine, again)


def test_a_code_that_could_not_be_sent_is_told(engine: Engine, secret: str, phone: Phone) -> None:
    """With the delivery down the request fails, nothing is accepted, and TOTP is still open."""
    phone.down = True
    named = begun(engine)
    with pytest.raises(DeliveryError):
        step_up.send_code(engine, named)

    assert answered(engine, named, TOTP, totp(engine, secret)).decision is Decision.ACCEPT


def test_where_no_codes_are_sent_none_is_waited_for(engine: Engine, secret: str) -> None:
    """Without a delivery there is no such factor."""
    del secret
    silent = replace(engine, step_up=desk_of(engine, None))

    with pytest.raises(StepUpRefusedError):
        step_up.send_code(silent, begun(silent))


def test_one_code_at_two_places_at_once_lets_one_in(engine: Engine, secret: str) -> None:
    """However they interleave, a time step is taken once."""
    names = []
    for call in ("call-a", "call-b", "call-c", "call-d"):
        told = step_up.begin(engine, TENANT, CallId(call), ALICE)
        names.append(Named(TENANT, CallId(call), told.step_up))
    code, gate = totp(engine, secret), threading.Barrier(len(names))

    def race(named: Named) -> AnswerResult | None:
        gate.wait()
        return answered(engine, named, TOTP, code).last

    with ThreadPoolExecutor(len(names)) as pool:
        results = list(pool.map(race, names))

    assert results.count(AnswerResult.RIGHT) == 1
    assert results.count(AnswerResult.WRONG) == 3


def test_one_answer_at_once_passes_a_factor_once(engine: Engine, secret: str) -> None:
    """Two right answers of one step-up are one factor, not two."""
    told = step_up.begin(engine, TENANT, CallId("call-7"), ALICE)
    named, gate = Named(TENANT, CallId("call-7"), told.step_up), threading.Barrier(2)
    codes = [totp(engine, secret), totp(engine, secret, steps=1)]

    def race(code: str) -> Decision:
        gate.wait()
        try:
            return answered(engine, named, TOTP, code).decision
        except StepUpRefusedError:
            return Decision.STEP_UP

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(race, codes)) == {Decision.STEP_UP}


def test_guesses_at_once_are_all_counted(engine: Engine, secret: str) -> None:
    """Many answers at the same time are no more tries than one after another."""
    del secret
    named, gate = begun(engine), threading.Barrier(8)

    def race(guess: int) -> Decision:
        gate.wait()
        return answered(engine, named, TOTP, f"{guess:06d}").decision

    with ThreadPoolExecutor(8) as pool:
        decisions = list(pool.map(race, range(8)))

    assert Decision.ACCEPT not in decisions
    assert tried(engine, Counter.TOTP) == 5


def test_an_answer_counts_before_it_is_looked_at(
    engine: Engine, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies while it checks leaves a failed attempt, not a free one."""

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    named = begun(engine)
    monkeypatch.setattr("voiceauth.usecases.step_up.matching_step", dies)
    with pytest.raises(KeyboardInterrupt):
        answered(engine, named, TOTP, totp(engine, secret))
    monkeypatch.undo()

    assert tried(engine, Counter.TOTP) == 1
    assert step_up.outcome(engine, named).answers_left == 4


@pytest.mark.parametrize("method", ["append", "put_attempts", "put_step_up", "put_factor"])
def test_a_vault_that_cannot_be_written_accepts_nobody(
    engine: Engine, secret: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Whichever write fails, there is no ACCEPT, in the answer or afterwards."""

    def full(*_: object, **__: object) -> None:
        raise StorageError

    named = begun(engine)
    monkeypatch.setattr(SqliteTransaction, method, full)
    with pytest.raises(StorageError):
        answered(engine, named, TOTP, totp(engine, secret))
    monkeypatch.undo()

    assert step_up.outcome(engine, named).decision is Decision.STEP_UP


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE factors SET sealed = zeroblob(80)",
        "UPDATE factors SET kind = 'totp' WHERE kind = 'pin'",
        "UPDATE step_ups SET sealed = zeroblob(80)",
        "UPDATE attempts SET sealed = zeroblob(80)",
    ],
)
def test_what_was_changed_behind_our_back_decides_nothing(
    engine: Engine, secret: str, tmp_path: Path, change: str
) -> None:
    """Factors, step-ups and counters are sealed, and bound to where they belong."""
    named = begun(engine)
    with engine.vault.begin() as counters:
        for counter in (Counter.TOTP, Counter.VOICE):
            some = counters.attempts(TENANT, counter, ALICE)
            counters.put_attempts(TENANT, counter, ALICE, some, at=engine.clock.now())
    with sqlite3.connect(tmp_path / "vault.db") as connection:
        if "'totp'" in change:
            connection.execute("DELETE FROM factors WHERE kind = 'totp'")
        assert connection.execute(change).rowcount > 0

    with pytest.raises(IntegrityError):
        answered(engine, named, TOTP, totp(engine, secret))


def test_a_factor_that_was_replaced_while_it_was_checked_is_not_taken(
    engine: Engine, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has to be right for what is enrolled when it is taken."""
    assert engine.step_up is not None
    pins, plain = engine.step_up.pins, engine.step_up.pins.matches

    def slow(*arguments: object) -> bool:
        enrol_factor(engine, TENANT, ALICE, NewFactor(PIN, pin="739105"))
        return plain(*arguments)  # type: ignore[arg-type]

    named = _both_factors(engine, secret)
    monkeypatch.setattr(pins, "matches", slow)

    assert answered(engine, named, PIN, THE_PIN).last is AnswerResult.WRONG


def _both_factors(engine: Engine, secret: str) -> Named:
    """Begin a step-up without a voice, which asks for TOTP and PIN, and show the code."""
    told = step_up.begin(engine, TENANT, CallId("call-7"), ALICE)
    named = Named(TENANT, CallId("call-7"), told.step_up)
    answered(engine, named, TOTP, totp(engine, secret))
    return named


def test_a_code_that_was_replaced_while_it_was_checked_is_not_taken(
    engine: Engine, secret: str, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last code that was sent is the only one."""
    del secret
    named = begun(engine)
    step_up.send_code(engine, named)
    old = phone.code

    def slow(*arguments: object) -> bool:
        step_up.send_code(engine, named)
        return is_code(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("voiceauth.usecases.step_up.is_code", slow)

    assert answered(engine, named, CODE, old).last is AnswerResult.WRONG


@pytest.mark.parametrize("ending", ["removed", "expired", "erased"])
def test_what_ends_while_an_answer_is_checked_ends_it(
    engine: Engine,
    secret: str,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
) -> None:
    """A factor that is gone, a time that is over, a person that is erased: never an ACCEPT."""
    ends: dict[str, Callable[[], object]] = {
        "removed": lambda: remove_factor(engine, TENANT, ALICE, TOTP),
        "expired": lambda: clock.advance(601),
        "erased": lambda: erase_subject(engine, TENANT, ALICE),
    }
    named, code = begun(engine), totp(engine, secret)

    def slow(*arguments: object, **more: object) -> int | None:
        ends[ending]()
        return matching_step(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("voiceauth.usecases.step_up.matching_step", slow)
    if ending == "erased":
        with pytest.raises(StepUpRefusedError):
            answered(engine, named, TOTP, code)
        return

    assert answered(engine, named, TOTP, code).decision is not Decision.ACCEPT


def test_a_factor_is_asked_for_once_and_only_if_a_way_needs_it(engine: Engine, secret: str) -> None:
    """Without a voice no code is asked for, and what was shown is not asked for again."""
    named = _both_factors(engine, secret)

    for kind in (CODE, TOTP):
        with pytest.raises(StepUpRefusedError):
            answered(engine, named, kind, "000000")
    with pytest.raises(StepUpRefusedError):
        step_up.send_code(engine, named)


def test_a_step_up_that_is_over_is_not_begun_again(
    engine: Engine, secret: str, clock: FakeClock
) -> None:
    """Neither after its outcome nor after its time."""
    answered(engine, begun(engine), TOTP, totp(engine, secret))
    with pytest.raises(StepUpRefusedError):
        step_up.begin(engine, TENANT, CALL, ALICE)
    called(engine, ANNA)
    clock.advance(601)
    with pytest.raises(StepUpRefusedError):
        step_up.begin(engine, TENANT, CALL, ALICE)


def test_a_policy_without_routes_has_no_step_up(engine: Engine, secret: str) -> None:
    """Where others decide, this engine does not, with a call or without one."""
    del secret
    bare = replace(engine, policies={"standard": Policy("standard")})
    called(bare, ANNA)

    for call in (CALL, CallId("call-2")):
        with pytest.raises(StepUpRefusedError):
            step_up.begin(bare, TENANT, call, ALICE)


def test_an_engine_that_runs_no_step_ups_says_so(engine: Engine) -> None:
    """Every request is refused; a verification leaves nothing behind."""
    enrolled(engine, "anna", ANNA)
    none = replace(engine, step_up=None)
    called(none, ANNA)
    named = Named(TENANT, CALL, "x")

    for work in (
        lambda: step_up.begin(none, TENANT, CALL, ALICE),
        lambda: step_up.send_code(none, named),
        lambda: answered(none, named, TOTP, "1"),
        lambda: step_up.outcome(none, named),
        lambda: enrol_factor(none, TENANT, ALICE, NewFactor(TOTP)),
    ):
        with pytest.raises(PolicyError):
            work()
