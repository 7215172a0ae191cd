# SPDX-License-Identifier: Apache-2.0
"""Attacks to put among the days of ``traffic``: each is a list of happenings that bear its name.

An attack's name is that of the rule that is there for it. An attack can set off other rules as
well; whoever counts tells by the entries behind an alert.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from voiceauth.testing.traffic import (
    DAY,
    HOUR,
    Centre,
    Happening,
    agent,
    is_weekend,
    pseudonym,
    staff_action,
)
from voiceauth.units import Seconds

Attack = Callable[[Centre, int], Iterator[Happening]]

REJECTED_OF_IMPOSTORS = 0.65
"""The rest ends in STEP_UP for want of certainty."""
_SPOOF_NOTICED = 0.44
_REPLAY_NOTICED = 0.9
_WATCHED_NOTICED = 0.8


def _claim(
    centre: Centre, at: Seconds, subject: str, *, voice: str, number: str, attack: str
) -> Happening:
    """Return an impostor's call."""
    rejected = centre.happens(REJECTED_OF_IMPOSTORS)
    return centre.verdict(
        at, subject, voice=voice, number=number, rejected=rejected, genuine=False, attack=attack
    )


def _between(centre: Centre, least: int, most: int) -> int:
    return least + centre.pick(most - least + 1)


def _victim(centre: Centre) -> str:
    return f"subject-{centre.pick(centre.subjects)}"


def _daytime(centre: Centre, day: int) -> Seconds:
    return day * DAY + (8 + 6 * centre.chance.random()) * HOUR


def failures_subject(centre: Centre, day: int) -> Iterator[Happening]:
    """Somebody tries one account 6 to 12 times within hours, each time from another number."""
    name, victim, at = "failures-subject", _victim(centre), _daytime(centre, day)
    for n in range(_between(centre, 6, 12)):
        when = at + n * 0.4 * HOUR * (0.5 + centre.chance.random())
        voice, number = f"attacker-{day}-{n % 2}", f"spoofed-{day}-{n}"
        yield _claim(centre, when, victim, voice=voice, number=number, attack=name)


def failures_number(centre: Centre, day: int) -> Iterator[Happening]:
    """One number tries 6 to 15 accounts, once each, with voices that change."""
    name, at = "failures-number", _daytime(centre, day)
    for n in range(_between(centre, 6, 15)):
        when = at + n * 0.3 * HOUR * (0.5 + centre.chance.random())
        voice, number = f"gang-{day}-{n}", f"trunk-{day}"
        yield _claim(centre, when, _victim(centre), voice=voice, number=number, attack=name)


def voice_many_identities(centre: Centre, day: int) -> Iterator[Happening]:
    """One voice tries 6 to 14 accounts within a day, each from a number of its own."""
    name, at = "voice-many-identities", day * DAY
    for n in range(_between(centre, 6, 14)):
        when = at + (8 + 12 * centre.chance.random()) * HOUR
        voice, number = f"one-{day}", f"one-{day}-{n}"
        yield _claim(centre, when, _victim(centre), voice=voice, number=number, attack=name)


def identity_many_numbers(centre: Centre, day: int) -> Iterator[Happening]:
    """A good copy of one person's voice calls from 5 to 8 numbers within a day, and matches."""
    name, victim = "identity-many-numbers", _victim(centre)
    for n in range(_between(centre, 5, 8)):
        when = day * DAY + (8 + 12 * centre.chance.random()) * HOUR
        yield centre.verdict(
            when,
            victim,
            voice=victim,
            number=f"copy-{day}-{n}",
            rejected=False,
            genuine=True,
            attack=name,
        )


def watchlist_hit(centre: Centre, day: int) -> Iterator[Happening]:
    """A watched person tries to enrol up to three times; each time the search may miss."""
    for n in range(_between(centre, 1, 3)):
        noticed = centre.happens(_WATCHED_NOTICED)
        body: dict[str, object] = {
            "outcome": "watchlisted" if noticed else "enrolled",
            "subject": pseudonym(f"watched-{day}-{n}"),
        }
        at = _daytime(centre, day) + n * HOUR
        yield Happening(at, "enrol.result", body, attack="watchlist-hit")


def spoof_burst(centre: Centre, day: int) -> Iterator[Happening]:
    """A generator of voices makes 12 to 30 calls within two hours; four in nine sound synthetic."""
    for one in _burst(centre, day, "spoof_suspected", _SPOOF_NOTICED, (12, 30)):
        yield replace(one, attack="spoof-burst")


def replay_burst(centre: Centre, day: int) -> Iterator[Happening]:
    """6 to 15 recordings of accepted calls are played within two hours."""
    for one in _burst(centre, day, "replay_suspected", _REPLAY_NOTICED, (6, 15)):
        yield replace(one, attack="replay-burst")


