# SPDX-License-Identifier: Apache-2.0
"""``voiceauth erase --prove``: what it finds, and that it finds it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from voiceauth.cli.app import app
from voiceauth.config import Settings, StorageSettings
from voiceauth.errors import NotFoundError
from voiceauth.ledger.pseudonym import pseudonym
from voiceauth.testing.records import made_up_embedding, made_up_voiceprint
from voiceauth.types import SubjectId, TenantId
from voiceauth.usecases.acting import INSTALLATION
from voiceauth.usecases.assemble import assembled
from voiceauth.usecases.check_ledger import opened_desk
from voiceauth.usecases.prove_erasure import Finding, Trace, prove_erasure

NUMBER = "+447700900123"
DEFAULT, ALICE = TenantId("default"), SubjectId(NUMBER)
RUNNER = CliRunner()


def run(*words: str, code: int = 0) -> str:
    """Run a command, check its exit code and return its standard output."""
    result = RUNNER.invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result.stdout


def enrolled(home: Path) -> Settings:
    """Make an installation in which somebody has a voiceprint of the shipped model."""
    settings = Settings(storage=StorageSettings(data_dir=home))
    with assembled(settings) as engine, engine.vault.begin() as change:
        print_ = made_up_voiceprint("v", NUMBER, model=engine.embedder.model, segments=0)
        voice = made_up_embedding(1, engine.embedder.dimension)
        change.create_subject(DEFAULT, ALICE, at=engine.clock.now(), groups=frozenset())
        object.__setattr__(print_, "embedding", voice)
        change.add_voiceprint(DEFAULT, print_)
    return settings


def traces(findings: tuple[Finding, ...]) -> dict[str, Trace]:
    """Return the worst of each place."""
    return {one.place: one.trace for one in sorted(findings, key=lambda one: one.trace == "found")}


def test_somebody_who_is_not_erased_is_found(tmp_path: Path) -> None:
    """The record, its vector, an old copy and a careless log are each told by name."""
    settings = enrolled(tmp_path / "data")
    (tmp_path / "data" / "notes.txt").write_text(f"call {NUMBER} back")
    shutil.copyfile(tmp_path / "data" / "vault.db", tmp_path / "old.db")
    (tmp_path / "app.log").write_bytes(b"x" * (1 << 20) + f" {NUMBER}!".encode())

    found = prove_erasure(
        settings,
        DEFAULT,
        ALICE,
        backups=[tmp_path / "old.db"],
        logs=[tmp_path / "app.log"],
    )

    assert {place for place, trace in traces(found).items() if trace is Trace.FOUND} == {
        "vault",
        "index",
        "files",
        "log app.log",
        "backup old.db",
    }


def test_an_erasure_is_proved_once_the_old_key_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the erasure on nothing is left but the backup, and then not there either."""
    monkeypatch.setenv("VOICEAUTH_APPROVALS__DEMANDED_FOR", "[]")
    home = tmp_path / "data"
    enrolled(home)
    old = tmp_path / "old"
    shutil.copytree(home, old)
    where = ["--data-dir", str(home)]
    proof = ["--prove", "--yes", "--json", "--backup", str(old), *where]

    first: dict[str, Any] = json.loads(run("erase", NUMBER, *proof, code=1))
    found = [one["place"] for one in first["proof"]["findings"] if one["trace"] == "found"]
    assert found == ["backup old"]
    assert (first["erasure"]["voiceprints"], first["erasure"]["vectors"]) == (1, 1)
    (tmp_path / "receipt.json").write_text(json.dumps(first["receipt"]))
    assert NUMBER in run("ledger", "check-proof", str(tmp_path / "receipt.json"))

    current = json.loads(run("keys", "show", "--json", *where))["inventory"]
    key = [one["key_id"] for one in current if one["scope"] == "default"]
    run("keys", "rotate", *where)
    run("keys", "destroy", key[0], "--yes", *where)
    second: dict[str, Any] = json.loads(run("erase", NUMBER, *proof))

    assert second["proof"]["holds"] is True
    assert second["erasure"] is None
    told = {one["place"]: one["detail"] for one in second["proof"]["findings"]}
    noted = [one["detail"] for one in second["proof"]["findings"] if one["trace"] == "noted"]
    assert told["backup old"] == "the person's rows are in it, and no key that is left opens them"
    assert told["vault"] == "nobody is known; no row"
    assert noted == [
        "the id stands sealed in the list of changes, until servers have read it (minutes)"
    ]


def test_an_archive_of_the_backup_command_is_looked_into(tmp_path: Path) -> None:
    """The engine's own format is restored and opened, too."""
    home, shelf = tmp_path / "data", tmp_path / "shelf"
    enrolled(home)
    config = tmp_path / "voiceauth.toml"
    config.write_text(f'[backup]\ndirectory = "{shelf}"\n')
    before = ["--config", str(config)]
    where = ["--data-dir", str(home)]
    run(*before, "backup", "create", *where)
    archive = next(shelf.glob("*.vab"))

    told = run(
        *before, "erase", NUMBER, "--prove", "--yes", "--backup", str(archive), *where, code=1
    )

    assert f"found  backup {archive.name}: the person can be read" in told


def test_a_claim_on_the_erased_person_is_noted_and_is_no_trace(tmp_path: Path) -> None:
    """Stand-ins that keys and id still give are told of; they are nothing older of the person."""
    settings = enrolled(tmp_path / "data")
    run("erase", NUMBER, "--yes", "--data-dir", str(tmp_path / "data"))
    with opened_desk(settings) as (vault, desk, keys):
        secret = keys.derive("ledger-pseudonym")
        with vault.begin() as change:
            body = {"subject": pseudonym(secret, DEFAULT, ALICE)}
            change.append(at=desk.clock.now(), tenant=DEFAULT, event="verify.verdict", body=body)
    (tmp_path / "logs").mkdir()
    line = f"subject=~{pseudonym(secret, INSTALLATION, ALICE)}"
    (tmp_path / "logs" / "a.log").write_text(line)

    found = traces(prove_erasure(settings, DEFAULT, ALICE, logs=[tmp_path / "logs"]))

    assert found["ledger"] is Trace.NOTED
    assert found["log logs"] is Trace.NOTED
    assert Trace.FOUND not in found.values()


def test_an_id_within_a_longer_word_is_somebody_elses(tmp_path: Path) -> None:
    """4471 is not found in 44710; ids of fewer than four characters are not searched for."""
    settings = enrolled(tmp_path / "data")
    (tmp_path / "a.log").write_text("44710 x4471 4471y")
    (tmp_path / "b.log").write_text("subject 4471.")
    logs = [tmp_path / "a.log", tmp_path / "b.log"]

    found = traces(prove_erasure(settings, DEFAULT, SubjectId("4471"), logs=logs))
    short = traces(prove_erasure(settings, DEFAULT, SubjectId("447"), logs=logs))

    assert (found["log a.log"], found["log b.log"]) == (Trace.CLEAN, Trace.FOUND)
    assert short["files"] is Trace.NOTED


def test_what_was_named_and_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A proof over a missing backup or log would prove nothing."""
    settings = enrolled(tmp_path / "data")
    gone = tmp_path / "gone"

    with pytest.raises(NotFoundError):
        prove_erasure(settings, DEFAULT, ALICE, logs=[gone])
    with pytest.raises(NotFoundError):
        prove_erasure(settings, DEFAULT, ALICE, backups=[gone])
    run("erase", "nobody-4711", "--yes", "--data-dir", str(tmp_path / "data"), code=1)
