# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest
from noted import entry, made_up_alert, somebody
from typer.testing import CliRunner

from voiceauth.cli.alerting import _print
from voiceauth.cli.app import app
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import Acknowledgement, Assessment, TenantId


def run(*words: str) -> tuple[int, str]:
    """Run a command; return its exit code and what it printed."""
    done = CliRunner().invoke(app, [*words])
    return done.exit_code, done.output


def settings(directory: Path, content: str) -> str:
    """Write a settings file."""
    path = directory / "voiceauth.toml"
    path.write_text(content)
    return str(path)


def test_a_sink_that_does_not_work_is_exit_code_one(tmp_path: Path) -> None:
    """A script that sets up alerts learns of it."""
    content = "\n".join(
        f'[alerts.sinks.{name}]\nkind = "file"\npath = "{tmp_path / place}"'
        for name, place in (("good", "a.jsonl"), ("bad", "none/a.jsonl"))
    )
    config = settings(tmp_path, content)

    code, told = run("--config", config, "alerts", "test")
    assert code == 1
    assert "good: taken" in told
    assert "bad: file: No such file" in told
    code, told = run("--config", config, "alerts", "test", "--json")
    assert (code, set(json.loads(told))) == (1, {"good", "bad"})


def test_settings_without_sinks_say_so(tmp_path: Path) -> None:
    """Nobody is told, and the operator hears that."""
    code, told = run("--config", settings(tmp_path, ""), "alerts", "test")

    assert code == 0
    assert "no sinks" in told


def history(directory: Path) -> Path:
    """Write a ledger with four rejected calls."""
    rows = [
        {"sequence": n, "at": one.at.isoformat(), "tenant": "bank", "event": one.event}
        | {"body": one.body}
        for n, one in (
            (n, entry(n, n, "verify.verdict", decision="reject", subject=somebody("anna")))
            for n in range(1, 5)
        )
    ]
    path = directory / "ledger.json"
    path.write_text(json.dumps(rows))
    return path


def test_a_ledger_is_replayed_under_other_rules(tmp_path: Path) -> None:
    """An operator sees what a change would have done."""
    (tmp_path / "rules.toml").write_text("[failures-subject]\nthreshold = 5")
    path, config = history(tmp_path), settings(tmp_path, "")

    code, told = run("--config", config, "alerts", "replay", str(path))
    assert code == 0
    assert "failures-subject  bank  subject" in told
    code, told = run(
        *("--config", config, "alerts", "replay", str(path)),
        *("--rules", str(tmp_path / "rules.toml"), "--json"),
    )
    assert (code, json.loads(told)) == (0, [])


def test_a_directory_without_a_vault_is_no_ledger(tmp_path: Path) -> None:
    """A typing mistake makes no vault."""
    code, _ = run("--config", settings(tmp_path, ""), "alerts", "replay", str(tmp_path))

    assert code == 1
    assert not (tmp_path / "vault.db").exists()


def test_an_alert_is_one_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """When, how grave, which rule, whom, how much, what to read, what it was."""
    mark = Acknowledgement(EPOCH, somebody("analyst"), Assessment.FALSE_ALARM)
    _print([made_up_alert(acknowledged=mark, tenant=TenantId(""), pseudonym="")], as_json=False)

    line = capsys.readouterr().out
    assert line.count("\n") == 1
    for part in ("2026-03-02T09:00:00", "high", "failures-subject", "entries 4", "[false_alarm]"):
        assert part in line


def test_alerts_of_a_vault_are_listed_without_a_server(tmp_path: Path) -> None:
    """``--data-dir`` works as everywhere else, and an unknown alert is told."""
    config = settings(tmp_path, "")
    where = ("--data-dir", str(tmp_path / "data"))

    assert run("--config", config, "alerts", "list", "--json", *where) == (0, "[]\n")
    code, _ = run("--config", config, "alerts", "ack", "0" * 32, "--as", "attack", *where)
    assert code == 1
    code, told = run("--config", config, "alerts", "replay", str(tmp_path / "data"), "--json")
    assert (code, json.loads(told)) == (0, [])
