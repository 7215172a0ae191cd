# SPDX-License-Identifier: Apache-2.0
import json
import re

import pytest
from noted import made_up_alert, noted, one_rule, raised, rejection, somebody

from voiceauth.alerts.evaluate import Evaluator
from voiceauth.alerts.payload import line
from voiceauth.alerts.retry import LONGEST_SECONDS, delay
from voiceauth.alerts.syslog import syslog_message
from voiceauth.types import Severity, TenantId

FRAME = re.compile(
    rb"<(\d+)>1 (\S+) (\S+) voiceauth - alert "
    rb'\[voiceauth@32473((?: \S+="(?:\\["\\\]]|[^"\\\]])*")+)\] .*'
)
HOSTILE = [
    "x\n<14>1 - - - - - - forged",
    'x"] [evil@1 a="b',
    "x\\",
    "\x1b[31mred",
    "\x00\x07",
    "käse\u2028\u202e",
    "\ud800",
    "x" * 10_000,
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_name_breaks_out_of_a_syslog_message(hostile: str) -> None:
    """Whatever stands in a field, it is one message of printable ASCII with the fields it had."""
    alert = made_up_alert(
        tenant=TenantId(hostile), pseudonym=hostile, rule=hostile, counts=((hostile, 1.0),)
    )
    message = syslog_message(alert, hostile)

    assert all(0x20 <= one <= 0x7E for one in message)
    assert FRAME.fullmatch(message) is not None


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_name_breaks_out_of_a_line_of_json(hostile: str) -> None:
    """One alert is one line of ASCII, and reads back as it was."""
    told = line(made_up_alert(tenant=TenantId(hostile), rule=hostile))

    assert told.isascii()
    assert told.isprintable()
    assert json.loads(told)["tenant"] == hostile


@pytest.mark.parametrize("hostile", ["+44 7700 900123", "Anna Example\n", "4111111111111111"])
def test_what_a_foreign_ledger_names_does_not_reach_an_alert(hostile: str) -> None:
    """Even entries that hold somebody's number give alerts that do not."""
    calls = [rejection(n, n, number=hostile) for n in range(4)]
    denied = [noted(n, n, "access.denied", by=hostile) for n in range(10)]
    rules = {**one_rule("failures-number"), **one_rule("access-denied")}
    found = raised(Evaluator(rules), *calls, *denied)

    assert len(found) == 2
    for alert in found:
        assert hostile.strip() not in line(alert)
        assert hostile.strip().encode() not in syslog_message(alert, "host")


def test_a_syslog_message_is_that_of_the_standard() -> None:
    """Priority, version, UTC time, host, application and structured data of RFC 5424."""
    found = FRAME.fullmatch(syslog_message(made_up_alert(), "engine-1.example"))

    assert found is not None
    assert found[1] == b"83"  # facility 10, error
    assert found[2] == b"2026-03-02T09:00:00.000Z"
    assert found[3] == b"engine-1.example"
    assert f'pseudonym="{somebody("anna")}"'.encode() in found[4]
    assert b'entries="4" rate="0.25" records="1 2 3 4"' in found[4]


@pytest.mark.parametrize(
    ("severity", "level"),
    [(Severity.LOW, 5), (Severity.MEDIUM, 4), (Severity.HIGH, 3), (Severity.CRITICAL, 2)],
)
def test_severities_are_syslogs_own(severity: Severity, level: int) -> None:
    """A collector sorts alerts by its own levels."""
    message = syslog_message(made_up_alert(severity=severity), "")

    assert message.startswith(f"<{80 + level}>1 ".encode())
    assert b"Z - voiceauth" in message


def test_a_line_of_json_has_everything() -> None:
    """Id, time, rule, severity, tenant, whom, evidence and runbook."""
    alert = made_up_alert()
    told = json.loads(line(alert))

    assert told == {
        "type": "voiceauth.alert",
        "id": alert.alert,
        "time": "2026-03-02T09:00:00.000+00:00",
        "rule": "failures-subject",
        "severity": "high",
        "tenant": "bank",
        "about": "subject",
        "pseudonym": somebody("anna"),
        "counts": {"entries": 4, "rate": 0.25},
        "records": [1, 2, 3, 4],
        "runbook": "docs/runbooks/failures-subject.md",
        "record_id": 5,
    }
    assert '"entries":4,' in line(alert)


def test_delays_double_up_to_an_hour() -> None:
    """A dead receiver is asked seldom and never given up."""
    assert [delay(n) for n in (0, 1, 2, 3)] == [5.0, 5.0, 10.0, 20.0]
    assert delay(11) == delay(10**6) == LONGEST_SECONDS
