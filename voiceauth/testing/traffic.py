# SPDX-License-Identifier: Apache-2.0
"""Days of a contact centre as ledger entries: honest callers, staff in shifts, and nothing else.

Made up by chance from a seed, so that rules over the ledger can be measured without data of real
people. What honest traffic does to rules is in here on purpose: people with a poor voiceprint who
fail again and again, who call back at once, mistype a number, let a spouse call, share a company's
line, and enrol anew after trouble; agents on holiday, in weekend duty, and busy days. The rates are
assumptions (``Habits``), not measurements: change them to what your own ledger has.

``traffic_attacks`` puts attacks among it.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from voiceauth.types import LedgerEntry, TenantId
from voiceauth.units import Rate, Seconds

FIRST_DAY = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""
TENANT = "bank"
DAY: Seconds = 86_400.0
HOUR: Seconds = 3600.0
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
# Share of a day's calls by hour: a peak before noon, a smaller one in the afternoon, few at night.
_NIGHT, _MORNING = (1, 1, 1, 1, 1, 2, 5, 18), (42, 62, 70, 64)
_AFTERNOON, _EVENING = (46, 48, 58, 60, 52, 40), (28, 18, 11, 6, 3, 2)
_BY_HOUR = np.array([*_NIGHT, *_MORNING, *_AFTERNOON, *_EVENING])
_SHIFTS = ((7, 15), (9, 17), (12, 20))


@dataclass(frozen=True, slots=True)
class Habits:
    """How honest people behave and how often the engine errs about them.

    Attributes:
        calls: on a working day.
        weekend: calls of a weekend day as a share of that.
        rejected: of honest calls of most people.
        poor_people: share of people whose voiceprint is poor.
        poor_rejected: of their calls.
        calls_back: after a rejection, within the hour.
        mistyped: claims somebody else by mistake.
        spouse: somebody else calls for the person.
        other_rejected: of calls of those two kinds.
        withheld: calls without a number.
        shared_lines: calls through one of five exchanges of companies.
        suspected_synthetic: of living callers, lower than all but one in eighty.
        suspected_replay: of living callers.
        recognised: chance that a rejected voice is recognised when it is rejected again.
        mistaken: chance that a rejected voice is taken for another rejected one.
        enrols_anew: after a rejection, within two days.
        enrolments: of new people a day.
        searches: watchlist searches of analysts a day.
        agents: people at the telephones.
        records_per_shift: median number of records an agent reads.
        busy_days: share of days with half as much again to do.
    """

    calls: int = 1500
    weekend: Rate = 0.35
    rejected: Rate = 0.01
    poor_people: Rate = 0.04
    poor_rejected: Rate = 0.08
    calls_back: Rate = 0.35
    mistyped: Rate = 0.003
    spouse: Rate = 0.006
    other_rejected: Rate = 0.65
    withheld: Rate = 0.08
    shared_lines: Rate = 0.03
    suspected_synthetic: Rate = 0.01
    suspected_replay: Rate = 0.001
    recognised: Rate = 0.5
    mistaken: Rate = 0.02
    enrols_anew: Rate = 0.03
    enrolments: int = 25
    searches: int = 6
    agents: int = 24
    records_per_shift: int = 55
    busy_days: Rate = 0.05


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that becomes a ledger entry.

    Attributes:
        at: seconds since ``FIRST_DAY``.
        attack: name of the attack it belongs to; empty for honest traffic.
    """

    at: Seconds
    event: str
    body: dict[str, object]
    tenant: str = TENANT
    attack: str = ""


