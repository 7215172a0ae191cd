# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from voiceauth.cli import calls
from voiceauth.cli.app import app
from voiceauth.errors import ConsentMissingError, EngineError
from voiceauth.types import (
    Decision,
    EnrolmentOutcome,
    EnrolmentResult,
    Evidence,
    ModelHash,
    Progress,
    Ranking,
    Reason,
    Score,
    SubjectId,
    Verdict,
)

RUNNER = CliRunner()
EVIDENCE = Evidence(
    progress=Progress.DECIDED,
    heard_seconds=9.0,
    net_speech_seconds=6.5,
    net_speech_needed_seconds=0.0,
    score=Score(0.7, 5.25, 0.001, 0.4),
    reasons=(Reason.MATCH,),
)


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command and group of the tree with the words that reach it."""
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


TREE = dict(commands(typer.main.get_command(app)))
OWN = {path: command for path, command in TREE.items() if path[:1] != ("train",)}


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Let a command get a given answer instead of reaching an engine; return an audio file."""

    def given(result: object) -> str:
        def ask(*_: object) -> object:
            if isinstance(result, EngineError):
                raise result
            return result

        monkeypatch.setattr(calls, "ask", ask)
        audio = tmp_path / "call.ulaw"
        audio.write_bytes(b"\xff" * 160)
        return str(audio)

    return given


def verdict(decision: Decision) -> Verdict:
    """Return a verdict with that decision."""
    return Verdict(decision, EVIDENCE, "standard", 0.01, 7, ModelHash("0" * 64), "1")


@pytest.mark.parametrize("path", OWN, ids=" ".join)
def test_every_command_explains_itself_with_an_example(path: tuple[str, ...]) -> None:
    """``--help`` works everywhere and shows a line that could be typed."""
    result = RUNNER.invoke(app, [*path, "--help"], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    assert f"Example: voiceauth {' '.join(path)}".rstrip() in result.output


@pytest.mark.parametrize("path", OWN, ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    """No option of any command is left without a sentence."""
    assert [one.name for one in OWN[path].params if not getattr(one, "help", None)] == []


def test_every_command_of_the_promise_is_there() -> None:
    """The command line has what the documents name."""
    promised = (
        "demo serve health enrol verify identify embed evaluate calibrate subjects consent ledger "
        "keys models config train explain certs approvals backup lockout retention "
        "alerts erase doctor factors bench"
    )

    assert {path[0] for path in TREE if path} == set(promised.split())


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        (Decision.ACCEPT, 0),
        (Decision.STEP_UP, 10),
        (Decision.REJECT, 11),
        (Decision.INCONCLUSIVE, 12),
    ],
)
def test_verify_exits_with_the_verdict(answer: Any, decision: Decision, code: int) -> None:
    """Each verdict has its own exit code, and only ACCEPT is success."""
    audio = answer(verdict(decision))

    result = RUNNER.invoke(app, ["verify", audio, "--encoding", "mulaw", "--subject", "s"])

    assert result.exit_code == code
    assert decision.name.replace("_", " ") in result.output


def test_verify_prints_one_json_value(answer: Any) -> None:
    """A script gets the whole verdict, and nothing else, on standard output."""
    audio = answer(verdict(Decision.STEP_UP))

    result = RUNNER.invoke(
        app, ["verify", audio, "--encoding", "mulaw", "--subject", "s", "--json"]
    )

    told = json.loads(result.stdout)
    assert told["decision"] == "step_up"
    assert told["evidence"]["score"]["llr"] == 5.25
    assert told["record_id"] == 7


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (EnrolmentOutcome.ENROLLED, 0),
        (EnrolmentOutcome.PARTIAL, 10),
        (EnrolmentOutcome.DUPLICATE, 11),
        (EnrolmentOutcome.INCOHERENT, 12),
    ],
)
def test_enrol_exits_with_the_outcome(answer: Any, outcome: EnrolmentOutcome, code: int) -> None:
    """Each outcome has its own exit code, and only a stored voiceprint is success."""
    audio = answer(EnrolmentResult(outcome, 12.0, 3, 1, duplicate=SubjectId("other")))

    result = RUNNER.invoke(app, ["enrol", audio, "--encoding", "mulaw", "--subject", "s"])

    assert result.exit_code == code
    assert "Ledger entry 3" in result.output


