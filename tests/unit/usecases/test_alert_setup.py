# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path
from typing import Any

import pytest
from fake_engine import CosineScorer
from noted import entry, somebody
from pydantic import ValidationError
from typer.testing import CliRunner

from voiceauth.alerts.jsonl import FileSink
from voiceauth.alerts.syslog import SyslogSink
from voiceauth.alerts.webhook import WebhookSink
from voiceauth.cli.app import app
from voiceauth.config import AlertSettings, Settings, SinkSettings
from voiceauth.errors import (
    ChainBrokenError,
    InputError,
    KeyServiceError,
    NotFoundError,
    SettingsError,
)
from voiceauth.testing.fakes import FakeClock, FakeKeyService, FakeRandom
from voiceauth.types import LedgerEntry, Severity, TenantId
from voiceauth.usecases.alert_setup import (
    SeldomAudit,
    alert_chores,
    alert_desk,
    failed_voices,
    outlets,
    send_test_alert,
    tell_of_failed_start,
)
from voiceauth.usecases.replay_alerts import replay_file
from voiceauth.usecases.troubles import TroubleBook
from voiceauth.vault.open import open_vault

AT = FakeClock().now()


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "pigeon"},
        {"kind": "webhook", "url": "https://a.example"},
        {"kind": "webhook", "secret_file": "s"},
        {"kind": "syslog"},
        {"kind": "file"},
        {"kind": "file", "path": "a", "url": "https://a.example"},
        {"kind": "syslog", "host": "a", "secret_file": "s"},
        {"kind": "file", "path": "a", "least": "dreadful"},
    ],
)
def test_a_sink_that_is_not_whole_refuses_to_start(given: dict[str, Any]) -> None:
    """A receiver with a mistake in it would be one that is never told."""
    with pytest.raises(ValidationError):
        SinkSettings(**given)


def secret(directory: Path, mode: int = 0o600) -> Path:
    """Write a webhook's secret."""
    path = directory / "secret"
    path.write_text("whsec_" + "QUJD" * 8 + "\n")
    path.chmod(mode)
    return path


def test_a_secret_that_others_can_read_refuses_to_start(tmp_path: Path) -> None:
    """Who can read it can sign."""
    one = SinkSettings(kind="webhook", url="https://a.example", secret_file=secret(tmp_path, 0o644))
    with pytest.raises(KeyServiceError):
        outlets(AlertSettings(sinks={"hook": one}), FakeClock())


def test_every_kind_of_sink_is_made(tmp_path: Path) -> None:
    """Each of the settings' receivers is served from its severity on."""
    sinks = {
        "hook": SinkSettings(
            kind="webhook", url="https://a.example", secret_file=secret(tmp_path), least="high"
        ),
        "log": SinkSettings(kind="syslog", host="logs.example"),
        "lines": SinkSettings(kind="file", path=tmp_path / "alerts.jsonl"),
    }
    made = outlets(AlertSettings(sinks=sinks), FakeClock())

    kinds = {name: type(one.sink) for name, one in made.items()}
    assert kinds == {"hook": WebhookSink, "log": SyslogSink, "lines": FileSink}
    assert made["hook"].least is Severity.HIGH


def test_a_test_alert_says_of_each_sink_whether_it_took_it(tmp_path: Path) -> None:
    """The operator learns which receiver does not work, before it is needed."""
    sinks = {
        "good": SinkSettings(kind="file", path=tmp_path / "alerts.jsonl"),
        "bad": SinkSettings(kind="file", path=tmp_path / "none" / "alerts.jsonl"),
    }
    told = send_test_alert(AlertSettings(sinks=sinks), AT)

    assert told["good"] == ""
    assert "No such file" in told["bad"]
    assert json.loads((tmp_path / "alerts.jsonl").read_text())["rule"] == "test"


def chores_of(directory: Path, settings: AlertSettings) -> dict[str, Any]:
    """Return the chores that settings give, by name."""
    clock, keys = FakeClock(), FakeKeyService()
    vault = open_vault(directory / "vault.db", keys, clock=clock, random=FakeRandom())
    try:
        desk = alert_desk(settings, vault, clock, keys.derive, TroubleBook())
        return {one.name: one for one in alert_chores(desk, settings, vault.audit_ledger)}
    finally:
        vault.close()


def test_alerts_that_are_switched_off_leave_nothing_to_do(tmp_path: Path) -> None:
    """No rule is read and no chore runs."""
    off = AlertSettings(enabled=False, rules=tmp_path / "none.toml")

    assert chores_of(tmp_path, off) == {}


def test_a_rule_with_a_mistake_refuses_to_start(tmp_path: Path) -> None:
    """The engine does not run with fewer rules than the operator believes."""
    (tmp_path / "rules.toml").write_text("[failures-subject]\nthreshold = -1")
    with pytest.raises(SettingsError, match="failures-subject"):
        chores_of(tmp_path, AlertSettings(rules=tmp_path / "rules.toml"))


