# SPDX-License-Identifier: Apache-2.0
"""Every alert says what to do, and every page of that belongs to an alert."""

from pathlib import Path

import pytest

from voiceauth.alerts.table import rules

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
PARTS = [
    "## What it means",
    "## Look first",
    "## Do now",
    "## If it is an attack",
    "## If it is a false alarm",
    "## Tune",
]


@pytest.mark.parametrize("name", sorted(rules()))
def test_every_rule_names_a_runbook_that_exists(name: str) -> None:
    """Whoever is woken by an alert can read what to do."""
    page = (RUNBOOKS / rules()[name].runbook).read_text(encoding="utf-8")

    assert f"`{name}`" in page
    assert [line for line in page.splitlines() if line.startswith("## ")] == PARTS


def test_every_runbook_belongs_to_a_rule() -> None:
    """A page that no alert leads to is a page that nobody reads."""
    assert {path.name for path in RUNBOOKS.glob("*.md")} == {
        rule.runbook for rule in rules().values()
    }
