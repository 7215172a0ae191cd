# SPDX-License-Identifier: Apache-2.0
"""Folders of models, before and after: what the commands write, and what they leave alone."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceauth.errors import (
    BadAudioError,
    InputError,
    IntegrityError,
    ModelHashMismatchError,
    SettingsError,
)
from voiceauth.evaluation import adapting, own_cohort
from voiceauth.evaluation.adapting import (
    Folders,
    Labelled,
    RefitRequest,
    cohort_from_recordings,
    cohort_of_new_model,
    install_with_tables,
    refit_on_trials,
)
from voiceauth.evaluation.calibrate import CalibrationChoices
from voiceauth.evaluation.own_cohort import CohortChoices, build_cohort, nearest_of
from voiceauth.evaluation.recordings import Piece, Voice
from voiceauth.evaluation.sessions import Channel, Selection, Session
from voiceauth.models.bundle import load_bundle, read_cohort, write_cohort
from voiceauth.models.install import install_spoof
from voiceauth.models.manifest import read_manifest
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.scoring.cosine import unit
from voiceauth.scoring.fit import FitChoices
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.types import Bandwidth, Embedding, ModelHash, Samples

DATA = Path(__file__).parents[2] / "data"
DIMENSION = 4
QUICK = FitChoices(draws=20)
PEOPLE = 14


def _voice(rng: np.random.Generator, voice: Embedding, noise: float, turn: int) -> Voice:
    pieces = tuple(
        Piece(unit(voice + noise * rng.standard_normal(DIMENSION)), net, 14.0 + 4.0 * (turn % 3))
        for net in (2.0, 3.0, 3.0, 3.0, 3.0)
    )
    return Voice(pieces, Bandwidth.NARROWBAND)


def _sessions() -> list[Session]:
    rng = np.random.default_rng(1)
    voices = unit(rng.standard_normal((PEOPLE, DIMENSION)))
    return [
        Session(
            person, division, half, Channel.TELEPHONE, turn, _voice(rng, voices[person], 0.35, turn)
        )
        for person in range(PEOPLE)
        for division in range(2)
        for half in range(2)
        for turn in range(4)
    ]


def _bare(folder: Path) -> Path:
    """Write a folder with a model and its cohort, without tables and manifest."""
    folder.mkdir()
    (folder / "tiny.onnx").write_bytes((DATA / "tiny-speaker.onnx").read_bytes())
    (folder / "tiny.md").write_text("# tiny\n")
    rows = unit(np.random.default_rng(3).standard_normal((60, DIMENSION)))
    write_cohort(folder / "tiny-cohort.npz", rows)
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A model that has no tables yet."""
    return _bare(tmp_path / "models")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with first tables, from made-up calls; not to be changed."""
    folder = _bare(tmp_path_factory.mktemp("fitted") / "models")
    choices = CalibrationChoices(top=10, fit=QUICK)
    with pytest.MonkeyPatch.context() as patched:
        room = "voiceauth.evaluation.calibrate"
        patched.setattr(f"{room}.labelled_recordings", lambda *_: {"a": ()})
        patched.setattr(f"{room}.record_sessions", lambda *_: [_sessions()])
        install_with_tables(folder, "tiny", Labelled(folder), licence="MIT", choices=choices)
    return folder


@pytest.fixture
def installed(fitted: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(fitted, tmp_path / "models"))


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of fourteen people with eight calls each; what is heard of them is made up."""
    lines = ["enrol_id,enrol_paths,test_path,target"]
    lines += [
        f"p{one},p{one}.wav,p{other}-{call}.wav,{int(one == other)}"
        for one in range(PEOPLE)
        for other in range(PEOPLE)
        for call in range(8)
    ]
    path = tmp_path / "trials.csv"
    path.write_text("\n".join(lines) + "\n")

    def heard(*_: object) -> tuple[dict[str, Voice], dict[str, Voice]]:
        rng = np.random.default_rng(5)
        voices = unit(rng.standard_normal((PEOPLE, DIMENSION)))
        enrolled = {f"p{one}": _voice(rng, voices[one], 0.5, one) for one in range(PEOPLE)}
        tested = {
            f"p{one}-{call}.wav": _voice(rng, voices[one], 0.5, call)
            for one in range(PEOPLE)
            for call in range(8)
        }
        return enrolled, tested

    monkeypatch.setattr(adapting, "hear_all", heard)
    return path


def _usable(folder: Path) -> CalibratedScorer:
    bundle = load_bundle(folder)
    return CalibratedScorer(bundle.calibration, bundle.cohort, bundle.speaker.model)


def test_an_installed_model_can_be_loaded_and_scores(installed: Path) -> None:
    """First tables have their version in the file's name, and the manifest pairs everything."""
    scorer = _usable(installed)

    assert (installed / f"tiny-calibration-{scorer.version}.json").is_file()
    assert scorer.calibration.normalisation.top == 10


