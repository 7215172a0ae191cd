# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from typing import Any

import pytest
from noted import DAY, HOUR, noted, one_rule, raised, somebody

from voiceauth.alerts import insiders
from voiceauth.alerts.evaluate import Evaluator
from voiceauth.alerts.reading import Observation

WEEK = 7


def reading(sequence: int, seconds: float, who: str = "eve", **more: Any) -> Observation:
    """Return that somebody read a record."""
    return noted(sequence, seconds, "subject.read", by=somebody(who), **more)


def working_day(
    day: int, count: int, who: str = "eve", *, first_hour: float = 0.0
) -> Iterator[Observation]:
    """Yield the readings of one day, spread over eight hours from 9:00 UTC on."""
    for n in range(count):
        yield reading(1000 * day + n, day * DAY + first_hour * HOUR + n * 8 * HOUR / count, who)


def working_days(days: range, count: int, who: str = "eve") -> Iterator[Observation]:
    """Yield the readings of some days, weekends left out."""
    for day in days:
        if day % WEEK < 5:
            yield from working_day(day, count + day % 3, who)


def test_days_as_ever_are_no_alert() -> None:
    """Somebody who reads sixty records a day may read seventy."""
    evaluator = Evaluator(one_rule("staff-volume"))

    assert raised(evaluator, *working_days(range(28), 60), *working_day(28, 70)) == []


def test_far_more_than_on_other_days_is_an_alert() -> None:
    """Three times the usual number is told on the same day, with the limit and the usual."""
    evaluator = Evaluator(one_rule("staff-volume"))

    (alert,) = raised(evaluator, *working_days(range(28), 60), *working_day(28, 180))

    counts = dict(alert.counts)
    assert (alert.about, alert.pseudonym, alert.tenant) == ("by", somebody("eve"), "")
    assert counts["usual"] == 61
    assert counts["limit"] < counts["records"] < 180
    assert len(alert.records) == 10


def test_a_page_of_a_list_counts_for_every_record_on_it() -> None:
    """Three pages of a thousand are three thousand records."""
    evaluator = Evaluator(one_rule("staff-volume"))
    pages = [
        noted(9000 + n, 28 * DAY + n, "subject.listed", by=somebody("eve"), returned=1000)
        for n in range(3)
    ]

    (alert,) = raised(evaluator, *working_days(range(28), 60), *pages)

    assert dict(alert.counts)["records"] == 1000


def test_somebody_new_is_held_against_everybody() -> None:
    """On the first day the others' days are the measure."""
    evaluator = Evaluator(one_rule("staff-volume"))
    others = [one for who in ("ann", "bob", "cat") for one in working_days(range(14), 60, who)]

    assert raised(evaluator, *others, *working_day(14, 70, "newcomer")) == []
    assert len(raised(evaluator, *working_day(15, 400, "newcomer"))) == 1


def test_with_no_history_at_all_a_plain_number_is_the_limit() -> None:
    """In a new installation nobody is measured by anybody, and a thousand are too many."""
    evaluator = Evaluator(one_rule("staff-volume", newcomer=200))

    assert raised(evaluator, *working_day(0, 200)) == []
    assert len(raised(evaluator, *working_day(1, 201))) == 1


def test_an_excess_is_not_learnt() -> None:
    """Who takes more every day cannot teach the rule that more is usual."""
    evaluator = Evaluator(one_rule("staff-volume", cooldown_seconds=HOUR))
    raised(evaluator, *working_days(range(28), 60))

    found = [raised(evaluator, *working_day(day, 1000)) for day in range(28, 33)]

    assert all(found)


def test_entries_of_nobody_and_of_other_events_do_not_count() -> None:
    """The engine's own entries name no principal."""
    evaluator = Evaluator(one_rule("staff-volume", newcomer=1, least=1))
    nobody = noted(1, 0, "subject.read", subject=somebody("anna"))
    others = [noted(n, 0, "verify.verdict", by=somebody("eve")) for n in range(2, 9)]

    assert raised(evaluator, nobody, *others) == []


def test_the_principals_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can invent principals cannot fill the memory."""
    monkeypatch.setattr(insiders, "MOST_KEYS", 3)
    evaluator = Evaluator(one_rule("staff-volume"))
    raised(evaluator, *(reading(n, n, f"made-up-{n}") for n in range(20)))

    assert evaluator.changed()["staff-volume"].count('["",') == 3


def test_work_at_usual_hours_is_no_alert() -> None:
    """Office hours, and the hour beside them, are usual."""
    evaluator = Evaluator(one_rule("staff-hours"))
    late = [reading(90_000 + n, 28 * DAY + 8.5 * HOUR + n) for n in range(9)]

    assert raised(evaluator, *working_days(range(28), 20), *late) == []


def test_work_in_the_night_is_an_alert() -> None:
    """Three records at three in the morning, of somebody who works by day."""
    evaluator = Evaluator(one_rule("staff-hours"))
    night = [reading(90_000 + n, 28 * DAY + 18 * HOUR + n) for n in range(5)]

    (alert,) = raised(evaluator, *working_days(range(28), 20), *night)

    assert dict(alert.counts) == {"entries": 3, "hour": 3}
    assert alert.records == (90_000, 90_001, 90_002)


def test_work_at_a_weekend_is_an_alert_for_who_never_does() -> None:
    """Saturday at eleven is another hour than Tuesday at eleven."""
    evaluator = Evaluator(one_rule("staff-hours"))
    saturday = [reading(90_000 + n, 33 * DAY + 2 * HOUR + n) for n in range(3)]

    assert len(raised(evaluator, *working_days(range(28), 20), *saturday)) == 1


def test_an_hour_at_which_others_work_is_no_alert() -> None:
    """Shifts change: what is usual for the others is not odd."""
    evaluator = Evaluator(one_rule("staff-hours"))
    night_shift = [
        reading(day * 1000 + n, day * DAY + 18 * HOUR + n, "nora")
        for day in range(14)
        for n in range(3)
    ]
    night = [reading(90_000 + n, 28 * DAY + 18 * HOUR + n) for n in range(5)]

    assert raised(evaluator, *working_days(range(28), 20), *night_shift, *night) == []


def test_without_history_no_hour_is_unusual() -> None:
    """Somebody new is not told of for the first night."""
    evaluator = Evaluator(one_rule("staff-hours"))

    assert raised(evaluator, *working_days(range(4), 20), reading(1, 4.8 * DAY)) == []


def test_the_hours_rule_passes_over_other_entries() -> None:
    """Verifications at night are the callers', not the staff's."""
    evaluator = Evaluator(one_rule("staff-hours"))
    raised(evaluator, *working_days(range(28), 20))
    night = [noted(n, 28.8 * DAY, "verify.verdict", by=somebody("eve")) for n in range(9)]

    assert raised(evaluator, *night, noted(10, 28.8 * DAY, "subject.read")) == []


def test_hours_are_counted_in_the_zone_of_the_rule() -> None:
    """What is 3:00 in UTC is 16:00 in Auckland in March."""
    evaluator = Evaluator(one_rule("staff-hours", timezone="Pacific/Auckland"))
    night = [reading(90_000 + n, 28 * DAY + 18 * HOUR + n) for n in range(5)]

    (alert,) = raised(evaluator, *working_days(range(28), 20), *night)

    assert dict(alert.counts) == {"entries": 3, "hour": 16}
