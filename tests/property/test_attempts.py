# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from voiceauth.decision.lockout import Attempt, LockoutRules, counted, lock_of, observed
from voiceauth.types import Attempts

START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = LockoutRules()
STEPS = st.lists(
    st.tuples(st.sampled_from(Attempt), st.integers(-400_000_000, 400_000_000)), max_size=80
)


@given(steps=STEPS)
def test_counters_never_go_down_but_by_a_match(steps: list[tuple[Attempt, int]]) -> None:
    """Whatever is attempted, and wherever the clock jumps, no failure is forgotten."""
    attempts = Attempts()
    for attempt, seconds in steps:
        now = START + timedelta(seconds=seconds)
        last, attempts = attempts, counted(attempts, attempt, now, RULES)
        assert attempts.total >= last.total
        if attempt is not Attempt.MATCHED:
            assert attempts.failures >= last.failures
            assert attempts.undecided >= last.undecided


@given(failures=st.integers(0, 49), jump=st.integers(-400_000_000, 400_000_000))
def test_no_clock_locks_anybody_out_for_longer_than_the_delay(failures: int, jump: int) -> None:
    """Once the time was looked at, the path opens after its delay at the latest."""
    attempts = Attempts(failures=failures, total=failures, anchored_at=START)
    now = START + timedelta(seconds=jump)
    waited = now + timedelta(seconds=RULES.delay(failures))

    assert lock_of(attempts, now, RULES).remaining_seconds <= RULES.delay(failures)
    assert not lock_of(observed(attempts, now), waited, RULES).closed


@given(failures=st.integers(5, 200))
def test_every_further_failure_waits_at_least_as_long(failures: int) -> None:
    """Delays only grow."""
    assert RULES.delay(failures + 1) >= RULES.delay(failures) >= 30.0
