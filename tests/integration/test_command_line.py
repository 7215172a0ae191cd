# SPDX-License-Identifier: Apache-2.0
import json
import os
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voiceauth.cli.app import app

RUNNER = CliRunner()
CLIPS = Path(str(files("voiceauth"))) / "_demo"
ENTRY = [sys.executable, "-c", "from voiceauth.cli import main; main()"]


def run(arguments: list[str], code: int = 0) -> str:
    """Run a command, check its exit code and return its standard output."""
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result.stdout


def clip(name: str) -> str:
    """Return the path of a demo clip."""
    return str(CLIPS / f"{name}.opus")


def test_a_subject_goes_through_its_whole_life_without_a_server(tmp_path: Path) -> None:
    """With --data-dir every step works on its own, and the ledger holds it all."""
    place = ["--data-dir", str(tmp_path / "vault"), "--json"]
    (tmp_path / "consent.txt").write_text("You agree.")
    consent = ["consent", "record", "s", "--text-file", str(tmp_path / "consent.txt")]

    run(["subjects", "create", "s", *place])
    assert json.loads(run([*consent, *place]))["consent"]["purpose"] == "authentication"
    enrolled = json.loads(run(["enrol", clip("caller-01-enrol"), "--subject", "s", *place]))
    assert enrolled["outcome"] == "enrolled"
    genuine = RUNNER.invoke(app, ["verify", clip("caller-01-genuine"), "--subject", "s", *place])
    assert json.loads(genuine.stdout)["evidence"]["score"]["llr"] > 0
    ranking = json.loads(run(["identify", clip("caller-01-impostor"), *place]))
    assert [one["subject"] for one in ranking["candidates"]] == ["s"]
    run(["keys", "rotate", *place])
    assert json.loads(run(["keys", "rekey-voiceprints", *place]))["generation"] == 2
    assert "generation 3" in run(["keys", "rekey-voiceprints", *place[:-1]])
    assert json.loads(run(["subjects", "show", "s", *place]))["voiceprints"] == 1
    run(["subjects", "erase", "s", "--yes", *place])
    entries = json.loads(run(["ledger", "show", "--limit", "1000", *place]))
    assert json.loads(run(["ledger", "verify", *place]))["entries"] >= len(entries)
    events = {one["event"] for one in entries}
    assert {"subject.created", "consent.recorded", "verify.verdict", "keys.rotated"} <= events
    assert {"voiceprints.rekeying", "voiceprints.rekeyed"} <= events
    assert not any('"s"' in one["body"] for one in entries)


def test_enrolment_without_consent_is_refused(tmp_path: Path) -> None:
    """The command says what is missing, in one line."""
    place = ["--data-dir", str(tmp_path)]
    run(["subjects", "create", "s", *place])

    result = RUNNER.invoke(app, ["enrol", clip("caller-01-enrol"), "--subject", "s", *place])

    assert result.exit_code == 1
    assert result.stderr == "voiceauth: There is no recorded consent for this subject.\n"


def test_serve_needs_no_file_and_drains_on_sigterm(tmp_path: Path) -> None:
    """``voiceauth serve`` starts on defaults, answers ``health``, and ends cleanly on SIGTERM."""
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "VOICEAUTH_SERVER__PORT": "0"}
    with subprocess.Popen(  # noqa: S603 - our own entry point
        [*ENTRY, "serve"], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            lines = server.stderr or ()
            told = next(one for one in map(json.loads, lines) if one["event"] == "listening")
            address = f"127.0.0.1:{told['port']}"
            healthy = json.loads(run(["health", "--server", address, "--json"]))
            created = run(["subjects", "create", "s", "--server", address])
        finally:
            server.send_signal(signal.SIGTERM)
        rest = [json.loads(line)["event"] for line in server.stderr or ()]
    assert healthy["serving"] is True
    assert created.startswith("s: active")
    assert server.returncode == 0
    assert rest[-1] == "stopped"
    assert (tmp_path / "voiceauth" / "vault.db").exists()


def test_the_embedding_of_a_recording_is_a_unit_vector() -> None:
    """``embed --json`` prints the model, the net speech and 192 numbers of norm 1."""
    told = json.loads(run(["embed", clip("caller-03-genuine"), "--json"]))

    (one,) = told["recordings"]
    assert len(told["model"]) == 64
    assert one["net_seconds"] > 2
    assert sum(number**2 for number in one["embedding"]) == pytest.approx(1.0, abs=1e-4)


def test_an_operator_can_evaluate_recordings(tmp_path: Path) -> None:
    """``evaluate`` reads a trial list, prints the figures and saves the picture."""
    names = [f"caller-{number:02d}" for number in (1, 2, 6, 7)]
    rows = [
        f"{one},{one}-enrol.opus,{other}-genuine.opus,{int(one == other)}"
        for one in names
        for other in names
    ]
    trials = tmp_path / "trials.csv"
    trials.write_text("\n".join(["enrol_id,enrol_paths,test_path,target", *rows]) + "\n")
    det = tmp_path / "det.png"

    told = json.loads(
        run(["evaluate", str(trials), "--root", str(CLIPS), "--det", str(det), "--json"])
    )

    assert (told["target_trials"], told["impostor_trials"]) == (4, 12)
    assert 0.0 <= told["equal_error_rate"]["value"] <= 0.5
    assert det.read_bytes().startswith(b"\x89PNG")


def test_the_models_are_what_the_manifest_says() -> None:
    """The packaged models pass their own check."""
    names = [one["card"]["name"] for one in json.loads(run(["models", "list", "--json"]))]

    assert json.loads(run(["models", "verify", "--json"]))["verified"] == names


@pytest.mark.slow
def test_the_demo_keeps_its_promise() -> None:
    """All ten enrol, at least nine genuine callers and no impostor get through."""
    told = json.loads(run(["demo", "--fast", "--json"]))

    assert told["enrolled"] == 10
    assert told["genuine"]["accept"] >= 9
    assert told["impostors"]["accept"] == 0
    assert told["ledger_entries"] > 40
