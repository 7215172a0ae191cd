# SPDX-License-Identifier: Apache-2.0
from itertools import pairwise
from typing import Any

import pytest
from noted import DAY, HOUR, noted, one_rule, raised, rejection, somebody

from voiceauth.alerts import counting, windows
from voiceauth.alerts.counting import chance_of
from voiceauth.alerts.evaluate import Evaluator
from voiceauth.alerts.reading import Observation
from voiceauth.types import Severity


def test_fewer_failures_than_the_threshold_are_no_alert() -> None:
    """An honest person may be rejected now and then."""
    evaluator = Evaluator(one_rule("failures-subject", threshold=4))

    assert raised(evaluator, *(rejection(n, 60 * n) for n in range(1, 4))) == []


def test_failures_on_one_subject_add_up_to_one_alert() -> None:
    """The threshold is reached: one alert, with its evidence, about that subject alone."""
    evaluator = Evaluator(one_rule("failures-subject", threshold=4))
    others = [rejection(100 + n, n, f"other-{n}") for n in range(9)]

    (alert,) = raised(evaluator, *others, *(rejection(n, 60 * n) for n in range(1, 5)))

    assert (alert.rule, alert.severity) == ("failures-subject", Severity.HIGH)
    assert (alert.tenant, alert.about, alert.pseudonym) == ("bank", "subject", somebody("anna"))
    assert alert.counts == (("entries", 4),)
    assert alert.records == (1, 2, 3, 4)
    assert alert.runbook == "docs/runbooks/failures-subject.md"
    assert alert.at.timestamp() == rejection(4, 240).at


def test_failures_outside_the_window_are_forgotten() -> None:
    """Old failures do not make a new one the last straw."""
    evaluator = Evaluator(one_rule("failures-subject", threshold=4))
    old = [rejection(n, 60 * n) for n in range(1, 4)]

    assert raised(evaluator, *old, rejection(9, 3 * DAY)) == []


def test_accepted_calls_and_entries_without_a_subject_do_not_count() -> None:
    """Only what the rule names is counted."""
    evaluator = Evaluator(one_rule("failures-subject", threshold=1))
    accepted = noted(1, 0, "verify.verdict", decision="accept", subject=somebody("anna"))
    nameless = noted(2, 0, "verify.verdict", decision="reject")

    assert raised(evaluator, accepted, nameless) == []


def test_within_the_cooldown_an_alert_is_not_repeated() -> None:
    """Sixty failures in an hour are one alert, and the next one comes after the cooldown."""
    rule = one_rule("failures-subject", threshold=4, cooldown_seconds=HOUR)
    found = raised(Evaluator(rule), *(rejection(n, 60 * n) for n in range(1, 81)))

    assert [alert.records[-1] for alert in found] == [4, 64]


def test_a_clock_that_jumped_ahead_and_back_keeps_no_alert_back() -> None:
    """What was said while the clock stood a year ahead does not silence the year after it."""
    evaluator = Evaluator(one_rule("failures-subject", threshold=4))
    ahead = [rejection(n, 365 * DAY + n) for n in range(1, 5)]
    back = [rejection(n, n) for n in range(11, 15)]

    assert [alert.records for alert in raised(evaluator, *ahead, *back)] == [
        (1, 2, 3, 4),
        (11, 12, 13, 14),
    ]


def test_marks_that_lie_ahead_do_not_count_for_the_present() -> None:
    """Three failures of a wrong clock and one of the right one are no four."""
    evaluator = Evaluator(one_rule("failures-subject", threshold=4))
    ahead = [rejection(n, 365 * DAY + n) for n in range(1, 4)]

    assert raised(evaluator, *ahead, rejection(4, 10)) == []


def test_the_same_finding_has_the_same_id_and_others_have_others() -> None:
    """An alert that is derived twice is one alert."""
    entries = [rejection(n, 60 * n, name) for n, name in enumerate(["anna"] * 4 + ["ben"] * 4)]
    first = raised(Evaluator(one_rule("failures-subject", threshold=4)), *entries)
    again = raised(Evaluator(one_rule("failures-subject", threshold=4)), *entries)

    assert [one.alert for one in first] == [one.alert for one in again]
    assert len({one.alert for one in first}) == 2


