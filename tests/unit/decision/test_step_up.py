# SPDX-License-Identifier: Apache-2.0
import pytest

from voiceauth.decision.policy import Policy
from voiceauth.decision.step_up import (
    GuessTerms,
    decision_of,
    fulfilled,
    guess_rate,
    state_of,
    usable,
    ways,
)
from voiceauth.decision.verdict import Decider, Outcome
from voiceauth.errors import SettingsError
from voiceauth.types import (
    Decision,
    FactorKind,
    Liveness,
    LivenessSlot,
    LivenessState,
    Reason,
    Route,
    Score,
    StepUpState,
)

TOTP, CODE, PIN = FactorKind.TOTP, FactorKind.CODE, FactorKind.PIN
ROUTES = (Route(frozenset({TOTP}), 0.01), Route(frozenset({TOTP, PIN})))
TERMS = GuessTerms(answers=5, totp_codes=3, pin_digits=6)
MATCH = Score(0.9, 9.0, 1e-6, 0.9)
FAIR = Score(0.7, 5.0, 0.004, 0.5)
SUSPECT = Liveness(replay=LivenessSlot(LivenessState.SUSPECT, -3.0, 0.5, 0.1))
ALONE = Policy(
    "alone",
    target_false_match_rate=0.0001,
    floor_seconds=3.0,
    full_seconds=3.0,
    accept_on_voice_alone=True,
    synthetic_seconds=0.0,
    routes=ROUTES,
)


@pytest.mark.parametrize(
    ("reached", "passed", "missing"),
    [
        ((), (), ({TOTP, PIN},)),
        ((), (TOTP,), ({PIN},)),
        ((0.01,), (), ({TOTP}, {TOTP, PIN})),
        ((0.01,), (PIN,), ({TOTP},)),
        ((0.02,), (), ({TOTP, PIN},)),
        ((0.001,), (), ({TOTP}, {TOTP, PIN})),
    ],
)
def test_what_is_missing(
    reached: tuple[float, ...], passed: tuple[FactorKind, ...], missing: tuple[set[FactorKind], ...]
) -> None:
    """A voice that reached the rate, or a better one, opens its routes; each way is told once."""
    assert ways(ROUTES, reached, passed) == tuple(map(frozenset, missing))


@pytest.mark.parametrize(
    ("reached", "passed", "answers_left", "expired", "state"),
    [
        ((), (), 5, False, StepUpState.OPEN),
        ((), (TOTP,), 1, False, StepUpState.OPEN),
        ((), (TOTP,), 0, False, StepUpState.REFUSED),
        ((), (TOTP, PIN), 0, False, StepUpState.ACCEPTED),
        ((0.01,), (TOTP,), 5, False, StepUpState.ACCEPTED),
        ((0.01,), (CODE, PIN), 5, False, StepUpState.OPEN),
        ((0.01,), (TOTP, PIN), 5, True, StepUpState.EXPIRED),
    ],
)
def test_how_a_step_up_stands(
    reached: tuple[float, ...],
    passed: tuple[FactorKind, ...],
    answers_left: int,
    expired: bool,
    state: StepUpState,
) -> None:
    """Everything of one route in time is an acceptance; nothing else ever is."""
    found = state_of(ROUTES, reached, passed, answers_left=answers_left, expired=expired)

    assert found is state
    assert (decision_of(found) is Decision.ACCEPT) is (state is StepUpState.ACCEPTED)


def test_without_a_route_nothing_is_fulfilled() -> None:
    """No list of routes is not a route without conditions."""
    assert fulfilled((), (0.0001,), frozenset(FactorKind)) is None


def test_what_a_blind_guess_is_worth() -> None:
    """The voice's rate times the guesses of all answers; never more than certain."""
    assert guess_rate(ROUTES[0], TERMS) == pytest.approx(0.01 * 15e-6)
    assert guess_rate(ROUTES[1], TERMS) == pytest.approx(15e-6 * 5e-6)
    assert TERMS.rate(CODE) == pytest.approx(5e-6)
    assert GuessTerms(10**9, 1, 6).rate(PIN) == 1.0


