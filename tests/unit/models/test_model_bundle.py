# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import graph

from voiceauth.errors import (
    IntegrityError,
    ModelHashMismatchError,
    ModelOutputError,
    SettingsError,
    UnbatchableModelError,
)
from voiceauth.models import locate
from voiceauth.models.bundle import load_bundle, read_cohort, write_cohort
from voiceauth.models.install import enter_continuity, install, install_spoof
from voiceauth.models.manifest import read_manifest

TINY = Path(__file__).parents[2] / "data" / "tiny-speaker.onnx"
TINY_SPOOF = TINY.with_name("tiny-spoof.onnx")
Change = Callable[[dict[str, Any]], None]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A complete model directory around the tiny model."""
    (tmp_path / "tiny.onnx").write_bytes(TINY.read_bytes())
    (tmp_path / "calibration.json").write_text("{}")
    rows = np.eye(4, dtype=np.float32)[:3]
    write_cohort(tmp_path / "cohort.npz", rows)
    model = _sha256(tmp_path / "tiny.onnx")
    companions = {
        name: {"file": file, "sha256": _sha256(tmp_path / file), "model": model}
        for name, file in (("calibration", "calibration.json"), ("cohort", "cohort.npz"))
    }
    entry = {
        "name": "tiny",
        "role": "speaker",
        "file": "tiny.onnx",
        "sha256": model,
        "sample_rate_hz": 8000,
        "dimension": 4,
        "least_samples": 4000,
        "licence": "Apache-2.0",
        "card": "tiny.md",
        **companions,
    }
    content = {"format": 1, "default": "tiny", "models": [entry]}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    return tmp_path


def _change(directory: Path, change: Change) -> None:
    path = directory / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_bundle_holds_the_model_and_what_belongs_to_it(directory: Path) -> None:
    """Model, tables and cohort come together, with a card that names the licence."""
    bundle = load_bundle(directory)

    assert bundle.speaker.model == _sha256(directory / "tiny.onnx")
    assert bundle.calibration == "{}"
    assert bundle.cohort.shape == (3, 4)
    assert [(card.name, card.licence, card.rate_hz) for card in bundle.cards] == [
        ("tiny", "Apache-2.0", 8000)
    ]


def test_an_unknown_name_is_refused(directory: Path) -> None:
    """The error names the models that are there."""
    with pytest.raises(SettingsError, match="tiny"):
        load_bundle(directory, "other")


@pytest.mark.parametrize("file", ["tiny.onnx", "calibration.json", "cohort.npz"])
def test_a_changed_file_is_refused(directory: Path, file: str) -> None:
    """One flipped bit in any file stops the start."""
    content = bytearray((directory / file).read_bytes())
    content[-1] ^= 1
    (directory / file).write_bytes(content)

    with pytest.raises(ModelHashMismatchError):
        load_bundle(directory)


@pytest.mark.parametrize("file", ["tiny.onnx", "calibration.json", "cohort.npz", "manifest.json"])
def test_a_missing_file_is_refused(directory: Path, file: str) -> None:
    """A file that is not there stops the start with a sentence that names it."""
    (directory / file).unlink()

    with pytest.raises(SettingsError, match=file):
        load_bundle(directory)


@pytest.mark.parametrize("part", ["calibration", "cohort"])
def test_companions_of_another_model_are_refused(directory: Path, part: str) -> None:
    """Tables and cohort of one model are meaningless with another."""
    _change(directory, lambda content: content["models"][0][part].update(model="f" * 64))

    with pytest.raises(ModelHashMismatchError):
        load_bundle(directory)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("default"),
        lambda content: content.update(default="absent"),
        lambda content: content.update(format=2),
        lambda content: content.update(surplus=1),
        lambda content: content.update(models=[]),
        lambda content: content.update(models={}),
        lambda content: content["models"].append(content["models"][0]),
        lambda content: content["models"][0].pop("licence"),
        lambda content: content["models"][0].update(surplus=1),
        lambda content: content["models"][0].update(role="spoof"),
        lambda content: content["models"][0].update(sample_rate_hz="8000"),
        lambda content: content["models"][0].update(dimension=0),
        lambda content: content["models"][0].update(dimension=True),
        lambda content: content["models"][0].update(sha256="abc"),
        lambda content: content["models"][0].update(file="../tiny.onnx"),
        lambda content: content["models"][0].update(cohort=None),
    ],
)
def test_a_manifest_that_is_not_exactly_right_is_refused(directory: Path, change: Change) -> None:
    """Absent, unknown and impossible fields refuse the whole manifest."""
    _change(directory, change)

    with pytest.raises(SettingsError):
        read_manifest(directory)


@pytest.mark.parametrize("text", ["", "[1]", "{", '"x"'])
def test_a_manifest_that_is_no_object_is_refused(directory: Path, text: str) -> None:
    """Whatever stands in the file, only the engine's own error comes out."""
    (directory / "manifest.json").write_text(text)

    with pytest.raises(SettingsError):
        read_manifest(directory)