def test_a_flood_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever invents subjects cannot fill the memory; the newest stay."""
    monkeypatch.setattr(windows, "MOST_KEYS", 10)
    evaluator = Evaluator(one_rule("failures-subject", threshold=4))
    raised(evaluator, *(rejection(n, n, f"made-up-{n}") for n in range(500)))

    assert len(evaluator.changed()["failures-subject"]) < 2000
    assert len(raised(evaluator, *(rejection(900 + n, 600 + n) for n in range(4)))) == 1


def test_a_sweep_forgets_what_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that nothing happens under any more leave by themselves."""
    monkeypatch.setattr(windows, "_SWEEP", 5)
    evaluator = Evaluator(one_rule("failures-subject", threshold=4))
    raised(evaluator, *(rejection(n, n, f"old-{n}") for n in range(4)))
    raised(evaluator, *(rejection(n, 9 * DAY + n, f"new-{n}") for n in range(10, 12)))

    assert evaluator.changed()["failures-subject"].count("bank") == 2


def test_one_key_keeps_so_many_marks_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand failures of one subject need no thousand places."""
    monkeypatch.setattr(windows, "MOST_MARKS", 6)
    evaluator = Evaluator(one_rule("failures-subject", threshold=4, cooldown_seconds=1.0))
    found = raised(evaluator, *(rejection(n, 2 * n) for n in range(50)))

    assert found[-1].counts == (("entries", 6),)


def test_what_was_told_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of alerts does not fill the memory either."""
    monkeypatch.setattr("voiceauth.alerts.evaluate.MOST_KEYS", 5)
    evaluator = Evaluator(one_rule("failures-subject", threshold=1))

    assert len(raised(evaluator, *(rejection(n, n, f"made-up-{n}") for n in range(20)))) == 20


def test_one_voice_under_several_identities_is_an_alert() -> None:
    """The same voice token was rejected as three people; twice as the same one is one."""
    evaluator = Evaluator(one_rule("voice-many-identities", threshold=3))
    voice = somebody("mallory")
    calls = [
        rejection(n, 60 * n, name, voice=voice)
        for n, name in enumerate(["anna", "anna", "ben", "cleo"], start=1)
    ]

    (alert,) = raised(evaluator, *calls)

    assert (alert.about, alert.pseudonym) == ("voice", voice)
    assert alert.counts == (("different", 3),)
    assert alert.records == (2, 3, 4)


def test_an_entry_without_the_counted_field_does_not_count() -> None:
    """A call without a number is not a call from another number."""
    evaluator = Evaluator(one_rule("identity-many-numbers", threshold=2))
    calls = [rejection(n, n, number=number) for n, number in enumerate(["", None, "a", "a"])]

    assert raised(evaluator, *calls) == []


def test_one_identity_from_many_numbers_is_an_alert() -> None:
    """Four numbers claimed one person within a day."""
    evaluator = Evaluator(one_rule("identity-many-numbers", threshold=4))
    calls = [rejection(n, HOUR * n, number=somebody(f"phone-{n}")) for n in range(1, 5)]

    assert [one.pseudonym for one in raised(evaluator, *calls)] == [somebody("anna")]


def test_an_enrolment_without_a_failure_before_is_no_alert() -> None:
    """Most enrolments follow nothing."""
    evaluator = Evaluator(one_rule("enrolment-after-failure"))
    enrolled = noted(1, 0, "enrol.result", outcome="enrolled", subject=somebody("anna"))
    nameless = noted(2, 0, "enrol.result", outcome="enrolled")

    assert raised(evaluator, enrolled, nameless) == []


def test_an_enrolment_after_a_failure_is_an_alert() -> None:
    """Who was rejected as somebody may have got an agent to enrol the voice."""
    evaluator = Evaluator(one_rule("enrolment-after-failure"))
    other = noted(1, 0, "enrol.result", outcome="duplicate", subject=somebody("anna"))
    enrolled = noted(3, HOUR, "enrol.result", outcome="enrolled", subject=somebody("anna"))

    (alert,) = raised(evaluator, other, rejection(2, 60), enrolled)

    assert alert.severity is Severity.HIGH
    assert alert.records == (2, 3)


def test_an_enrolment_long_after_a_failure_is_no_alert() -> None:
    """A person may enrol anew a week after a bad line."""
    evaluator = Evaluator(one_rule("enrolment-after-failure"))
    enrolled = noted(2, 7 * DAY, "enrol.result", outcome="enrolled", subject=somebody("anna"))

    assert raised(evaluator, rejection(1, 60), enrolled) == []


