# SPDX-License-Identifier: Apache-2.0
"""The student network and its ONNX export."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from voiceauth.errors import IntegrityError, ModelOutputError
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.training import export as exporting
from voiceauth.training.checkpoint import load_student, save_weights
from voiceauth.training.export import export
from voiceauth.training.student import (
    HIDDEN_BANDS,
    HIDDEN_FRAMES,
    FrontEnd,
    Student,
    StudentShape,
    hide_patches,
)

pytestmark = pytest.mark.train
SMALL = StudentShape(channels=32, attention=16)


@pytest.fixture(scope="module")
def student() -> Student:
    """A small network whose batch norms have seen a little noise."""
    torch.manual_seed(3)
    network = Student(SMALL)
    for _ in range(3):
        network(0.1 * torch.randn(4, 9000))
    return network.eval()


def test_embeddings_have_unit_length(student: Student) -> None:
    """Every embedding has 192 dimensions and norm 1."""
    rows = student(0.1 * torch.randn(3, 12000))
    assert rows.shape == (3, 192)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))


def test_level_does_not_matter(student: Student) -> None:
    """Halving the level hardly moves the embedding: the front end removes the mean of the log."""
    wave = 0.2 * torch.randn(1, 16000)
    assert float((student(wave) * student(0.5 * wave)).sum()) > 0.999


def test_batch_does_not_matter(student: Student) -> None:
    """An utterance is embedded the same alone and beside others."""
    waves = 0.1 * torch.randn(3, 8000)
    torch.testing.assert_close(student(waves)[1:2], student(waves[1:2]), atol=1e-5, rtol=1e-4)


def test_silence_is_embedded_without_nan(student: Student) -> None:
    """Digital silence gives a finite vector: a call may begin with it."""
    assert bool(torch.isfinite(student(torch.zeros(1, 8000))).all())


def test_gradients_are_finite_on_silence() -> None:
    """The pooling's square root must not turn a constant input into NaN gradients."""
    network = Student(SMALL)
    network(torch.zeros(2, 8000)).sum().backward()
    assert all(
        bool(torch.isfinite(p.grad).all()) for p in network.parameters() if p.grad is not None
    )


def test_front_end_puts_tones_into_their_bands() -> None:
    """A higher tone excites a higher band."""
    front_end = FrontEnd(StudentShape())
    time = torch.arange(8000) / 8000.0
    mixed = torch.cat([torch.sin(2 * np.pi * 500.0 * time), torch.sin(2 * np.pi * 2500.0 * time)])
    features = front_end(0.1 * mixed[None])[0]
    low, high = features[:, 30].argmax(), features[:, 150].argmax()
    assert 10 < int(low) < int(high) < 64


def test_patches_are_hidden_in_training_only(student: Student) -> None:
    """Evaluation is deterministic; training hides bands and frames of some rows."""
    wave = 0.1 * torch.randn(2, 8000)
    torch.testing.assert_close(student(wave), student(wave), atol=0.0, rtol=0.0)
    torch.manual_seed(0)
    frames = torch.ones(64, 64, 100)
    hidden = hide_patches(frames) == 0.0
    assert 0.2 < float(hidden.flatten(1).any(dim=1).float().mean()) < 1.0
    bands = hidden.all(dim=2).sum(dim=1)
    assert 0 < int(bands.max()) <= HIDDEN_BANDS
    assert int(hidden.all(dim=1).sum(dim=1).max()) <= round(HIDDEN_FRAMES * 100)


def test_stem_starts_beside_weights_that_have_none(student: Student, tmp_path: Path) -> None:
    """Weights of a network without a stem can go on with one, and change little at first."""
    save_weights(tmp_path / "weights.npz", student)
    torch.manual_seed(5)
    grown = Student(dataclasses.replace(SMALL, stem=4))
    load_student(tmp_path / "weights.npz", grown)
    wave = 0.1 * torch.randn(2, 16000)
    near = (grown.eval()(wave) * student(wave)).sum(dim=1)
    assert 0.5 < float(near.min()) < 1.0


def test_export_with_a_stem_matches_torch(tmp_path: Path) -> None:
    """The graph of a network with a stem gives torch's embeddings."""
    torch.manual_seed(6)
    network = Student(dataclasses.replace(SMALL, stem=4))
    for _ in range(3):
        network(0.1 * torch.randn(4, 9000))
    assert export(network, tmp_path / "stem.onnx") > exporting.PARITY_COSINE


def test_export_matches_torch_at_every_length(student: Student, tmp_path: Path) -> None:
    """The graph gives torch's embeddings for lengths and batches that it was not traced with."""
    path = tmp_path / "student.onnx"
    assert export(student, path) > exporting.PARITY_COSINE
    speaker = OnnxSpeaker.of_file(path)
    for samples in (4000, 13777, 60000):
        wave = (0.1 * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)
        expected = student(torch.from_numpy(wave)[None])[0].detach().numpy()
        assert float(speaker.embed(wave) @ expected) > exporting.PARITY_COSINE


def test_export_states_its_rate_and_nothing_of_its_maker(student: Student, tmp_path: Path) -> None:
    """The file tells its sample rate and holds no path and no stack trace."""
    path = tmp_path / "student.onnx"
    export(student, path, {"licence": "Apache-2.0"})
    model = onnx.load(str(path))
    notes = {one.key: one.value for one in model.metadata_props}
    assert notes["sample_rate"] == "8000"
    assert notes["licence"] == "Apache-2.0"
    assert not any(node.doc_string or len(node.metadata_props) for node in model.graph.node)
    content = path.read_bytes()
    assert b".py" not in content
    assert b"/home" not in content


def test_export_without_parity_is_not_published(
    student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that disagrees with torch replaces no file."""
    path = tmp_path / "student.onnx"
    path.write_bytes(b"the old one")
    monkeypatch.setattr(exporting, "parity", lambda _student, _path: 0.99)
    with pytest.raises(ModelOutputError):
        export(student, path)
    assert path.read_bytes() == b"the old one"


def test_weights_survive_as_half_precision(student: Student, tmp_path: Path) -> None:
    """The small weight file gives the same embeddings to three digits."""
    path = tmp_path / "training" / "weights.npz"
    save_weights(path, student)
    again = Student(SMALL).eval()
    load_student(path, again)
    wave = 0.1 * torch.randn(1, 16000)
    assert float((student(wave) * again(wave)).sum()) > 0.999


def test_weights_of_another_network_are_refused(student: Student, tmp_path: Path) -> None:
    """Weights that do not fit are an error, not a half-filled network."""
    path = tmp_path / "weights.npz"
    save_weights(path, student)
    with pytest.raises(IntegrityError):
        load_student(path, Student(StudentShape(channels=64)))
