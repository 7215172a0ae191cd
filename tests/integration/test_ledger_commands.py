# SPDX-License-Identifier: Apache-2.0
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from voiceauth.cli.app import app

RUNNER = CliRunner()
CLIPS = Path(str(files("voiceauth"))) / "_demo"


def run(*arguments: str, code: int = 0) -> str:
    """Run a command, check its exit code and return its standard output."""
    result = RUNNER.invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A vault with a subject and a verified call, and a second place for its ledger."""
    monkeypatch.setenv("VOICEAUTH_LEDGER__EXPORT_DIR", str(tmp_path / "elsewhere"))
    folder = ["--data-dir", str(tmp_path / "vault")]
    digest = ["--text-sha256", "ab" * 32]
    run("subjects", "create", "s", *folder)
    run("consent", "record", "s", *digest, *folder)
    run("enrol", str(CLIPS / "caller-01-enrol.opus"), "--subject", "s", *folder)
    RUNNER.invoke(
        app,
        [
            "verify",
            str(CLIPS / "caller-01-genuine.opus"),
            "--subject",
            "s",
            "--call",
            "c1",
            *folder,
        ],
    )
    return folder


def test_a_real_verdict_is_derived_from_its_record_and_its_raw_scores(place: list[str]) -> None:
    """``explain`` leads the state machine and the calibration through the record again."""
    found: list[dict[str, Any]] = json.loads(run("explain", "c1", *place, "--json"))

    assert [(one["agrees"], one["rates_agree"], one["missing"]) for one in found] == [
        (True, True, [])
    ]
    assert found[0]["derived"] == found[0]["recorded"]
    assert "as recorded" in run("explain", "c1", *place)
    run("explain", "c2", *place, code=1)


def test_the_ledger_is_copied_and_proved_from_the_command_line(
    place: list[str], tmp_path: Path
) -> None:
    """Checkpoint, second place, proofs of inclusion and growth, each checked alone."""
    copied = json.loads(run("ledger", "verify", *place, "--json"))["copied"]
    assert copied > 0
    (tmp_path / "old").write_text(run("ledger", "checkpoint", *place))
    run("subjects", "show", "s", *place)
    (tmp_path / "one.json").write_text(run("ledger", "prove", "2", *place))
    (tmp_path / "two.json").write_text(run("ledger", "prove-growth", str(tmp_path / "old"), *place))
    key = run("ledger", "public-key", *place).strip()

    for name in ("one.json", "two.json"):
        run("ledger", "check-proof", str(tmp_path / name), "--public-key", key)
    assert "not compared" in run("ledger", "check-proof", str(tmp_path / "one.json"))
    forged = (tmp_path / "one.json").read_text().replace('"event": "', '"event": "x')
    (tmp_path / "one.json").write_text(forged)
    run("ledger", "check-proof", str(tmp_path / "one.json"), code=1)
    run("ledger", "verify", "--against", str(tmp_path / "elsewhere"), *place)
    run("ledger", "verify", "--against", str(tmp_path / "nowhere"), *place, code=1)


def test_an_engine_does_not_start_on_another_history_than_was_copied(
    place: list[str], tmp_path: Path
) -> None:
    """The second place disagrees: nothing is served, so nothing is accepted."""
    hashes = tmp_path / "elsewhere" / "entry-hashes"
    hashes.write_bytes(bytes(len(hashes.read_bytes())))

    result = RUNNER.invoke(app, ["subjects", "show", "s", *place])

    assert result.exit_code == 1
    assert "broken at entry" in result.stderr


def test_an_erasure_is_attested_and_its_backup_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the erasure to the destroyed key, every step is a command.

    The last one takes two persons, unless the settings say that one is enough.
    """
    folder = ["--data-dir", str(tmp_path / "vault")]
    run("subjects", "create", "s", *folder)
    old = tmp_path / "old.db"
    old.write_bytes((tmp_path / "vault" / "vault.db").read_bytes())
    run("ledger", "receipt", "s", *folder, code=1)
    token = json.loads(run("subjects", "erase", "s", "--yes", "--json", *folder))["token"]
    run("ledger", "receipt", "s", *folder, code=1)
    run("ledger", "receipt", "s", "--token", token[::-1], *folder, code=1)

    (tmp_path / "r.json").write_text(run("ledger", "receipt", "s", "--token", token, *folder))
    assert json.loads(run("ledger", "check-proof", str(tmp_path / "r.json")))["subject"] == "s"
    assert run("ledger", "check-backup", str(old), "s", *folder, code=1) == "readable\n"
    inventory = json.loads(run("keys", "show", *folder, "--json"))["inventory"]
    key = next(one["key_id"] for one in inventory if one["scope"] == "default")
    run("keys", "rotate", "--tenant", "default", *folder)
    run("keys", "destroy", key, "--yes", *folder, code=1)
    assert run("ledger", "check-backup", str(old), "s", *folder, code=1) == "readable\n"
    monkeypatch.setenv("VOICEAUTH_APPROVALS__DEMANDED_FOR", "[]")
    run("keys", "destroy", key, "--yes", *folder)
    assert run("ledger", "check-backup", str(old), "s", *folder) == "unreadable\n"
