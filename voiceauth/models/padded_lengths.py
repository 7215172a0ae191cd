# SPDX-License-Identifier: Apache-2.0
"""Shapes of a graph's tensors, with the one axis whose length each row of a batch has its own of.

Every layer that strides, pads or cuts along time turns a row's length into another one. All of
them together are of one form: ``(samples + offset) // hop + more``. So two paths through a network
that end in equally many frames are seen to do so, and each row's frames can be computed from its
samples alone.
"""

from dataclasses import dataclass
from enum import Enum
from math import prod

from voiceauth.errors import UnbatchableModelError


class Batch(Enum):
    """The axis of the rows."""

    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Length:
    """How many places along time a row has: ``(samples + offset) // hop + more``.

    Attributes:
        offset: from 0 to ``hop - 1``, so that equal lengths have equal terms.
        hop: samples from one place to the next.
        more: places beside those.
    """

    offset: int = 0
    hop: int = 1
    more: int = 0

    def plus(self, places: int) -> "Length":
        """Return the length with that many more places, or fewer."""
        return Length(self.offset, self.hop, self.more + places)

    def over(self, stride: int) -> "Length":
        """Return the length divided by a stride, rounded down."""
        more, offset = divmod(self.offset + self.more * self.hop, self.hop * stride)
        return Length(offset, self.hop * stride, more)


Dim = int | Batch | Length
Shape = tuple[Dim, ...]


def time_axis(shape: Shape) -> int | None:
    """Return which axis is time; None without one."""
    return next((axis for axis, dim in enumerate(shape) if isinstance(dim, Length)), None)


def more(dim: Dim, places: int) -> Dim:
    """Return a dimension with that many more places. Raises UnbatchableModelError for rows."""
    return dim.plus(places) if isinstance(dim, Length) else fixed(dim) + places


def convolved(dim: Dim, *, kernel: int, stride: int, dilation: int, padding: int) -> Dim:
    """Return a dimension behind a convolution.

    Args:
        dim: before it.
        kernel: taps.
        stride: places from one output to the next.
        dilation: places from one tap to the next.
        padding: places that are put on, at both ends together.
    """
    room = more(dim, padding - dilation * (kernel - 1) - 1)
    return more(room.over(stride) if isinstance(room, Length) else fixed(room) // stride, 1)


def fixed(dim: Dim) -> int:
    """Return a dimension that must be a number. Raises UnbatchableModelError."""
    if not isinstance(dim, int):
        raise UnbatchableModelError(detail=f"an axis is to be of fixed size, and is {dim}")
    return dim


def settled(shape: Shape, what: str) -> Shape:
    """Return a shape whose rows stand in front and which has one time at most.

    Raises:
        UnbatchableModelError: it is another kind of shape.
    """
    if Batch.ROWS in shape[1:] or sum(isinstance(dim, Length) for dim in shape) > 1:
        raise UnbatchableModelError(detail=f"{what} mixes rows or times: {shape}")
    if time_axis(shape) is not None and shape[0] is not Batch.ROWS:
        raise UnbatchableModelError(detail=f"{what} has time without rows: {shape}")
    return shape


def broadcast(*shapes: Shape) -> Shape:
    """Return the shape that numpy's rule gives. Raises UnbatchableModelError if there is none."""
    rank = max((len(shape) for shape in shapes), default=0)
    aligned = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_common({dim for dim in dims if dim != 1}) for dims in zip(*aligned, strict=True))


def _common(dims: set[Dim]) -> Dim:
    if len(dims) > 1:
        raise UnbatchableModelError(detail=f"axes of {dims} cannot be told to be equal")
    return next(iter(dims), 1)


def reshaped(source: Shape, target: Shape) -> Shape:
    """Return what a tensor becomes; a 0 of the target keeps an axis, its -1 is what is left.

    Raises:
        UnbatchableModelError: time would not stay whole, or rows.
    """
    if any(dim == 0 and axis >= len(source) for axis, dim in enumerate(target)):
        raise UnbatchableModelError(detail=f"{source} cannot become {target}")
    kept = [source[axis] if dim == 0 else dim for axis, dim in enumerate(target)]
    if -1 in kept:
        kept[kept.index(-1)] = _left(source, [dim for dim in kept if dim != -1])
    if _blocks(source) != _blocks(tuple(kept)):
        raise UnbatchableModelError(detail=f"{source} cannot become {target}")
    return tuple(kept)


def _left(source: Shape, kept: list[Dim]) -> Dim:
    missing = [dim for dim in source if not isinstance(dim, int) and dim not in kept]
    if missing:
        return missing[0]
    return _size(source) // max(_size(tuple(kept)), 1)


def _size(shape: Shape) -> int:
    return prod(dim for dim in shape if isinstance(dim, int))


def _blocks(shape: Shape) -> list[Dim]:
    """The open axes, and between them how many fixed places stand: what a reshape must keep."""
    blocks: list[Dim] = [1]
    for dim in shape:
        if isinstance(dim, int):
            blocks[-1] = fixed(blocks[-1]) * dim
        else:
            blocks += [dim, 1]
    return blocks
