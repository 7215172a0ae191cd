# SPDX-License-Identifier: Apache-2.0
"""The int8 form of an exported speaker model: static, per channel, calibrated on simulated calls.

Activations become unsigned, weights signed bytes, in QDQ form, which every ONNX Runtime executes.
Weights use seven of their eight bits: processors with AVX2 and without VNNI add pairs of products
in 16 bits, and full-range weights would saturate there. Others run the same file, exactly.

What stays in 32 bits, and why:

- The front end: the logarithm of a power spans more than eight bits hold.
- The pooling, but for the layer that gives the attention: means and deviations of an utterance, and
  the softmax that weighs it, are where rounding no longer averages out.
- The first layer of the stem, where there is one: it sees the logarithms themselves.
- The gates and the last layer: one frame per utterance, nothing to gain.

Further parts stay in 32 bits, one after the other, until error rates on the dev speakers and
embeddings agree with the fp32 graph's. The file says whose form it is and what was measured.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from voiceauth.errors import ModelOutputError
from voiceauth.models.forms import (
    COSINE_NOTE,
    ERROR_NOTE,
    FORM_NOTE,
    LEAST_COSINE,
    MOST_ERROR_DIFFERENCE,
)
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.testing.channel import apply, draw_channel
from voiceauth.training.corpus import RATE_HZ, Corpus
from voiceauth.training.crops import PHONE_HZ, FloatArray, phone_rate
from voiceauth.training.evaluation import ErrorRates, HeldOut, error_rates
from voiceauth.training.export import stamp
from voiceauth.types import ModelHash
from voiceauth.units import Cosine, Rate, Seconds

QUANTISED = ["Conv", "Relu", "Add", "Concat", "Split"]
ALWAYS_KEPT = ("/front_end", "/stem/first", "/pooling", "/last", "/squeeze", "/excite")
NEVER_KEPT = ("/pooling/attention/Conv",)
"""Nodes of parts that stay in 32 bits, which do not: their results are looked at together."""
LADDER: tuple[tuple[str, ...], ...] = (
    (),
    ("/stem",),
    ("/stem", "/first"),
    ("/stem", "/first", "/groups"),
    ("/stem", "/first", "/layers"),
)
"""Parts that stay in 32 bits beside those that always do; the fastest graph comes first."""
PIECES = 400
"""With 48, one held-out utterance in 300 left the calibrated ranges and was embedded far off."""
ROTATIONS = 8
"""Orders of the utterances, so that others enrol: the rates of one order are too coarse."""
PIECE_SECONDS: tuple[Seconds, Seconds] = (1.0, 4.0)
CLEAN_SHARE = 0.25
"""Share of the calibration pieces that pass no channel: enrolments may be wideband."""


@dataclass(frozen=True)
class Agreement:
    """How well the int8 form stands in for the fp32 graph, on held-out speakers.

    Args:
        least_cosine: smallest cosine between both embeddings of one utterance.
        mean_cosine: over all utterances, as they are and through calls.
        fp32: equal error rates.
        int8: equal error rates, same trials.
    """

    least_cosine: Cosine
    mean_cosine: Cosine
    fp32: ErrorRates
    int8: ErrorRates

    @property
    def error_difference(self) -> Rate:
        """Largest difference of the two equal error rates in any condition, either way."""
        one: dict[str, Rate] = asdict(self.fp32)
        other: dict[str, Rate] = asdict(self.int8)
        return max(abs(one[name] - other[name]) for name in one)

    @property
    def holds(self) -> bool:
        """Whether both may take each other's voiceprints and share one calibration."""
        return self.least_cosine >= LEAST_COSINE and self.error_difference <= MOST_ERROR_DIFFERENCE


@dataclass(frozen=True)
class Quantised:
    """What was written.

    Args:
        sha256: of the int8 file.
        kept: parts in 32 bits beside those that always are.
        agreement: with the fp32 graph.
    """

    sha256: str
    kept: tuple[str, ...]
    agreement: Agreement


