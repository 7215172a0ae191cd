# SPDX-License-Identifier: Apache-2.0
"""How many attempts a voice path has: a pure state machine, its clock handed in.

Rules:

* ``free_failures`` failures in a row cost nothing. From then on each one closes the voice path for
  a time, which doubles from ``first_delay_seconds``; at ``most_failures`` it is closed until staff
  open it. The figures are those of NIST SP 800-63B for biometric comparison.
* Only the voice path closes. A closed path is a STEP_UP with a reason, at once and without a
  comparison: who burns another's voice path has not locked anybody out.
* A failure is a REJECT, or a suspicion of synthesis or replay whatever the decision. A match ends
  the row. An attempt that ends undecided counts once there were ``undecided_allowed`` in a row.
* Counters go down by a match or by ``unlocked``, never by time: a clock that is set forward ends a
  delay, and no more. A clock that is set back starts the delay again, once: nobody waits for longer
  than the delay itself, and no count is lost.
* The count of a calling number is the exception: numbers are shared, so it halves after a period,
  once for each look at it, however far the clock went.

Example:
    >>> from datetime import UTC, datetime
    >>> now, rules, state = datetime(2026, 1, 1, tzinfo=UTC), LockoutRules(), Attempts()
    >>> for _ in range(6):
    ...     state = counted(state, Attempt.FAILED, now, rules)
    >>> lock_of(state, now, rules)
    Lock(disabled=False, remaining_seconds=60.0)
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from voiceauth.errors import SettingsError
from voiceauth.types import Attempts, Decision, Reason
from voiceauth.units import Seconds

_ATTACKS = frozenset({Reason.SPOOF_SUSPECTED, Reason.REPLAY_SUSPECTED})


class Attempt(StrEnum):
    """What one attempt was."""

    MATCHED = "matched"
    FAILED = "failed"
    UNDECIDED = "undecided"
    NONE = "none"
    """Nothing was compared: too little speech, a closed path, a fault of the engine."""


@dataclass(frozen=True, slots=True)
class LockoutRules:
    """When a path closes, and for how long.

    Attributes:
        free_failures: in a row, before the first delay.
        first_delay_seconds: after the last of them; each further failure doubles it.
        longest_delay_seconds: at which the doubling ends.
        most_failures: in a row, at which the path is disabled.
        undecided_allowed: undecided attempts in a row; each further one is a failure.

    Raises:
        SettingsError: the numbers are out of order.
    """

    free_failures: int = 5
    first_delay_seconds: Seconds = 30.0
    longest_delay_seconds: Seconds = 3600.0
    most_failures: int = 50
    undecided_allowed: int = 10

    def __post_init__(self) -> None:
        """Refuse rules that would never close, or at once."""
        if not 1 <= self.free_failures <= self.most_failures:
            raise SettingsError("Lockout: free_failures must lie in 1 to most_failures.")
        if not 0.0 < self.first_delay_seconds <= self.longest_delay_seconds:
            raise SettingsError("Lockout: first_delay_seconds must be within the longest delay.")
        if self.undecided_allowed < 0:
            raise SettingsError("Lockout: undecided_allowed must not be negative.")

    def delay(self, failures: int) -> Seconds:
        """Return the delay after so many failures in a row."""
        if failures < self.free_failures:
            return 0.0
        doublings = min(failures - self.free_failures, 64)
        return min(self.longest_delay_seconds, self.first_delay_seconds * 2.0**doublings)


@dataclass(frozen=True, slots=True)
class NumberRules:
    """When a calling number's calls are no longer compared.

    Attributes:
        most_failures: at which it is over its budget.
        halving_seconds: after that time half of its failures are forgiven.
    """

    most_failures: int = 20
    halving_seconds: Seconds = 86_400.0


@dataclass(frozen=True, slots=True)
class Lock:
    """Whether a path is closed.

    Attributes:
        disabled: until it is opened by staff.
        remaining_seconds: of the delay; 0 when there is none.
    """

    disabled: bool = False
    remaining_seconds: Seconds = 0.0

    @property
    def closed(self) -> bool:
        """True if nothing may be compared now."""
        return self.disabled or self.remaining_seconds > 0.0


def attempt_of(
    decision: Decision, reasons: Iterable[Reason], *, matched: bool, compared: bool
) -> Attempt:
    """Say what kind of attempt a verdict was.

    Args:
        decision: of the verdict.
        reasons: of the verdict.
        matched: the voice was accepted, but for the policy's wish for another factor.
        compared: a score with calibration support exists.
    """
    if decision is Decision.REJECT or not _ATTACKS.isdisjoint(reasons):
        return Attempt.FAILED
    if matched:
        return Attempt.MATCHED
    return Attempt.UNDECIDED if compared else Attempt.NONE


def lock_of(attempts: Attempts, now: datetime, rules: LockoutRules) -> Lock:
    """Say whether the path is closed now."""
    if attempts.failures >= rules.most_failures:
        return Lock(disabled=True)
    delay = rules.delay(attempts.failures)
    if attempts.anchored_at is None or delay == 0.0:
        return Lock()
    waited = max(0.0, (now - attempts.anchored_at).total_seconds())
    return Lock(remaining_seconds=max(0.0, delay - waited))


def counted(attempts: Attempts, attempt: Attempt, now: datetime, rules: LockoutRules) -> Attempts:
    """Count one attempt on a path that was open."""
    attempts = observed(attempts, now)
    if attempt is Attempt.MATCHED:
        return unlocked(attempts)
    if attempt is Attempt.UNDECIDED:
        attempts = replace(attempts, undecided=attempts.undecided + 1)
        if attempts.undecided <= rules.undecided_allowed:
            return attempts
        attempt = Attempt.FAILED
    if attempt is Attempt.NONE:
        return attempts
    return replace(
        attempts, failures=attempts.failures + 1, total=attempts.total + 1, anchored_at=now
    )


def observed(attempts: Attempts, now: datetime) -> Attempts:
    """Move the anchor to now if the clock was set back before it, so that the delay can end."""
    if attempts.anchored_at is None or now >= attempts.anchored_at:
        return attempts
    return replace(attempts, anchored_at=now)


def unlocked(attempts: Attempts) -> Attempts:
    """Open the path; what was ever counted stays."""
    return Attempts(total=attempts.total)


def number_counted(attempts: Attempts, now: datetime, rules: NumberRules) -> Attempts:
    """Count a failed attempt from a calling number."""
    attempts = halved(attempts, now, rules)
    return replace(
        attempts,
        failures=attempts.failures + 1,
        total=attempts.total + 1,
        anchored_at=attempts.anchored_at or now,
    )


def number_over(attempts: Attempts, now: datetime, rules: NumberRules) -> bool:
    """Say whether a calling number is over its budget."""
    return halved(attempts, now, rules).failures >= rules.most_failures


def halved(attempts: Attempts, now: datetime, rules: NumberRules) -> Attempts:
    """Forgive half of a number's failures if its period is over."""
    attempts = observed(attempts, now)
    if attempts.anchored_at is None:
        return attempts
    if now - attempts.anchored_at < timedelta(seconds=rules.halving_seconds):
        return attempts
    return replace(attempts, failures=attempts.failures // 2, anchored_at=now)