def test_a_rate_that_the_model_does_not_hear_is_refused(directory: Path) -> None:
    """A manifest cannot talk a model into another sampling rate."""
    _change(directory, lambda content: content["models"][0].update(sample_rate_hz=16000))

    with pytest.raises(ModelHashMismatchError):
        load_bundle(directory)


def test_a_dimension_that_the_model_does_not_have_is_refused(directory: Path) -> None:
    """The trial run at load finds a manifest with another dimension."""
    _change(directory, lambda content: content["models"][0].update(dimension=5))

    with pytest.raises(ModelOutputError):
        load_bundle(directory)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_a_cohort_that_is_no_archive_is_refused(content: bytes) -> None:
    """A damaged cohort surfaces as the engine's own error."""
    with pytest.raises(IntegrityError):
        read_cohort(content, 4)


@pytest.mark.parametrize(
    "rows",
    [
        np.eye(4)[:1],
        2.0 * np.eye(4),
        np.full((3, 4), np.nan),
        np.eye(3),
    ],
    ids=["one-person", "not-unit", "nan", "dimension"],
)
def test_a_cohort_of_anything_but_unit_embeddings_is_refused(
    tmp_path: Path, rows: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> None:
    """The cohort stands in for voiceprints, so it must look like them."""
    write_cohort(tmp_path / "cohort.npz", rows.astype(np.float32))

    with pytest.raises(IntegrityError):
        read_cohort((tmp_path / "cohort.npz").read_bytes(), 4)


def test_the_same_cohort_makes_the_same_file(tmp_path: Path) -> None:
    """A cohort file can be reproduced bit by bit."""
    rows = np.eye(4, dtype=np.float32)
    for name in ("a.npz", "b.npz"):
        write_cohort(tmp_path / name, rows)

    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_calibration_that_is_no_text_is_refused(directory: Path) -> None:
    """Bytes with the stated hash that are no text surface as the engine's own error."""
    (directory / "calibration.json").write_bytes(b"\xff\xfe")
    digest = _sha256(directory / "calibration.json")
    _change(directory, lambda content: content["models"][0]["calibration"].update(sha256=digest))

    with pytest.raises(IntegrityError, match="not text"):
        load_bundle(directory)


@pytest.fixture
def uninstalled(directory: Path) -> Path:
    """The same files under the names that ``install`` expects, without a manifest."""
    (directory / "manifest.json").unlink()
    (directory / "calibration.json").rename(directory / "tiny-calibration.json")
    (directory / "cohort.npz").rename(directory / "tiny-cohort.npz")
    (directory / "tiny.md").write_text("# tiny\n")
    return directory


def test_an_installed_model_is_loaded(uninstalled: Path) -> None:
    """What ``install`` writes, ``load_bundle`` takes; the newest model is the default."""
    entry = install(uninstalled, "tiny", licence="MIT")
    for name in ("tiny.onnx", "tiny-calibration.json", "tiny-cohort.npz", "tiny.md"):
        (uninstalled / name.replace("tiny", "other")).write_bytes((uninstalled / name).read_bytes())
    install(uninstalled, "other", licence="MIT")

    assert load_bundle(uninstalled, "tiny").speaker.model == entry.sha256
    assert load_bundle(uninstalled).cards[0].name == "other"


@pytest.mark.parametrize(
    "file", ["tiny.onnx", "tiny-calibration.json", "tiny-cohort.npz", "tiny.md"]
)
def test_an_incomplete_model_is_not_installed(uninstalled: Path, file: str) -> None:
    """A missing file is named and no manifest is written."""
    (uninstalled / file).unlink()

    with pytest.raises(SettingsError, match=file):
        install(uninstalled, "tiny", licence="MIT")
    assert not (uninstalled / "manifest.json").exists()


def test_packaged_models_come_before_those_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package uses its own models; a checkout those beside it; neither is refused."""
    package = tmp_path / "voiceauth"
    monkeypatch.setattr(locate, "files", lambda _: package)

    with pytest.raises(SettingsError):
        locate.default_model_directory()
    for directory in (tmp_path / "models", package / "_models"):
        directory.mkdir(parents=True)
        (directory / "manifest.json").touch()
        assert locate.default_model_directory() == directory


def _note(key: str, value: str) -> bytes:
    """Encode one entry of ``metadata_props``; protobuf appends what is written behind a message."""
    parts = [bytes([tag, len(text)]) + text.encode() for tag, text in ((10, key), (18, value))]
    entry = b"".join(parts)
    return bytes([114, len(entry)]) + entry


def _int8_form(directory: Path, of: str, **change: float) -> dict[str, object]:
    """Enter a copy of the model that says it is a form of another file; return its entry."""
    notes = {"form_of": of, "least_cosine": "0.99", "error_difference": "0.0004"}
    content = TINY.read_bytes() + b"".join(_note(*one) for one in notes.items())
    (directory / "tiny-int8.onnx").write_bytes(content)
    form: dict[str, object] = {
        "file": "tiny-int8.onnx",
        "sha256": _sha256(directory / "tiny-int8.onnx"),
        "least_cosine": 0.99,
        "error_difference": 0.0004,
    }
    return form | change


def test_both_forms_of_a_model_carry_one_hash(directory: Path) -> None:
    """Voiceprints of the fp32 form serve the int8 form; its card tells which one runs."""
    form = _int8_form(directory, _sha256(directory / "tiny.onnx"))
    _change(directory, lambda content: content["models"][0].update(int8=form))

    fp32, int8 = load_bundle(directory), load_bundle(directory, precision="int8")

    assert int8.speaker.model == fp32.speaker.model == _sha256(directory / "tiny.onnx")
    assert "form_of" in int8.speaker.notes
    assert "form_of" not in fp32.speaker.notes
    assert (fp32.cards[0].name, int8.cards[0].name) == ("tiny", "tiny-int8")


def test_int8_without_such_a_form_is_refused(directory: Path) -> None:
    """The engine never falls back to another precision than the settings say."""
    with pytest.raises(SettingsError, match="int8"):
        load_bundle(directory, precision="int8")


def test_an_int8_file_of_another_model_is_refused(directory: Path) -> None:
    """A manifest cannot pass any file off as a form of the model."""
    form = _int8_form(directory, "f" * 64)
    _change(directory, lambda content: content["models"][0].update(int8=form))

    with pytest.raises(ModelHashMismatchError):
        load_bundle(directory, precision="int8")


@pytest.mark.parametrize(
    "change",
    [{"least_cosine": 0.9}, {"error_difference": 0.01}, {"least_cosine": 2.0}, {"surplus": 1.0}],
)
def test_an_int8_form_that_differs_too_much_is_refused(
    directory: Path, change: dict[str, float]
) -> None:
    """Forms that were not measured to agree are two models, and no manifest makes them one."""
    form = _int8_form(directory, _sha256(directory / "tiny.onnx"), **change)
    _change(directory, lambda content: content["models"][0].update(int8=form))

    with pytest.raises(SettingsError):
        load_bundle(directory)


def test_an_int8_form_is_installed_with_its_model_only(uninstalled: Path) -> None:
    """What stands in the int8 file goes into the manifest; one of an older model stays out."""
    _int8_form(uninstalled, _sha256(uninstalled / "tiny.onnx"))
    entry = install(uninstalled, "tiny", licence="MIT")
    assert entry.int8 is not None
    assert (entry.int8.least_cosine, entry.int8.error_difference) == (0.99, 0.0004)
    assert load_bundle(uninstalled, precision="int8").speaker.model == entry.sha256

    _int8_form(uninstalled, "f" * 64)
    assert install(uninstalled, "tiny", licence="MIT").int8 is None


@pytest.fixture
def with_spoof(directory: Path) -> Path:
    """The same directory with the tiny spoof model entered."""
    (directory / "spoof.onnx").write_bytes(TINY_SPOOF.read_bytes())
    (directory / "spoof-calibration.json").write_text("{}")
    (directory / "spoof.md").write_text("A card.")
    install_spoof(directory, "spoof", licence="Apache-2.0")
    return directory


def test_a_directory_without_a_spoof_model_has_none(directory: Path) -> None:
    """Absent is a state of its own."""
    assert load_bundle(directory).spoof is None


def test_a_spoof_model_comes_with_its_calibration_and_card(with_spoof: Path) -> None:
    """It serves whichever speaker model is chosen, and is told about beside it."""
    bundle = load_bundle(with_spoof)

    assert bundle.spoof is not None
    assert bundle.spoof.detector.model == _sha256(with_spoof / "spoof.onnx")
    assert bundle.spoof.calibration == "{}"
    assert [(card.role, card.name) for card in bundle.cards] == [
        ("speaker", "tiny"),
        ("spoof", "spoof"),
    ]


def test_a_spoof_model_that_is_not_wanted_stays_away(with_spoof: Path) -> None:
    """Switched off, it is neither loaded nor told about."""
    bundle = load_bundle(with_spoof, synthetic=False)

    assert bundle.spoof is None
    assert [card.role for card in bundle.cards] == ["speaker"]


@pytest.mark.parametrize("file", ["spoof.onnx", "spoof-calibration.json"])
def test_a_changed_spoof_file_is_refused(with_spoof: Path, file: str) -> None:
    """A detector that was exchanged must not quietly pass everybody."""
    (with_spoof / file).write_bytes((with_spoof / file).read_bytes() + b" ")

    with pytest.raises(ModelHashMismatchError):
        load_bundle(with_spoof)


@pytest.mark.parametrize("file", ["spoof.onnx", "spoof-calibration.json"])
def test_a_missing_spoof_file_is_refused(with_spoof: Path, file: str) -> None:
    """Deleting the detector stops the start; it does not switch the layer off."""
    (with_spoof / file).unlink()

    with pytest.raises(SettingsError, match=file):
        load_bundle(with_spoof)


@pytest.mark.parametrize(
    "change",
    [
        {"role": "speaker"},
        {"surplus": 1},
        {"licence": ""},
        {"sha256": "abc"},
        {"least_samples": 0},
        {"file": "../spoof.onnx"},
        {"calibration": None},
    ],
)
def test_a_spoof_entry_that_is_not_exactly_right_is_refused(
    with_spoof: Path, change: dict[str, Any]
) -> None:
    """Absent, unknown and impossible fields refuse the whole manifest."""
    _change(with_spoof, lambda content: content["spoof"].update(change))

    with pytest.raises(SettingsError):
        read_manifest(with_spoof)


@pytest.mark.parametrize("change", [{"sample_rate_hz": 16000}, {"least_samples": 1}])
def test_a_spoof_entry_that_describes_another_model_is_refused(
    with_spoof: Path, change: dict[str, Any]
) -> None:
    """The manifest cannot talk the model into another rate or length."""
    _change(with_spoof, lambda content: content["spoof"].update(change))

    with pytest.raises(IntegrityError):
        load_bundle(with_spoof)


def test_a_new_speaker_model_leaves_the_spoof_model_entered(with_spoof: Path) -> None:
    """Publishing one model does not take the other away."""
    for suffix in (".onnx", "-calibration.json", "-cohort.npz", ".md"):
        source = with_spoof / {".onnx": "tiny.onnx", "-cohort.npz": "cohort.npz"}.get(
            suffix, "calibration.json"
        )
        (with_spoof / f"next{suffix}").write_bytes(source.read_bytes())

    install(with_spoof, "next", licence="Apache-2.0")

    assert read_manifest(with_spoof).spoof is not None


def _continuity(directory: Path, model: str) -> Path:
    path = directory / "tiny-continuity.json"
    path.write_text(json.dumps({"model": model}))
    return path


def test_a_continuity_calibration_comes_with_its_model(directory: Path) -> None:
    """Entered in the manifest, its verified text is in the bundle; without it there is none."""
    assert load_bundle(directory).continuity is None
    text = _continuity(directory, _sha256(directory / "tiny.onnx")).read_text()

    enter_continuity(directory, "tiny")

    assert load_bundle(directory).continuity == text


def test_a_changed_continuity_calibration_is_refused(directory: Path) -> None:
    """An alarm that was raised quietly would never ring."""
    path = _continuity(directory, _sha256(directory / "tiny.onnx"))
    enter_continuity(directory, "tiny")
    path.write_text(path.read_text() + " ")

    with pytest.raises(ModelHashMismatchError):
        load_bundle(directory)


@pytest.mark.parametrize("model", ["f" * 64, ""])
def test_a_continuity_calibration_of_another_model_is_not_entered(
    directory: Path, model: str
) -> None:
    """Hand-overs of one model mean nothing to another."""
    _continuity(directory, model)

    with pytest.raises(IntegrityError):
        enter_continuity(directory, "tiny")


@pytest.mark.parametrize("text", ["", "{", b"\xff".decode("latin-1")])
def test_a_continuity_calibration_that_cannot_be_read_is_not_entered(
    directory: Path, text: str
) -> None:
    """A damaged file surfaces as the engine's own error."""
    (directory / "tiny-continuity.json").write_text(text)

    with pytest.raises(IntegrityError):
        enter_continuity(directory, "tiny")


def test_a_model_that_cannot_share_runs_is_refused_where_it_is_to(directory: Path) -> None:
    """It is not quietly run alone: the operator says so with models.batch_spans = 1."""
    running_sum = graph(
        [
            ("CumSum", ["waveform", "second"], "sums", {}),
            ("ReduceMean", ["sums"], "one", {"axes": [1], "keepdims": 1}),
            ("Mul", ["one", "one"], "square", {}),
            ("Add", ["square", "four"], "features", {}),
            ("ReduceL2", ["features"], "norm", {"axes": [1], "keepdims": 1}),
            ("Div", ["features", "norm"], "answer", {}),
        ],
        {"second": np.array(1, dtype=np.int64), "four": np.ones((1, 4), dtype=np.float32)},
        answer=("rows", 4),
        notes={"sample_rate": "8000"},
    )
    (directory / "tiny.onnx").write_bytes(running_sum)
    model = _sha256(directory / "tiny.onnx")

    def change(content: dict[str, Any]) -> None:
        entry = content["models"][0]
        entry["sha256"] = entry["calibration"]["model"] = entry["cohort"]["model"] = model

    _change(directory, change)

    assert load_bundle(directory).speaker.model == model
    with pytest.raises(UnbatchableModelError, match="CumSum"):
        load_bundle(directory, batches=4)
