# SPDX-License-Identifier: Apache-2.0
"""One call as an attempt on a voice path: what held it back, and what it counts as.

The order of one call: ``load`` in the view in which the voiceprint is read; ``compare`` before the
record's transaction, as it may take some milliseconds; ``settle`` or ``abandon`` in it.
"""

from voiceauth.decision.lockout import Attempt, attempt_of
from voiceauth.decision.verdict import Outcome
from voiceauth.errors import InternalError
from voiceauth.ports import AttemptStore
from voiceauth.types import Decision, Reason
from voiceauth.usecases.attempt_desk import VoicePath
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.probe import Probe


class CountedAttempt:
    """The attempt of one call. Not thread-safe: one caller, one driver.

    Args:
        engine: without ``attempts`` nothing is counted and nothing holds back.
        path: what the call is counted under.
    """

    def __init__(self, engine: Engine, path: VoicePath) -> None:
        self._engine = engine
        self._desk = engine.attempts
        self._path = path
        self._over_voice = False
        self.closed = False
        self.held: tuple[Reason, ...] = ()

    def load(self, view: AttemptStore) -> None:
        """Say whether the voice may be compared at all.

        Raises:
            IntegrityError: the counters were changed; nothing may be decided.
        """
        if self._desk is not None:
            self.held = self._desk.held(view, self._path)
            self.closed = bool(self.held)

    @property
    def closing(self) -> Outcome | None:
        """The whole answer where the path is closed before anything is heard; else None."""
        return Outcome(Decision.STEP_UP, self.held) if self.closed else None

    def compare(self, probe: Probe, *, matched: bool) -> None:
        """Look for a voice that matches among those that failed. Blocking."""
        if self._desk is None or not matched:
            return
        with self._engine.vault.read() as view:
            self._over_voice = self._desk.over_voice(view, self._path, probe, self._engine.scorer)

    def settle(
        self,
        transaction: AttemptStore,
        outcome: Outcome,
        probe: Probe,
        *,
        matched: bool,
        compared: bool,
    ) -> Outcome:
        """Count the attempt in the transaction of its record.

        Returns:
            The outcome; without the match if the path was closed while the call was running.

        Raises:
            InternalError: the outcome decides nothing.
            IntegrityError: the counters were changed.
        """
        if outcome.decision is None:
            raise InternalError(detail="an undecided call was counted")
        if self._desk is None:
            return outcome
        if self.closed:
            self._desk.observe(transaction, self._path)
            return outcome
        attempt = attempt_of(outcome.decision, outcome.reasons, matched=matched, compared=compared)
        if matched:
            self.held = self._desk.held(transaction, self._path)
            self.held += (Reason.VOICE_OVER_BUDGET,) if self._over_voice else ()
        if self.held:
            return Outcome(Decision.STEP_UP, (*self.held, *outcome.reasons))
        self._desk.count(transaction, self._path, attempt)
        if attempt is Attempt.FAILED:
            self._desk.remember_voice(transaction, self._path, probe)
        return outcome

    def abandon(self, transaction: AttemptStore, *, compared: bool) -> None:
        """Count a call that was lost before its verdict: it cannot be tried for free."""
        if self._desk is not None and compared and not self.closed:
            self._desk.count(transaction, self._path, Attempt.UNDECIDED)
