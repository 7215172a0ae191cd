# SPDX-License-Identifier: Apache-2.0
"""The exported network without batch norms computes what the trained one does."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.scoring.cosine import cosine
from voiceauth.training.export import PARITY_COSINE, export
from voiceauth.training.fold import fold
from voiceauth.training.student import Student, StudentShape

pytestmark = pytest.mark.train


def student_with_norms(seed: int, channels: int, *, negative: bool) -> Student:
    """A network whose norms have arbitrary statistics, negative scales among them on demand."""
    torch.manual_seed(seed)
    network = Student(StudentShape(channels=channels, attention=16))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, -1.0 if negative else 0.3, 1.5)
            torch.nn.init.normal_(module.bias)
            torch.nn.init.uniform_(module.get_buffer("running_mean"), -0.5, 1.0)
            torch.nn.init.uniform_(module.get_buffer("running_var"), 0.2, 2.0)
    return network.eval()


@pytest.mark.parametrize("channels", [32, 48])
@pytest.mark.parametrize("negative", [False, True], ids=["positive", "negative"])
def test_folding_changes_nothing(channels: int, negative: bool) -> None:
    """At any length and batch, and with scales of either sign, both networks agree."""
    network = student_with_norms(5, channels, negative=negative)
    folded = fold(network)
    for batch, samples in ((1, 4000), (3, 8123), (2, 30000)):
        waves = 0.1 * torch.randn(batch, samples)
        torch.testing.assert_close(folded(waves), network(waves), atol=2e-5, rtol=1e-4)


def test_a_stem_is_folded_with_the_first_layer() -> None:
    """The second view of the features takes the scale of the norm behind it."""
    torch.manual_seed(9)
    network = Student(StudentShape(channels=32, attention=16, stem=8))
    for module in network.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            torch.nn.init.uniform_(module.weight, -1.0, 1.5)
            torch.nn.init.normal_(module.bias)
    network.eval()
    waves = 0.1 * torch.randn(2, 9001)
    torch.testing.assert_close(fold(network)(waves), network(waves), atol=2e-5, rtol=1e-4)


def test_folding_leaves_the_student_as_it_was() -> None:
    """Training can go on after an export."""
    network = student_with_norms(6, 32, negative=True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fold(network)
    for name, value in network.state_dict().items():
        assert torch.equal(before[name], value), name


def test_the_exported_graph_holds_no_batch_norm_and_no_padding(tmp_path: Path) -> None:
    """What can be folded is folded."""
    path = tmp_path / "student.onnx"
    export(student_with_norms(7, 32, negative=False), path)
    kinds = Counter(node.op_type for node in onnx.load(str(path)).graph.node)
    assert kinds["BatchNormalization"] == 0
    assert kinds["Pad"] == 0
    assert kinds["Conv"] > 30


def test_from_waveform_to_score_graph_and_student_agree(tmp_path: Path) -> None:
    """Scores between recordings of different lengths are the student's scores."""
    network = student_with_norms(8, 32, negative=True)
    path = tmp_path / "student.onnx"
    export(network, path)
    speaker = OnnxSpeaker.of_file(path)
    rng = np.random.default_rng(8)
    lengths = (4000, 9777, 16000, 56001)
    waves = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in lengths]
    with torch.inference_mode():
        expected = [network(torch.from_numpy(wave)[None])[0].numpy() for wave in waves]
    found = [speaker.embed(wave) for wave in waves]
    for i in range(len(waves)):
        assert float(found[i] @ expected[i]) > PARITY_COSINE
        for j in range(i):
            assert cosine(found[i], found[j]) == pytest.approx(
                cosine(expected[i], expected[j]), abs=1e-3
            )