@dataclass(slots=True)
class Centre:
    """A contact centre and its people. Mutable: its days are drawn one after the other.

    Attributes:
        subjects: people who are enrolled.
        shift: what is added to ratios from now on, for attacks and changes of the line.
    """

    habits: Habits
    chance: np.random.Generator
    subjects: int = 4000
    score_shift: float = 0.0
    liveness_shift: float = 0.0
    heard: list[str] = field(default_factory=list)
    tokens: dict[str, list[str]] = field(default_factory=dict)

    def happens(self, rate: Rate) -> bool:
        """Say whether something of a rate happens."""
        return bool(self.chance.random() < rate)

    def pick(self, count: int) -> int:
        """Draw one of so many."""
        return int(self.chance.integers(count))

    def moment(self, day: int) -> Seconds:
        """Draw the time of a call."""
        hour = self.chance.choice(24, p=_BY_HOUR / _BY_HOUR.sum())
        return float(day * DAY + (hour + self.chance.random()) * HOUR)

    def verdict(
        self,
        at: Seconds,
        subject: str,
        *,
        voice: str,
        number: str,
        rejected: bool,
        genuine: bool,
        reasons: Sequence[str] = (),
        attack: str = "",
    ) -> Happening:
        """Return the record of a call.

        Args:
            at: when.
            subject: who is claimed.
            voice: whose voice it is.
            number: it comes from; empty where withheld.
            rejected: otherwise it ends in STEP_UP, as the shipped policies have it.
            genuine: whether the ratio is drawn from matching or other voices.
            reasons: suspicions besides.
            attack: it belongs to.
        """
        llr = self.chance.normal(6.0 if genuine else -6.0, 3.0) + self.score_shift
        living = self.chance.normal(2.5, 1.5) + self.liveness_shift
        low = "spoof_suspected" in reasons
        synthetic = {
            "state": "suspect" if low else "live",
            "llr": round(float(living), 3),
            "false_reject_rate": 0.01 if low else 0.5,
        }
        why = ["mismatch"] if rejected else ["voice_not_acceptable_alone", "match"]
        body: dict[str, object] = {
            "decision": "reject" if rejected else "step_up",
            "reasons": [*reasons, *why],
            "subject": pseudonym(subject),
            "number": pseudonym(number) if number else None,
            "voice": self._token(voice) if rejected else None,
            "standing": "enrolled",
            "score": {"llr": round(float(llr), 3)},
            "liveness": {"synthetic": synthetic},
            "calibration": "v1",
            "spoof_model": "v1",
            "by": pseudonym("ivr"),
        }
        return Happening(at, "verify.verdict", body, attack=attack)

    def _token(self, voice: str) -> str:
        """Return what the engine would call a voice: itself, another one, or a new one."""
        if self.heard and self.happens(self.habits.mistaken):
            return self.heard[self.pick(len(self.heard))]
        known = self.tokens.setdefault(voice, [])
        if known and self.happens(self.habits.recognised):
            return known[self.pick(len(known))]
        known.append(pseudonym(f"{voice}/{self.chance.integers(2**62)}"))
        self.heard = [*self.heard[-199:], known[-1]]
        return known[-1]


def honest_day(centre: Centre, day: int) -> list[Happening]:
    """Draw one day without attacks, in no order."""
    return [*_calls(centre, day), *_staff(centre, day)]


def is_weekend(day: int) -> bool:
    """Say whether a day since ``FIRST_DAY`` is a Saturday or Sunday."""
    return day % 7 >= 5  # noqa: PLR2004 - days of a week


def entries(happenings: Sequence[Happening], first: int) -> Iterator[tuple[LedgerEntry, str]]:
    """Write happenings down in the order of time, each with the attack that it belongs to.

    Args:
        happenings: in any order.
        first: sequence number of the first.
    """
    for sequence, one in enumerate(sorted(happenings, key=lambda two: two.at), start=first):
        at = FIRST_DAY + timedelta(seconds=one.at)
        body = json.dumps(one.body, separators=(",", ":"))
        tenant = TenantId(one.tenant)
        yield LedgerEntry(sequence, at, tenant, one.event, body, b"", b""), one.attack


def pseudonym(name: str) -> str:
    """Return a stand-in that looks like the ledger's, the same for the same name."""
    number = int.from_bytes(name.encode(), "big")
    state = number % (2**61 - 1) or 1
    letters = []
    for _ in range(26):
        state = state * 6364136223846793005 % (2**64 - 59)
        letters.append(_LETTERS[state >> 59])
    return "".join(letters)


def staff_action(at: Seconds, who: str, event: str = "subject.read", **body: object) -> Happening:
    """Return that a principal did something with records."""
    return Happening(at, event, {"by": pseudonym(who), **body})


def agent(number: int) -> str:
    """Return the name of an agent."""
    return f"agent-{number}"


def own_number(subject: int) -> str:
    """Return the number that a person mostly calls from."""
    return f"phone-of-{subject}"


