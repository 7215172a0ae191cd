# SPDX-License-Identifier: Apache-2.0
"""Operations that leave places of time alone: nothing is masked, their shapes are followed."""

from collections.abc import Callable
from math import prod

import onnx

from voiceauth.models.padded_attributes import (
    attribute,
    integers,
    not_known,
    wanted_axes,
)
from voiceauth.models.padded_draft import Draft
from voiceauth.models.padded_lengths import (
    Batch,
    Length,
    Shape,
    broadcast,
    fixed,
    reshaped,
)
from voiceauth.models.padded_time import TIME_RULES

Rule = Callable[[Draft, onnx.NodeProto], None]

_ELEMENTWISE = frozenset(
    {
        *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Clip", "PRelu", "Identity"),
        *("Abs", "Neg", "Sqrt", "Exp", "Log", "Erf", "Reciprocal", "Sigmoid", "Tanh", "Softplus"),
        *("Relu", "LeakyRelu", "Elu", "Selu", "HardSigmoid", "HardSwish", "Gelu"),
    }
)


def elementwise(draft: Draft, node: onnx.NodeProto) -> None:
    """Each place for itself, by numpy's broadcasting."""
    draft.keep(node, broadcast(*(draft.shape(name) for name in node.input if name)))


def cast(draft: Draft, node: onnx.NodeProto) -> None:
    """Cast: of sizes to anything, of signals to float32 alone."""
    if node.input[0] in draft.sizes:
        draft.sizes[node.output[0]] = draft.sizes[node.input[0]]
        draft.nodes.append(node)
        return
    if attribute(node, "to", 0) != onnx.TensorProto.FLOAT:
        raise not_known(node, "leaves 32-bit floating point")
    draft.keep(node, draft.shape(node.input[0]))


def normalisation(draft: Draft, node: onnx.NodeProto) -> None:
    """BatchNormalization as it is used after training: per channel."""
    source = draft.shape(node.input[0])
    if attribute(node, "training_mode", 0) or len(source) < 2 or isinstance(source[1], Length):  # noqa: PLR2004
        raise not_known(node, "is not per channel")
    draft.keep(node, source)


def product(draft: Draft, node: onnx.NodeProto) -> None:
    """MatMul: time may be among the rows of the left or the columns of the right."""
    left, right = draft.shape(node.input[0]), draft.shape(node.input[1])
    if min(len(left), len(right)) < 2:  # noqa: PLR2004 - a matrix has two axes
        raise not_known(node, "multiplies a vector")
    if fixed(left[-1]) != fixed(right[-2]):
        raise not_known(node, f"cannot multiply {left} and {right}")
    draft.keep(node, (*broadcast(left[:-2], right[:-2]), left[-2], right[-1]))


def dense(draft: Draft, node: onnx.NodeProto) -> None:
    """Gemm: a row of features at a time."""
    left, right = draft.shape(node.input[0]), draft.shape(node.input[1])
    if attribute(node, "transA", 0) or Batch.ROWS in right:
        raise not_known(node, "mixes rows")
    turned = attribute(node, "transB", 0)
    if fixed(left[1]) != fixed(right[1 if turned else 0]):
        raise not_known(node, f"cannot multiply {left} and {right}")
    draft.keep(node, (left[0], right[0 if turned else 1]))


def concatenation(draft: Draft, node: onnx.NodeProto) -> None:
    """Concat: beside each other, never one after the other in time."""
    if any(name in draft.sizes for name in node.input):
        parts = [draft.vector(name) for name in node.input]
        draft.sizes[node.output[0]] = tuple(dim for part in parts for dim in part)
        draft.nodes.append(node)
        return
    shapes = [draft.shape(name) for name in node.input]
    axis = attribute(node, "axis", 0) % len(shapes[0])
    total = sum(fixed(shape[axis]) for shape in shapes)
    others = {(*shape[:axis], 1, *shape[axis + 1 :]) for shape in shapes}
    if len(others) != 1:
        raise not_known(node, f"puts {shapes} together")
    draft.keep(node, (*shapes[0][:axis], total, *shapes[0][axis + 1 :]))


