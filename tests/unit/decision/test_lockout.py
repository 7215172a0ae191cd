# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime, timedelta

import pytest

from voiceauth.decision.lockout import (
    Attempt,
    Lock,
    LockoutRules,
    NumberRules,
    attempt_of,
    counted,
    halved,
    lock_of,
    number_counted,
    number_over,
    observed,
    unlocked,
)
from voiceauth.errors import SettingsError
from voiceauth.types import Attempts, Decision, Reason

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RULES = LockoutRules()
NUMBERS = NumberRules(most_failures=4, halving_seconds=3600)


def after(failures: int, *, since: float = 0.0) -> Lock:
    """Return the lock after so many failures in a row, so many seconds after the last."""
    attempts = Attempts()
    for _ in range(failures):
        attempts = counted(attempts, Attempt.FAILED, NOW, RULES)
    return lock_of(attempts, NOW + timedelta(seconds=since), RULES)


def test_four_failures_close_nothing() -> None:
    """Below five failures in a row the path is open."""
    assert not after(4).closed


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(5, 30), (6, 60), (7, 120), (8, 240), (11, 1920), (12, 3600), (13, 3600), (49, 3600)],
)
def test_delays_double_from_thirty_seconds(failures: int, seconds: float) -> None:
    """From the fifth failure on each closes the path for twice as long, up to an hour."""
    assert after(failures) == Lock(disabled=False, remaining_seconds=seconds)
    assert after(failures, since=seconds - 1).closed
    assert not after(failures, since=seconds).closed


def test_fifty_failures_disable_the_path_for_good() -> None:
    """At fifty in a row no time opens it any more."""
    assert after(50, since=1e9) == Lock(disabled=True)
    assert after(50).closed


def test_a_match_ends_the_row() -> None:
    """After a match the counting begins again; what was ever counted stays."""
    attempts = counted(Attempts(failures=4, total=9, anchored_at=NOW), Attempt.MATCHED, NOW, RULES)

    assert attempts == Attempts(total=9)


def test_undecided_attempts_count_after_ten_in_a_row() -> None:
    """Whoever stays undecided again and again has no endless number of tries."""
    attempts = Attempts()
    for _ in range(10):
        attempts = counted(attempts, Attempt.UNDECIDED, NOW, RULES)
    assert (attempts.failures, attempts.undecided) == (0, 10)

    attempts = counted(attempts, Attempt.UNDECIDED, NOW, RULES)

    assert (attempts.failures, attempts.undecided, attempts.total) == (1, 11, 1)


def test_what_compared_nothing_counts_nothing() -> None:
    """Too little speech is no attempt."""
    attempts = Attempts(failures=3, undecided=2, total=5, anchored_at=NOW)

    assert counted(attempts, Attempt.NONE, NOW, RULES) == attempts


def test_a_clock_that_is_set_forward_ends_a_delay_and_loses_no_count() -> None:
    """After a year the sixth failure is still the sixth."""
    attempts = Attempts(failures=5, total=5, anchored_at=NOW)
    later = NOW + timedelta(days=365)

    assert not lock_of(attempts, later, RULES).closed
    assert counted(attempts, Attempt.FAILED, later, RULES).failures == 6


def test_a_clock_that_is_set_back_makes_nobody_wait_longer_than_the_delay() -> None:
    """The delay starts again once it was looked at, and ends; no count is lost."""
    attempts = Attempts(failures=5, total=5, anchored_at=NOW)
    past = NOW - timedelta(days=365)

    assert lock_of(attempts, past, RULES).remaining_seconds == 30.0
    moved = observed(attempts, past)

    assert (moved.failures, moved.total) == (5, 5)
    assert not lock_of(moved, past + timedelta(seconds=30), RULES).closed


def test_looking_twice_does_not_start_a_delay_again() -> None:
    """While the clock goes on, the anchor stays."""
    attempts = Attempts(failures=5, anchored_at=NOW)

    assert observed(attempts, NOW + timedelta(seconds=9)) is attempts
    assert observed(Attempts(), NOW) == Attempts()


