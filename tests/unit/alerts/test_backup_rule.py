# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest
from noted import noted, one_rule, raised

from voiceauth.alerts.evaluate import Evaluator

RULE = "backup-trouble"


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("backup.created", {"file": "x"}),
        ("backup.removed", {"file": "x"}),
        ("backup.verified", {"file": "x", "holds": True}),
        ("backup.drilled", {"file": "x", "holds": True}),
    ],
)
def test_a_backup_that_is_as_it_should_be_alerts_nobody(event: str, body: dict[str, Any]) -> None:
    """The everyday entries of backups are no trouble."""
    evaluator = Evaluator(one_rule(RULE))

    assert raised(evaluator, noted(1, 0, event, tenant="", **body)) == []


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("backup.failed", {"code": "storage_down"}),
        ("backup.verified", {"file": "x", "holds": False, "code": "integrity"}),
        ("backup.drilled", {"file": "x", "holds": False, "code": "wrong_key"}),
    ],
)
def test_a_backup_that_fails_is_told_at_once_and_once_a_day(
    event: str, body: dict[str, Any]
) -> None:
    """Nobody learns of it on the day on which it is needed; nobody is told every ten minutes."""
    evaluator = Evaluator(one_rule(RULE))
    entries = [noted(number, 600.0 * number, event, tenant="", **body) for number in range(1, 4)]

    assert [alert.rule for alert in raised(evaluator, *entries)] == [RULE]
