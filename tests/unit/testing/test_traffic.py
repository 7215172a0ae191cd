# SPDX-License-Identifier: Apache-2.0
import json
from itertools import pairwise

import numpy as np
import pytest

from voiceauth.alerts.evaluate import Evaluator
from voiceauth.alerts.reading import observed
from voiceauth.alerts.table import rules
from voiceauth.testing.traffic import Centre, Habits, entries, honest_day, is_weekend, pseudonym
from voiceauth.testing.traffic_attacks import ATTACKS, suits

QUIET = Habits(calls=60, agents=6, enrolments=2)
MONDAY, SATURDAY = 0, 5


def centre(seed: int = 1) -> Centre:
    """Return a small centre."""
    return Centre(QUIET, np.random.default_rng(seed), subjects=200)


def test_a_seed_gives_the_same_day_again() -> None:
    """A figure can be measured again by whoever doubts it."""
    first, again, other = (honest_day(centre(seed), MONDAY) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_entries_come_in_order_and_read_like_the_ledgers() -> None:
    """Sequence and time rise together, bodies are JSON, and people stand there as pseudonyms."""
    written = list(entries(honest_day(centre(), MONDAY), 1))

    assert [one.sequence for one, _ in written] == list(range(1, len(written) + 1))
    assert all(one.at <= two.at for (one, _), (two, _) in pairwise(written))
    for one, label in written:
        assert label == ""
        for name in ("by", "subject", "number", "voice"):
            told = json.loads(one.body).get(name)
            assert told is None or len(told) == 26


def test_weekends_are_quieter() -> None:
    """Fewer people call, and fewer work."""
    days = {day: len(honest_day(centre(), day)) for day in (MONDAY, SATURDAY)}

    assert is_weekend(SATURDAY)
    assert not is_weekend(MONDAY)
    assert days[SATURDAY] < 0.6 * days[MONDAY]


def test_pseudonyms_are_apart() -> None:
    """Thousands of names do not collide."""
    assert len({pseudonym(f"subject-{n}") for n in range(20_000)}) == 20_000


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_attack_bears_its_name_and_falls_on_its_day(name: str) -> None:
    """What is counted as found is what was put there; an enrolment may come a day later."""
    made = [one for seed in range(5) for one in ATTACKS[name](centre(seed), 7)]

    assert made
    assert {one.attack for one in made} == {name}
    assert all(7 <= one.at // 86_400 <= 8 for one in made)


def test_there_is_an_attack_for_every_rule_but_drift() -> None:
    """No rule goes without a figure."""
    assert set(ATTACKS) == {name for name in rules() if not name.startswith("drift")}
    assert not suits("staff-volume", SATURDAY)
    assert suits("staff-hours", SATURDAY)


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - {"staff-volume", "staff-hours"}))
def test_every_rule_finds_its_attack_on_some_day(name: str) -> None:
    """Among honest calls, and in at most five tries of the attacker."""
    house, evaluator, found, first = centre(3), Evaluator(rules()), set[str](), 1
    for day in range(14, 19):
        for entry, _ in entries([*honest_day(house, day), *ATTACKS[name](house, day)], first):
            first = entry.sequence + 1
            found |= {alert.rule for alert in evaluator.observe(observed(entry))}

    assert name in found


@pytest.mark.parametrize("name", ["staff-volume", "staff-hours"])
def test_insiders_are_found_after_some_days_of_learning(name: str) -> None:
    """Two weeks of shifts are enough to know what is unusual."""
    house, evaluator, found, first = centre(3), Evaluator(rules()), set[str](), 1
    for day in range(16):
        attack = list(ATTACKS[name](house, day)) if day == 15 else []
        for entry, _ in entries([*honest_day(house, day), *attack], first):
            first = entry.sequence + 1
            alerts = evaluator.observe(observed(entry))
            found |= {alert.rule for alert in alerts} if day == 15 else set()

    assert name in found