def test_unlocking_opens_and_keeps_the_total() -> None:
    """Staff give the attempts back, not the history."""
    assert unlocked(Attempts(60, 7, 80, NOW)) == Attempts(total=80)


@pytest.mark.parametrize(
    "wrong",
    [
        {"free_failures": 0},
        {"free_failures": 9, "most_failures": 8},
        {"first_delay_seconds": 0.0},
        {"first_delay_seconds": 90.0, "longest_delay_seconds": 60.0},
        {"undecided_allowed": -1},
    ],
)
def test_rules_that_would_never_close_are_refused(wrong: dict[str, float]) -> None:
    """Numbers out of order are told, not used."""
    with pytest.raises(SettingsError):
        LockoutRules(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("decision", "reasons", "matched", "compared", "attempt"),
    [
        (Decision.REJECT, [Reason.MISMATCH], False, True, Attempt.FAILED),
        (Decision.STEP_UP, [Reason.SPOOF_SUSPECTED], False, True, Attempt.FAILED),
        (
            Decision.STEP_UP,
            [Reason.REPLAY_SUSPECTED, Reason.UNCERTAIN],
            False,
            True,
            Attempt.FAILED,
        ),
        (Decision.INCONCLUSIVE, [Reason.SPOOF_SUSPECTED], False, False, Attempt.FAILED),
        (Decision.ACCEPT, [Reason.MATCH], True, True, Attempt.MATCHED),
        (Decision.STEP_UP, [Reason.MATCH], True, True, Attempt.MATCHED),
        (Decision.STEP_UP, [Reason.UNCERTAIN], False, True, Attempt.UNDECIDED),
        (Decision.STEP_UP, [Reason.CHALLENGE_FAILED], False, True, Attempt.UNDECIDED),
        (Decision.STEP_UP, [Reason.NO_CALIBRATION_SUPPORT], False, False, Attempt.NONE),
        (Decision.INCONCLUSIVE, [Reason.NOT_ENOUGH_SPEECH], False, False, Attempt.NONE),
    ],
)
def test_what_counts_as_what(
    decision: Decision, reasons: list[Reason], matched: bool, compared: bool, attempt: Attempt
) -> None:
    """Rejections and suspicions fail, matches succeed, the rest is undecided or nothing."""
    assert attempt_of(decision, reasons, matched=matched, compared=compared) is attempt


def test_a_number_is_over_its_budget_at_the_last_failure() -> None:
    """One less is within it."""
    attempts = Attempts()
    for _ in range(3):
        attempts = number_counted(attempts, NOW, NUMBERS)
    assert not number_over(attempts, NOW, NUMBERS)

    assert number_over(number_counted(attempts, NOW, NUMBERS), NOW, NUMBERS)


def test_a_shared_number_gets_half_of_its_budget_back_after_a_period() -> None:
    """Failures of many people behind one number are forgiven by and by."""
    attempts = Attempts(failures=4, total=4, anchored_at=NOW)
    later = NOW + timedelta(seconds=3600)

    assert not number_over(attempts, later, NUMBERS)
    assert halved(attempts, later, NUMBERS) == Attempts(2, 0, 4, later)
    assert halved(attempts, later - timedelta(seconds=1), NUMBERS) == attempts
    assert halved(Attempts(), later, NUMBERS) == Attempts()


def test_a_clock_that_jumps_forgives_a_number_half_once() -> None:
    """However far it goes forward, one look halves once; set back, it forgives nothing."""
    attempts = Attempts(failures=40, total=40, anchored_at=NOW)
    future, past = NOW + timedelta(days=9999), NOW - timedelta(days=9999)

    assert halved(halved(attempts, future, NUMBERS), future, NUMBERS).failures == 20
    assert halved(attempts, past, NUMBERS) == Attempts(40, 0, 40, past)
