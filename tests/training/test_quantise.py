# SPDX-License-Identifier: Apache-2.0
"""The int8 form of an exported student."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from voiceauth.errors import BadAudioError, ModelOutputError, TooShortError
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.training import quantise as quantising
from voiceauth.training.corpus import Corpus, load_corpus
from voiceauth.training.evaluation import ErrorRates, HeldOut, prepare
from voiceauth.training.export import export
from voiceauth.training.quantise import Agreement, pieces, quantise, write_int8
from voiceauth.training.student import Student, StudentShape

pytestmark = pytest.mark.train
EQUAL = ErrorRates(0.02, 0.05, 0.04)


@pytest.fixture(autouse=True)
def _few_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantising, "PIECES", 12)


@pytest.fixture
def train(pack: Path, tmp_path: Path) -> Corpus:
    """Train speech of the pack."""
    return load_corpus(pack, tmp_path / "cache", "speech", "train")


@pytest.fixture
def held_out(pack: Path, tmp_path: Path) -> HeldOut:
    """Dev speech of the pack."""
    return prepare(load_corpus(pack, tmp_path / "cache", "speech", "dev"))


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A small network whose norms have seen a little noise, exported."""
    torch.manual_seed(3)
    network = Student(StudentShape(channels=32, attention=16))
    for _ in range(20):
        network(0.1 * torch.randn(4, 9000))
    path = tmp_path / "student.onnx"
    export(network, path)
    return path


def test_convolutions_run_in_int8_and_the_pooling_does_not(
    graph: Path, train: Corpus, tmp_path: Path
) -> None:
    """Front end, pooling and gates keep 32 bits; the attention and the other layers do not."""
    write_int8(graph, tmp_path / "int8.onnx", pieces(train), ())

    nodes = onnx.load(str(tmp_path / "int8.onnx")).graph.node
    makers = {output: node for node in nodes for output in node.output}
    quantised = Counter(
        makers[node.input[1]].op_type == "DequantizeLinear" if node.input[1] in makers else False
        for node in nodes
        if node.op_type == "Conv" and not _kept(node.name)
    )
    assert quantised[True] > 20
    assert not quantised[False]
    for node in nodes:
        if node.op_type == "Conv" and _kept(node.name):
            maker = makers.get(node.input[1])
            assert maker is None or maker.op_type != "DequantizeLinear", node.name


def _kept(name: str) -> bool:
    parts = quantising.ALWAYS_KEPT
    return name not in quantising.NEVER_KEPT and any(part in name for part in parts)


def test_the_stem_runs_in_int8_but_for_its_first_layer(train: Corpus, tmp_path: Path) -> None:
    """The layer that sees the logarithms keeps 32 bits, those behind it do not."""
    torch.manual_seed(3)
    network = Student(StudentShape(channels=32, attention=16, stem=4))
    for _ in range(20):
        network(0.1 * torch.randn(4, 9000))
    export(network, tmp_path / "stemmed.onnx")
    write_int8(tmp_path / "stemmed.onnx", tmp_path / "int8.onnx", pieces(train), ())

    nodes = onnx.load(str(tmp_path / "int8.onnx")).graph.node
    makers = {output: node.op_type for node in nodes for output in node.output}
    stem = {
        node.name: makers.get(node.input[1]) == "DequantizeLinear"
        for node in nodes
        if node.op_type == "Conv" and node.name.startswith("/stem/")
    }
    assert {name for name, whole in stem.items() if not whole} == {"/stem/first/first.0/Conv"}
    assert len(stem) > 4


def test_int8_agrees_at_lengths_and_batches_it_was_not_calibrated_with(
    graph: Path, train: Corpus, tmp_path: Path
) -> None:
    """Lengths and batch stay free, and embeddings stay close to those of the fp32 graph."""
    write_int8(graph, tmp_path / "int8.onnx", pieces(train), ())
    fp32, int8 = OnnxSpeaker.of_file(graph), OnnxSpeaker.of_file(tmp_path / "int8.onnx")
    speech = np.concatenate(pieces(train, seed=9))
    for batch, samples in ((1, 4000), (3, 13777), (2, 20001)):
        waves = np.stack([speech[i * 8000 : i * 8000 + samples] for i in range(batch)])
        one, other = fp32.embed_batch(waves), int8.embed_batch(waves)
        assert np.sum(one * other, axis=1).min() > 0.97


def test_int8_refuses_what_fp32_refuses(graph: Path, train: Corpus, tmp_path: Path) -> None:
    """Silence is embedded; NaN, emptiness and too little are the audio's fault."""
    write_int8(graph, tmp_path / "int8.onnx", pieces(train), ())
    speaker = OnnxSpeaker.of_file(tmp_path / "int8.onnx")

    assert np.isfinite(speaker.embed(np.zeros(8000, dtype=np.float32))).all()
    assert np.isfinite(speaker.embed(np.full(8000, 1e6, dtype=np.float32))).all()
    with pytest.raises(BadAudioError):
        speaker.embed(np.full(8000, np.nan, dtype=np.float32))
    for samples in (0, 100):
        with pytest.raises(TooShortError):
            speaker.embed(np.zeros(samples, dtype=np.float32))


def test_the_file_says_whose_form_it_is(
    graph: Path,
    train: Corpus,
    held_out: HeldOut,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first form of the ladder that agrees is written, with what was measured."""
    answers = iter([Agreement(0.1, 0.9, EQUAL, EQUAL), Agreement(0.98, 0.99, EQUAL, EQUAL)])
    monkeypatch.setattr(quantising, "_agreement", lambda _fp32, _int8: next(answers))

    found = quantise(graph, tmp_path / "int8.onnx", train, held_out)

    speaker = OnnxSpeaker.of_file(tmp_path / "int8.onnx")
    assert found.sha256 == speaker.model
    assert found.kept == quantising.LADDER[1]
    assert speaker.notes["form_of"] == OnnxSpeaker.of_file(graph).model
    assert float(speaker.notes["least_cosine"]) == pytest.approx(0.98)


def test_forms_that_do_not_agree_replace_nothing(
    graph: Path,
    train: Corpus,
    held_out: HeldOut,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a form that agrees there is an error, and the old file stays."""
    (tmp_path / "int8.onnx").write_bytes(b"the old one")
    worse = ErrorRates(0.02, 0.05, 0.0416)
    monkeypatch.setattr(
        quantising, "_agreement", lambda _fp32, _int8: Agreement(0.999, 0.999, EQUAL, worse)
    )
    with pytest.raises(ModelOutputError):
        quantise(graph, tmp_path / "int8.onnx", train, held_out)
    assert (tmp_path / "int8.onnx").read_bytes() == b"the old one"