def _calls(centre: Centre, day: int) -> Iterator[Happening]:
    habits = centre.habits
    mean = habits.calls * (habits.weekend if is_weekend(day) else 1.0)
    for _ in range(int(centre.chance.poisson(mean))):
        yield from _call(centre, centre.moment(day), centre.pick(centre.subjects))
    for n in range(int(centre.chance.poisson(habits.enrolments * mean / habits.calls))):
        who = f"new-{day}-{n}"
        yield _enrolment(centre, centre.moment(day), who)


def _call(centre: Centre, at: Seconds, person: int) -> Iterator[Happening]:
    """Yield one honest call, and what comes of it."""
    habits = centre.habits
    claimed, voice, genuine = person, f"voice-{person}", True
    if centre.happens(habits.mistyped):
        claimed, genuine = centre.pick(centre.subjects), False
    elif centre.happens(habits.spouse):
        voice, genuine = f"spouse-{person}", False
    poor = person < habits.poor_people * centre.subjects
    rate = habits.poor_rejected if poor else habits.rejected
    rejected = centre.happens(rate if genuine else habits.other_rejected)
    reasons = ["spoof_suspected"] if centre.happens(habits.suspected_synthetic) else []
    reasons += ["replay_suspected"] if centre.happens(habits.suspected_replay) else []
    yield centre.verdict(
        at,
        f"subject-{claimed}",
        voice=voice,
        number=_number(centre, person),
        rejected=rejected,
        genuine=genuine,
        reasons=reasons,
    )
    if rejected and centre.happens(habits.enrols_anew):
        yield _enrolment(centre, at + centre.chance.random() * 2 * DAY, f"subject-{claimed}")
    if rejected and centre.happens(habits.calls_back):
        yield from _call(centre, at + centre.chance.random() * HOUR, person)


def _number(centre: Centre, person: int) -> str:
    if centre.happens(centre.habits.withheld):
        return ""
    if centre.happens(centre.habits.shared_lines):
        return f"exchange-{centre.pick(5)}"
    other = centre.happens(0.15)
    return f"{own_number(person)}-{centre.pick(3)}" if other else own_number(person)


def _enrolment(centre: Centre, at: Seconds, who: str) -> Happening:
    outcome = "enrolled" if centre.happens(0.8) else "partial"
    body: dict[str, object] = {"outcome": outcome, "subject": pseudonym(who)}
    return Happening(at, "enrol.result", {**body, "by": pseudonym("enrolment-line")})


def _staff(centre: Centre, day: int) -> Iterator[Happening]:
    habits = centre.habits
    busy = 1.5 if centre.happens(habits.busy_days) else 1.0
    for n in range(habits.agents):
        absent = centre.happens(0.08)
        duty = centre.happens(0.2) if is_weekend(day) else True
        if absent or not duty:
            continue
        start, end = _SHIFTS[n % len(_SHIFTS)]
        # Agents differ, days differ, and both vary by factors rather than by numbers.
        own = math.exp(0.25 * math.sin(n)) * habits.records_per_shift
        count = int(centre.chance.poisson(own * busy * centre.chance.lognormal(0.0, 0.15)))
        for _ in range(count):
            hour = start + (end - start) * centre.chance.random()
            yield staff_action(day * DAY + hour * HOUR, agent(n))
        if centre.happens(0.1):  # somebody stays a little longer
            yield staff_action(day * DAY + (end + 0.5 * centre.chance.random()) * HOUR, agent(n))
    if is_weekend(day):
        return
    for n in range(habits.searches):
        rate = float(centre.chance.random())
        body = {"watchlist": True, "false_positive_identification_rate": round(rate, 4)}
        at = day * DAY + (9 + 8 * centre.chance.random()) * HOUR
        yield staff_action(at, f"analyst-{n % 2}", "identify.ranking", **body)
    for n in range(int(centre.chance.poisson(2))):
        at = day * DAY + (9 + 8 * centre.chance.random()) * HOUR
        yield staff_action(at, f"analyst-{n % 2}", "subject.listed", returned=100)
    if centre.happens(0.2):  # a program that is set up wrongly for a moment
        at = day * DAY + 10 * HOUR
        for n in range(centre.pick(8)):
            yield Happening(at + n, "access.denied", {"by": pseudonym("a program")}, tenant="")
