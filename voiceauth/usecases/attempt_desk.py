# SPDX-License-Identifier: Apache-2.0
"""Counts the attempts on a voice path, and says when it is closed.

Rules:

* A subject, a calling number and, where the operator has switched it on, a voice each have a
  budget. The rules of each stand in ``decision.lockout``.
* Counting happens in the transaction of the verdict's record: neither is durable without the other,
  and no answer leaves before both are.
* A path that closed while a call was running is closed for it, too: however many calls run at once,
  no more of them can be accepted than the budget allows.
* Nothing here depends on whether the subject exists.
"""

from dataclasses import dataclass
from datetime import timedelta

from voiceauth.config import Settings
from voiceauth.decision.lockout import (
    Attempt,
    Lock,
    LockoutRules,
    NumberRules,
    counted,
    lock_of,
    number_counted,
    number_over,
    observed,
    unlocked,
)
from voiceauth.ports import AttemptStore, Clock, Scorer, Vault
from voiceauth.types import Attempts, Counter, FailedVoice, Reason, SubjectId, TenantId
from voiceauth.units import Rate, Seconds
from voiceauth.usecases.probe import Probe
from voiceauth.usecases.steady_time import SteadyTime

_HOUR_SECONDS = 3600.0
_NUMBERS_KEPT = timedelta(days=90)
"""Counters of a number that nobody failed from for so long have halved to nothing."""


@dataclass(frozen=True, slots=True)
class VoiceRules:
    """How the voices of failed attempts are remembered; biometric data of people without a name.

    Attributes:
        retention_seconds: after that a voice is forgotten.
        most_failures: of one voice, at which it is over its budget.
        same_voice_false_match_rate: two voices are taken for one when another person would get as
            close this rarely.
        keep: per tenant; the oldest make room.
    """

    retention_seconds: Seconds
    most_failures: int = 5
    same_voice_false_match_rate: Rate = 0.001
    keep: int = 200


@dataclass(frozen=True, slots=True)
class VoicePath:
    """What one call is counted under.

    Attributes:
        number: in one form; empty where it is withheld, and then not counted.
    """

    tenant: TenantId
    subject: SubjectId
    number: str = ""