def test_a_refit_leaves_the_old_tables_where_they_are(installed: Path, trials: Path) -> None:
    """In the operator's own folder a new version comes into use, and the old file stays whole."""
    before = _usable(installed).version
    old = installed / f"tiny-calibration-{before}.json"
    content = old.read_bytes()

    found, written = refit_on_trials(Folders(installed), RefitRequest(trials, fit=QUICK))

    assert _usable(installed).version == found.calibration.version != before
    assert written.file == f"tiny-calibration-{found.calibration.version}.json"
    assert old.read_bytes() == content


def test_a_refit_into_another_folder_changes_nothing_in_the_first(
    installed: Path, trials: Path, tmp_path: Path
) -> None:
    """The model goes along with its new tables; where it came from, every byte is as before."""
    before = {path.name: path.read_bytes() for path in installed.iterdir()}

    refit_on_trials(Folders(installed, None, tmp_path / "own"), RefitRequest(trials, fit=QUICK))

    assert {path.name: path.read_bytes() for path in installed.iterdir()} == before
    assert _usable(tmp_path / "own").version != _usable(installed).version
    assert load_bundle(tmp_path / "own").speaker.model == load_bundle(installed).speaker.model


def test_the_spoof_model_goes_along(installed: Path, trials: Path, tmp_path: Path) -> None:
    """A folder of one's own looks for synthetic speech as the one before did."""
    (installed / "spoof.onnx").write_bytes((DATA / "tiny-spoof.onnx").read_bytes())
    (installed / "spoof-calibration.json").write_text("{}")
    (installed / "spoof.md").write_text("# spoof\n")
    entry = install_spoof(installed, "spoof", licence="MIT")

    for _ in range(2):
        refit_on_trials(Folders(installed, None, tmp_path / "own"), RefitRequest(trials, fit=QUICK))

    assert read_manifest(tmp_path / "own").spoof == entry
    assert load_bundle(tmp_path / "own").spoof is not None


def test_the_packaged_models_are_not_changed(trials: Path) -> None:
    """Without a folder of one's own the command refuses before it hears anything."""
    with pytest.raises(SettingsError, match="--to"):
        refit_on_trials(Folders(None), RefitRequest(trials))


def test_a_file_with_other_content_is_not_overwritten(
    installed: Path, trials: Path, tmp_path: Path
) -> None:
    """A folder that holds another model under this name is left alone."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "tiny.onnx").write_bytes(b"somebody's work")

    with pytest.raises(SettingsError, match="not overwritten"):
        refit_on_trials(Folders(installed, None, own), RefitRequest(trials, fit=QUICK))

    assert (own / "tiny.onnx").read_bytes() == b"somebody's work"
    assert not (own / "manifest.json").exists()


def test_a_changed_model_is_not_carried_into_a_folder(
    installed: Path, trials: Path, tmp_path: Path
) -> None:
    """What differs from its manifest is refused, not copied."""
    (installed / "tiny-cohort.npz").write_bytes(b"changed")

    with pytest.raises(ModelHashMismatchError):
        refit_on_trials(Folders(installed, None, tmp_path / "own"), RefitRequest(trials))
    assert not (tmp_path / "own").exists()


def test_another_cohort_comes_into_use_with_its_tables(
    installed: Path, trials: Path, tmp_path: Path
) -> None:
    """One command changes both, so that no manifest ever pairs tables with a foreign cohort."""
    model = load_bundle(installed).speaker.model
    rows = unit(np.random.default_rng(8).standard_normal((24, DIMENSION)))
    write_cohort(tmp_path / "mine.npz", rows, model)

    found, _ = refit_on_trials(
        Folders(installed), RefitRequest(trials, cohort=tmp_path / "mine.npz", fit=QUICK)
    )

    np.testing.assert_array_equal(load_bundle(installed).cohort, rows)
    assert _usable(installed).version == found.calibration.version
    # The tables knew ten nearest of sixty; of twenty-four, ten are no more than half.
    assert found.calibration.normalisation.top == 10
    entry = read_manifest(installed).entry("tiny")
    assert entry.cohort.file.startswith(f"tiny-cohort-{model[:8]}-")
    assert (installed / "tiny-cohort.npz").exists()


def test_tables_and_a_cohort_that_were_not_made_together_are_refused(installed: Path) -> None:
    """A manifest that is edited to another cohort starts no engine: its tables do not fit."""
    rows = unit(np.random.default_rng(8).standard_normal((24, DIMENSION)))
    write_cohort(installed / "tiny-cohort.npz", rows)
    manifest = json.loads((installed / "manifest.json").read_text())
    digest = hashlib.sha256((installed / "tiny-cohort.npz").read_bytes()).hexdigest()
    manifest["models"][0]["cohort"]["sha256"] = digest
    (installed / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(ModelHashMismatchError):
        _usable(installed)


@pytest.mark.parametrize("stated", [None, "f" * 64], ids=["silent", "another"])
def test_a_cohort_that_is_not_of_this_model_is_refused(
    installed: Path, trials: Path, tmp_path: Path, stated: str | None
) -> None:
    """Embeddings of another model have the same shape and mean nothing here."""
    rows = unit(np.random.default_rng(8).standard_normal((24, DIMENSION)))
    write_cohort(tmp_path / "foreign.npz", rows, None if stated is None else ModelHash(stated))
    before = _usable(installed).version

    with pytest.raises(IntegrityError):
        refit_on_trials(Folders(installed), RefitRequest(trials, cohort=tmp_path / "foreign.npz"))
    assert _usable(installed).version == before


@pytest.fixture
def callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty callers with a recording each, two of whom hardly speak; what is heard is made up."""
    lines = ["path,speaker,split"]
    for one in range(30):
        soundfile.write(tmp_path / f"c{one}.wav", np.full(800, one / 100.0), 8000)
        lines.append(f"c{one}.wav,c{one},own")
    (tmp_path / "callers.csv").write_text("\n".join(lines) + "\n")

    def heard(samples: Samples, *_: object) -> Voice:
        who = round(float(samples[0]) * 100)
        rng = np.random.default_rng(who)
        count = 1 if who < 2 else 3
        piece = Piece(unit(rng.standard_normal(DIMENSION)), 1.5, 20.0)
        return Voice((piece,) * count, Bandwidth.NARROWBAND)

    monkeypatch.setattr(own_cohort, "listen", heard)
    return tmp_path / "callers.csv"


