# SPDX-License-Identifier: Apache-2.0
"""Made-up ledger entries for tests of the alert rules: whatever event, whenever, about whomever."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from voiceauth.alerts.evaluate import Evaluator
from voiceauth.alerts.reading import Observation, observed
from voiceauth.alerts.table import Rule, rules
from voiceauth.errors import SinkRefusedError
from voiceauth.types import Alert, AlertId, LedgerEntry, Severity, TenantId

MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = 3600.0
DAY = 86_400.0


def somebody(name: str) -> str:
    """Return a pseudonym as the ledger has them."""
    digest = hashlib.sha256(name.encode()).digest()
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(letters[one % 32] for one in digest[:26])


def entry(
    sequence: int, seconds: float, event: str, *, tenant: str = "bank", **body: Any
) -> LedgerEntry:
    """Return an entry so many seconds after a Monday morning."""
    at = MONDAY + timedelta(seconds=seconds)
    return LedgerEntry(sequence, at, TenantId(tenant), event, json.dumps(body), b"", b"")


def noted(
    sequence: int, seconds: float, event: str, *, tenant: str = "bank", **body: Any
) -> Observation:
    """Return the same as the rules see it."""
    return observed(entry(sequence, seconds, event, tenant=tenant, **body))


def rejection(sequence: int, seconds: float, subject: str = "anna", **more: Any) -> Observation:
    """Return a rejected call."""
    body = {"decision": "reject", "reasons": ["mismatch"], "subject": somebody(subject), **more}
    return noted(sequence, seconds, "verify.verdict", **body)


def one_rule(name: str, **changes: Any) -> dict[str, Rule]:
    """Return one shipped rule, with some of its terms changed."""
    rule = rules()[name]
    return {name: rule.model_copy(update=changes)}


def raised(evaluator: Evaluator, *observations: Observation) -> list[Alert]:
    """Return all alerts of some entries."""
    return [alert for one in observations for alert in evaluator.observe(one)]


def made_up_alert(name: str = "a", **changes: Any) -> Alert:
    """Return an alert as a rule might have raised it."""
    alert = Alert(
        alert=AlertId(hashlib.sha256(name.encode()).hexdigest()[:32]),
        at=MONDAY,
        rule="failures-subject",
        severity=Severity.HIGH,
        tenant=TenantId("bank"),
        about="subject",
        pseudonym=somebody("anna"),
        counts=(("entries", 4.0), ("rate", 0.25)),
        records=(1, 2, 3, 4),
        runbook="docs/runbooks/failures-subject.md",
        record_id=5,
    )
    return replace(alert, **changes)


class NotingSink:
    """A ``ports.AlertSink`` that keeps what it gets, and fails when told to."""

    def __init__(self) -> None:
        self.taken: list[Alert] = []
        self.failure: Exception | None = None
        self.tries = 0
        self.refused: set[str] = set()

    def send(self, alert: Alert) -> None:
        """Keep one alert, or fail."""
        self.tries += 1
        if alert.alert in self.refused:
            raise SinkRefusedError
        if self.failure is not None:
            raise self.failure
        self.taken.append(alert)