class AttemptDesk:
    """The budgets of one installation. Safe from several threads.

    Args:
        clock: whose monotonic time carries delays on.
        rules: of a subject's voice path.
        numbers: of a calling number.
        voices: None where voices of failed attempts are not remembered.
    """

    def __init__(
        self,
        clock: Clock,
        rules: LockoutRules | None = None,
        numbers: NumberRules | None = None,
        voices: VoiceRules | None = None,
    ) -> None:
        self._time = SteadyTime(clock)
        self.rules = rules or LockoutRules()
        self.numbers = numbers or NumberRules()
        self.voices = voices

    def held(self, store: AttemptStore, path: VoicePath) -> tuple[Reason, ...]:
        """Say why a voice may not be compared, or not be accepted, now; empty if it may.

        Raises:
            IntegrityError: the counters were changed; nothing may be decided.
        """
        now, reasons = self._time.now(), []
        attempts = store.attempts(path.tenant, Counter.VOICE, path.subject)
        if lock_of(attempts, now, self.rules).closed:
            reasons.append(Reason.VOICE_LOCKED)
        if path.number:
            attempts = store.attempts(path.tenant, Counter.NUMBER, path.number)
            if number_over(attempts, now, self.numbers):
                reasons.append(Reason.NUMBER_OVER_BUDGET)
        return tuple(reasons)

    def count(self, store: AttemptStore, path: VoicePath, attempt: Attempt) -> None:
        """Count one attempt, in the transaction of its record."""
        now = self._time.now()
        before = store.attempts(path.tenant, Counter.VOICE, path.subject)
        self._put(store, path, before, counted(before, attempt, now, self.rules))
        if path.number and attempt is Attempt.FAILED:
            heard = store.attempts(path.tenant, Counter.NUMBER, path.number)
            after = number_counted(heard, now, self.numbers)
            store.put_attempts(path.tenant, Counter.NUMBER, path.number, after, at=now)

    def observe(self, store: AttemptStore, path: VoicePath) -> None:
        """Note the time on a closed path, so that its delay ends after the clock was set back."""
        before = store.attempts(path.tenant, Counter.VOICE, path.subject)
        self._put(store, path, before, observed(before, self._time.now()))

    def standing(self, store: AttemptStore, path: VoicePath) -> tuple[Attempts, Lock]:
        """Return the counters of a subject's voice path, and whether it is closed."""
        attempts = store.attempts(path.tenant, Counter.VOICE, path.subject)
        return attempts, lock_of(attempts, self._time.now(), self.rules)

    def number_standing(self, store: AttemptStore, path: VoicePath) -> tuple[Attempts, bool]:
        """Return the counters of a calling number, and whether it is over its budget."""
        attempts = store.attempts(path.tenant, Counter.NUMBER, path.number)
        return attempts, number_over(attempts, self._time.now(), self.numbers)

    def unlock(self, store: AttemptStore, path: VoicePath) -> None:
        """Open a subject's voice path and, if one is named, give a number its budget back."""
        now = self._time.now()
        before = store.attempts(path.tenant, Counter.VOICE, path.subject)
        self._put(store, path, before, unlocked(before))
        if path.number:
            heard = store.attempts(path.tenant, Counter.NUMBER, path.number)
            store.put_attempts(path.tenant, Counter.NUMBER, path.number, unlocked(heard), at=now)

    def forgive(self, store: AttemptStore, path: VoicePath) -> None:
        """End the delays of a subject who has shown other factors; a disabled path stays closed."""
        before = store.attempts(path.tenant, Counter.VOICE, path.subject)
        if before.failures < self.rules.most_failures:
            self._put(store, path, before, unlocked(before))

    def over_voice(
        self, store: AttemptStore, path: VoicePath, probe: Probe, scorer: Scorer
    ) -> bool:
        """Say whether this voice failed too often lately, whoever it claimed to be.

        Some milliseconds where many voices are remembered: not for a write transaction.

        Raises:
            IntegrityError: what is stored was changed; nothing may be decided.
        """
        if self.voices is None or not probe.net_seconds:
            return False
        since = self._time.now() - timedelta(seconds=self.voices.retention_seconds)
        heard, voice = store.failed_voices(path.tenant, since=since), probe.mean()
        alike = 0
        for one in heard:
            score = scorer.score(
                voice,
                one.embedding,
                net_seconds=probe.net_seconds,
                bandwidth=probe.bandwidth,
                enrolled_seconds=one.net_seconds,
                snr_db=probe.snr_db,
            )
            rate = score.false_match_rate
            alike += rate is not None and rate <= self.voices.same_voice_false_match_rate
        return alike >= self.voices.most_failures

    def remember_voice(self, store: AttemptStore, path: VoicePath, probe: Probe) -> None:
        """Remember the voice of a failed attempt, where that is switched on."""
        if self.voices is None or not probe.net_seconds:
            return
        voice = FailedVoice(probe.mean(), probe.net_seconds, self._time.now())
        store.add_failed_voice(path.tenant, voice, keep=self.voices.keep)

    def tidy(self, vault: Vault) -> None:
        """Forget what no budget needs any more. Blocking.

        Raises:
            StorageError: the vault cannot be written.
        """
        now = self._time.now()
        kept = timedelta(seconds=0.0 if self.voices is None else self.voices.retention_seconds)
        with vault.begin() as transaction:
            transaction.forget_attempts(Counter.NUMBER, before=now - _NUMBERS_KEPT)
            transaction.forget_failed_voices(before=now - kept)

    def _put(self, store: AttemptStore, path: VoicePath, before: Attempts, after: Attempts) -> None:
        if after != before:
            store.put_attempts(
                path.tenant,
                Counter.VOICE,
                path.subject,
                after,
                at=self._time.now(),
                subject=path.subject,
            )


def attempt_desk(settings: Settings, clock: Clock) -> AttemptDesk:
    """Return what counts attempts. Raises SettingsError where the numbers are out of order."""
    chosen = settings.lockout
    voices = VoiceRules(
        retention_seconds=chosen.failed_voice_hours * _HOUR_SECONDS,
        most_failures=chosen.failed_voice_failures,
        same_voice_false_match_rate=chosen.same_voice_false_match_rate,
    )
    return AttemptDesk(
        clock,
        LockoutRules(
            free_failures=chosen.free_failures,
            first_delay_seconds=chosen.first_delay_seconds,
            longest_delay_seconds=chosen.longest_delay_seconds,
            most_failures=chosen.most_failures,
            undecided_allowed=chosen.undecided_allowed,
        ),
        NumberRules(chosen.number_failures, chosen.number_halving_seconds),
        voices if chosen.failed_voice_hours else None,
    )
