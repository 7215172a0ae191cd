# SPDX-License-Identifier: Apache-2.0
"""Make ``tiny-speaker.onnx``: a speaker model of a few hundred bytes, for tests without a model.

    python tests/data/make_tiny_speaker.py

Needs the ``onnx`` package, which the engine itself does not. The graph's embedding is the unit
vector along (mean, mean of |x|, root mean square, 0.1). Input that is louder than possible, with a
mean of |x| above 2, makes it return NaN, as a broken model would.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

OPSET = 17
RATE_HZ = 8000


def tiny_speaker() -> onnx.ModelProto:
    """Build the graph."""

    def mean(source: str, target: str) -> onnx.NodeProto:
        return helper.make_node("ReduceMean", [source], [target], axes=[1], keepdims=1)

    nodes = [
        mean("waveform", "average"),
        helper.make_node("Abs", ["waveform"], ["magnitude"]),
        mean("magnitude", "loudness"),
        helper.make_node("Mul", ["waveform", "waveform"], ["power"]),
        mean("power", "square"),
        helper.make_node("Sqrt", ["square"], ["root"]),
        helper.make_node("Mul", ["average", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "tenth"], ["constant"]),
        helper.make_node("Concat", ["average", "loudness", "root", "constant"], ["raw"], axis=1),
        helper.make_node("ReduceL2", ["raw"], ["norm"], axes=[1], keepdims=1),
        helper.make_node("Div", ["raw", "norm"], ["unit"]),
        helper.make_node("Sub", ["limit", "loudness"], ["headroom"]),
        helper.make_node("Sqrt", ["headroom"], ["nan_if_too_loud"]),
        helper.make_node("Mul", ["nan_if_too_loud", "zero"], ["nan_or_zero"]),
        helper.make_node("Add", ["unit", "nan_or_zero"], ["embedding"]),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [1], [value])
        for name, value in (("zero", 0.0), ("tenth", 0.1), ("limit", 2.0))
    ]
    graph = helper.make_graph(
        nodes,
        "tiny-speaker",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 4])],
        constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name=""
    )
    helper.set_model_props(model, {"sample_rate": str(RATE_HZ)})
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    onnx.save(tiny_speaker(), str(Path(__file__).parent / "tiny-speaker.onnx"))
