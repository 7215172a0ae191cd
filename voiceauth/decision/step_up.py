# SPDX-License-Identifier: Apache-2.0
"""From the voice and the factors that were shown to an answer: pure, without I/O or clock.

Rules:

* A policy lists routes; each is enough. A route names the factors that all have to be shown, and
  may name a false-match rate that the voice has to have reached in the call.
* A rate counts as reached where a look at the call was within its share of that rate, as in
  ``spending``, while every liveness layer that has to speak excluded its attack. Any suspicion at
  any look takes all of it away.
* There is always a route without a voice.
* Answers are limited. Whatever is missing, the answer is never ACCEPT.

Example:
    >>> from voiceauth.types import FactorKind, Route
    >>> routes = (Route(frozenset({FactorKind.TOTP}), 0.01),)
    >>> ways(routes, reached=(0.01,), passed=frozenset())
    (frozenset({<FactorKind.TOTP: 'totp'>}),)
    >>> ways(routes, reached=(), passed=frozenset())
    ()
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from voiceauth.decision.verdict import Outcome
from voiceauth.types import Decision, FactorKind, Route, StepUpState
from voiceauth.units import Rate

_DECISIONS = {
    StepUpState.READY: Decision.STEP_UP,
    StepUpState.OPEN: Decision.STEP_UP,
    StepUpState.ACCEPTED: Decision.ACCEPT,
    StepUpState.REFUSED: Decision.REJECT,
    StepUpState.EXPIRED: Decision.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True)
class GuessTerms:
    """How good a blind guess at each factor is.

    Attributes:
        answers: of one step-up, over all factors.
        totp_codes: that are right at one time.
        pin_digits: fewest of a PIN.
        code_digits: of codes.
    """

    answers: int
    totp_codes: int
    pin_digits: int
    code_digits: int = 6

    def rate(self, kind: FactorKind) -> Rate:
        """Return the chance that all answers of a step-up guess one factor."""
        right = self.totp_codes if kind is FactorKind.TOTP else 1
        digits = self.pin_digits if kind is FactorKind.PIN else self.code_digits
        return min(1.0, self.answers * right / 10.0**digits)


def fulfilled(
    routes: Sequence[Route], reached: Collection[Rate], passed: Collection[FactorKind]
) -> Route | None:
    """Return the first route of which nothing is missing, None if there is none."""
    for route in routes:
        if _voice_is_enough(route, reached) and route.factors <= frozenset(passed):
            return route
    return None


def ways(
    routes: Sequence[Route], reached: Collection[Rate], passed: Collection[FactorKind]
) -> tuple[frozenset[FactorKind], ...]:
    """Return what is missing of each route that this call can still take, each way once."""
    missing = (
        route.factors - frozenset(passed) for route in routes if _voice_is_enough(route, reached)
    )
    return tuple(dict.fromkeys(missing))


def state_of(
    routes: Sequence[Route],
    reached: Collection[Rate],
    passed: Collection[FactorKind],
    *,
    answers_left: int,
    expired: bool,
) -> StepUpState:
    """Say how a step-up stands that was begun.

    Args:
        routes: of the policy.
        reached: by the voice.
        passed: factors that were shown.
        answers_left: that may still be given.
        expired: its time is over.
    """
    if expired:
        return StepUpState.EXPIRED
    if fulfilled(routes, reached, passed) is not None:
        return StepUpState.ACCEPTED
    return StepUpState.OPEN if answers_left > 0 else StepUpState.REFUSED


def usable(outcome: Outcome, reached: Sequence[Rate]) -> tuple[Rate, ...]:
    """Return the rates that a verdict leaves for a step-up: none but after ACCEPT and STEP_UP."""
    return tuple(reached) if outcome.decision in {Decision.ACCEPT, Decision.STEP_UP} else ()


def decision_of(state: StepUpState) -> Decision:
    """Return the answer that a state is."""
    return _DECISIONS[state]


def guess_rate(route: Route, terms: GuessTerms) -> Rate:
    """Return the chance that an impostor who knows nothing takes a route.

    The voice's rate and the guesses are taken for independent: so they are for somebody who makes
    no special effort, and not for somebody who has stolen a factor.
    """
    voice = 1.0 if route.voice_false_match_rate is None else route.voice_false_match_rate
    return voice * math.prod(terms.rate(kind) for kind in route.factors)


def _voice_is_enough(route: Route, reached: Collection[Rate]) -> bool:
    wanted = route.voice_false_match_rate
    return wanted is None or any(rate <= wanted for rate in reached)
