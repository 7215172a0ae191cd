# SPDX-License-Identifier: Apache-2.0
"""``voiceauth calibrate`` and the ``models`` commands that write, from the words to the answer."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from voiceauth.cli import adapting, installing
from voiceauth.cli.app import app
from voiceauth.errors import InputError
from voiceauth.evaluation.adapting import Folders, RefitRequest, Written
from voiceauth.evaluation.refitting import Refit
from voiceauth.evaluation.sessions import Selection
from voiceauth.scoring.calibration import Calibration, Node, Normalisation, Table, Worth
from voiceauth.scoring.condition import Line, Range, Support
from voiceauth.types import Bandwidth, ModelHash

RUNNER = CliRunner()
GRID = np.array([-1.0, 1.0])
TABLE = Table(
    Bandwidth.NARROWBAND,
    Support(Range(1.9, 9.0), Range(18.0, 60.0), Range(8.0, 30.0)),
    Line(("1",), (4.0,), (-1.0,)),
    (Node(2.0, np.array([0.5, 0.01]), np.array([0.1, 0.4]), 300, 3000),),
    "trials.csv",
    Worth(0.21, 0.2, 0.34, 0.205),
)
CALIBRATION = Calibration(
    version="aaaaaaaa-0123456789",
    model=ModelHash("a" * 64),
    normalisation=Normalisation(),
    data="own",
    data_sha256="d" * 64,
    speakers=30,
    confidence=0.95,
    grid=GRID,
    tables=(TABLE,),
)
REFIT = Refit(CALIBRATION, (Bandwidth.NARROWBAND,), (), (Bandwidth.WIDEBAND,))


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A trial list; what stands in it is not looked at here."""
    path = tmp_path / "trials.csv"
    path.write_text("enrol_id,enrol_paths,test_path,target\n")
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Folders, RefitRequest]]:
    """Answer a refit with made-up tables; return what was asked for."""
    found: list[tuple[Folders, RefitRequest]] = []

    def refit(folders: Folders, request: RefitRequest, _: object) -> tuple[Refit, Written]:
        found.append((folders, request))
        return REFIT, Written(tmp_path / "own", "tiny", "tiny-calibration-1.json")

    monkeypatch.setattr(adapting, "refit_on_trials", refit)
    return found


def test_a_refit_says_what_it_supports_and_what_it_is_worth(
    listed: Path, asked: list[tuple[Folders, RefitRequest]]
) -> None:
    """Support, Cllr and least Cllr before and after, the lost table and the next step are told."""
    result = RUNNER.invoke(app, ["calibrate", str(listed), "--to", str(listed.parent / "own")])

    assert result.exit_code == 0, result.output
    for words in (
        "supported from 1.9 s of speech, 18.0 s of enrolment and 8.0 dB",
        "Cllr 0.210 bit, least 0.200",
        "before 0.340, least 0.205",
        "wideband: no table now",
        "tiny-calibration-1.json",
        "models.directory",
    ):
        assert words in result.output
    assert asked[0][0].target == listed.parent / "own"


@pytest.mark.parametrize(("before", "warned"), [(0.34, False), (0.2, True)])
def test_a_refit_that_costs_more_is_told(
    listed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: float, warned: bool
) -> None:
    """An operator whose cohort or trials make things worse is warned, and keeps the old tables."""
    table = replace(TABLE, worth=Worth(0.21, 0.2, before, 0.19))
    found = Refit(replace(CALIBRATION, tables=(table,)), (Bandwidth.NARROWBAND,))
    written = Written(tmp_path, "tiny", "tiny-calibration-1.json")
    monkeypatch.setattr(adapting, "refit_on_trials", lambda *_: (found, written))

    result = RUNNER.invoke(app, ["calibrate", str(listed), "--to", str(tmp_path)])

    assert ("narrowband costs more" in result.output) == warned