def splitting(draft: Draft, node: onnx.NodeProto) -> None:
    """Split: along another axis than time."""
    source = draft.shape(node.input[0])
    axis = attribute(node, "axis", 0) % len(source)
    whole, count = fixed(source[axis]), len(node.output)
    most = -(-whole // count)
    equal = [min(most, whole - most * place) for place in range(count)]
    sizes = integers(draft, node, 1, "split") or equal
    draft.keep(node, *((*source[:axis], size, *source[axis + 1 :]) for size in sizes))


def unsqueezing(draft: Draft, node: onnx.NodeProto) -> None:
    """Unsqueeze: further axes of one place."""
    if node.input[0] in draft.sizes:
        draft.sizes[node.output[0]] = draft.sizes[node.input[0]]
        draft.nodes.append(node)
        return
    source = draft.shape(node.input[0])
    rank = len(source) + len(integers(draft, node, 1, "axes") or [])
    axes, left = wanted_axes(draft, node, 1, rank), iter(source)
    draft.keep(node, tuple(1 if axis in axes else next(left) for axis in range(rank)))


def squeezing(draft: Draft, node: onnx.NodeProto) -> None:
    """Squeeze: axes of one place go."""
    source = draft.shape(node.input[0])
    axes = wanted_axes(draft, node, 1, len(source))
    if any(source[axis] != 1 for axis in axes):
        raise not_known(node, f"drops axes {axes} of {source}")
    draft.keep(node, tuple(dim for axis, dim in enumerate(source) if axis not in axes))


def flattening(draft: Draft, node: onnx.NodeProto) -> None:
    """Flatten: what a row holds becomes one axis; a row with time cannot."""
    source = draft.shape(node.input[0])
    if attribute(node, "axis", 1) != 1:
        raise not_known(node, "mixes rows")
    draft.keep(node, (source[0], prod(fixed(dim) for dim in source[1:])))


def transposition(draft: Draft, node: onnx.NodeProto) -> None:
    """Transpose: the rows stay in front."""
    source = draft.shape(node.input[0])
    order = attribute(node, "perm", list(reversed(range(len(source)))))
    draft.keep(node, tuple(source[axis] for axis in order))


def reshaping(draft: Draft, node: onnx.NodeProto) -> None:
    """Reshape: rows and time stay whole."""
    if attribute(node, "allowzero", 0):
        raise not_known(node, "has axes of no place")
    draft.keep(node, reshaped(draft.shape(node.input[0]), draft.vector(node.input[1])))


def expansion(draft: Draft, node: onnx.NodeProto) -> None:
    """Expand: by numpy's broadcasting."""
    draft.keep(node, broadcast(draft.shape(node.input[0]), draft.vector(node.input[1])))


def shape_of(draft: Draft, node: onnx.NodeProto) -> None:
    """Shape: sizes of a tensor."""
    source = draft.shape(node.input[0])
    part = slice(attribute(node, "start", 0), attribute(node, "end", None))
    draft.sizes[node.output[0]] = source[part]
    draft.nodes.append(node)


def gathering(draft: Draft, node: onnx.NodeProto) -> None:
    """Gather: single sizes, or places of a fixed axis."""
    chosen = draft.known(node.input[1])
    if node.input[0] in draft.sizes:
        sizes = draft.sizes[node.input[0]]
        draft.sizes[node.output[0]] = tuple(sizes[int(place)] for place in chosen.ravel())
        draft.nodes.append(node)
        return
    source = draft.shape(node.input[0])
    axis = attribute(node, "axis", 0) % len(source)
    fixed(source[axis])
    between: Shape = tuple(int(size) for size in chosen.shape)
    draft.keep(node, source[:axis] + between + source[axis + 1 :])


RULES: dict[str, Rule] = {
    **TIME_RULES,
    **dict.fromkeys(_ELEMENTWISE, elementwise),
    "BatchNormalization": normalisation,
    "Cast": cast,
    "Concat": concatenation,
    "Expand": expansion,
    "Flatten": flattening,
    "Gather": gathering,
    "Gemm": dense,
    "MatMul": product,
    "Reshape": reshaping,
    "Shape": shape_of,
    "Split": splitting,
    "Squeeze": squeezing,
    "Transpose": transposition,
    "Unsqueeze": unsqueezing,
}
"""Every operation that is understood; a graph with another one is refused."""
