# SPDX-License-Identifier: Apache-2.0
"""Attempts on a voice path: negative first. No path through here ends in ACCEPT on a closed one."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from counted import (
    ANNA,
    BERT,
    NUMBER,
    STRANGER,
    called,
    counting,
    enrolled,
    failed,
    opened,
    spoken,
    standing,
)
from fake_engine import TENANT, make_engine

from voiceauth.decision.lockout import LockoutRules, NumberRules
from voiceauth.decision.policy import Policy
from voiceauth.decision.verdict import Outcome
from voiceauth.errors import IntegrityError, InternalError, PolicyError, StorageError
from voiceauth.testing.fakes import FakeClock
from voiceauth.types import Decision, Reason, SubjectId, TenantId
from voiceauth.usecases.attempt_desk import VoicePath, VoiceRules
from voiceauth.usecases.counted_attempt import CountedAttempt
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.erase_subject import erase_subject
from voiceauth.usecases.explain_verdict import explain
from voiceauth.usecases.keep_attempts import read_lockout, unlock
from voiceauth.vault.transaction import SqliteTransaction


@pytest.fixture
def clock() -> FakeClock:
    """Return the engine's clock."""
    return FakeClock()


@pytest.fixture
def engine(tmp_path: Path, clock: FakeClock) -> Iterator[Engine]:
    """Return an engine in which anna and bert are enrolled, and attempts are counted."""
    built = counting(tmp_path, clock=clock, numbers=NumberRules(most_failures=6))
    enrolled(built, "anna", ANNA)
    enrolled(built, "bert", BERT)
    yield built
    built.vault.close()


def agrees(engine: Engine) -> bool:
    """Say whether the newest verdict follows from its record."""
    entries = [one for one in engine.vault.ledger() if one.event == "verify.verdict"]
    return explain(entries[-1]).agrees


def test_a_closed_path_compares_nothing_and_accepts_nobody(engine: Engine) -> None:
    """After five failures even the right voice is STEP_UP, at once, with the reason."""
    failed(engine, 5)
    call = opened(engine)

    assert call.decided
    verdict = call.conclude()

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.reasons == (Reason.VOICE_LOCKED,)
    assert verdict.evidence.score is None
    assert agrees(engine)


def test_a_closed_path_counts_nothing(engine: Engine) -> None:
    """Calling again and again does not make the delay longer: nobody can be kept out like that."""
    failed(engine, 9)

    assert standing(engine).failures == 5


def test_the_path_opens_after_its_delay(engine: Engine, clock: FakeClock) -> None:
    """After thirty seconds the right voice is accepted, and the row is over."""
    failed(engine, 5)
    clock.advance(30)

    assert called(engine, ANNA).decision is Decision.ACCEPT
    assert standing(engine).failures == 0
    assert standing(engine).total == 5


def test_the_next_failure_after_a_delay_doubles_it(engine: Engine, clock: FakeClock) -> None:
    """Whoever waits and fails again waits twice as long."""
    failed(engine, 5)
    clock.advance(30)
    failed(engine, 1)
    clock.advance(59)

    assert called(engine, ANNA).decision is Decision.STEP_UP
    clock.advance(1)
    assert called(engine, ANNA).decision is Decision.ACCEPT


def test_a_wall_clock_set_forward_opens_nothing(engine: Engine, clock: FakeClock) -> None:
    """While the engine runs, only time that passed counts."""
    failed(engine, 5)
    clock.jump(86_400)

    assert called(engine, ANNA).evidence.reasons == (Reason.VOICE_LOCKED,)


def test_a_wall_clock_set_back_before_a_restart_delays_once(
    engine: Engine, clock: FakeClock, tmp_path: Path
) -> None:
    """The first call after it starts the delay again, and thirty seconds later the path is open."""
    clock.advance(86_400)
    failed(engine, 5)
    engine.vault.close()
    clock.jump(-40_000)
    again = counting(tmp_path, clock=clock)

    assert called(again, ANNA).evidence.reasons == (Reason.VOICE_LOCKED,)
    clock.advance(30)
    assert standing(again).failures == 5
    assert called(again, ANNA).decision is Decision.ACCEPT
    again.vault.close()


