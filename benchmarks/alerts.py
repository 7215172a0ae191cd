# SPDX-License-Identifier: Apache-2.0
"""Detection rate and false alarms of every alert rule, on simulated days of a contact centre.

Each run is a centre of its own: some days to learn, then days of which every one has attacks of
different kinds among its honest traffic, and at the end, where asked for, a changed line. An alert
is right if one of the entries behind it belongs to an attack; any other one is a false alarm. An
attack is found if the rule of its name raised such an alert.

    python benchmarks/alerts.py --runs 20 --days 40 --json alerts.json
"""

import argparse
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from voiceauth.alerts.evaluate import Evaluator
from voiceauth.alerts.reading import observed
from voiceauth.alerts.table import rules
from voiceauth.testing.traffic import Centre, Habits, Happening, entries, honest_day
from voiceauth.testing.traffic_attacks import ATTACKS, suits

LEARNING_DAYS = 15
ATTACKS_A_DAY = 2
DRIFT_DAYS = 3
DRIFTS = {"drift-score": "score_shift", "drift-liveness": "liveness_shift"}
DRIFT_NATS = -2.5


@dataclass
class Tally:
    """What was counted over all runs."""

    days: int = 0
    calls: int = 0
    attacks: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    delays: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def attacks_of(centre: Centre, day: int, turn: Iterator[str]) -> list[Happening]:
    """Draw the attacks of one day; each instance has a name of its own."""
    made: list[Happening] = []
    while len({one.attack for one in made}) < ATTACKS_A_DAY:
        name = next(turn)
        if suits(name, day):
            label = f"{name}/{day}"
            made += [
                Happening(one.at, one.event, one.body, one.tenant, label)
                for one in ATTACKS[name](centre, day)
            ]
    return made


def turns() -> Iterator[str]:
    """Yield the names of attacks, round and round."""
    while True:
        yield from ATTACKS


class Run:
    """One centre under one set of rules."""

    def __init__(self, seed: int, override: Path | None, habits: Habits) -> None:
        self._centre = Centre(habits, np.random.default_rng(seed))
        self._evaluator = Evaluator(rules(override))
        self._labels: dict[int, str] = {}
        self._begun: dict[str, float] = {}
        self._found: set[str] = set()
        self._next = 1
        self._carried: list[Happening] = []

    def go(self, days: int, tally: Tally, *, drift: bool) -> None:
        """Simulate and count."""
        turn = turns()
        for _ in range(int(self._centre.chance.integers(len(ATTACKS)))):
            next(turn)
        for day in range(LEARNING_DAYS):
            self._day(day, [], None)
        for day in range(LEARNING_DAYS, LEARNING_DAYS + days):
            self._day(day, attacks_of(self._centre, day, turn), tally)
        if drift:
            self._drifts(LEARNING_DAYS + days, tally)

    def _drifts(self, day: int, tally: Tally) -> None:
        """Let the line change; of these days only the drift rules' findings are counted."""
        for rule, knob in DRIFTS.items():
            setattr(self._centre, knob, DRIFT_NATS)
            aside = Tally()
            for more in range(DRIFT_DAYS):
                self._day(day + more, [], aside)
            day += DRIFT_DAYS
            setattr(self._centre, knob, 0.0)
            tally.attacks[rule] += 1
            tally.found[rule] += aside.false[rule] > 0

    def _day(self, day: int, attacks: list[Happening], tally: Tally | None) -> None:
        whole = [*self._carried, *honest_day(self._centre, day), *attacks]
        ends = (day + 1) * 86_400.0
        self._carried = [one for one in whole if one.at >= ends]
        today = [one for one in whole if one.at < ends]
        if tally is not None:
            tally.days += 1
            tally.calls += sum(one.event == "verify.verdict" for one in today)
            for label in {one.attack for one in attacks}:
                tally.attacks[label.split("/")[0]] += 1
        for entry, label in entries(today, self._next):
            self._next = entry.sequence + 1
            if label:
                self._labels[entry.sequence] = label
                self._begun.setdefault(label, entry.at.timestamp())
            for alert in self._evaluator.observe(observed(entry)):
                if tally is not None:
                    self._count(alert.rule, alert.records, alert.at.timestamp(), tally)

    def _count(self, rule: str, records: tuple[int, ...], at: float, tally: Tally) -> None:
        labels = {self._labels[one] for one in records if one in self._labels}
        if not labels:
            tally.false[rule] += 1
        for label in labels - self._found:
            if label.split("/")[0] == rule:
                self._found.add(label)
                tally.found[rule] += 1
                tally.delays[rule].append((at - self._begun[label]) / 60.0)


def proportion(hits: int, whole: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson)."""
    if not whole:
        return 0.0, 1.0
    z, rate = 1.96, hits / whole
    middle = rate + z * z / (2 * whole)
    spread = z * math.sqrt(rate * (1 - rate) / whole + z * z / (4 * whole * whole))
    scale = 1 + z * z / whole
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def poisson(count: int, days: int) -> tuple[float, float]:
    """Return the exact 95 % interval of events per day."""
    return (
        _root(lambda mean: 1 - _below(count - 1, mean) - 0.025) / days if count else 0.0,
        _root(lambda mean: 0.025 - _below(count, mean)) / days,
    )


def _below(count: int, mean: float) -> float:
    return sum(math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(count + 1))


def _root(rising: Callable[[float], float]) -> float:
    low, high = 1e-9, 1e5
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return low


def report(tally: Tally) -> Mapping[str, object]:
    """Return what was counted, by rule."""
    table = {}
    for rule in rules():
        found, whole, false = tally.found[rule], tally.attacks[rule], tally.false[rule]
        delays = sorted(tally.delays[rule])
        table[rule] = {
            "attacks": whole,
            "found": found,
            "detection": found / whole if whole else None,
            "detection_interval": proportion(found, whole) if whole else None,
            "median_minutes": delays[len(delays) // 2] if delays else None,
            "false_alarms": false,
            "false_per_day": false / tally.days,
            "false_per_day_interval": poisson(false, tally.days),
        }
    return {"days": tally.days, "calls_per_day": tally.calls / tally.days, "rules": table}


def show(result: Mapping[str, object], table: Mapping[str, Mapping[str, object]]) -> None:
    """Print the table as Markdown."""
    print(f"{result['days']} days, {result['calls_per_day']:.0f} calls a day\n")
    print("| rule | attacks | found (95 %) | median time | false alarms per day (95 %) |")
    print("|---|---|---|---|---|")
    for rule, row in table.items():
        share, interval = row["detection"], row["detection_interval"]
        minutes = row["median_minutes"]
        found = time = "-"
        if isinstance(share, float) and isinstance(interval, tuple):
            found = f"{100 * share:.0f} % ({100 * interval[0]:.0f} to {100 * interval[1]:.0f})"
        if isinstance(minutes, float):
            time = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
        bounds = row["false_per_day_interval"]
        low, high = bounds if isinstance(bounds, tuple) else (0.0, 0.0)
        false = f"{row['false_per_day']:.3f} ({low:.3f} to {high:.3f})"
        print(f"| `{rule}` | {row['attacks']} | {found} | {time} | {false} |")


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--calls", type=int, default=1500)
    parser.add_argument("--rules", type=Path, help="a file laid over the shipped rules")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    tally = Tally()
    for run in range(given.runs):
        habits = Habits(calls=given.calls)
        Run(given.seed + run, given.rules, habits).go(given.days, tally, drift=True)
    result = report(tally)
    show(result, result["rules"])  # type: ignore[arg-type]  # made above
    if given.json is not None:
        told = {"seed": given.seed, "runs": given.runs, **result}
        given.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
