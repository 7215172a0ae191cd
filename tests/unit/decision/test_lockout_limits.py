# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from voiceauth.decision.lockout import (
    Attempt,
    Lock,
    LockoutRules,
    NumberRules,
    counted,
    halved,
    lock_of,
    number_counted,
    observed,
)
from voiceauth.errors import SettingsError
from voiceauth.types import Attempts

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_what_nobody_has_set_is_the_documented_choice() -> None:
    """Five failures are free, delays go from half a minute to an hour, and fifty end it."""
    assert LockoutRules() == LockoutRules(5, 30.0, 3600.0, 50, 10)
    assert NumberRules() == NumberRules(20, 86_400.0)


def test_the_words_for_attempts_do_not_change() -> None:
    """They are what a reader of records searches for."""
    assert {one.value for one in Attempt} == {"matched", "failed", "undecided", "none"}


def test_the_limits_of_the_rules_belong_to_them() -> None:
    """One free failure, all of them free, one single delay, and no undecided attempt are rules."""
    LockoutRules(free_failures=1)
    LockoutRules(free_failures=50, most_failures=50)
    LockoutRules(free_failures=1, most_failures=1)
    LockoutRules(first_delay_seconds=3600.0, longest_delay_seconds=3600.0)
    LockoutRules(first_delay_seconds=0.5)
    LockoutRules(undecided_allowed=0)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"free_failures": 0}, "free_failures"),
        ({"free_failures": 51}, "free_failures"),
        ({"first_delay_seconds": 0.0}, "first_delay_seconds"),
        ({"first_delay_seconds": 3601.0}, "first_delay_seconds"),
        ({"undecided_allowed": -1}, "undecided_allowed"),
    ],
)
def test_rules_beyond_their_limits_are_refused_by_name(wrong: dict[str, int], word: str) -> None:
    """Who starts with them learns which one it is."""
    with pytest.raises(SettingsError, match=word):
        LockoutRules(**wrong)


def test_a_delay_of_any_number_of_failures_is_a_number() -> None:
    """Doubling a thousand times neither overflows nor ends above the longest delay."""
    rules = LockoutRules(most_failures=10_000)

    assert rules.delay(4) == 0.0
    assert rules.delay(5) == 30.0
    assert rules.delay(9_999) == 3600.0


def test_doubling_ends_where_it_can_no_longer_matter() -> None:
    """A delay that begins tiny doubles 64 times, and not once more."""
    rules = LockoutRules(
        free_failures=1,
        first_delay_seconds=1e-12,
        longest_delay_seconds=1e300,
        most_failures=10_000,
    )

    assert rules.delay(65) == 1e-12 * 2.0**64
    assert rules.delay(66) == rules.delay(65) == rules.delay(9_000)
    assert rules.delay(64) == rules.delay(65) / 2


def test_a_lock_is_closed_while_anything_remains() -> None:
    """A moment is enough; nothing left is open, and a disabled path never is."""
    assert Lock(remaining_seconds=0.001).closed
    assert not Lock().closed
    assert Lock(disabled=True).closed
    assert Lock() == Lock(disabled=False, remaining_seconds=0.0)


def test_time_after_the_delay_is_no_negative_wait() -> None:
    """A path that has been open for a day remains closed for no time."""
    attempts = Attempts(failures=5, total=5, anchored_at=NOW)

    assert lock_of(attempts, NOW + timedelta(days=1), LockoutRules()) == Lock()
    assert lock_of(attempts, NOW - SECOND, LockoutRules()) == Lock(remaining_seconds=30.0)
    short = LockoutRules(first_delay_seconds=1.0)
    assert lock_of(attempts, NOW, short) == Lock(remaining_seconds=1.0)


def test_a_count_without_a_moment_closes_nothing_before_the_end() -> None:
    """Where it is not known since when, no delay can be measured; the last count still counts."""
    assert lock_of(Attempts(failures=49), NOW, LockoutRules()) == Lock()
    assert lock_of(Attempts(failures=50), NOW, LockoutRules()) == Lock(disabled=True)


def test_an_anchor_moves_only_when_the_clock_went_back() -> None:
    """At the very moment and after it nothing changes; before it the delay begins again."""
    attempts = Attempts(failures=5, total=7, anchored_at=NOW)

    assert observed(attempts, NOW) == attempts
    assert observed(attempts, NOW + SECOND) == attempts
    assert observed(attempts, NOW - SECOND) == replace(attempts, anchored_at=NOW - SECOND)
    assert observed(Attempts(), NOW) == Attempts()


def test_an_undecided_attempt_is_counted_apart() -> None:
    """It adds to its own count, and the one beyond the allowance to the failures as well."""
    rules = LockoutRules(undecided_allowed=1)
    first = counted(Attempts(), Attempt.UNDECIDED, NOW, rules)
    second = counted(first, Attempt.UNDECIDED, NOW, rules)

    assert first == Attempts(undecided=1)
    assert second == Attempts(failures=1, total=1, anchored_at=NOW, undecided=2)


def test_a_number_forgets_half_at_the_end_of_its_period() -> None:
    """A second before nothing, at that moment half of them rounded down, from then on anew."""
    rules = NumberRules(most_failures=20, halving_seconds=3600.0)
    attempts = Attempts(failures=5, total=9, anchored_at=NOW)
    later, once = NOW + timedelta(hours=1), Attempts(failures=1, total=1, anchored_at=NOW)

    assert halved(attempts, later - SECOND, rules) == attempts
    assert halved(attempts, later, rules) == replace(attempts, failures=2, anchored_at=later)
    assert number_counted(attempts, later, rules) == Attempts(
        failures=3, total=10, anchored_at=later
    )
    assert number_counted(Attempts(), NOW, rules) == once
    assert number_counted(once, NOW + SECOND, rules) == replace(once, failures=2, total=2)
