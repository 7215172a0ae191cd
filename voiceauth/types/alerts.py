# SPDX-License-Identifier: Apache-2.0
"""What the rules over the ledger have found, and what somebody made of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from voiceauth.types.names import AlertId, TenantId


class Severity(StrEnum):
    """How soon somebody has to look, from least to most."""

    LOW = "low"
    """Within the week."""
    MEDIUM = "medium"
    """Within the working day."""
    HIGH = "high"
    """Within the hour."""
    CRITICAL = "critical"
    """At once: evidence itself may be in doubt."""

    @property
    def rank(self) -> int:
        """Its place in the order, 0 for the least."""
        return list(Severity).index(self)


class Assessment(StrEnum):
    """What an analyst made of an alert; the false alarms of an installation are counted by it."""

    ATTACK = "attack"
    FALSE_ALARM = "false_alarm"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """That somebody has looked.

    Attributes:
        at: UTC.
        by: pseudonym of the principal.
    """

    at: datetime
    by: str
    assessment: Assessment


@dataclass(frozen=True, slots=True)
class Alert:
    """One finding of one rule. It names nobody: people stand in it as the ledger's pseudonyms.

    Attributes:
        alert: the same finding has the same id, however often it is derived or delivered.
        at: UTC time of the ledger entry that completed it.
        tenant: whose it is; empty for the installation itself.
        about: what the pseudonym stands for: ``subject``, ``number``, ``voice``, ``by``,
            ``tenant`` or ``installation``.
        pseudonym: whom or what it is about; empty for ``tenant`` and ``installation``.
        counts: the evidence in numbers, by stable names.
        records: sequence numbers of ledger entries it rests on, the newest ones if there are many.
        runbook: where to read what to do.
        record_id: sequence number of its own ledger entry; 0 if it has none.
    """

    alert: AlertId
    at: datetime
    rule: str
    severity: Severity
    tenant: TenantId
    about: str
    pseudonym: str
    counts: tuple[tuple[str, float], ...]
    records: tuple[int, ...]
    runbook: str
    record_id: int = 0
    acknowledged: Acknowledgement | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One alert on its way to one sink.

    Attributes:
        delivery: its number in the outbox.
        attempts: that failed so far.
        due: UTC time of the next one.
    """

    delivery: int
    sink: str
    alert: Alert
    attempts: int
    due: datetime