def test_counters_outlive_the_process(engine: Engine, clock: FakeClock, tmp_path: Path) -> None:
    """Starting the engine again gives nobody further attempts."""
    failed(engine, 5)
    engine.vault.close()
    again = counting(tmp_path, clock=clock)

    assert called(again, ANNA).evidence.reasons == (Reason.VOICE_LOCKED,)
    again.vault.close()


def test_many_calls_at_once_have_no_more_attempts_than_one_after_another(engine: Engine) -> None:
    """A call that was open when the path closed is not accepted, and its record tells why."""
    waiting = [opened(engine) for _ in range(6)]
    for call in waiting[:5]:
        spoken(engine, call, STRANGER).conclude()

    verdict = spoken(engine, waiting[5], ANNA).conclude()

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.reasons[:2] == (Reason.VOICE_LOCKED, Reason.MATCH)
    assert standing(engine).failures == 5
    assert agrees(engine)


def test_calls_at_once_that_fail_are_all_counted(engine: Engine) -> None:
    """Rejections of calls that run at the same time do not hide one another."""
    for call in [opened(engine) for _ in range(8)]:
        assert spoken(engine, call, STRANGER).conclude().decision is Decision.REJECT

    assert standing(engine).failures == 8


def test_a_match_that_only_needs_another_factor_ends_the_row(engine: Engine) -> None:
    """The voice succeeded, whoever decides in the end."""
    asking = replace(engine, policies={"standard": Policy("standard")})
    failed(asking, 4)
    called(asking, ANNA)

    assert standing(asking).failures == 0


def test_a_late_closing_takes_the_match_from_a_step_up_too(engine: Engine) -> None:
    """A match on a path that closed meanwhile is no match for another factor to build on."""
    asking = replace(engine, policies={"standard": Policy("standard")})
    waiting = opened(asking)
    failed(asking, 5)

    reasons = spoken(asking, waiting, ANNA).conclude().evidence.reasons

    assert reasons[0] is Reason.VOICE_LOCKED
    assert agrees(asking)


def test_an_unknown_subject_closes_like_a_known_one(engine: Engine) -> None:
    """Counting must not tell who is enrolled."""
    failed(engine, 5, "ghost")

    assert called(engine, STRANGER, "ghost").evidence.reasons == (Reason.VOICE_LOCKED,)


def test_nobody_else_is_closed(engine: Engine) -> None:
    """The path of one subject of one tenant closes, and no other."""
    failed(engine, 5)

    assert called(engine, BERT, "bert").decision is Decision.ACCEPT
    elsewhere = called(engine, STRANGER, "anna", tenant=TenantId("shop"))
    assert elsewhere.decision is Decision.REJECT


