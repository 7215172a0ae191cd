# SPDX-License-Identifier: Apache-2.0
"""Official speechbrain checkpoints: read without running them, and reproduced exactly."""

from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import onnx
import pytest
import torch
from speechbrain.inference.classifiers import EncoderClassifier
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Classifier
from speechbrain.processing.features import InputNormalization
from speechbrain.utils.fetching import LocalStrategy
from typer.testing import CliRunner

from voiceauth.cli import installing
from voiceauth.cli.app import app
from voiceauth.errors import DependencyError, EngineError, IntegrityError, SettingsError
from voiceauth.evaluation.adapting import Written
from voiceauth.models.padded import PaddedSession, trial_spans
from voiceauth.models.session import Session
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.scoring.calibration import Calibration
from voiceauth.training.export import PARITY_COSINE
from voiceauth.training.speechbrain_import import import_checkpoint
from voiceauth.training.speechbrain_layout import fetch, load_weights, read_layout

pytestmark = pytest.mark.train

SHAPE: dict[str, Any] = {
    "channels": [32, 32, 32, 32, 96],
    "kernel_sizes": [5, 3, 3, 3, 1],
    "dilations": [1, 2, 3, 4, 1],
    "attention_channels": 16,
    "lin_neurons": 24,
}
OFFICIAL = """\
# Feature parameters
n_mels: 80

# Pretrain folder (HuggingFace)
pretrained_path: {folder}

# Output parameters
out_n_neurons: 7

compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>

mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False

embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: {channels}
    kernel_sizes: {kernel_sizes}
    dilations: {dilations}
    attention_channels: {attention_channels}
    lin_neurons: {lin_neurons}

classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: {lin_neurons}
    out_neurons: !ref <out_n_neurons>

mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
    std_norm: False

modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    mean_var_norm_emb: !ref <mean_var_norm_emb>
    classifier: !ref <classifier>

label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
        mean_var_norm_emb: !ref <mean_var_norm_emb>
        classifier: !ref <classifier>
        label_encoder: !ref <label_encoder>
    paths:
        embedding_model: !ref <pretrained_path>/embedding_model.ckpt
        mean_var_norm_emb: !ref <pretrained_path>/mean_var_norm_emb.ckpt
        classifier: !ref <pretrained_path>/classifier.ckpt
        label_encoder: !ref <pretrained_path>/label_encoder.txt
"""


