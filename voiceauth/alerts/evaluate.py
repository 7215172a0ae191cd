# SPDX-License-Identifier: Apache-2.0
"""The engine of the rules: entries in, alerts out, and a memory that can be written down.

Example:
    >>> from voiceauth.alerts.table import rules
    >>> evaluator = Evaluator(rules())
    >>> evaluator.changed()
    {}
"""

import hashlib
import json
from collections.abc import Callable, Mapping

from voiceauth.alerts.counting import (
    Counting,
    Distinguishing,
    Following,
    Found,
    Judge,
    Sharing,
)
from voiceauth.alerts.drift import Drifting
from voiceauth.alerts.insiders import Hours, Volumes
from voiceauth.alerts.reading import Observation, moment, shown_name, shown_pseudonym
from voiceauth.alerts.table import Rule
from voiceauth.alerts.where import Key
from voiceauth.alerts.windows import AHEAD_SECONDS, MOST_KEYS, listed, reading_back
from voiceauth.errors import IntegrityError
from voiceauth.types import Alert, AlertId, TenantId
from voiceauth.units import Seconds

_JUDGES: Mapping[str, Callable[..., Judge]] = {
    "count": Counting,
    "distinct": Distinguishing,
    "sequence": Following,
    "share": Sharing,
    "volume": Volumes,
    "hours": Hours,
    "drift": Drifting,
}
_ID_CHARACTERS = 32


class Evaluator:
    """All rules at work. Not thread-safe.

    Args:
        rules: by name.
        remembered: what ``changed`` returned before, by name. A rule whose terms are others than
            at that time begins anew.
        runbooks: what stands before a runbook's file name.

    Raises:
        IntegrityError: what is remembered cannot be read.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        remembered: Mapping[str, str] | None = None,
        *,
        runbooks: str = "docs/runbooks/",
    ) -> None:
        self._runbooks = runbooks
        self._at_work = {
            name: _RuleAtWork(name, rule, (remembered or {}).get(name))
            for name, rule in rules.items()
        }
        self._by_event: dict[str, list[_RuleAtWork]] = {}
        for one in self._at_work.values():
            for event in one.rule.events:
                self._by_event.setdefault(event, []).append(one)
        self._touched: set[str] = set()

    def observe(self, observation: Observation) -> list[Alert]:
        """Take one entry, and return what it completes."""
        found = []
        for one in self._by_event.get(observation.event, ()):
            self._touched.add(one.name)
            finding = one.observe(observation)
            if finding is not None:
                found.append(self._alert(one, finding, observation))
        return found

    def changed(self) -> dict[str, str]:
        """Return what rules remember that have seen entries since the last call, as JSON."""
        told = {name: self._at_work[name].dump() for name in sorted(self._touched)}
        self._touched.clear()
        return told

    def _alert(self, one: "_RuleAtWork", found: Found, observation: Observation) -> Alert:
        tenant, pseudonym = found.key
        return Alert(
            alert=_alert_id(one.name, found.key, observation.sequence),
            at=moment(observation.at),
            rule=one.name,
            severity=one.rule.severity,
            tenant=TenantId(shown_name(tenant)),
            about=one.rule.key,
            pseudonym=shown_pseudonym(pseudonym),
            counts=found.counts,
            records=found.records,
            runbook=f"{self._runbooks}{one.rule.runbook}",
        )


class _RuleAtWork:
    """One rule with its judge, and what it has said lately."""

    def __init__(self, name: str, rule: Rule, remembered: str | None) -> None:
        self.name = name
        self.rule = rule
        self._print = hashlib.sha256(rule.model_dump_json().encode()).hexdigest()
        self._judge: Judge = _JUDGES[rule.kind](rule)
        self._told: dict[Key, Seconds] = {}
        if remembered is not None:
            self._load(remembered)

    def observe(self, observation: Observation) -> Found | None:
        """Take one entry; what was said of the same key lately is not said again."""
        found = self._judge.observe(observation)
        if found is None:
            return None
        told = self._told.get(found.key)
        if told is not None and self._lately(told, observation.at):
            return None
        self._told[found.key] = observation.at
        if len(self._told) > MOST_KEYS:
            del self._told[next(iter(self._told))]
        return found

    def dump(self) -> str:
        """Return all that it remembers, as JSON."""
        told = [[*key, at] for key, at in self._told.items()]
        return json.dumps([self._print, told, self._judge.dump()], separators=(",", ":"))

    def _load(self, remembered: str) -> None:
        try:
            content = json.loads(remembered)
        except (ValueError, RecursionError):
            raise IntegrityError(detail=f"what rule {self.name} remembers is no JSON") from None
        with reading_back():
            print_, told, memory = content
            if print_ != self._print:
                return
            self._told = {(str(tenant), str(name)): float(at) for tenant, name, at in listed(told)}
        self._judge.load(memory)

    def _lately(self, told: Seconds, now: Seconds) -> bool:
        # One that lies ahead was said while the clock stood wrong, and keeps nothing back.
        return -AHEAD_SECONDS <= now - told < self.rule.cooldown_seconds


def _alert_id(rule: str, key: Key, sequence: int) -> AlertId:
    text = json.dumps([rule, *key, sequence])
    return AlertId(hashlib.sha256(text.encode()).hexdigest()[:_ID_CHARACTERS])
