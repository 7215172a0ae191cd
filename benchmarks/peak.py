# SPDX-License-Identifier: Apache-2.0
"""How much arithmetic a graph is, and how much one core does at best: the two ends of a fraction.

The best is measured, with the same runtime and in the same process: a square matrix product in
fp32, and one of unsigned by signed bytes (VNNI where the processor has it). A product of 768 by
768 stays in the cache and has no edges worth the name.
"""

import importlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest

SIZE = 768
REPEATS = 40


def operations(models: Path | None, samples: int) -> float | None:
    """Count multiplications and additions of convolutions and matrix products of the fp32 graph.

    Args:
        models: model directory; None for the packaged one.
        samples: of the waveform.

    Returns:
        Operations, two per multiplication; None without the package ``onnx``.
    """
    try:
        onnx: Any = importlib.import_module("onnx")
    except ImportError:
        return None
    directory = models or default_model_directory()
    graph = onnx.load(str(directory / read_manifest(directory).entry(None).file))
    wanted = [node for node in graph.graph.node if node.op_type in {"Conv", "MatMul", "Gemm"}]
    weights = {one.name: tuple(one.dims) for one in graph.graph.initializer}
    weights |= {
        node.output[0]: tuple(node.attribute[0].t.dims)
        for node in graph.graph.node
        if node.op_type == "Constant"
    }
    for node in graph.graph.node:  # weights that two layers share
        if node.op_type == "Identity" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
    del graph.graph.output[1:]
    for node in wanted:
        graph.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    waveform = np.zeros((1, samples), dtype=np.float32)
    _, *results = session.run(None, {session.get_inputs()[0].name: waveform})
    total = 0.0
    for node, result in zip(wanted, results, strict=True):
        shape = next(weights[name] for name in node.input if name in weights)
        # Each output of a convolution sums over its filter, one of a product over a row.
        depth = np.prod(shape[1:]) if node.op_type == "Conv" else shape[-1]
        total += 2.0 * result.size * float(depth)
    return total


def single_peak() -> float:
    """Measure fp32 operations per second of one core."""
    rng = np.random.default_rng(1)
    square = rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    return _measured(_product("MatMul", square), square)


def int8_peak() -> float:
    """Measure operations per second of one core on bytes."""
    rng = np.random.default_rng(1)
    # Seven bits of weight, as in the int8 form of the model.
    weights = rng.integers(-64, 64, (SIZE, SIZE), dtype=np.int8)
    data = rng.integers(0, 255, (SIZE, SIZE), dtype=np.uint8)
    return _measured(_product("MatMulInteger", weights), data)


def _product(operator: str, weights: Any) -> Any:
    onnx: Any = importlib.import_module("onnx")
    whole = operator == "MatMulInteger"
    kind, result = (
        (onnx.TensorProto.UINT8, onnx.TensorProto.INT32)
        if whole
        else (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT)
    )
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, ["a", "b"], ["c"])],
        "peak",
        [onnx.helper.make_tensor_value_info("a", kind, [SIZE, SIZE])],
        [onnx.helper.make_tensor_value_info("c", result, [SIZE, SIZE])],
        [onnx.numpy_helper.from_array(weights, "b")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 9
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _measured(session: Any, data: Any) -> float:
    """Return operations per processor second of the fastest tenth of the repeats."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        session.run(None, {"a": data})
        times.append(time.process_time() - began)
    return 2.0 * SIZE**3 / float(np.quantile(times, 0.1))