def write_checkpoint(folder: Path, seed: int = 1) -> Path:
    """Write the five files of the official layout, with seeded weights and lively norms."""
    folder.mkdir()
    torch.manual_seed(seed)
    network = ECAPA_TDNN(80, **SHAPE)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, -0.5, 1.5)
            torch.nn.init.normal_(module.bias)
            torch.nn.init.uniform_(module.get_buffer("running_mean"), -0.5, 1.0)
            torch.nn.init.uniform_(module.get_buffer("running_var"), 0.2, 2.0)
    torch.save(network.state_dict(), folder / "embedding_model.ckpt")
    torch.save(Classifier(24, out_neurons=7).state_dict(), folder / "classifier.ckpt")
    norm = InputNormalization(norm_type="global", std_norm=False)
    norm(torch.randn(4, 1, 24))
    torch.save(norm._statistics_dict(), folder / "mean_var_norm_emb.ckpt")
    names = [f"'id{place}' => {place}" for place in range(7)]
    label = "\n".join([*names, "=" * 16, "'starting_index' => 0"])
    (folder / "label_encoder.txt").write_text(label + "\n")
    (folder / "hyperparams.yaml").write_text(OFFICIAL.format(folder=folder, **SHAPE))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the official layout."""
    return write_checkpoint(tmp_path_factory.mktemp("hub") / "spkrec-ecapa")


@pytest.fixture
def changed(tmp_path: Path, checkpoint: Path) -> Path:
    """A copy of it that a test may spoil."""
    folder = tmp_path / "changed"
    folder.mkdir()
    for name in ("hyperparams.yaml", "embedding_model.ckpt"):
        (folder / name).write_bytes((checkpoint / name).read_bytes())
    return folder


def edit(folder: Path, old: str, new: str) -> None:
    """Replace a piece of the settings, which must be there."""
    path = folder / "hyperparams.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def voices(samples: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Two unlike signals: hissing and buzzing, loud and quiet, with a pause in one."""
    rng = np.random.default_rng(seed)
    place = np.arange(samples)
    waves = np.stack(
        [
            0.3 * rng.standard_normal(samples) * np.abs(np.sin(place / 3000.0)),
            0.02 * ((place % 131) / 131.0 - 0.5) + 0.001 * rng.standard_normal(samples),
        ]
    )
    waves[1, samples // 3 : samples // 2] = 0.0
    return waves.astype(np.float32)


def test_the_graph_gives_what_speechbrains_own_loader_gives(
    checkpoint: Path, tmp_path: Path
) -> None:
    """Against ``encode_batch`` of the same folder, at any length, and not only by direction."""
    reference = EncoderClassifier.from_hparams(
        source=str(checkpoint),
        savedir=str(tmp_path / "cache"),
        run_opts={"device": "cpu"},
        local_strategy=LocalStrategy.COPY,
    )
    found = import_checkpoint(str(checkpoint), tmp_path / "model.onnx", {"licence": "MIT"})
    speaker = OnnxSpeaker.of_file(tmp_path / "model.onnx")

    assert found.parity.worst > PARITY_COSINE
    assert (speaker.rate_hz, speaker.dimension) == (16_000, 24)
    rows = []
    for place, samples in enumerate((8_000, 16_001, 52_123)):
        waves = voices(samples, place)
        with torch.inference_mode():
            expected = reference.encode_batch(torch.from_numpy(waves))[:, 0]
        expected = torch.nn.functional.normalize(expected, dim=1).numpy()
        np.testing.assert_allclose(speaker.embed_batch(waves), expected, atol=2e-4)
        rows.append(expected)
    # Embeddings that were all alike would agree whatever the graph computed.
    spread = np.concatenate(rows) @ np.concatenate(rows).T
    assert spread.min() < 0.9


def test_the_graph_mirrors_frames_at_its_borders_and_has_no_norms(
    checkpoint: Path, tmp_path: Path
) -> None:
    """Padding is speechbrain's; what can be folded is folded."""
    import_checkpoint(str(checkpoint), tmp_path / "model.onnx", {})
    nodes = onnx.load(str(tmp_path / "model.onnx")).graph.node
    modes = {
        attribute.s.decode()
        for node in nodes
        if node.op_type == "Pad"
        for attribute in node.attribute
        if attribute.name == "mode"
    }

    assert "reflect" in modes
    assert not any(node.op_type == "BatchNormalization" for node in nodes)


def test_spans_of_an_imported_model_can_share_runs(checkpoint: Path, tmp_path: Path) -> None:
    """Mirrored borders and the loudest band of an utterance are each span's own."""
    import_checkpoint(str(checkpoint), tmp_path / "model.onnx", {})
    content = (tmp_path / "model.onnx").read_bytes()
    alone, together, spans = Session(content), PaddedSession(content), trial_spans(8000)

    expected = np.concatenate([alone.run(span[np.newaxis]) for span in spans])

    np.testing.assert_allclose(together.run(spans), expected, atol=1e-5)


def test_the_file_says_where_it_comes_from(checkpoint: Path, tmp_path: Path) -> None:
    """Metadata name source, weights, rate and licence, and no folder; importing is repeatable."""
    found = import_checkpoint(str(checkpoint), tmp_path / "model.onnx", {"licence": "MIT"})
    content = (tmp_path / "model.onnx").read_bytes()
    import_checkpoint(str(checkpoint), tmp_path / "model.onnx", {"licence": "MIT"})

    notes = OnnxSpeaker.of_file(tmp_path / "model.onnx").notes
    assert notes["source"] == checkpoint.name
    assert notes["weights_sha256"] == found.weights_sha256
    assert (notes["sample_rate"], notes["licence"]) == ("16000", "MIT")
    assert (tmp_path / "model.onnx").read_bytes() == content


def test_another_file_of_that_name_stays(checkpoint: Path, tmp_path: Path) -> None:
    """An import never replaces a model that a manifest may name."""
    (tmp_path / "model.onnx").write_bytes(b"somebody's work")

    with pytest.raises(SettingsError, match="not overwritten"):
        import_checkpoint(str(checkpoint), tmp_path / "model.onnx", {})
    assert (tmp_path / "model.onnx").read_bytes() == b"somebody's work"


@pytest.mark.parametrize("name", ["hyperparams.yaml", "embedding_model.ckpt"])
def test_a_missing_file_is_named(changed: Path, name: str) -> None:
    """What is not there is told before anything is read."""
    (changed / name).unlink()

    with pytest.raises(SettingsError, match=name):
        fetch(str(changed))


@pytest.mark.parametrize(
    "text",
    [
        "boom: !apply:os.system ['touch {mark}']",
        "boom: !!python/object/apply:os.system ['touch {mark}']",
        "boom: !name:os.system",
        "boom: !include:other.yaml",
        "boom: !module:os",
    ],
)
def test_settings_that_would_run_something_are_refused(changed: Path, text: str) -> None:
    """To speechbrain the file is a program; here nothing of it is run."""
    mark = changed / "was-run"
    with (changed / "hyperparams.yaml").open("a") as handle:
        handle.write("\n" + text.format(mark=mark) + "\n")

    with pytest.raises(SettingsError):
        read_layout(changed)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("!new:speechbrain.lobes.features.Fbank", "!new:speechbrain.lobes.features.MFCC"),
        ("!new:speechbrain.lobes.features.Fbank", "!new:os.system"),
        ("    n_mels: !ref <n_mels>", "    n_mels: !ref <n_mels> * 2"),
        ("    n_mels: !ref <n_mels>", "    n_mels: !ref <absent>"),
        ("    n_mels: !ref <n_mels>", "    n_mels: !ref <n_mels>\n    deltas: True"),
        ("    n_mels: !ref <n_mels>", "    n_mels: !ref <n_mels>\n    filter_shape: gaussian"),
        ("    n_mels: !ref <n_mels>", "    n_mels: !ref <n_mels>\n    sample_rate: 44100"),
        ("    n_mels: !ref <n_mels>", "    n_mels: !ref <n_mels>\n    f_max: -1"),
        ("    n_mels: !ref <n_mels>", "    n_mels: !ref <n_mels>\n    surprise: 1"),
        ("n_mels: 80", "n_mels: '80'"),
        ("n_mels: 80", "n_mels: 100000000"),
        ("norm_type: sentence", "norm_type: global"),
        ("    std_norm: False", "    std_norm: True"),
        ("    norm_type: sentence\n", ""),
        ("kernel_sizes: [5, 3, 3, 3, 1]", "kernel_sizes: [4, 3, 3, 3, 1]"),
        ("kernel_sizes: [5, 3, 3, 3, 1]", "kernel_sizes: [5, 3, 3, 3, 3]"),
        ("kernel_sizes: [5, 3, 3, 3, 1]", "kernel_sizes: [5, 3, 3, 1]"),
        ("channels: [32, 32, 32, 32, 96]", "channels: [32, 30, 32, 32, 96]"),
        ("channels: [32, 32, 32, 32, 96]", "channels: [32, true, 32, 32, 96]"),
        ("    attention_channels: 16", "    attention_channels: 16\n    global_context: False"),
        ("    attention_channels: 16", "    attention_channels: 16\n    activation: relu6"),
        ("    embedding_model: !ref <embedding_model>", "    embedding_model: !ref <classifier>"),
        ("modules:", "parts:"),
        ("n_mels: 80", "n_mels: [80"),
    ],
)
def test_what_cannot_be_reproduced_is_refused(changed: Path, old: str, new: str) -> None:
    """An option that is not understood would make another model: no guess, an error in words."""
    edit(changed, old, new)

    with pytest.raises(SettingsError):
        read_layout(changed)