def quantise(source: Path, target: Path, train: Corpus, held_out: HeldOut) -> Quantised:
    """Write the fastest int8 form that agrees with the fp32 graph.

    Args:
        source: fp32 graph from ``export``.
        target: file to write; replaced only by a form that agrees.
        train: speech to calibrate with.
        held_out: dev speakers.

    Raises:
        ModelOutputError: no form agrees.
        SettingsError, IntegrityError: the fp32 graph cannot be used.
    """
    speaker = OnnxSpeaker.of_file(source)
    waves = pieces(train)
    fp32 = _heard(speaker, held_out)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        candidate = Path(folder) / target.name
        for kept in LADDER:
            write_int8(source, candidate, waves, kept)
            found = _agreement(fp32, _heard(OnnxSpeaker.of_file(candidate), held_out))
            if found.holds:
                _sign(candidate, speaker.model, found)
                sha256 = hashlib.sha256(candidate.read_bytes()).hexdigest()
                candidate.replace(target)
                return Quantised(sha256, kept, found)
    raise ModelOutputError(detail=f"no int8 form agrees with the fp32 graph; the last: {found}")


def pieces(train: Corpus, seed: int = 4242) -> list[FloatArray]:
    """Draw calibration speech: pieces of train utterances, most of them through simulated calls.

    Returns:
        float32 waveforms at 8 kHz, shape (samples,) each.
    """
    rng = np.random.default_rng(seed)
    waves: list[FloatArray] = []
    while len(waves) < PIECES:
        waveform = train.samples(int(rng.integers(len(train.clips))))
        samples = round(rng.uniform(*PIECE_SECONDS) * RATE_HZ)
        start = int(rng.integers(max(1, len(waveform) - samples + 1)))
        wave = phone_rate(waveform[start : start + samples])
        if len(wave) >= PIECE_SECONDS[0] * PHONE_HZ / 2:
            clean = rng.random() < CLEAN_SHARE
            waves.append(wave if clean else apply(draw_channel(rng), wave))
    return waves


def agreement(one: OnnxSpeaker, other: OnnxSpeaker, held_out: HeldOut) -> Agreement:
    """Compare an fp32 model with its int8 form on held-out speakers."""
    return _agreement(_heard(one, held_out), _heard(other, held_out))


def write_int8(
    source: Path, target: Path, waves: Sequence[FloatArray], kept: tuple[str, ...]
) -> None:
    """Quantise a graph with everything in 32 bits whose node name holds one of the given parts."""
    model = onnx.load(str(source))
    parts = (*ALWAYS_KEPT, *kept)
    quantize_static(
        model,
        str(target),
        _Pieces(waves, model.graph.input[0].name),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=QUANTISED,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=[
            node.name
            for node in model.graph.node
            if node.name not in NEVER_KEPT and any(part in node.name for part in parts)
        ],
    )
    notes = {one.key: one.value for one in model.metadata_props}
    written = onnx.load(str(target))
    stamp(written, {**notes, "precision": "int8"})
    onnx.save(written, str(target))


class _Pieces(CalibrationDataReader):  # type: ignore[misc]  # it has no annotations
    """Hands the calibration speech to the quantiser, one piece at a time."""

    def __init__(self, waves: Sequence[FloatArray], name: str) -> None:
        self._left = iter(waves)
        self._name = name

    def get_next(self) -> dict[str, FloatArray] | None:
        wave = next(self._left, None)
        return None if wave is None else {self._name: wave[np.newaxis]}


@dataclass(frozen=True)
class _Heard:
    """Held-out utterances as one model heard them; unit rows, shape (utterances, dimension)."""

    rows: FloatArray
    rates: ErrorRates


def _heard(speaker: OnnxSpeaker, held_out: HeldOut) -> _Heard:
    source = np.stack([speaker.embed(wave) for wave in held_out.source])
    called = np.stack([speaker.embed(wave) for wave in held_out.called])
    turns = []
    for turn in range(ROTATIONS):
        order = np.random.default_rng(turn).permutation(len(source))
        names = tuple(held_out.speaker[i] for i in order)
        turns.append(asdict(error_rates(names, source[order], called[order])))
    rates = ErrorRates(**{name: float(np.mean([t[name] for t in turns])) for name in turns[0]})
    return _Heard(np.concatenate([source, called]), rates)


def _agreement(fp32: _Heard, int8: _Heard) -> Agreement:
    cosines = np.sum(fp32.rows * int8.rows, axis=1)
    return Agreement(float(cosines.min()), float(cosines.mean()), fp32.rates, int8.rates)


def _sign(path: Path, model: ModelHash, found: Agreement) -> None:
    """Write into the file whose form it is and what was measured."""
    graph = onnx.load(str(path))
    notes = {one.key: one.value for one in graph.metadata_props}
    notes[FORM_NOTE] = model
    notes[COSINE_NOTE] = f"{found.least_cosine:.6f}"
    notes[ERROR_NOTE] = f"{found.error_difference:.6f}"
    stamp(graph, notes)
    onnx.save(graph, str(path))
