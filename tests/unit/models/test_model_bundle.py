# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voiceauth.errors import IntegrityError, ModelHashMismatchError, ModelOutputError, SettingsError
from voiceauth.models import locate
from voiceauth.models.bundle import load_bundle, read_cohort, write_cohort
from voiceauth.models.install import install
from voiceauth.models.manifest import read_manifest

TINY = Path(__file__).parents[2] / "data" / "tiny-speaker.onnx"
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