def _burst(
    centre: Centre, day: int, reason: str, noticed: float, count: tuple[int, int]
) -> Iterator[Happening]:
    at = _daytime(centre, day)
    for n in range(_between(centre, *count)):
        victim = _victim(centre)
        yield centre.verdict(
            at + 2 * HOUR * centre.chance.random(),
            victim,
            voice=victim,
            number=f"{reason}-{day}-{n}",
            rejected=False,
            genuine=True,
            reasons=[reason] if centre.happens(noticed) else [],
        )


def enrolment_after_failure(centre: Centre, day: int) -> Iterator[Happening]:
    """One to three failed claims, then an agent is persuaded to enrol the voice."""
    name, victim, at = "enrolment-after-failure", _victim(centre), _daytime(centre, day)
    tries = _between(centre, 1, 3)
    for n in range(tries):
        taker, when = f"taker-{day}", at + n * 0.3 * HOUR
        yield _claim(centre, when, victim, voice=taker, number=taker, attack=name)
    body: dict[str, object] = {"outcome": "enrolled", "subject": pseudonym(victim)}
    yield Happening(
        at + (2 + 20 * centre.chance.random()) * HOUR, "enrol.result", body, attack=name
    )


def staff_volume(centre: Centre, day: int) -> Iterator[Happening]:
    """An agent reads three to six times as much as usual in a shift."""
    who, count = centre.pick(centre.habits.agents), _between(centre, 3, 6)
    for _ in range(count * centre.habits.records_per_shift):
        one = staff_action(day * DAY + (12 + 3 * centre.chance.random()) * HOUR, agent(who))
        yield Happening(one.at, one.event, one.body, attack="staff-volume")


def staff_hours(centre: Centre, day: int) -> Iterator[Happening]:
    """Somebody with an agent's sign-in reads 4 to 15 records between one and four at night."""
    who = agent(centre.pick(centre.habits.agents))
    for _ in range(_between(centre, 4, 15)):
        one = staff_action(day * DAY + (1 + 3 * centre.chance.random()) * HOUR, who)
        yield Happening(one.at, one.event, one.body, attack="staff-hours")


def access_denied(centre: Centre, day: int) -> Iterator[Happening]:
    """A stolen certificate tries 15 to 40 doors within half an hour."""
    at = _daytime(centre, day)
    for _ in range(_between(centre, 15, 40)):
        body: dict[str, object] = {"by": pseudonym(f"thief-{day}"), "reason": "role_missing"}
        when = at + 0.5 * HOUR * centre.chance.random()
        yield Happening(when, "access.denied", body, tenant="", attack="access-denied")


def trouble(code: str, name: str) -> Attack:
    """Return an attack that is one entry of the engine's own trouble."""

    def one(centre: Centre, day: int) -> Iterator[Happening]:
        body: dict[str, object] = {"place": "ledger audit", "code": code, "count": 1}
        at = day * DAY + 24 * HOUR * centre.chance.random()
        yield Happening(at, "engine.trouble", body, tenant="", attack=name)

    return one


def backup_failed(centre: Centre, day: int) -> Iterator[Happening]:
    """A backup cannot be made, once."""
    at = day * DAY + 24 * HOUR * centre.chance.random()
    yield Happening(at, "backup.failed", {}, tenant="", attack="backup-trouble")


ATTACKS: Mapping[str, Attack] = {
    "failures-subject": failures_subject,
    "failures-number": failures_number,
    "voice-many-identities": voice_many_identities,
    "identity-many-numbers": identity_many_numbers,
    "watchlist-hit": watchlist_hit,
    "spoof-burst": spoof_burst,
    "replay-burst": replay_burst,
    "enrolment-after-failure": enrolment_after_failure,
    "staff-volume": staff_volume,
    "staff-hours": staff_hours,
    "access-denied": access_denied,
    "ledger-trouble": trouble("chain_broken", "ledger-trouble"),
    "key-trouble": trouble("key_service_down", "key-trouble"),
    "storage-trouble": trouble("storage_down", "storage-trouble"),
    "backup-trouble": backup_failed,
    "clock-jumped": trouble("clock_jumped", "clock-jumped"),
}
"""By the rule that is there for it. Drift is no attack of a day: see ``Centre.score_shift``."""

WORKING_DAYS_ONLY = frozenset({"staff-volume"})
"""On a weekend the agent may have no shift to hide in."""


def suits(name: str, day: int) -> bool:
    """Say whether an attack is for such a day."""
    return name not in WORKING_DAYS_ONLY or not is_weekend(day)