def test_a_cohort_has_a_row_for_each_who_spoke_and_names_its_model(
    installed: Path, callers: Path
) -> None:
    """Who hardly spoke is left out and counted; the manifest still pairs what it paired."""
    manifest = (installed / "manifest.json").read_bytes()

    people, left_out, written = cohort_from_recordings(
        Folders(installed), callers, Selection({"split": "own"}), CohortChoices()
    )

    assert (people, left_out) == (28, 2)
    content = (installed / written.file).read_bytes()
    model = load_bundle(installed).speaker.model
    rows = read_cohort(content, DIMENSION, model, stated=True)
    assert rows.shape == (28, DIMENSION)
    with pytest.raises(ModelHashMismatchError):
        read_cohort(content, DIMENSION, ModelHash("f" * 64))
    assert (installed / "manifest.json").read_bytes() == manifest


def test_a_cohort_is_in_no_order_that_leads_to_its_people(installed: Path, callers: Path) -> None:
    """Rows are shuffled: the list of callers does not say whose row is whose."""
    speaker = OnnxSpeaker.of_file(installed / "tiny.onnx")
    people = {f"c{one}": (callers.parent / f"c{one}.wav",) for one in range(2, 30)}
    in_order = np.stack(
        [unit(np.random.default_rng(one).standard_normal(DIMENSION)) for one in range(2, 30)]
    )

    rows = build_cohort(people, speaker).embeddings

    assert not np.allclose(rows, in_order)
    nearest = np.argmax(rows @ in_order.T, axis=1)
    assert sorted(nearest.tolist()) == list(range(28))


def test_too_few_callers_are_no_cohort(installed: Path, callers: Path) -> None:
    """Twenty people with enough speech are needed, and the sentence says how many there are."""
    people = {f"c{one}": (callers.parent / f"c{one}.wav",) for one in range(21)}

    with pytest.raises(InputError, match="19 of 21"):
        build_cohort(people, OnnxSpeaker.of_file(installed / "tiny.onnx"))


def test_a_recording_that_cannot_be_read_is_named(installed: Path, callers: Path) -> None:
    """The operator learns which file is broken."""
    (callers.parent / "c7.wav").write_bytes(b"not audio")

    with pytest.raises(BadAudioError, match=r"c7\.wav"):
        cohort_from_recordings(Folders(installed), callers, Selection(), CohortChoices())


def test_a_new_models_cohort_keeps_apart_from_its_calibration(bare: Path, callers: Path) -> None:
    """Nobody may be measured against himself: a person in both lists is refused."""
    (bare / "tiny-cohort.npz").unlink()
    lines = callers.read_text().splitlines()
    both = callers.with_name("both.csv")
    both.write_text("\n".join([lines[0], *(line for line in lines[1:11] for _ in range(4))]) + "\n")
    apart = callers.with_name("apart.csv")
    apart.write_text(both.read_text().replace(",c", ",other"))

    with pytest.raises(SettingsError, match="apart"):
        cohort_of_new_model(
            bare, "tiny", Labelled(callers), apart=Labelled(both), choices=CohortChoices()
        )
    people = cohort_of_new_model(
        bare, "tiny", Labelled(callers), apart=Labelled(apart), choices=CohortChoices()
    )

    assert people == 28
    model = OnnxSpeaker.of_file(bare / "tiny.onnx").model
    content = (bare / "tiny-cohort.npz").read_bytes()
    assert read_cohort(content, DIMENSION, model, stated=True).shape == (28, DIMENSION)


def test_a_small_cohort_gives_fewer_nearest() -> None:
    """At most half of the cohort is near: the others are what makes them near."""
    assert (nearest_of(448, 50), nearest_of(60, 50), nearest_of(20, 50)) == (50, 30, 10)