@pytest.mark.parametrize(
    "decision", [Decision.REJECT, Decision.INCONCLUSIVE, Decision.ACCEPT, Decision.STEP_UP]
)
def test_a_rejected_voice_is_worth_nothing(decision: Decision) -> None:
    """Only after ACCEPT and STEP_UP does the voice count beside a factor."""
    kept = usable(Outcome(decision, ()), (0.01,))

    assert (kept == (0.01,)) is (decision in {Decision.ACCEPT, Decision.STEP_UP})


def looked(*scores: tuple[Score, Liveness], policy: Policy = ALONE, known: bool = True) -> Decider:
    """Look at a call so often."""
    decider = Decider(policy, may_accept=known)
    for place, (score, liveness) in enumerate(scores):
        decider.look(
            score,
            net_seconds=3.0 + place,
            final=place == len(scores) - 1,
            liveness=liveness,
        )
    return decider


def test_a_voice_below_the_target_reaches_the_rate_of_a_route() -> None:
    """Too little for the voice alone is enough beside a factor."""
    assert looked((FAIR, Liveness())).reached == (0.01,)
    assert looked((MATCH, Liveness())).reached == (0.01,)


def test_nobody_reaches_anything_without_a_voiceprint() -> None:
    """A stand-in that matches by chance opens no route."""
    assert looked((MATCH, Liveness()), known=False).reached == ()


def test_a_poor_voice_reaches_nothing() -> None:
    """A rate above the route's is none."""
    assert looked((Score(0.5, 1.0, 0.2, 0.3), Liveness())).reached == ()


def test_a_suspicion_at_any_look_takes_everything_away() -> None:
    """What was reached before or after a suspected replay does not count."""
    policy = Policy("many", full_seconds=30.0, routes=ROUTES, target_false_match_rate=1e-9)
    for looks in (
        [(MATCH, Liveness()), (MATCH, SUSPECT)],
        [(MATCH, SUSPECT), (MATCH, Liveness())],
    ):
        assert looked(*looks, policy=policy).reached == ()


def test_looking_often_does_not_make_a_route_cheaper() -> None:
    """Each route's rate is spent over the looks like the policy's own."""
    policy = Policy("many", full_seconds=30.0, routes=ROUTES, target_false_match_rate=1e-9)
    edge = Score(0.7, 5.0, 0.0049, 0.5)
    decider = Decider(policy)
    for place in range(5):
        decider.look(edge, net_seconds=3.0 + 3 * place, final=False)

    assert decider.reached == ()


@pytest.mark.parametrize(
    "routes",
    [
        (Route(frozenset()),),
        (Route(frozenset({TOTP}), 0.6), ROUTES[1]),
        (ROUTES[0],),
    ],
)
def test_a_policy_whose_routes_mean_nothing_is_refused(routes: tuple[Route, ...]) -> None:
    """No route without a factor, no rate above a coin toss, and always one without a voice."""
    with pytest.raises(SettingsError):
        Policy("bad", routes=routes)


def test_a_reason_stays_a_reason() -> None:
    """Routes change nothing about the verdict itself."""
    plain = Decider(Policy("plain")).look(MATCH, net_seconds=3.0, final=True)
    routed = Decider(Policy("plain", routes=ROUTES)).look(MATCH, net_seconds=3.0, final=True)

    assert plain == routed
    assert plain.reasons[0] is Reason.VOICE_NOT_ACCEPTABLE_ALONE


def test_longer_pins_are_harder_to_guess_and_codes_are_not() -> None:
    """Each factor has the digits of its own kind."""
    terms = GuessTerms(answers=5, totp_codes=3, pin_digits=8)

    assert terms.rate(PIN) == pytest.approx(5e-8)
    assert terms.rate(CODE) == pytest.approx(5e-6)


def test_every_state_is_an_answer() -> None:
    """What has not begun or is open still asks for another factor."""
    assert {state: decision_of(state) for state in StepUpState} == {
        StepUpState.READY: Decision.STEP_UP,
        StepUpState.OPEN: Decision.STEP_UP,
        StepUpState.ACCEPTED: Decision.ACCEPT,
        StepUpState.REFUSED: Decision.REJECT,
        StepUpState.EXPIRED: Decision.INCONCLUSIVE,
    }
