# SPDX-License-Identifier: Apache-2.0
"""Rewrite a model's graph so that spans of unequal length can run in one padded batch.

Padding changes what a network says: convolutions see it, means count it, attention weighs it. The
rewritten graph has a second input, each row's own samples, and hides the padding wherever an
operation would look at it, so that each row gets what the original graph gives for it alone.

Rules:

* The file is not touched: the graph is rewritten in memory, at the start.
* What is not understood is refused, never guessed: one unknown operation, one fixed length, and
  there is no padded graph. Whoever uses it compares both graphs besides (``padded.py``).

Needs the ``onnx`` package (extra ``gpu``); ``models.padded`` imports this module where it is there.
"""

import tempfile
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from voiceauth.errors import IntegrityError, UnbatchableModelError
from voiceauth.models.padded_attributes import not_known
from voiceauth.models.padded_draft import LENGTHS, Draft
from voiceauth.models.padded_lengths import Batch, Length, time_axis
from voiceauth.models.padded_rules import RULES
from voiceauth.models.session import RUNTIME_ERRORS

OLDEST_OPERATORS = 13
"""From here on Softmax is over one axis, and axes of sums are an input."""


def padded_graph(content: bytes) -> bytes:
    """Return the graph for padded batches.

    Args:
        content: an ONNX file: float32 waveforms (rows, samples) in, one answer per row out.

    Returns:
        An ONNX file that takes ``padded_draft.LENGTHS`` besides.

    Raises:
        UnbatchableModelError: something in the graph is not understood.
        IntegrityError: the content is no model.
    """
    model = _folded(content)
    graph = model.graph
    draft = Draft(_waveform(model), _constants(graph))
    draft.shapes[graph.input[0].name] = (Batch.ROWS, Length())
    for node in graph.node:
        rule = RULES.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
        if rule is None:
            raise not_known(node, "is not understood")
        rule(draft, node)
    for output in graph.output:
        shape = draft.shape(output.name)
        if shape[:1] != (Batch.ROWS,) or time_axis(shape) is not None:
            raise UnbatchableModelError(detail=f"{output.name} has shape {shape}")
    _replace(graph, draft)
    return bytes(model.SerializeToString())


def _folded(content: bytes) -> onnx.ModelProto:
    """Let the runtime compute what is constant; sizes of paddings are often a dozen nodes."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            return onnx.load(options.optimized_model_filepath)
        except RUNTIME_ERRORS as error:
            raise IntegrityError("The model file cannot be loaded.", detail=str(error)) from error


def _waveform(model: onnx.ModelProto) -> str:
    operators = [one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}]
    inputs = model.graph.input
    if max(operators, default=0) < OLDEST_OPERATORS:
        raise UnbatchableModelError(detail=f"operator set {operators}")
    kind = inputs[0].type.tensor_type if len(inputs) == 1 else None
    if kind is None or kind.elem_type != onnx.TensorProto.FLOAT or len(kind.shape.dim) != 2:  # noqa: PLR2004
        raise UnbatchableModelError(detail="the graph does not take one batch of waveforms")
    return str(inputs[0].name)


def _constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    return {one.name: numpy_helper.to_array(one) for one in graph.initializer}


def _replace(graph: onnx.GraphProto, draft: Draft) -> None:
    del graph.node[:]
    # What was inferred for the old graph need not hold for the new one.
    del graph.value_info[:]
    graph.node.extend(draft.nodes)
    graph.initializer.extend(draft.new_constants)
    graph.input.append(
        helper.make_tensor_value_info(LENGTHS, onnx.TensorProto.INT64, ["rows of lengths"])
    )