@pytest.mark.parametrize(
    ("body", "alerts"),
    [
        ({"event": "enrol.result", "outcome": "watchlisted"}, 1),
        ({"event": "enrol.result", "outcome": "enrolled"}, 0),
        (
            {
                "event": "identify.ranking",
                "watchlist": True,
                "false_positive_identification_rate": 0.001,
            },
            1,
        ),
        (
            {
                "event": "identify.ranking",
                "watchlist": True,
                "false_positive_identification_rate": 0.2,
            },
            0,
        ),
        (
            {
                "event": "identify.ranking",
                "watchlist": True,
                "false_positive_identification_rate": None,
            },
            0,
        ),
        (
            {
                "event": "identify.ranking",
                "watchlist": False,
                "false_positive_identification_rate": 0.001,
            },
            0,
        ),
    ],
)
def test_watchlist_hits_are_told_and_near_misses_are_not(body: dict[str, Any], alerts: int) -> None:
    """A sure hit is one alert; a candidate that other people would reach as easily is none."""
    given = dict(body)
    event = given.pop("event")

    found = raised(Evaluator(one_rule("watchlist-hit")), noted(1, 0, event, **given))

    assert len(found) == alerts


def spoofed(sequence: int, seconds: float, *, suspected: bool) -> Observation:
    """Return a verdict whose voice hardly any living caller has, or one that sounds as usual."""
    word = {"state": "suspect", "false_reject_rate": 0.01 if suspected else 0.1}
    return noted(
        sequence,
        seconds,
        "verify.verdict",
        decision="step_up",
        reasons=["spoof_suspected"],
        liveness={"synthetic": word},
    )


def test_suspicions_at_the_rate_of_living_callers_are_no_burst() -> None:
    """One in a hundred living callers sounds odd: in a thousand calls of an hour that is ten."""
    evaluator = Evaluator(one_rule("spoof-burst"))
    calls = [spoofed(n, 3 * n, suspected=n % 100 == 0) for n in range(1000)]

    assert raised(evaluator, *calls) == []


def test_a_burst_of_suspicions_is_an_alert() -> None:
    """Six suspicions among forty calls do not come by chance."""
    evaluator = Evaluator(one_rule("spoof-burst"))
    calls = [spoofed(n, 60 * n, suspected=n >= 34) for n in range(40)]

    (alert, *more) = raised(evaluator, *calls)

    assert more == []
    assert (alert.about, alert.tenant, alert.pseudonym) == ("tenant", "bank", "")
    assert dict(alert.counts)["entries"] >= 4
    assert dict(alert.counts)["of"] > dict(alert.counts)["entries"]


def test_a_burst_rule_passes_over_other_events() -> None:
    """Only what is among its entries is counted."""
    evaluator = Evaluator(one_rule("spoof-burst", key="subject"))
    other = spoofed(1, 0, suspected=True)

    assert raised(evaluator, other, *(rejection(n, n) for n in range(2, 50))) == []


def test_old_counts_leave_the_window_of_a_burst() -> None:
    """Yesterday's thousand calls do not dilute this hour's."""
    evaluator = Evaluator(one_rule("spoof-burst"))
    calls = [
        *(spoofed(n, n, suspected=False) for n in range(1000)),
        *(spoofed(2000 + n, DAY + n, suspected=True) for n in range(4)),
    ]

    (alert,) = raised(evaluator, *calls)

    assert dict(alert.counts) == {"entries": 4, "of": 4}


def test_a_burst_rule_bounds_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invented tenants cannot fill the memory."""
    monkeypatch.setattr(counting, "MOST_KEYS", 3)
    evaluator = Evaluator(one_rule("spoof-burst"))
    raised(evaluator, *(noted(n, n, "verify.verdict", tenant=f"t{n}") for n in range(20)))

    assert evaluator.changed()["spoof-burst"].count('"t') == 3


def test_the_tail_of_the_binomial_is_right() -> None:
    """Against values that can be computed by hand."""
    assert chance_of(3, 3, 0.1) == pytest.approx(1e-3)
    assert chance_of(1, 2, 0.1) == pytest.approx(0.19)
    assert chance_of(2, 2, 0.5) == pytest.approx(0.25)
    assert chance_of(0, 10, 0.1) == 1.0
    assert chance_of(60, 10_000, 0.003) == pytest.approx(9.4e-7, rel=0.3)


def test_more_hits_are_never_less_surprising() -> None:
    """The chance falls with every hit."""
    chances = [chance_of(hits, 200, 0.02) for hits in range(1, 201)]

    assert all(later <= earlier for earlier, later in pairwise(chances))
