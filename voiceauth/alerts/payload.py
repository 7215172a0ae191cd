# SPDX-License-Identifier: Apache-2.0
"""An alert as one line of JSON: what webhooks and files get.

ASCII throughout: whatever a name holds, it cannot end a line, open a field or colour a terminal.
"""

import json

from voiceauth.types import Alert

TYPE = "voiceauth.alert"


def content(alert: Alert) -> dict[str, object]:
    """Return an alert as JSON can hold it."""
    return {
        "type": TYPE,
        "id": alert.alert,
        "time": alert.at.isoformat(timespec="milliseconds"),
        "rule": alert.rule,
        "severity": alert.severity.value,
        "tenant": alert.tenant,
        "about": alert.about,
        "pseudonym": alert.pseudonym,
        "counts": {name: _plain(number) for name, number in alert.counts},
        "records": list(alert.records),
        "runbook": alert.runbook,
        "record_id": alert.record_id,
    }


def line(alert: Alert) -> str:
    """Return it as one line of ASCII JSON, without the line's end."""
    return json.dumps(content(alert), separators=(",", ":"), ensure_ascii=True)


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number
