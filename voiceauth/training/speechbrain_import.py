# SPDX-License-Identifier: Apache-2.0
"""An official speechbrain ECAPA checkpoint as a model of this engine: one graph, waveform in.

Front end and network are rebuilt from what ``speechbrain_layout`` read, folded and traced like a
model of our own. Two things differ from those and are kept exactly: padding mirrors the frames at
the borders, and deviations are taken around the mean, down to a variance of 1e-12.

The proof is speechbrain itself: the file is compared with ``encode_batch`` of the same weights, at
several lengths and levels, before it takes its name.
"""

import copy
import hashlib
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from speechbrain.inference.classifiers import EncoderClassifier
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from speechbrain.processing.features import InputNormalization
from torch import Tensor, nn

from voiceauth.errors import IntegrityError, ModelOutputError
from voiceauth.models.adopt import write_new
from voiceauth.models.session import Session
from voiceauth.training.export import PARITY_COSINE, stamp, trace
from voiceauth.training.fold import Folded, heard
from voiceauth.training.speechbrain_layout import Layout, fetch, load_weights, read_layout
from voiceauth.units import Cosine, Hertz, Seconds

PARITY_SECONDS: tuple[Seconds, ...] = (0.5, 1.0, 2.0, 3.3, 7.0)
PARITY_LEVELS = (0.3, 0.003)
"""Peaks of the signals that are compared: a loud voice and one that is nearly lost."""
_FLOOR_DB = 80.0
"""Below the loudest band of the utterance by this much, speechbrain hears nothing."""
_LEAST_POWER = 1e-10


@dataclass(frozen=True)
class Parity:
    """How well the file reproduces ``encode_batch``.

    Args:
        least_cosine: by length in seconds, over levels and a batch of two.
    """

    least_cosine: dict[Seconds, Cosine]

    @property
    def worst(self) -> Cosine:
        """The smallest of all."""
        return min(self.least_cosine.values())


@dataclass(frozen=True)
class Imported:
    """What was written.

    Args:
        file: the ONNX file.
        rate_hz: of its waveforms.
        dimension: of its embeddings.
        parity: with speechbrain.
        weights_sha256: of the checkpoint's weights.
    """

    file: Path
    rate_hz: Hertz
    dimension: int
    parity: Parity
    weights_sha256: str


def import_checkpoint(
    source: str, path: Path, notes: dict[str, str], revision: str | None = None
) -> Imported:
    """Write a checkpoint as ONNX, once parity holds; a file with other content stays.

    Args:
        source: a directory in the official layout, or a hub id.
        path: file to write.
        notes: metadata beside the usual (licence, name).
        revision: of the hub's repository.

    Raises:
        SettingsError: the layout is wrong, or has something that this version cannot reproduce, or
            another file of that name is there.
        IntegrityError: the weights are none, or do not fit the network.
        DependencyError: the hub cannot be reached.
        ModelOutputError: the graph does not reproduce ``encode_batch``.
    """
    layout = read_layout(fetch(source, revision))
    encoder = build(layout)
    with warnings.catch_warnings():
        # The exporter warns of shapes that it takes for constant; parity is the answer.
        warnings.simplefilter("ignore")
        model = trace(folded(encoder), layout.rate_hz)
    digest = hashlib.sha256(layout.weights.read_bytes()).hexdigest()
    named = {"source": named_source(source), "weights_sha256": digest}
    described = {**named, **_description(layout), **notes}
    stamp(model, described | ({"revision": revision} if revision else {}))
    content = model.SerializeToString()
    found = parity(encoder, Session(content), layout.rate_hz)
    if not found.worst > PARITY_COSINE:
        raise ModelOutputError(detail=f"parity with speechbrain is only {found.worst:.6f}")
    write_new(path, content)
    return Imported(path, layout.rate_hz, layout.dimension, found, digest)


def import_model(
    source: str, folder: Path, name: str, licence: str, revision: str | None = None
) -> Imported:
    """Write ``NAME.onnx`` and ``NAME.md`` of a checkpoint into a folder. Raises as above."""
    notes = {"licence": licence, "name": name}
    found = import_checkpoint(source, folder / f"{name}.onnx", notes, revision)
    write_new(
        folder / f"{name}.md", card(found, named_source(source), name, licence).encode("utf-8")
    )
    return found