def test_settings_that_are_no_settings_are_refused(changed: Path) -> None:
    """Binary, lists and endless files surface as the engine's own error."""
    for content in (b"\xff\xfe\x00", b"- 1\n- 2\n", b"a: 1\n" * 20_000):
        (changed / "hyperparams.yaml").write_bytes(content)
        with pytest.raises(SettingsError):
            read_layout(changed)


class Bomb:
    """What a pickle can hold: a call that is made when it is read."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        """Ask the unpickler to make a file."""
        return Path.touch, (self._mark,)


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_that_would_run_something_are_refused(changed: Path, legacy: bool) -> None:
    """A pickle in the place of weights is not opened, in either of torch's formats."""
    mark = changed / "was-run"
    path = changed / "embedding_model.ckpt"
    torch.save({"w": Bomb(mark)}, path, _use_new_zipfile_serialization=not legacy)

    with pytest.raises(IntegrityError, match="plain weights"):
        load_weights(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 broken", b"not weights", {"a": 1}, [1], {"a": torch.tensor(float("nan"))}],
    ids=["empty", "archive", "text", "number", "list", "nan"],
)
def test_a_file_that_is_no_weights_is_refused(changed: Path, content: object) -> None:
    """Whatever lies in the file, only the engine's own error comes out."""
    path = changed / "embedding_model.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)

    with pytest.raises(IntegrityError):
        load_weights(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("channels: [32, 32, 32, 32, 96]", "channels: [48, 48, 48, 48, 144]"),
        ("lin_neurons: 24", "lin_neurons: 25"),
        ("n_mels: 80", "n_mels: 64"),
    ],
)
def test_weights_of_another_network_are_refused(
    changed: Path, tmp_path: Path, old: str, new: str
) -> None:
    """Names and shapes must be exactly those that the settings describe."""
    edit(changed, old, new)

    with pytest.raises(IntegrityError, match="do not fit"):
        import_checkpoint(str(changed), tmp_path / "model.onnx", {})
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionError("no route"), DependencyError),
        (FileNotFoundError("offline, and not in the cache"), DependencyError),
        (ValueError("no such revision"), DependencyError),
    ],
)
def test_a_hub_that_cannot_be_reached_is_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[EngineError]
) -> None:
    """The sentence names the way without a hub."""

    def unreachable(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(kind, match="a folder with its files"):
        fetch("speechbrain/spkrec-ecapa-voxceleb")


def test_only_what_is_needed_comes_from_the_hub(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    """Two files, of the revision that was named."""
    asked: list[dict[str, Any]] = []

    def download(source: str, **options: Any) -> str:
        asked.append({"source": source, **options})
        return str(checkpoint)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)

    assert fetch("speechbrain/spkrec-ecapa-voxceleb", "abc") == checkpoint
    assert asked == [
        {
            "source": "speechbrain/spkrec-ecapa-voxceleb",
            "revision": "abc",
            "allow_patterns": ["hyperparams.yaml", "embedding_model.ckpt"],
        }
    ]


@pytest.mark.parametrize("source", ["nowhere", "../nowhere", "a/b/c", "https://hub/a/b", "/a"])
def test_a_source_that_is_neither_folder_nor_id_is_refused(source: str) -> None:
    """A mistyped folder is not looked for on a hub."""
    with pytest.raises(SettingsError, match="neither a folder"):
        fetch(source)


def test_the_command_tells_parity_and_writes_model_and_card(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path, tmp_path: Path
) -> None:
    """After parity, cohort and tables come from the operator's recordings."""
    steps: list[str] = []

    def cohort(folder: Path, name: str, *_: object, **__: object) -> int:
        steps.append(f"cohort of {name}")
        return 40

    def tables(folder: Path, name: str, *_: object, **given: Any) -> tuple[Calibration, Written]:
        steps.append(f"tables of {name}, {given['choices'].top} nearest, {given['licence']}")
        raise SettingsError("far enough")

    monkeypatch.setattr(installing, "cohort_of_new_model", cohort)
    monkeypatch.setattr(installing, "install_with_tables", tables)
    words = ["models", "import-speechbrain", str(checkpoint), "--to", str(tmp_path / "own")]
    result = CliRunner().invoke(
        app, [*words, "--recordings", "people.csv", "--licence", "MIT", "--name", "sb"]
    )

    assert result.exit_code == 1
    assert "far enough" in result.stderr
    told = float(result.output.split("at least ")[1].split()[0])
    assert PARITY_COSINE < told <= 1.0
    assert steps == ["cohort of sb", "tables of sb, 20 nearest, MIT"]
    assert OnnxSpeaker.of_file(tmp_path / "own" / "sb.onnx").rate_hz == 16_000
    card = (tmp_path / "own" / "sb.md").read_text()
    assert "encode_batch" in card
    assert "MIT" in card
    assert checkpoint.name in card
    assert str(checkpoint) not in card