def test_what_is_delivered_needs_a_receiver_and_leave(tmp_path: Path) -> None:
    """Without sinks, or in a process that does not deliver, nothing is handed over."""
    sinks = {"lines": SinkSettings(kind="file", path=tmp_path / "alerts.jsonl")}

    assert set(chores_of(tmp_path, AlertSettings())) == {"alerts", "troubles", "ledger audit"}
    assert "alert delivery" in chores_of(tmp_path, AlertSettings(sinks=sinks))
    assert "alert delivery" not in chores_of(tmp_path, AlertSettings(sinks=sinks, deliver=False))
    assert set(chores_of(tmp_path, AlertSettings(ledger_audit_hours=0))) == {"alerts", "troubles"}


def test_rejected_voices_are_remembered_only_where_that_is_wanted() -> None:
    """Zero hours, or no alerts, mean no memory of anybody's voice."""
    parts = (CosineScorer(), FakeClock(), FakeRandom())

    assert failed_voices(AlertSettings(), *parts) is not None
    assert failed_voices(AlertSettings(failed_voice_hours=0), *parts) is None
    assert failed_voices(AlertSettings(enabled=False), *parts) is None


def test_a_start_that_fails_is_told(tmp_path: Path) -> None:
    """A ledger that is refused at the start, or keys that are away, reach the receivers."""
    sinks = {"lines": SinkSettings(kind="file", path=tmp_path / "alerts.jsonl")}

    assert tell_of_failed_start(AlertSettings(sinks=sinks), "chain_broken", AT) == 1
    assert json.loads((tmp_path / "alerts.jsonl").read_text())["rule"] == "ledger-trouble"
    off = AlertSettings(sinks=sinks, enabled=False)
    assert tell_of_failed_start(off, "chain_broken", AT) == 0
    broken = AlertSettings(sinks=sinks, rules=tmp_path / "none.toml")
    assert tell_of_failed_start(broken, "chain_broken", AT) == 0


def test_a_server_that_cannot_open_its_vault_tells_of_it(tmp_path: Path) -> None:
    """``voiceauth serve`` cries out before it gives up."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "vault.db").write_bytes(b"")
    (tmp_path / "voiceauth.toml").write_text(
        f'[storage]\ndata_dir = "{tmp_path / "data"}"\n'
        f'[alerts.sinks.lines]\nkind = "file"\npath = "{tmp_path / "alerts.jsonl"}"\n'
    )
    done = CliRunner().invoke(app, ["--config", str(tmp_path / "voiceauth.toml"), "serve"])

    assert done.exit_code == 1
    assert json.loads((tmp_path / "alerts.jsonl").read_text())["rule"] == "key-trouble"


def test_an_audit_is_done_when_it_is_due_and_not_before() -> None:
    """It takes long on a large ledger; what it finds comes out."""
    clock, audits = FakeClock(), list[int]()

    def audit() -> None:
        audits.append(1)
        raise ChainBrokenError(3)

    chore = SeldomAudit(audit, clock, 7200.0)
    chore.run()
    clock.advance(7100)
    chore.run()
    assert audits == []
    clock.advance(200)
    with pytest.raises(ChainBrokenError):
        chore.run()
    chore.run()
    assert audits == [1]


def written(directory: Path, entries: list[LedgerEntry], *, lines: bool) -> Path:
    """Write entries as ``ledger show --json`` does, or one per line."""
    rows = [
        {
            "sequence": one.sequence,
            "at": one.at.isoformat(),
            "tenant": one.tenant,
            "event": one.event,
            "body": one.body,
        }
        for one in entries
    ]
    path = directory / "entries.json"
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    return path


@pytest.mark.parametrize("lines", [False, True])
def test_a_ledger_of_the_past_is_replayed(tmp_path: Path, *, lines: bool) -> None:
    """The rules say what they would have raised, and entries about alerts raise nothing."""
    entries = [
        entry(n, n, "verify.verdict", decision="reject", subject=somebody("anna"))
        for n in range(1, 9)
    ]
    entries.append(entry(9, 9, "alert.raised", rule="x"))
    found = list(replay_file(Settings(), written(tmp_path, entries, lines=lines)))

    assert [one.rule for one in found] == ["failures-subject"]
    assert found[0].tenant == TenantId("bank")


@pytest.mark.parametrize(
    "content",
    [
        b"[1]",
        b"{",
        b"\xff",
        b'[{"sequence": 1}]',
        b'{"sequence":1,"at":"2026-01-01T00:00:00","tenant":"","event":"","body":""}',
        b"[" * 100_000,
    ],
)
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, content: bytes) -> None:
    """Half a file and another file are the caller's mistake."""
    path = tmp_path / "entries.json"
    path.write_bytes(content)
    with pytest.raises(InputError):
        list(replay_file(Settings(), path))
    with pytest.raises(NotFoundError):
        list(replay_file(Settings(), tmp_path / "none.json"))