def test_identify_without_candidates_is_no_failure(answer: Any) -> None:
    """A search that finds nobody was still made."""
    audio = answer(Ranking((), EVIDENCE, 4, None, final=True))

    result = RUNNER.invoke(app, ["identify", audio, "--encoding", "mulaw"])

    assert result.exit_code == 0
    assert "4 subjects searched" in result.output


def test_an_error_is_one_line(answer: Any) -> None:
    """A refusal is told in one line on standard error, without a trace."""
    audio = answer(ConsentMissingError())

    result = RUNNER.invoke(app, ["enrol", audio, "--encoding", "mulaw", "--subject", "s"])

    assert result.exit_code == 1
    assert result.stderr == "voiceauth: There is no recorded consent for this subject.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"],
        ["verify", "call.wav"],
        ["nonsense"],
        ["consent", "record", "s"],
        ["identify", "call.wav", "--candidates", "0"],
        ["verify", "call.wav", "--subject", "s", "--encoding", "mp3"],
        ["subjects", "show", "s", "--server", "a:1", "--data-dir", "b"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    """A command that cannot be understood does nothing and says so with exit code 2."""
    assert RUNNER.invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["verify", "nowhere.wav", "--subject", "s"], "nowhere.wav"),
        (["subjects", "show", "s", "--server", "127.0.0.1:1"], "voiceauth serve"),
        (["--config", "nowhere.toml", "config", "show"], "nowhere.toml"),
        (["ledger", "verify", "--data-dir", "nowhere"], "nowhere"),
        (["keys", "show", "--data-dir", "nowhere"], "voiceauth keys init"),
        (["consent", "record", "s", "--text-file", "nowhere.txt"], "nowhere.txt"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_an_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], hint: str
) -> None:
    """The one line names what is missing or the command that helps."""
    monkeypatch.setattr("voiceauth.cli.reach._PATIENCE_SECONDS", 0.1)
    monkeypatch.chdir(tmp_path)

    result = RUNNER.invoke(app, arguments)

    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert hint in result.stderr


def test_erasure_asks_first() -> None:
    """Without --yes and without an answer, nothing is erased."""
    result = RUNNER.invoke(app, ["subjects", "erase", "s"], input="n\n")

    assert result.exit_code == 1
    assert "Erase this subject" in result.output


def test_a_bad_setting_is_named(tmp_path: Path) -> None:
    """An unknown key refuses, with its name in the one line."""
    file = tmp_path / "voiceauth.toml"
    file.write_text("[server]\nprot = 1\n")

    result = RUNNER.invoke(app, ["--config", str(file), "config", "show"])

    assert result.exit_code == 1
    assert "server.prot" in result.stderr


def test_config_show_gives_the_settings_in_effect(tmp_path: Path) -> None:
    """File and defaults are shown together."""
    file = tmp_path / "voiceauth.toml"
    file.write_text("[server]\nport = 6000\n")

    result = RUNNER.invoke(app, ["--config", str(file), "config", "show", "--json"])

    told = json.loads(result.stdout)
    assert (told["server"]["port"], told["enrolment"]["needed_seconds"]) == (6000, 20.0)


def test_keys_are_made_once(tmp_path: Path) -> None:
    """``keys init`` makes a key file, and never replaces one."""
    arguments = ["keys", "init", "--data-dir", str(tmp_path), "--json"]
    first = RUNNER.invoke(app, arguments)
    before = (tmp_path / "keys.json").read_bytes()
    second = RUNNER.invoke(app, arguments)

    assert len(json.loads(first.stdout)["keys"]) == 1
    assert second.exit_code == 1
    assert (tmp_path / "keys.json").read_bytes() == before


def test_rotation_makes_a_new_current_key(tmp_path: Path) -> None:
    """After ``keys rotate`` the new key is current and the old one still there."""
    place = ["--data-dir", str(tmp_path), "--json"]
    old = json.loads(RUNNER.invoke(app, ["keys", "init", *place]).stdout)
    rotation = json.loads(RUNNER.invoke(app, ["keys", "rotate", *place]).stdout)
    now = json.loads(RUNNER.invoke(app, ["keys", "show", *place]).stdout)

    assert now["keys"] == [old["current"], rotation["current"]]
    assert now["current"] == rotation["current"]
