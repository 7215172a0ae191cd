# SPDX-License-Identifier: Apache-2.0
"""Small graphs for tests: a list of operations from ``waveform`` to ``answer``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
Operation = tuple[str, Sequence[str], str, Mapping[str, Any]]
"""Its kind, what it takes, what it gives, its attributes."""


def graph(
    operations: Sequence[Operation],
    constants: Mapping[str, NDArray[Any]] | None = None,
    *,
    answer: Sequence[int | str] = ("rows", "values"),
    opset: int = OPSET,
    notes: Mapping[str, str] | None = None,
) -> bytes:
    """Return an ONNX file of the operations.

    Args:
        operations: in order; one takes ``waveform``, one gives ``answer``.
        constants: by name.
        answer: the shape of what it gives.
        opset: of the operators.
        notes: metadata.
    """
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(kind, list(takes), [gives], **attributes)
                for kind, takes, gives, attributes in operations
            ],
            "small",
            [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["rows", "samples"])],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, list(answer))],
            [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    helper.set_model_props(model, dict(notes or {}))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def numbers(*values: int) -> NDArray[np.int64]:
    """Return sizes or axes."""
    return np.array(values, dtype=np.int64)


def weights(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Return weights of a network that was never trained."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
