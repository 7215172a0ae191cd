# SPDX-License-Identifier: Apache-2.0
"""Make ``tiny-spoof.onnx``: a spoof model of a few hundred bytes, for tests without a model.

    python tests/data/make_tiny_spoof.py

Needs the ``onnx`` package, which the engine itself does not. The score is ten times the mean.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

OPSET = 17
RATE_HZ = 8000


def tiny_spoof() -> onnx.ModelProto:
    """Build the graph."""
    nodes = [
        helper.make_node("ReduceMean", ["waveform"], ["average"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["average", "ten"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny-spoof",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"])],
        [helper.make_tensor("ten", TensorProto.FLOAT, [], [10.0])],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name=""
    )
    helper.set_model_props(model, {"sample_rate": str(RATE_HZ), "role": "spoof"})
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    onnx.save(tiny_spoof(), str(Path(__file__).parent / "tiny-spoof.onnx"))
