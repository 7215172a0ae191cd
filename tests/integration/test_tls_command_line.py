# SPDX-License-Identifier: Apache-2.0
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voiceauth.access.roles import Role
from voiceauth.cli.app import app

RUNNER = CliRunner()
ENTRY = [sys.executable, "-c", "from voiceauth.cli import main; main()"]


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make certificates and settings for trying out."""
    directory = tmp_path_factory.mktemp("dev") / "certs"
    result = RUNNER.invoke(app, ["certs", "dev", str(directory), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["settings"] == str(directory / "voiceauth.toml")
    return directory


@pytest.fixture(scope="module")
def address(certs: Path) -> Iterator[str]:
    """Serve with them, as an operator would, and return where."""
    environment = {
        **os.environ,
        "VOICEAUTH_SERVER__PORT": "0",
        "VOICEAUTH_STORAGE__DATA_DIR": str(certs.parent / "data"),
    }
    with subprocess.Popen(  # noqa: S603 - our own entry point
        [*ENTRY, "--config", str(certs / "voiceauth.toml"), "serve"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            told = next(
                one for one in map(json.loads, server.stderr or ()) if one["event"] == "listening"
            )
            assert told["tls"] is True
            yield f"localhost:{told['port']}"
        finally:
            server.send_signal(signal.SIGTERM)
            _ = list(server.stderr or ())


def test_the_keys_are_their_owners_and_the_authoritys_is_nowhere(certs: Path) -> None:
    """Each role has a certificate and a key that nobody else can read; the authority has none."""
    keys = sorted(certs.glob("*.key"))

    assert {path.stem for path in keys} == {*Role, "privacy-officer-2", "server"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_nothing_is_replaced(certs: Path) -> None:
    """A second run does not overwrite certificates that are in use."""
    before = (certs / "server.key").read_bytes()

    result = RUNNER.invoke(app, ["certs", "dev", str(certs)])

    assert result.exit_code == 1
    assert "nothing is replaced" in result.stderr
    assert (certs / "server.key").read_bytes() == before


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """Trouble with the disk is one line, not a trace."""
    (tmp_path / "file").touch()

    result = RUNNER.invoke(app, ["certs", "dev", str(tmp_path / "file" / "certs")])

    assert result.exit_code == 1
    assert result.stderr.startswith("voiceauth: Cannot write")


def test_the_command_line_shows_a_certificate(certs: Path, address: str) -> None:
    """With --ca and --identity a command acts in that role, and may do no more than it."""
    shown = ["--ca", str(certs / "ca.pem"), "--identity"]
    create = ["subjects", "create", "4711-4711", "--server", address]
    show = ["subjects", "show", "4711-4711", "--server", address]

    refused = RUNNER.invoke(app, [*shown, str(certs / "ivr"), *create])
    created = RUNNER.invoke(app, [*shown, str(certs / "enrolment"), *create])
    seen = RUNNER.invoke(app, [*shown, str(certs / "agent"), *show])

    assert refused.exit_code == 1
    assert refused.stderr == "voiceauth: Access denied.\n"
    assert created.stdout.startswith("4711-4711: active")
    assert seen.stdout.startswith("****11: active")


def test_the_settings_can_say_what_to_show(certs: Path, address: str) -> None:
    """``[client]`` holds the same, and ``voiceauth health`` uses it."""
    environment = {
        "VOICEAUTH_CLIENT__CERTIFICATE": str(certs / "operator.pem"),
        "VOICEAUTH_CLIENT__KEY": str(certs / "operator.key"),
    }
    command = ["--config", str(certs / "voiceauth.toml"), "health", "--server", address]

    with_it = RUNNER.invoke(app, command, env=environment)
    without = RUNNER.invoke(app, command)

    assert with_it.exit_code == 0, with_it.output
    assert without.exit_code == 1


def test_a_token_is_sent_from_a_file_and_refused_where_none_are_taken(
    certs: Path, address: str, tmp_path: Path
) -> None:
    """--token-file is read and shown; this server knows no issuer, so it opens nothing."""
    (tmp_path / "token").write_text("a.b.c\n")
    shown = ["--ca", str(certs / "ca.pem"), "--identity", str(certs / "enrolment")]
    command = ["subjects", "create", "other", "--server", address]

    result = RUNNER.invoke(app, [*shown, "--token-file", str(tmp_path / "token"), *command])
    missing = RUNNER.invoke(app, [*shown, "--token-file", str(tmp_path / "none"), *command])

    assert result.exit_code == 1
    assert "certificate or token" in result.stderr
    assert "cannot be read" in missing.stderr


def test_without_a_server_the_settings_of_one_do_not_matter(certs: Path, tmp_path: Path) -> None:
    """--data-dir works on the files themselves, whatever certificates a server would ask for."""
    settings = ["--config", str(certs / "voiceauth.toml")]

    result = RUNNER.invoke(app, [*settings, "subjects", "create", "s", "--data-dir", str(tmp_path)])

    assert result.exit_code == 0, result.output


def spoken(certs: Path, holder: str, *arguments: str, code: int = 0) -> str:
    """Run a command with the certificate of a holder; return what it printed."""
    shown = ["--ca", str(certs / "ca.pem"), "--identity", str(certs / holder)]
    result = RUNNER.invoke(app, [*shown, *arguments])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_an_export_takes_two_officers(certs: Path, address: str, tmp_path: Path) -> None:
    """Asked for, approved by another one, made once, and its signature checked."""
    at, plan = ["--server", address], ["--export", "4712"]
    spoken(certs, "enrolment", "subjects", "create", "4712", *at)
    asked = json.loads(
        spoken(certs, "privacy-officer", "approvals", "request", *plan, *at, "--json")
    )
    own = ["approvals", "approve", asked["approval"], *plan, *at]
    making = ["subjects", "export", "4712", "--approval", asked["approval"], *at]

    assert "second person" in spoken(certs, "privacy-officer", *own, code=1)
    assert "second person" in spoken(certs, "privacy-officer", *making, code=1)
    assert "approved" in spoken(certs, "privacy-officer-2", *own)
    (tmp_path / "export.json").write_text(spoken(certs, "privacy-officer", *making))
    assert "cannot be used" in spoken(certs, "privacy-officer", *making, code=1)
    checked = RUNNER.invoke(app, ["ledger", "check-proof", str(tmp_path / "export.json")])
    assert json.loads(checked.stdout)["subject"] == "4712"
    listed = spoken(certs, "auditor", "approvals", "list", *at)
    assert f"{asked['approval']}  subject-export (1 subject(s))  used" in listed


def test_a_list_is_erased_by_two_officers(certs: Path, address: str, tmp_path: Path) -> None:
    """The file that was approved is the file that is erased."""
    at, file = ["--server", address], tmp_path / "list.txt"
    for name in ("a-1", "a-2"):
        spoken(certs, "enrolment", "subjects", "create", name, *at)
    file.write_text("a-1\n\na-2\n")
    plan = ["--erase-list", str(file)]
    asked = json.loads(
        spoken(certs, "privacy-officer", "approvals", "request", *plan, *at, "--json")
    )
    spoken(certs, "administrator", "approvals", "approve", asked["approval"], *plan, *at)
    erasing = ["subjects", "erase-list", str(file), "--approval", asked["approval"], *at]

    told = spoken(certs, "privacy-officer", *erasing, "--yes", "--json")

    assert json.loads(told) == {"erased": 2, "voiceprints": 0, "unknown": 0}


def test_a_key_is_destroyed_on_the_machine_by_what_two_agreed_on_through_the_server(
    certs: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command on the server's own files takes an approval, for this key, once."""
    monkeypatch.setenv("VOICEAUTH_STORAGE__DATA_DIR", str(certs.parent / "data"))
    at = ["--server", address]
    spoken(certs, "enrolment", "subjects", "create", "k-1", *at)
    inventory = json.loads(RUNNER.invoke(app, ["keys", "show", "--json"]).stdout)["inventory"]
    old = next(one["key_id"] for one in inventory if one["scope"] == "default")
    RUNNER.invoke(app, ["keys", "rotate", "--tenant", "default"])
    plan = ["--destroy-key", old]
    asked = json.loads(spoken(certs, "operator", "approvals", "request", *plan, *at, "--json"))
    destroying = ["keys", "destroy", old, "--yes", "--approval", asked["approval"]]

    early = RUNNER.invoke(app, destroying)
    spoken(certs, "privacy-officer", "approvals", "approve", asked["approval"], *plan, *at)
    done = RUNNER.invoke(app, destroying)
    again = spoken(certs, "operator", *destroying, *at, code=1)

    assert early.exit_code == 1
    assert "second person" in early.stderr
    assert done.exit_code == 0, done.output
    assert "cannot be used" in again


def test_an_approval_can_be_refused_from_the_command_line(certs: Path, address: str) -> None:
    """A no is a command, too, and the list says who said it."""
    at = ["--server", address]
    asked = json.loads(
        spoken(certs, "privacy-officer", "approvals", "request", "--export", "x", *at, "--json")
    )
    spoken(certs, "administrator", "approvals", "refuse", asked["approval"], *at)

    assert "refused, by certificate:administrator" in spoken(
        certs, "privacy-officer", "approvals", "list", *at
    )


@pytest.mark.parametrize("plan", [[], ["--export", "a", "--destroy-key", "k"]])
def test_a_request_names_one_operation(plan: list[str]) -> None:
    """None, or two at once, is wrong usage."""
    assert RUNNER.invoke(app, ["approvals", "request", *plan]).exit_code == 2


def test_a_list_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A missing file is one line, before anything is asked."""
    command = ["approvals", "request", "--erase-list", str(tmp_path / "none")]

    assert "cannot be read" in RUNNER.invoke(app, command).stderr