def named_source(source: str) -> str:
    """Name a source without the folders of the machine that it was imported on."""
    return Path(source).resolve().name if Path(source).is_dir() else source


def card(found: Imported, source: str, name: str, licence: str) -> str:
    """Describe an imported model in Markdown."""
    rows = [f"| {key:g} s | {cosine:.6f} |" for key, cosine in found.parity.least_cosine.items()]
    lines = [
        f"# {name}",
        "",
        f"A speechbrain ECAPA checkpoint, imported from `{source}`.",
        f"{found.rate_hz} Hz waveform in, unit vector of {found.dimension} dimensions out.",
        f"SHA-256 of its weights: `{found.weights_sha256}`.",
        f"Licence, as its owner states: {licence}.",
        "",
        "Least cosine between this file and speechbrain's `encode_batch` of the same weights:",
        "",
        "| length | cosine |",
        "|---|---|",
        *rows,
        "",
        "How it was trained, and on whom, is for its owner to say. Nothing here measures its error",
        "rates: `voiceauth evaluate` does, on recordings of yours.",
    ]
    return "\n".join(lines) + "\n"


def build(layout: Layout) -> Any:
    """Build speechbrain's own encoder with a checkpoint's weights, in evaluation mode.

    Raises:
        SettingsError, IntegrityError: the weights cannot be read, or do not fit the network.
    """
    network = ECAPA_TDNN(**layout.network)
    try:
        network.load_state_dict(load_weights(layout.weights), strict=True)
    except RuntimeError as error:
        raise IntegrityError(
            "The checkpoint's weights do not fit its network.", detail=str(error)
        ) from error
    modules = {
        "compute_features": Fbank(**layout.features),
        "mean_var_norm": InputNormalization(norm_type="sentence", std_norm=False),
        "embedding_model": network,
        "classifier": nn.Identity(),
    }
    return EncoderClassifier(modules=modules, hparams={}, run_opts={"device": "cpu"})


def folded(encoder: Any) -> nn.Module:
    """Return an encoder's function, waveforms [batch, samples] to unit embeddings, to trace."""
    front_end: Any = DecibelFrontEnd(encoder.mods.compute_features)
    return Folded(heard(front_end), plain_network(encoder.mods.embedding_model)).eval()


def parity(encoder: Any, session: Session, rate_hz: Hertz) -> Parity:
    """Compare a graph with ``encode_batch`` over lengths, levels and a batch."""
    rng = np.random.default_rng(0)
    return Parity(
        {
            seconds: min(
                _cosine(encoder, session, _signal(rng, round(seconds * rate_hz), level))
                for level in PARITY_LEVELS
            )
            for seconds in PARITY_SECONDS
        }
    )


def _cosine(encoder: Any, session: Session, waves: NDArray[np.float32]) -> Cosine:
    with torch.inference_mode():
        expected = encoder.encode_batch(torch.from_numpy(waves))[:, 0]
        expected = nn.functional.normalize(expected, dim=1).numpy()
    found = session.run(waves)
    if found.shape != expected.shape or not np.isfinite(found).all():
        raise ModelOutputError(detail=f"the exported graph returned shape {found.shape}")
    return float(np.sum(found * expected, axis=1).min())