def test_no_verdict_without_its_count_and_no_count_without_its_verdict(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the record cannot be written there is no answer, and nothing half."""

    def full(*_: object, **__: object) -> None:
        raise StorageError

    call = spoken(engine, opened(engine), STRANGER)
    with monkeypatch.context() as patch:
        patch.setattr(SqliteTransaction, "append", full)
        with pytest.raises(StorageError):
            call.conclude()
    assert standing(engine).failures == 0

    call = spoken(engine, opened(engine), STRANGER)
    with monkeypatch.context() as patch:
        patch.setattr(SqliteTransaction, "put_attempts", full)
        with pytest.raises(StorageError):
            call.conclude()
    assert engine.vault.ledger()[-1].event == "lockout.read"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE attempts SET sealed = zeroblob(60)",
        "UPDATE attempts SET sealed = substr(sealed, 1, length(sealed) - 1)",
    ],
)
def test_counters_that_were_changed_decide_nothing(
    engine: Engine, tmp_path: Path, change: str
) -> None:
    """Whoever edits the vault does not get attempts back: the call is refused."""
    failed(engine, 1)
    with sqlite3.connect(tmp_path / "vault.db") as connection:
        assert connection.execute(change).rowcount == 1

    with pytest.raises(IntegrityError):
        opened(engine)


def test_a_row_of_counters_cannot_be_moved(engine: Engine, tmp_path: Path) -> None:
    """Another subject's fresh counters do not open a closed path."""
    failed(engine, 5)
    failed(engine, 1, "bert")
    with sqlite3.connect(tmp_path / "vault.db") as connection:
        rows = connection.execute("SELECT row_key, sealed FROM attempts").fetchall()
        for (key, _), (_, sealed) in zip(rows, reversed(rows), strict=True):
            connection.execute("UPDATE attempts SET sealed = ? WHERE row_key = ?", (sealed, key))

    with pytest.raises(IntegrityError):
        opened(engine)


def test_a_call_that_is_hung_up_counts_once_it_was_scored(engine: Engine) -> None:
    """Hanging up before the rejection does not make a try free."""
    spoken(engine, opened(engine), STRANGER, 1.0).abandon()
    assert standing(engine).undecided == 0

    spoken(engine, opened(engine), STRANGER, 2.5).abandon()
    assert standing(engine).undecided == 1


def test_a_closed_call_that_is_hung_up_counts_nothing(engine: Engine) -> None:
    """Nothing was compared in it."""
    failed(engine, 5)
    opened(engine).abandon()

    assert standing(engine).undecided == 0


def test_a_fault_of_the_engine_is_no_attempt(engine: Engine) -> None:
    """The caller has nothing to do with it, and is not accepted either."""
    verdict = spoken(engine, opened(engine), STRANGER).conclude(fault=True)

    assert verdict.decision is Decision.STEP_UP
    assert standing(engine).failures == 0


def test_a_number_that_fails_everywhere_is_over_its_budget(engine: Engine) -> None:
    """Trying one subject after another from one number ends, also on a subject of one's own."""
    for name in ("a", "b", "c", "d", "e", "f"):
        failed(engine, 1, name, NUMBER)

    verdict = called(engine, ANNA, "anna", NUMBER)

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.reasons == (Reason.NUMBER_OVER_BUDGET,)
    assert agrees(engine)
    assert called(engine, ANNA, "anna", "+49301").decision is Decision.ACCEPT
    assert called(engine, ANNA, "anna").decision is Decision.ACCEPT


def test_a_match_gives_a_number_nothing_back(engine: Engine) -> None:
    """An attacker with an account of his own cannot buy attempts on others with it."""
    failed(engine, 3, "bert", NUMBER)
    called(engine, ANNA, "anna", NUMBER)

    assert standing(engine, number=NUMBER).number_failures == 3


def test_withheld_numbers_are_not_one_caller(engine: Engine) -> None:
    """Nobody is refused for what others do without a number."""
    for name in "abcdefgh":
        failed(engine, 1, name)

    assert called(engine, ANNA).decision is Decision.ACCEPT


def test_staff_open_a_path_that_is_closed_for_good(tmp_path: Path, clock: FakeClock) -> None:
    """At the last failure no time opens it; staff do, and the ledger tells."""
    rules = LockoutRules(free_failures=2, most_failures=3)
    engine = counting(tmp_path, clock=clock, rules=rules, numbers=NumberRules(3))
    enrolled(engine, "anna", ANNA)
    failed(engine, 2, number=NUMBER)
    clock.advance(30)
    failed(engine, 1, number=NUMBER)
    clock.advance(1e7)
    assert standing(engine).disabled
    assert standing(engine, number=NUMBER).number_over_budget is False
    assert called(engine, ANNA).evidence.reasons == (Reason.VOICE_LOCKED,)

    after = unlock(engine, VoicePath(TENANT, SubjectId("anna"), NUMBER))

    assert (after.failures, after.total, after.disabled) == (0, 3, False)
    assert (after.number_failures, after.number_over_budget) == (0, False)
    assert called(engine, ANNA, number=NUMBER).decision is Decision.ACCEPT
    entry = next(one for one in engine.vault.ledger() if one.event == "lockout.unlocked")
    assert json.loads(entry.body)["failures"] == 3
    assert NUMBER not in entry.body
    engine.vault.close()


def test_unlocking_an_open_path_changes_nothing(engine: Engine) -> None:
    """There is nothing to write but the record."""
    assert unlock(engine, VoicePath(TENANT, SubjectId("anna"))).failures == 0


def test_an_engine_that_counts_nothing_says_so(tmp_path: Path) -> None:
    """Asking for counters that nobody keeps is refused."""
    engine = make_engine(tmp_path)
    path = VoicePath(TENANT, SubjectId("anna"))

    for ask in (read_lockout, unlock):
        with pytest.raises(PolicyError):
            ask(engine, path)
    engine.vault.close()


def test_a_call_without_a_decision_is_never_counted(engine: Engine) -> None:
    """Counting stands behind the decision; before it, it is a fault of the engine."""
    attempt = CountedAttempt(engine, VoicePath(TENANT, SubjectId("anna")))
    call = opened(engine)

    with engine.vault.begin() as change, pytest.raises(InternalError):
        attempt.settle(change, Outcome(None, ()), call._probe, matched=False, compared=False)


def test_erasing_a_subject_erases_its_counters(engine: Engine, tmp_path: Path) -> None:
    """Counters about a person are that person's data."""
    failed(engine, 2)
    erase_subject(engine, TENANT, SubjectId("anna"))

    with sqlite3.connect(tmp_path / "vault.db") as connection:
        assert connection.execute("SELECT count(*) FROM attempts").fetchone() == (0,)


def test_old_counters_of_numbers_go(engine: Engine, clock: FakeClock) -> None:
    """What has halved to nothing is not kept; a subject's counters are."""
    failed(engine, 2, number=NUMBER)
    assert engine.attempts is not None
    clock.advance(91 * 86_400)

    engine.attempts.tidy(engine.vault)

    assert standing(engine, number=NUMBER).number_failures == 0
    assert standing(engine).failures == 2


class TestVoices:
    """Budgets of voices, where the operator has switched them on."""

    @pytest.fixture
    def engine(self, tmp_path: Path, clock: FakeClock) -> Iterator[Engine]:
        """Return an engine that remembers failed voices for an hour."""
        voices = VoiceRules(retention_seconds=3600.0, most_failures=3, keep=4)
        built = counting(tmp_path, clock=clock, voices=voices)
        enrolled(built, "anna", ANNA)
        enrolled(built, "own", STRANGER)
        yield built
        built.vault.close()

    def test_a_voice_that_claims_many_is_not_accepted_as_itself(self, engine: Engine) -> None:
        """Three subjects tried with one voice: then its own account wants another factor."""
        for name in ("a", "b", "c"):
            failed(engine, 1, name)

        verdict = called(engine, STRANGER, "own")

        assert verdict.decision is Decision.STEP_UP
        assert verdict.evidence.reasons[:2] == (Reason.VOICE_OVER_BUDGET, Reason.MATCH)
        assert agrees(engine)
        assert called(engine, ANNA).decision is Decision.ACCEPT

    def test_a_voice_is_forgotten_after_its_time(self, engine: Engine, clock: FakeClock) -> None:
        """An hour later the voice is one like any other, and nothing of it is stored."""
        for name in ("a", "b", "c"):
            failed(engine, 1, name)
        clock.advance(3601)

        assert called(engine, STRANGER, "own").decision is Decision.ACCEPT
        assert engine.attempts is not None
        engine.attempts.tidy(engine.vault)
        assert stored_voices(engine) == 0

    def test_no_more_voices_are_kept_than_allowed(self, engine: Engine) -> None:
        """The oldest make room."""
        for name in "abcdef":
            failed(engine, 1, name)

        assert stored_voices(engine) == 4

    def test_a_failure_without_speech_leaves_no_voice(self, engine: Engine) -> None:
        """There is nothing to remember."""
        assert engine.attempts is not None
        call = opened(engine)
        with engine.vault.begin() as change:
            engine.attempts.remember_voice(change, VoicePath(TENANT, SubjectId("x")), call._probe)

        assert stored_voices(engine) == 0

    def test_stored_voices_cannot_be_moved_to_another_tenant(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        """What was changed stops the comparison; it does not open it."""
        failed(engine, 1, "a")
        with sqlite3.connect(tmp_path / "vault.db") as connection:
            connection.execute("UPDATE failed_voices SET tenant = 'shop'")

        with engine.vault.read() as view, pytest.raises(IntegrityError):
            view.failed_voices(TenantId("shop"), since=engine.clock.now())


def stored_voices(engine: Engine) -> int:
    """Count the voices that are stored."""
    with engine.vault.read() as view:
        return len(view.failed_voices(TENANT, since=datetime(2000, 1, 1, tzinfo=UTC)))


def test_no_voice_is_remembered_unless_the_operator_says_so(engine: Engine) -> None:
    """Voices of people who agreed to nothing are not kept by default."""
    failed(engine, 3)
    called(engine, ANNA)

    assert stored_voices(engine) == 0
