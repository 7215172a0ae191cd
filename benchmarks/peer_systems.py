# SPDX-License-Identifier: Apache-2.0
"""The systems of ``peers``, each as a function of 8-kHz speech, each on one thread.

* ``voiceauth fp32``, ``voiceauth int8``: the engine's own session on the shipped files.
* ``ONNX Runtime, bare``: the shipped fp32 graph in a session with nothing set but one thread: the
  floor of what any wrapper around this graph costs.
* ``sherpa-onnx, our network``: our trained network as its author would export it, batch norms in
  place, without our front end: sherpa computes 80 Kaldi bands and the graph reads the first 64 of
  them. The vectors mean nothing, for the bands are others; the arithmetic is the same.
* ``sherpa-onnx, ECAPA-TDNN 256`` and ``1024``: speechbrain's ECAPA-TDNN as published, seeded
  weights, 80 bands, at 8 and at 16 kHz.
* ``speechbrain eager, 256`` and ``1024``: its features, normalisation and network, as
  ``encode_batch`` runs them; our width at 8 kHz, and the official shape at 16 kHz.

Weights of the peers are random where that is said: speed does not depend on them. Peers at 16 kHz
get as many samples as their rate would bring; resampling is not charged to them.
"""

import importlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from latency import load_peers
from numpy.typing import NDArray

from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest
from voiceauth.models.speaker import OnnxSpeaker

RATE_HZ = 8000
BANDS = 80
SEED = 7
Embed = Callable[[NDArray[np.float32]], object]


def systems(models: Path | None) -> tuple[dict[str, Embed], dict[str, str]]:
    """Build all systems that can be built here; return them, and why others were left out."""
    directory = models or default_model_directory()
    entry = read_manifest(directory).entry(None)
    built: dict[str, Embed] = {"voiceauth fp32": OnnxSpeaker.of_entry(directory, entry).embed}
    left_out: dict[str, str] = {}
    if entry.int8 is not None:
        built["voiceauth int8"] = OnnxSpeaker.of_entry(directory, entry, None, "int8").embed
    built["ONNX Runtime, bare"] = _bare(directory / entry.file)
    eager = load_peers()
    if not eager:
        left_out["speechbrain eager"] = "speechbrain is not installed (extra `train`)"
    built |= {name.replace("speechbrain", "speechbrain eager"): run for name, run in eager.items()}
    try:
        sherpa: Any = importlib.import_module("sherpa_onnx")
        exports = _exports(directory, entry.name)
    except ImportError as error:
        left_out["sherpa-onnx"] = f"needs sherpa-onnx and the extra `train`: {error}"
        return built, left_out
    for name, (content, rate) in exports.items():
        built[f"sherpa-onnx, {name}"] = _sherpa(sherpa, content, rate)
    return built, left_out


def _bare(path: Path) -> Embed:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def embed(samples: NDArray[np.float32]) -> object:
        return session.run(None, {name: samples[np.newaxis]})

    return embed


def _sherpa(sherpa: Any, content: bytes, rate: int) -> Embed:
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(content)
        file.flush()
        config = sherpa.SpeakerEmbeddingExtractorConfig(model=file.name, num_threads=1)
        extractor = sherpa.SpeakerEmbeddingExtractor(config)

    def embed(samples: NDArray[np.float32]) -> object:
        stream = extractor.create_stream()
        stream.accept_waveform(rate, np.repeat(samples, rate // RATE_HZ))
        stream.input_finished()
        return extractor.compute(stream)

    return embed


def _exports(directory: Path, name: str) -> dict[str, tuple[bytes, int]]:
    """Export the networks that sherpa runs: file and sampling rate. Raises ImportError."""
    torch: Any = importlib.import_module("torch")
    ecapa: Any = importlib.import_module("speechbrain.lobes.models.ECAPA_TDNN")
    student: Any = importlib.import_module("voiceauth.training.student")
    publish: Any = importlib.import_module("voiceauth.training.publish")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)

    class Ours(torch.nn.Module):  # type: ignore[misc]
        """The trained network on somebody else's bands, batch by frames by bands."""

        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network
            network.front_end = torch.nn.Identity()

        def forward(self, bands: Any) -> Any:
            """Embed the first bands."""
            used = bands[:, :, : self.network.shape.mel_bands].transpose(1, 2)
            return self.network(used)

    class Published(torch.nn.Module):  # type: ignore[misc]
        """speechbrain's network, batch by frames by bands."""

        def __init__(self, width: int, attention: int) -> None:
            super().__init__()
            self.network = ecapa.ECAPA_TDNN(
                BANDS,
                channels=[*[width] * 4, 3 * width],
                attention_channels=attention,
                lin_neurons=192,
            )

        def forward(self, bands: Any) -> Any:
            """Embed."""
            return self.network(bands).squeeze(1)

    record = directory / f"{name}.json"
    shape = publish.shape_of(_run_of(record))
    return {
        "our network": (_exported(torch, Ours(student.Student(shape)).eval(), 8000), 8000),
        "ECAPA-TDNN 256": (_exported(torch, Published(256, 64).eval(), 8000), 8000),
        "ECAPA-TDNN 1024": (_exported(torch, Published(1024, 128).eval(), 16_000), 16_000),
    }


def _run_of(record: Path) -> dict[str, Any]:
    json: Any = importlib.import_module("json")
    if not record.exists():
        return {}
    found: dict[str, Any] = json.loads(record.read_text())
    return dict(found.get("run", {}))


def _exported(torch: Any, module: Any, rate: int) -> bytes:
    onnx: Any = importlib.import_module("onnx")
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        (torch.randn(1, 298, BANDS),),
        buffer,
        input_names=["feats"],
        output_names=["embs"],
        dynamic_axes={"feats": {0: "batch", 1: "frames"}, "embs": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load_from_string(buffer.getvalue())
    notes = {
        "framework": "wespeaker",
        "language": "English",
        "output_dim": "192",
        "sample_rate": str(rate),
        "normalize_samples": "1",
        "feature_normalize_type": "global-mean",
    }
    onnx.helper.set_model_props(model, notes)
    content: bytes = model.SerializeToString()
    return content
