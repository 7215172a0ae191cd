# SPDX-License-Identifier: Apache-2.0
"""ONNX export of the spoof detector with a parity check on several lengths.

The file takes ``waveform`` [batch, samples] float32 at 8 kHz and gives ``logit`` [batch].
"""

import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from voiceauth.errors import ModelOutputError
from voiceauth.models.session import Session
from voiceauth.models.speaker import RATE_NOTE
from voiceauth.models.spoof import RATE_HZ, ROLE, ROLE_NOTE
from voiceauth.training.spoof_net import SpoofNet

OPSET = 17
PARITY_SECONDS = (1.0, 2.0, 3.3)
PARITY_LOGIT = 1e-2


def export_spoof(network: SpoofNet, path: Path, licence: str) -> float:
    """Write the network as ONNX, replacing the file atomically once parity holds.

    Args:
        network: in any mode; it is not changed.
        path: file to write.
        licence: SPDX expression, stated in the file.

    Returns:
        The largest difference of a logit between torch and ONNX Runtime.

    Raises:
        ModelOutputError: the exported graph does not reproduce the network.
    """
    network = copy.deepcopy(network).eval()
    buffer: Any = io.BytesIO()
    torch.onnx.export(
        network,
        (torch.randn(2, 2 * RATE_HZ) * 0.05,),
        buffer,
        input_names=["waveform"],
        output_names=["logit"],
        dynamic_axes={"waveform": {0: "batch", 1: "samples"}, "logit": {0: "batch"}},
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load_from_string(buffer.getvalue())
    _stamp(model, licence)
    content = model.SerializeToString()
    difference = _difference(network, content)
    if not difference < PARITY_LOGIT:
        raise ModelOutputError(detail=f"ONNX differs by {difference:.2g} in a logit")
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
    return difference


def _difference(network: SpoofNet, content: bytes) -> float:
    session = Session(content)
    rng = np.random.default_rng(0)
    largest = 0.0
    for seconds in PARITY_SECONDS:
        shape = (2, round(seconds * RATE_HZ))
        waveform = (0.05 * rng.standard_normal(shape)).astype(np.float32)
        waveform *= np.abs(np.sin(np.arange(shape[1], dtype=np.float32) / 900.0))
        with torch.inference_mode():
            expected = network(torch.from_numpy(waveform)).numpy()
        largest = max(largest, float(np.abs(session.run(waveform) - expected).max()))
    return largest


def _stamp(model: onnx.ModelProto, licence: str) -> None:
    """Remove what the exporter left of the machine and state what the file is."""
    model.doc_string = ""
    model.producer_name, model.producer_version = "voiceauth", ""
    model.graph.doc_string, model.graph.name = "", "voiceauth-spoof"
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    notes = {RATE_NOTE: str(RATE_HZ), ROLE_NOTE: ROLE, "licence": licence}
    onnx.helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
