# SPDX-License-Identifier: Apache-2.0
"""The graph for padded batches while it is being written: nodes, shapes, and masks of padding.

Masks and lengths are made once for each length that occurs; ``only`` makes a tensor's padding a
given value. It chooses rather than multiplies: what a layer makes of padding may be infinite.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from voiceauth.errors import UnbatchableModelError
from voiceauth.models.padded_lengths import Dim, Length, Shape, fixed, settled, time_axis

PREFIX = "padded/"
"""Of every name that is new in the graph."""
LENGTHS = f"{PREFIX}lengths"
"""The second input: samples of each row, int64, shape (rows,)."""


class Draft:
    """A graph under way.

    Args:
        waveform: name of the graph's input, float32, shape (rows, samples).
        constants: the tensors that are known.

    Attributes:
        nodes: in order.
        shapes: of the tensors so far, of constants too.
        sizes: what the computed vectors of sizes hold.
    """

    def __init__(self, waveform: str, constants: dict[str, NDArray[Any]]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.shapes: dict[str, Shape] = {
            name: tuple(array.shape) for name, array in constants.items()
        }
        self.sizes: dict[str, tuple[Dim, ...]] = {}
        self._waveform = waveform
        self._constants = constants
        self._new: dict[str, NDArray[Any]] = {}
        self._made: dict[tuple[object, ...], str] = {}

    @property
    def new_constants(self) -> list[onnx.TensorProto]:
        """What the graph needs beside its own."""
        return [numpy_helper.from_array(array, name) for name, array in self._new.items()]

    def shape(self, name: str) -> Shape:
        """Return a tensor's shape. Raises UnbatchableModelError where it is not known."""
        try:
            return self.shapes[name]
        except KeyError as error:
            raise UnbatchableModelError(detail=f"the shape of {name!r} is not known") from error

    def known(self, name: str) -> NDArray[Any]:
        """Return a constant. Raises UnbatchableModelError where it is none."""
        try:
            return self._constants[name]
        except KeyError as error:
            raise UnbatchableModelError(detail=f"{name!r} is computed, not constant") from error

    def vector(self, name: str) -> tuple[Dim, ...]:
        """Return a vector of sizes, computed or constant. Raises UnbatchableModelError."""
        if name in self.sizes:
            return self.sizes[name]
        return tuple(int(size) for size in self.known(name).ravel())

    def keep(self, node: onnx.NodeProto, *shapes: Shape) -> None:
        """Take a node as it is, with the shapes of what it gives."""
        self.nodes.append(node)
        for name, shape in zip(node.output, shapes, strict=True):
            self.shapes[name] = settled(shape, f"{node.op_type} {node.name}".strip())

    def keep_on(self, node: onnx.NodeProto, source: str, *shapes: Shape) -> None:
        """Take a node, with another first input."""
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        changed.input[0] = source
        self.keep(changed, *shapes)

    def add(self, op: str, inputs: Sequence[str], *, output: str = "", **attributes: Any) -> str:
        """Write a new node; return the name of what it gives."""
        output = output or f"{PREFIX}{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def constant(self, value: NDArray[Any]) -> str:
        """Return the name of a new constant."""
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._made:
            self._made[key] = f"{PREFIX}constant_{len(self._new)}"
            self._new[self._made[key]] = value
        return self._made[key]

    def only(self, name: str, beyond: float) -> str:
        """Return a tensor whose places beyond each row's own hold one value."""
        shape = self.shape(name)
        axis = time_axis(shape)
        if axis is None:
            return name
        key = ("only", name, beyond)
        if key not in self._made:
            filling = self.constant(np.array(beyond, dtype=np.float32))
            mask = self._mask(_length(shape[axis]), len(shape), axis)
            self._made[key] = self.add("Where", [mask, name, filling])
        return self._made[key]

    def mirrored(self, name: str, before: int, behind: int, output: str) -> None:
        """Put on a tensor's mirror image at both ends of time, at each row's own end."""
        shape = self.shape(name)
        axis = time_axis(shape)
        if axis is None:
            raise UnbatchableModelError(detail=f"{name!r} has no time")
        key = ("mirror", shape, before, behind)
        if key not in self._made:
            length = _length(shape[axis])
            apart = self.add(
                "Sub", [self._places(length.plus(before + behind)), self._number(before)]
            )
            last = self._beside(self._of_rows(length.plus(-1)), [1])
            over = self.add("Abs", [self.add("Sub", [last, self.add("Abs", [apart])])])
            source = self.add("Max", [self.add("Sub", [last, over]), self._number(0)])
            flat = self._beside(source, [other for other in range(1, len(shape)) if other != axis])
            wide = [1 if place in {0, axis} else fixed(dim) for place, dim in enumerate(shape)]
            self._made[key] = self.add(
                "Expand", [flat, self.constant(np.array(wide, dtype=np.int64))]
            )
        self.add("GatherElements", [name, self._made[key]], output=output, axis=axis)

    def count(self, dim: Dim, rank: int, times: int) -> str:
        """Return how many places each row has, times a number, float32, shape (rows, 1, ...)."""
        key = ("count", dim, rank, times)
        if key not in self._made:
            counted = self.add("Mul", [self._of_rows(_length(dim)), self._number(times)])
            number = self.add("Cast", [counted], to=onnx.TensorProto.FLOAT)
            self._made[key] = self._beside(number, range(1, rank))
        return self._made[key]

    def _mask(self, length: Length, rank: int, axis: int) -> str:
        """Return where a row's own places are, bool, shape (rows, 1, ..., places, 1, ...)."""
        key = ("mask", length, rank, axis)
        if key not in self._made:
            others = [other for other in range(1, rank) if other != axis]
            self._made[key] = self._beside(self._flat_mask(length), others)
        return self._made[key]

    def _flat_mask(self, length: Length) -> str:
        key = ("flat mask", length)
        if key not in self._made:
            own = self._beside(self._of_rows(length), [1])
            self._made[key] = self.add("Less", [self._places(length), own])
        return self._made[key]

    def _places(self, length: Length) -> str:
        """Return the places of the padded batch, int64, shape (places,)."""
        key = ("places", length)
        if key not in self._made:
            zero, one = self._number(0), self._number(1)
            samples = self.add("Gather", [self.add("Shape", [self._waveform]), one])
            most = self._formula(samples, length)
            self._made[key] = self.add("Range", [zero, most, one])
        return self._made[key]

    def _of_rows(self, length: Length) -> str:
        key = ("length", length)
        if key not in self._made:
            self._made[key] = self._formula(LENGTHS, length)
        return self._made[key]

    def _formula(self, samples: str, length: Length) -> str:
        moved = self.add("Add", [samples, self._number(length.offset)])
        divided = self.add("Div", [moved, self._number(length.hop)])
        return self.add("Add", [divided, self._number(length.more)])

    def _number(self, value: int) -> str:
        return self.constant(np.array(value, dtype=np.int64))

    def _beside(self, name: str, axes: Sequence[int]) -> str:
        if not axes:
            return name
        return self.add("Unsqueeze", [name, self.constant(np.array(axes, dtype=np.int64))])


def _length(dim: Dim) -> Length:
    if not isinstance(dim, Length):
        raise UnbatchableModelError(detail="an axis is not time")
    return dim
