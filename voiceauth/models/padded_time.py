# SPDX-License-Identifier: Apache-2.0
"""Operations that look along time, and what has to be done so that they do not see padding.

Rules:

* What pads a row at its end when it runs alone must find the same padding behind the row's own end
  in a batch: a convolution zeros, ``Pad`` its value.
* What sums up a row counts its own places only.
* Where nothing beyond a row's end is looked at, nothing is masked.
"""

from collections.abc import Callable
from math import prod

import numpy as np
import onnx

from voiceauth.models.padded_attributes import (
    attribute,
    integers,
    not_known,
    optional_input,
    wanted_axes,
)
from voiceauth.models.padded_draft import Draft
from voiceauth.models.padded_lengths import Dim, Length, Shape, convolved, fixed, more, time_axis

_LEAST = float(np.finfo(np.float32).min)
_BEYOND = {
    "ReduceSum": 0.0,
    "ReduceL1": 0.0,
    "ReduceL2": 0.0,
    "ReduceSumSquare": 0.0,
    "ReduceMax": _LEAST,
    "ReduceMin": -_LEAST,
}
"""What a place must hold to change nothing in the result."""
_OPEN_END = 2**31 - 1
"""Graphs write "to the end" as a number at least this large."""


def convolution(draft: Draft, node: onnx.NodeProto) -> None:
    """Conv: zeros behind each row's end, where the kernel reaches there."""
    source, kernel = draft.shape(node.input[0]), draft.shape(node.input[1])
    spatial = len(source) - 2
    if spatial < 1 or attribute(node, "auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        raise not_known(node, "pads in its own way")
    if isinstance(source[1], Length) or time_axis(kernel) is not None:
        raise not_known(node, "takes time for channels")
    pads = attribute(node, "pads", [0] * (2 * spatial))
    strides = attribute(node, "strides", [1] * spatial)
    dilations = attribute(node, "dilations", [1] * spatial)
    found = [
        convolved(
            dim,
            kernel=fixed(kernel[place + 2]),
            stride=strides[place],
            dilation=dilations[place],
            padding=pads[place] + pads[place + spatial],
        )
        for place, dim in enumerate(source[2:])
    ]
    time = time_axis(source)
    reaches = time is not None and pads[time - 2 + spatial] > 0
    name = draft.only(node.input[0], 0.0) if reaches else node.input[0]
    draft.keep_on(node, name, (source[0], kernel[0], *found))


def padding(draft: Draft, node: onnx.NodeProto) -> None:
    """Pad: its value, or the mirror image, behind each row's own end."""
    name, source = node.input[0], draft.shape(node.input[0])
    pads = integers(draft, node, 1, "pads") or []
    if optional_input(node, 3) or len(pads) != 2 * len(source):
        raise not_known(node, "names its axes")
    before, behind = pads[: len(source)], pads[len(source) :]
    padded = [axis for axis in range(len(source)) if before[axis] or behind[axis]]
    shape = tuple(
        more(dim, before[axis] + behind[axis]) if axis in padded else dim
        for axis, dim in enumerate(source)
    )
    time = time_axis(source)
    if time is None or time not in padded:
        draft.keep(node, shape)
        return
    mode = attribute(node, "mode", "constant")
    if min(before[time], behind[time]) < 0 or mode not in {"constant", "reflect"}:
        raise not_known(node, f"pads time in mode {mode}, or cuts it")
    if mode == "constant":
        value = optional_input(node, 2)
        beyond = float(draft.known(value).item()) if value else 0.0
        draft.keep_on(node, draft.only(name, beyond) if behind[time] else name, shape)
        return
    if padded != [time]:
        raise not_known(node, "mirrors time together with another axis")
    draft.mirrored(name, before[time], behind[time], node.output[0])
    draft.shapes[node.output[0]] = shape


def cut(draft: Draft, node: onnx.NodeProto) -> None:
    """Slice: of time it may take away a number of places at either end."""
    starts, ends = integers(draft, node, 1, "starts"), integers(draft, node, 2, "ends")
    if starts is None or ends is None:
        raise not_known(node, "does not say where to cut")
    if node.input[0] in draft.sizes:
        first = slice(starts[0], ends[0], (integers(draft, node, 4, "steps") or [1])[0])
        draft.sizes[node.output[0]] = draft.sizes[node.input[0]][first]
        draft.nodes.append(node)
        return
    source = list(draft.shape(node.input[0]))
    axes = integers(draft, node, 3, "axes") or list(range(len(starts)))
    steps = integers(draft, node, 4, "steps") or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        source[axis] = _cut(node, source[axis], slice(start, end, step))
    draft.keep(node, tuple(source))


def _cut(node: onnx.NodeProto, dim: Dim, part: slice) -> Dim:
    if isinstance(dim, Length):
        if part.step != 1 or part.start < 0 or 0 <= part.stop < _OPEN_END:
            raise not_known(node, "cuts time at a fixed place")
        return dim.plus(min(part.stop, 0) - part.start)
    return len(range(*part.indices(fixed(dim))))


def reduction(draft: Draft, node: onnx.NodeProto) -> None:
    """ReduceMean and its like: over a row's own places."""
    source = draft.shape(node.input[0])
    axes = wanted_axes(draft, node, 1, len(source))
    keeps = bool(attribute(node, "keepdims", 1))
    shape = _reduced(source, axes, keeps=keeps)
    time = time_axis(source)
    if 0 in axes:
        raise not_known(node, "mixes rows")
    if time not in axes or time is None:
        draft.keep(node, shape)
        return
    if node.op_type in _BEYOND:
        draft.keep_on(node, draft.only(node.input[0], _BEYOND[node.op_type]), shape)
        return
    beside = prod(fixed(source[axis]) for axis in axes if axis != time)
    own = draft.only(node.input[0], 0.0)
    total = draft.add(
        "ReduceSum", [own, draft.constant(np.array(axes, dtype=np.int64))], keepdims=int(keeps)
    )
    number = draft.count(source[time], len(shape), times=beside)
    draft.add("Div", [total, number], output=node.output[0])
    draft.shapes[node.output[0]] = shape


def _reduced(source: Shape, axes: list[int], *, keeps: bool) -> Shape:
    kept = [1 if axis in axes else dim for axis, dim in enumerate(source)]
    return tuple(dim for axis, dim in enumerate(kept) if keeps or axis not in axes)


def softmax(draft: Draft, node: onnx.NodeProto) -> None:
    """Softmax: places beyond a row's end weigh nothing."""
    source = draft.shape(node.input[0])
    axis = attribute(node, "axis", -1) % len(source)
    if axis == 0:
        raise not_known(node, "mixes rows")
    over_time = axis == time_axis(source)
    draft.keep_on(node, draft.only(node.input[0], _LEAST) if over_time else node.input[0], source)


TIME_RULES: dict[str, Callable[[Draft, onnx.NodeProto], None]] = {
    "Conv": convolution,
    "Pad": padding,
    "Slice": cut,
    "Softmax": softmax,
    "ReduceMean": reduction,
    **dict.fromkeys(_BEYOND, reduction),
}
