# SPDX-License-Identifier: Apache-2.0
"""The order-checked state machine that turns looks into a decision.

Verification of one look, in this order; the numbers stand again at the code:

(1) A fault anywhere: the driver answers ``FAULTED``, STEP_UP, instead of looking.
(2) No score: below the floor, INCONCLUSIVE at the end.
(3) No calibration support: STEP_UP at the end, never earlier, as more speech may bring support.
(4) A liveness layer is sure of an attack, or one without rates suspects it when the voice matches:
    REJECT, or STEP_UP. See ``presentation``.
(5) Implied false-match rate within this look's share, and every liveness layer that has to speak
    excludes its attack at the policy's rate: ACCEPT if the policy takes a voice alone, which
    none does by default, else STEP_UP with the match as its reason. Skipped when the claim may not
    be accepted (the subject is not there). While a layer holds back, the call goes on, and at its
    end STEP_UP names the layer.
(6) Implied false-non-match rate within this look's share: REJECT.
(7) Otherwise go on, and at the end STEP_UP.

Example:
    >>> from voiceauth.types import Score
    >>> decider = Decider(Policy("alone", accept_on_voice_alone=True))
    >>> sure = Score(raw=0.8, llr=9.0, false_match_rate=0.0001, false_non_match_rate=0.7)
    >>> decider.look(sure, net_seconds=5.0, final=False).decision
    <Decision.ACCEPT: 'accept'>
"""

from dataclasses import dataclass

from voiceauth.decision.policy import Policy
from voiceauth.decision.presentation import Finding, Presentation, suspicions
from voiceauth.decision.spending import Spending, planned_looks
from voiceauth.errors import InternalError
from voiceauth.types import Decision, Liveness, Reason, Score
from voiceauth.units import Rate, Seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one look led to.

    Attributes:
        decision: None to go on listening.
        reasons: in order of weight.
    """

    decision: Decision | None
    reasons: tuple[Reason, ...]


FAULTED = Outcome(Decision.STEP_UP, (Reason.ENGINE_FAULT,))
"""(1) The answer when a part of the engine failed during the call, whatever was found before."""


class Decider:
    """Decides one call. One instance per call; it refuses to be asked again after deciding.

    Args:
        policy: what the operator asks for.
        may_accept: False when the claim can never be accepted (no such subject, no voiceprint, no
            consent). A match then counts as uncertain, so that nothing outside can tell.
    """

    def __init__(self, policy: Policy, *, may_accept: bool = True) -> None:
        looks = planned_looks(policy.floor_seconds, policy.full_seconds, policy.step_seconds)
        self._policy = policy
        self._may_accept = may_accept
        self._match = Spending(policy.target_false_match_rate, looks)
        self._mismatch = Spending(policy.target_false_non_match_rate, looks)
        self._presentation = Presentation(policy, looks)
        self._decided = False
        self._rates = {rate: Spending(rate, looks) for rate in policy.voice_rates}
        self._reached: set[Rate] = set()
        self._suspected = False

    @property
    def reached(self) -> tuple[Rate, ...]:
        """Rates of the policy's routes that the voice reached, strictest first.

        Each has an account of its own over the looks, so each holds over the whole call. None is
        left once any layer suspected an attack, or where the claim may not be accepted.
        """
        return () if self._suspected else tuple(sorted(self._reached))

    def look(
        self,
        score: Score | None,
        *,
        net_seconds: Seconds,
        final: bool,
        liveness: Liveness | None = None,
    ) -> Outcome:
        """Look at the evidence once.

        Args:
            score: of all speech so far, None if nothing was scored.
            net_seconds: speech that counted so far.
            final: no more speech will come.
            liveness: the layers' words so far.

        Returns:
            The outcome; ``decision`` is never None when ``final`` is set.

        Raises:
            InternalError: the call was decided before.
        """
        if self._decided:
            raise InternalError(detail="a decided call was looked at again")
        last = final or net_seconds >= self._policy.full_seconds
        outcome = self._judge(score, net_seconds, liveness or Liveness(), last=last)
        self._decided = outcome.decision is not None
        return outcome

    def _judge(
        self,
        score: Score | None,
        net_seconds: Seconds,
        liveness: Liveness,
        *,
        last: bool,
    ) -> Outcome:
        suspects = suspicions(liveness)
        self._suspected |= bool(suspects)
        if score is None or net_seconds < self._policy.floor_seconds:  # (2)
            reasons = (*suspects, Reason.NOT_ENOUGH_SPEECH)
            return Outcome(Decision.INCONCLUSIVE if last else None, reasons)
        if score.false_match_rate is None or score.false_non_match_rate is None:  # (3)
            reasons = (*suspects, Reason.NO_CALIBRATION_SUPPORT)
            return Outcome(Decision.STEP_UP if last else None, reasons)
        finding = self._presentation.look(liveness, net_seconds=net_seconds, final=last)
        return self._compare(
            score.false_match_rate, score.false_non_match_rate, finding, suspects, last=last
        )

    def _compare(
        self,
        match: Rate,
        mismatch: Rate,
        finding: Finding,
        suspects: tuple[Reason, ...],
        *,
        last: bool,
    ) -> Outcome:
        reached = {
            rate for rate, one in self._rates.items() if match <= one.next_target(final=last)
        }
        if self._may_accept and not finding.holding:
            self._reached |= reached
        matches = match <= self._match.next_target(final=last)
        mismatches = mismatch <= self._mismatch.next_target(final=last)
        if finding.rejecting:  # (4)
            voice = (Reason.MISMATCH,) if mismatches else ()
            return Outcome(Decision.REJECT, (*suspects, *voice))
        if matches and finding.suspecting:
            return Outcome(Decision.STEP_UP, suspects)
        if matches and self._may_accept:  # (5)
            if not finding.holding:
                return self._matched()
            return Outcome(Decision.STEP_UP if last else None, finding.holding)
        if mismatches:  # (6)
            return Outcome(Decision.REJECT, (Reason.MISMATCH, *suspects))
        return Outcome(Decision.STEP_UP if last else None, (*suspects, Reason.UNCERTAIN))  # (7)

    def _matched(self) -> Outcome:
        if not self._policy.accept_on_voice_alone:
            reasons = (Reason.VOICE_NOT_ACCEPTABLE_ALONE, Reason.MATCH)
            return Outcome(Decision.STEP_UP, reasons)
        return Outcome(Decision.ACCEPT, (Reason.MATCH,))