def test_a_refit_prints_one_json_value(
    listed: Path, asked: list[tuple[Folders, RefitRequest]]
) -> None:
    """A script gets the version, the file, and every figure of every table."""
    options = ["--json", "--to", "own", "--cohort", "mine.npz", "--nearest", "20"]
    result = RUNNER.invoke(app, ["calibrate", str(listed), *options])

    told = json.loads(result.stdout)
    assert told["version"] == CALIBRATION.version
    assert told["dropped"] == ["wideband"]
    assert told["tables"][0]["worth"] == {
        "cllr": 0.21,
        "min_cllr": 0.2,
        "before": 0.34,
        "least_before": 0.205,
    }
    assert told["tables"][0]["support"]["net_seconds"] == {"least": 1.9, "most": 9.0}
    assert (asked[0][1].cohort, asked[0][1].top) == (Path("mine.npz"), 20)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["calibrate", "absent.csv", "--to", "own"], "There is no trial list absent.csv."),
        (["calibrate", "{list}"], "--to"),
        (["models", "cohort", "absent.csv"], "--to"),
        (["models", "cohort", "absent.csv", "--to", "own"], "absent.csv"),
        (["models", "cohort", "{list}", "--to", "own", "--where", "nonsense"], "column=value"),
        (
            [
                *("models", "install", "absent", "--to", "own"),
                *("--recordings", "absent.csv", "--licence", "MIT"),
            ],
            "absent.csv",
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    listed: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    """An operator's mistake ends with status 1, one line, and nothing written."""
    monkeypatch.chdir(listed.parent)
    result = RUNNER.invoke(app, [one.replace("{list}", str(listed)) for one in arguments])

    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert words in result.stderr
    assert sorted(path.name for path in listed.parent.iterdir()) == ["trials.csv"]


def test_a_cohort_says_what_must_follow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tables do not fit another cohort: the command names the next one to type."""
    chosen: list[Selection] = []

    def built(*given: object) -> tuple[int, int, Written]:
        chosen.extend(one for one in given if isinstance(one, Selection))
        return 40, 2, Written(tmp_path, "tiny", "tiny-cohort-1.npz")

    monkeypatch.setattr(adapting, "cohort_from_recordings", built)
    result = RUNNER.invoke(
        app, ["models", "cohort", "callers.csv", "--to", "own", "--where", "set=ours, split=own"]
    )

    assert "40 people, 2 left out" in result.output
    assert f"voiceauth calibrate TRIALS.csv --cohort {tmp_path / 'tiny-cohort-1.npz'}" in (
        result.output
    )
    assert [one.values for one in chosen] == [{"set": "ours", "split": "own"}]


def test_first_tables_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``models install`` says what the tables support and which file they are."""
    written = Written(tmp_path, "tiny", "tiny-calibration-1.json")
    monkeypatch.setattr(installing, "install_with_tables", lambda *_, **__: (CALIBRATION, written))
    words = ["models", "install", "tiny", "--to", str(tmp_path), "--licence", "MIT"]
    result = RUNNER.invoke(app, [*words, "--recordings", "people.csv"])

    assert result.exit_code == 0, result.output
    assert "supported from 1.9 s of speech" in result.output
    assert "tiny-calibration-1.json" in result.output


def test_an_import_without_its_extra_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The engine runs without torch, and says what brings it."""

    def absent(name: str) -> object:
        raise ModuleNotFoundError(name="torch")

    monkeypatch.setattr("voiceauth.cli.installing.importlib.import_module", absent)
    words = ["models", "import-speechbrain", "some/model", "--to", str(tmp_path)]
    result = RUNNER.invoke(app, [*words, "--recordings", "people.csv", "--licence", "MIT"])

    assert result.exit_code == 1
    assert "pip install 'voiceauth[train]'" in result.stderr


def test_too_few_people_are_told_as_they_are(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the fit refuses reaches the operator word for word."""

    def refused(*_: object) -> None:
        raise InputError("Too little to calibrate with. Narrowband: 4 people.")

    monkeypatch.setattr(adapting, "refit_on_trials", refused)
    result = RUNNER.invoke(app, ["calibrate", str(listed), "--to", "own"])

    assert result.exit_code == 1
    assert "Narrowband: 4 people." in result.stderr
