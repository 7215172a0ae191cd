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
