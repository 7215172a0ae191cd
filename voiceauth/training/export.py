# SPDX-License-Identifier: Apache-2.0
"""ONNX export of the student, with a parity check on several lengths.

The file takes ``waveform`` [batch, samples] float32 at 8 kHz and gives ``embedding``
[batch, 192] of unit length. Its batch norms are folded away (see ``fold``). It carries its sample
rate and front end as metadata and nothing of the machine that wrote it.
"""

import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from voiceauth.errors import ModelOutputError
from voiceauth.training.fold import fold
from voiceauth.training.student import DIMENSION, RATE_HZ, Student
from voiceauth.units import Hertz

OPSET = 17
PARITY_SECONDS = (1.0, 2.0, 3.3, 7.0)
PARITY_COSINE = 0.9999


def export(student: Student, path: Path, notes: dict[str, str] | None = None) -> float:
    """Write the student as ONNX, replacing the file atomically once parity holds.

    Args:
        student: in any mode; it is not changed.
        path: file to write.
        notes: further metadata (licence, data, run).

    Returns:
        The smallest cosine between torch and ONNX Runtime over the checked lengths.

    Raises:
        ModelOutputError: the exported graph does not reproduce the student.
    """
    student = copy.deepcopy(student).eval()
    model = trace(fold(student), RATE_HZ)
    stamp(model, {**_description(student), **(notes or {})})
    temporary = path.with_suffix(".tmp")
    onnx.save(model, str(temporary))
    cosine = parity(student, temporary)
    if not cosine > PARITY_COSINE:
        temporary.unlink()
        raise ModelOutputError(detail=f"ONNX parity is only {cosine:.6f}")
    temporary.replace(path)
    return cosine


def parity(student: Student, path: Path) -> float:
    """Smallest cosine between the student and the file over lengths and batches."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    smallest = 1.0
    for seconds in PARITY_SECONDS:
        shape = (2, round(seconds * RATE_HZ))
        waveform = (0.05 * rng.standard_normal(shape)).astype(np.float32)
        waveform *= np.abs(np.sin(np.arange(shape[1], dtype=np.float32) / 900.0))
        with torch.inference_mode():
            expected = student(torch.from_numpy(waveform)).numpy()
        (found,) = session.run(None, {"waveform": waveform})
        if found.shape != expected.shape or not np.isfinite(found).all():
            raise ModelOutputError(detail=f"the exported graph returned shape {found.shape}")
        smallest = min(smallest, float((found * expected).sum(axis=1).min()))
    return smallest


def trace(module: torch.nn.Module, rate_hz: Hertz) -> onnx.ModelProto:
    """Turn a module, waveforms to embeddings, into a graph with free batch and length.

    Args:
        module: in evaluation mode, takes float32 [batch, samples].
        rate_hz: of the waveforms; the module is traced with two seconds.
    """
    # The exporter writes to buffers as well; its annotation knows only paths.
    buffer: Any = io.BytesIO()
    torch.onnx.export(
        module,
        (torch.randn(2, 2 * rate_hz) * 0.05,),
        buffer,
        input_names=["waveform"],
        output_names=["embedding"],
        dynamic_axes={"waveform": {0: "batch", 1: "samples"}, "embedding": {0: "batch"}},
        opset_version=OPSET,
        dynamo=False,
    )
    return onnx.load_from_string(buffer.getvalue())


def stamp(model: onnx.ModelProto, notes: dict[str, str]) -> None:
    """Remove what the exporter left, write the engine's own metadata and check the graph."""
    model.doc_string = ""
    model.producer_name, model.producer_version = "voiceauth", ""
    model.graph.doc_string = ""
    model.graph.name = "voiceauth-speaker"
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = ""
    onnx.helper.set_model_props(model, notes)
    onnx.checker.check_model(model)


def _description(student: Student) -> dict[str, str]:
    shape = student.shape
    return {
        "sample_rate": str(RATE_HZ),
        "dimension": str(DIMENSION),
        "architecture": f"ECAPA-TDNN-{shape.channels}, stride {shape.stride}",
        "front_end": f"{shape.mel_bands} mel bands {shape.low_hz:.0f}-{shape.high_hz:.0f} Hz, "
        "25/10 ms, log, mean removed",
    }
