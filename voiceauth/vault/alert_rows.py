# SPDX-License-Identifier: Apache-2.0
"""Alerts as rows: the alerts themselves, the outbox, and what the rules remember.

An alert holds pseudonyms, numbers and names of rules only, like the ledger it was derived from, and
lies open like it.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from voiceauth.errors import IntegrityError
from voiceauth.types import (
    Acknowledgement,
    Alert,
    AlertId,
    Assessment,
    Delivery,
    Severity,
    TenantId,
)
from voiceauth.vault.codec import from_microseconds, to_microseconds

_ALERT = "alerts.record, alerts.content, alerts.acknowledged"
_Value = str | bytes | int | None


class AlertRows(ABC):
    """The part of a transaction that knows the alerts' tables."""

    @abstractmethod
    def _select(self, statement: str, *values: _Value) -> list[tuple[Any, ...]]:
        """Run a reading statement."""

    @abstractmethod
    def _write(self, statement: str, *values: _Value) -> int:
        """Run a writing statement."""

    def alert_memory(self) -> Mapping[str, str]:
        """Read what the rules remember, by name."""
        return dict(self._select("SELECT part, content FROM alert_memory"))

    def put_alert_memory(self, parts: Mapping[str, str], *, anew: bool = False) -> None:
        """Replace the named parts of the memory; leave the others, or begin anew without them."""
        if anew:
            self._write("DELETE FROM alert_memory")
        for part, content in parts.items():
            self._write(
                "INSERT OR REPLACE INTO alert_memory (part, content) VALUES (?,?)", part, content
            )

    def add_alert(self, alert: Alert) -> None:
        """Keep an alert."""
        self._write(
            "INSERT INTO alerts (alert, record, tenant, pseudonym, content) VALUES (?,?,?,?,?)",
            alert.alert,
            alert.record_id,
            alert.tenant,
            alert.pseudonym,
            _encoded(alert),
        )

    def alert(self, alert: AlertId) -> Alert | None:
        """Read one alert, or None."""
        statement = f"SELECT {_ALERT} FROM alerts WHERE alert = ?"  # noqa: S608 - constant columns
        rows = self._select(statement, alert)
        return _decoded(*rows[0]) if rows else None

    def alerts(
        self,
        tenant: TenantId,
        *,
        after: int = 0,
        limit: int = 100,
        pseudonym: str = "",
        newest: bool = False,
        unseen: bool = False,
    ) -> Sequence[Alert]:
        """Read a tenant's alerts, see ``ports.AlertTransaction``."""
        statement = (
            f"SELECT {_ALERT} FROM alerts WHERE tenant = ? AND record > ? "  # noqa: S608 - constants
            "AND (? = '' OR pseudonym = ?) AND (? = 0 OR acknowledged IS NULL) "
            f"ORDER BY record {'DESC' if newest else 'ASC'} LIMIT ?"
        )
        rows = self._select(statement, tenant, after, pseudonym, pseudonym, int(unseen), limit)
        return [_decoded(*row) for row in rows]

    def acknowledge_alert(self, alert: AlertId, acknowledgement: Acknowledgement) -> None:
        """Note that somebody has looked."""
        content = {
            "at_us": to_microseconds(acknowledgement.at),
            "by": acknowledgement.by,
            "assessment": acknowledgement.assessment.value,
        }
        self._write(
            "UPDATE alerts SET acknowledged = ? WHERE alert = ?", json.dumps(content), alert
        )

    def queue_delivery(self, sink: str, alert: AlertId, due: datetime) -> None:
        """Put a delivery into the outbox."""
        self._write(
            "INSERT INTO alert_outbox (sink, alert, attempts, due_us) VALUES (?,?,0,?)",
            sink,
            alert,
            to_microseconds(due),
        )

    def deliveries(
        self, sink: str, limit: int, *, until: datetime, beyond: datetime
    ) -> Sequence[Delivery]:
        """Read a sink's deliveries that are due, see ``ports.AlertTransaction``."""
        rows = self._select(
            f"SELECT id, sink, attempts, due_us, {_ALERT} FROM alert_outbox "  # noqa: S608 - constants
            "JOIN alerts USING (alert) WHERE sink = ? AND (due_us <= ? OR due_us > ?) "
            "ORDER BY id LIMIT ?",
            sink,
            to_microseconds(until),
            to_microseconds(beyond),
            limit,
        )
        return [
            Delivery(number, name, _decoded(*alert), attempts, from_microseconds(due_us))
            for number, name, attempts, due_us, *alert in rows
        ]

    def postpone_delivery(self, delivery: int, attempts: int, due: datetime) -> None:
        """Note a failed attempt, and when to try again."""
        self._write(
            "UPDATE alert_outbox SET attempts = ?, due_us = ? WHERE id = ?",
            attempts,
            to_microseconds(due),
            delivery,
        )

    def finish_delivery(self, delivery: int) -> None:
        """Take a delivery out of the outbox."""
        self._write("DELETE FROM alert_outbox WHERE id = ?", delivery)


def _encoded(alert: Alert) -> str:
    content = {
        "alert": alert.alert,
        "at_us": to_microseconds(alert.at),
        "rule": alert.rule,
        "severity": alert.severity.value,
        "tenant": alert.tenant,
        "about": alert.about,
        "pseudonym": alert.pseudonym,
        "counts": alert.counts,
        "records": alert.records,
        "runbook": alert.runbook,
    }
    return json.dumps(content, separators=(",", ":"))


def _decoded(record: int, content: str, acknowledged: str | None) -> Alert:
    """Read a stored alert. Raises IntegrityError."""
    try:
        told = json.loads(content)
        alert = Alert(
            alert=AlertId(str(told["alert"])),
            at=from_microseconds(int(told["at_us"])),
            rule=str(told["rule"]),
            severity=Severity(told["severity"]),
            tenant=TenantId(str(told["tenant"])),
            about=str(told["about"]),
            pseudonym=str(told["pseudonym"]),
            counts=tuple((str(name), float(number)) for name, number in told["counts"]),
            records=tuple(int(one) for one in told["records"]),
            runbook=str(told["runbook"]),
            record_id=record,
        )
        if acknowledged is None:
            return alert
        seen = json.loads(acknowledged)
        by, assessment = str(seen["by"]), Assessment(seen["assessment"])
        mark = Acknowledgement(from_microseconds(int(seen["at_us"])), by, assessment)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise IntegrityError(detail=f"the alert of record {record} cannot be read") from None
    return replace(alert, acknowledged=mark)
