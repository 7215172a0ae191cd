# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from voiceauth.alerts.table import CountRule, rules
from voiceauth.errors import SettingsError

ROW = """
[mine]
kind = "count"
summary = "Something."
severity = "low"
runbook = "mine.md"
where = [{ event = ["call.lost"] }]
key = "tenant"
window_seconds = 60
threshold = 2
cooldown_seconds = 60
"""


def written(directory: Path, content: str) -> Path:
    """Write an operator's file."""
    path = directory / "rules.toml"
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[x", "rules.toml"),
        ("x = 1", "every top-level key is a rule"),
        ('[x]\nkind = "magic"', "Alert rule x"),
        ("[x]\nseverity = 'high'", "Alert rule x"),
        ("[failures-subject]\nthreshold = 0", "threshold"),
        ("[failures-subject]\nthreshhold = 3", "threshhold"),
        ("[failures-subject]\nrunbook = '../../etc/passwd'", "runbook"),
        ("[failures-subject]\nseverity = 'dreadful'", "severity"),
        ("[failures-subject]\nwhere = [{ decision = ['reject'] }]", "names the events"),
        ("[failures-subject]\nwhere = [{ event = { least = 3 } }]", "names the events"),
        ("[failures-subject]\nwhere = []", "where"),
        ("[spoof-burst]\namong = [{ reasons = ['x'] }]", "names the events"),
        ("[enrolment-after-failure]\nthen = [{ outcome = ['x'] }]", "names the events"),
        ("[staff-hours]\ntimezone = 'Mars/Olympus'", "time zone"),
        ("[staff-hours]\ntimezone = '/etc/localtime'", "time zone"),
    ],
)
def test_a_file_that_is_no_table_of_rules_is_refused_by_name(
    tmp_path: Path, content: str, told: str
) -> None:
    """A rule with a mistake in it would be a rule that never speaks: the start is refused."""
    with pytest.raises(SettingsError, match=told):
        rules(written(tmp_path, content))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """No file and no text are no reason to go on with the shipped rules."""
    with pytest.raises(SettingsError, match="cannot be read"):
        rules(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        rules(tmp_path / "bytes.toml")


def test_a_change_of_one_value_leaves_the_rest_as_shipped(tmp_path: Path) -> None:
    """An operator names what is to be otherwise and nothing more."""
    shipped = rules()["failures-subject"]
    changed = rules(written(tmp_path, "[failures-subject]\nthreshold = 9"))["failures-subject"]

    assert isinstance(shipped, CountRule)
    assert changed == shipped.model_copy(update={"threshold": 9})


def test_a_rule_can_be_switched_off(tmp_path: Path) -> None:
    """A rule that an operator does not want is not evaluated."""
    found = rules(written(tmp_path, "[failures-subject]\nenabled = false"))

    assert "failures-subject" not in found
    assert len(found) == len(rules()) - 1


def test_an_operator_may_add_rules(tmp_path: Path) -> None:
    """The kinds are there for rules that nobody has thought of."""
    found = rules(written(tmp_path, ROW))

    assert found["mine"].events == {"call.lost"}
    assert len(found) == len(rules()) + 1


def test_a_zone_of_the_machine_is_taken(tmp_path: Path) -> None:
    """Days and hours can be counted in an operator's own zone."""
    found = rules(written(tmp_path, "[staff-hours]\ntimezone = 'UTC'"))

    assert "staff-hours" in found