def _signal(rng: np.random.Generator, samples: int, level: float) -> NDArray[np.float32]:
    """Two voices of pulses with pauses, one of them with digital silence at its end."""
    place = np.arange(samples)
    waves = 0.1 * rng.standard_normal((2, samples))
    for row, period in enumerate((97, 61)):
        waves[row] += (place % period) / period - 0.5
    waves *= level * np.abs(np.sin(place / 4900.0))
    waves[1, samples - samples // 4 :] = 0.0
    return waves.astype(np.float32)


class DecibelFrontEnd(nn.Module):
    """speechbrain's ``Fbank`` and sentence mean, as convolutions and matrix products.

    Args:
        features: its ``Fbank``; its own mel filters and window are taken over.
    """

    dft: Tensor
    mel: Tensor

    def __init__(self, features: Any) -> None:
        super().__init__()
        transform, bank = features.compute_STFT, features.compute_fbanks
        size = int(transform.n_fft)
        self.hop = int(transform.hop_length)
        self.edge = size // 2
        self.bins = size // 2 + 1
        kernels = _kernels(size, transform.window.double().numpy())
        self.register_buffer("dft", torch.from_numpy(kernels), persistent=False)
        self.register_buffer("mel", _mel(bank, self.bins), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Turn waveforms [batch, samples] into features [batch, bands, frames]."""
        padded = nn.functional.pad(waveform.unsqueeze(1), (self.edge, self.edge))
        spectrum = nn.functional.conv1d(padded, self.dft, stride=self.hop)
        real, imaginary = spectrum[:, : self.bins], spectrum[:, self.bins :]
        power = torch.matmul(self.mel, real * real + imaginary * imaginary)
        decibels = 10.0 * torch.log10(power.clamp(min=_LEAST_POWER))
        loudest = decibels.amax(dim=(1, 2), keepdim=True)
        decibels = torch.maximum(decibels, loudest - _FLOOR_DB)
        return decibels - decibels.mean(dim=2, keepdim=True)


def _kernels(size: int, window: NDArray[np.float64]) -> NDArray[np.float32]:
    """Windowed DFT as convolution kernels, shape (2 * (size // 2 + 1), 1, size)."""
    before = (size - len(window)) // 2
    placed = np.zeros(size)
    placed[before : before + len(window)] = window
    angle = 2.0 * math.pi * np.outer(np.arange(size // 2 + 1), np.arange(size)) / size
    kernels = np.concatenate([np.cos(angle), -np.sin(angle)]) * placed
    return kernels[:, None, :].astype(np.float32)


def _mel(bank: Any, bins: int) -> Tensor:
    """Ask speechbrain's filterbank for its matrix, shape (bands, bins): what it makes of each bin.

    Raises:
        ModelOutputError: the filterbank does something else than multiply.
    """
    logarithm, bank.log_mel = bank.log_mel, False
    try:
        answer = bank(torch.eye(bins)[None])[0].T.contiguous()
    finally:
        bank.log_mel = logarithm
    expected = (10.0, _FLOOR_DB, _LEAST_POWER, 0.0, True)
    stated = (bank.multiplier, bank.top_db, bank.amin, bank.db_multiplier, logarithm)
    if stated != expected:
        raise ModelOutputError(detail=f"speechbrain's filterbank has other constants: {stated}")
    return torch.as_tensor(answer)


class ExactPooling(nn.Module):
    """The layers of speechbrain's pooling; ``exact`` asks the folding for its very deviations."""

    exact = True

    def __init__(self, original: Any, channels: int) -> None:
        super().__init__()
        self.tdnn = original.tdnn
        self.conv = original.conv
        self.channels = channels


def plain_network(network: Any) -> Any:
    """Return a copy of plain layers that pad as speechbrain does, in the form that folding takes.

    Args:
        network: speechbrain's ``ECAPA_TDNN``; it is not changed.
    """
    copied = copy.deepcopy(network)
    copied.asp = ExactPooling(copied.asp, copied.channels[-1])
    _unwrap(copied)
    return copied.eval()


def _unwrap(module: nn.Module) -> None:
    """Replace speechbrain's wrappers by the plain layers inside them, mirroring at the borders."""
    for name, child in module.named_children():
        inner: Any = child
        if type(child).__name__ == "Conv1d" and hasattr(child, "conv"):
            plain = inner.conv
            plain.padding = (plain.dilation[0] * (plain.kernel_size[0] - 1) // 2,)
            plain.padding_mode = "reflect" if plain.padding[0] else "zeros"
            setattr(module, name, plain)
        elif type(child).__name__ == "BatchNorm1d" and hasattr(child, "norm"):
            setattr(module, name, inner.norm)
        else:
            _unwrap(child)


def _description(layout: Layout) -> dict[str, str]:
    widths = layout.network.get("channels", ["default"])
    return {
        "sample_rate": str(layout.rate_hz),
        "dimension": str(layout.dimension),
        "architecture": f"speechbrain ECAPA-TDNN-{widths[0]}",
        "front_end": f"speechbrain Fbank, {layout.features.get('n_mels', 40)} mel bands, "
        "25/10 ms, dB, mean removed",
    }
