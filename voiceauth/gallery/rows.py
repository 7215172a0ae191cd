# SPDX-License-Identifier: Apache-2.0
"""The exact vectors of one tenant, densely in slots 0 to n - 1.

Rules:

* A slot that is given up is overwritten with zeros: what was taken out is nowhere in here.
* Growing copies nothing but a first, small block, so that no search waits for it.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from voiceauth.gallery.calling import call, library

BLOCK_ROWS = 65_536
_FIRST_ROWS = 64


class VectorRows:
    """Unit vectors by slot. Not thread-safe.

    Args:
        dimension: of a vector.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._blocks = [np.zeros((_FIRST_ROWS, dimension), dtype=np.float32)]
        self._count = 0

    def __len__(self) -> int:
        """Return the number of vectors."""
        return self._count

    def extend(self, vectors: NDArray[np.float32]) -> int:
        """Put vectors, shape (count, dimension), behind the last one; return the first slot."""
        first = self._count
        taken = 0
        while taken < len(vectors):
            if self._count == self._capacity():
                self._grow()
            block, row = divmod(self._count, BLOCK_ROWS)
            free = self._blocks[block][row:]
            part = vectors[taken : taken + len(free)]
            free[: len(part)] = part
            taken += len(part)
            self._count += len(part)
        return first

    def replace(self, slot: int, vector: NDArray[np.float32]) -> None:
        """Overwrite the vector of a slot."""
        block, row = divmod(slot, BLOCK_ROWS)
        self._blocks[block][row] = vector

    def drop(self, slot: int) -> int:
        """Take a vector out: the last one moves into its slot. Return the slot that is empty now.

        The empty slot was the last one; it equals ``slot`` where nothing had to move.
        """
        last = self._count - 1
        block, row = divmod(last, BLOCK_ROWS)
        if slot != last:
            self.replace(slot, self._blocks[block][row])
        self._blocks[block][row] = 0.0
        if row == 0 and block > 0:
            self._blocks.pop()
        self._count = last
        return last

    def at(self, slots: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copy the vectors of some slots, shape (slots, dimension)."""
        if len(self._blocks) == 1:
            return self._blocks[0][slots]
        taken = np.empty((len(slots), self._dimension), dtype=np.float32)
        blocks, rows = np.divmod(slots, BLOCK_ROWS)
        for block in np.unique(blocks):
            mine = blocks == block
            taken[mine] = self._blocks[block][rows[mine]]
        return taken

    def nearest(
        self, probe: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Compare a probe, shape (1, dimension), with all; return slots and cosines, best first."""
        slots, cosines = [], []
        for start, block in self._filled():
            found = call(
                library.knn, probe, block, min(count, len(block)), library.METRIC_INNER_PRODUCT
            )
            cosines.append(found[0][0])
            slots.append(found[1][0] + start)
        if not slots:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        return best(np.concatenate(slots), np.concatenate(cosines), count)

    def nearest_of(
        self, probe: NDArray[np.float32], slots: NDArray[np.int64], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Compare a probe, shape (1, dimension), with some slots; as ``nearest``."""
        cosines = np.einsum("ij,j->i", self.at(slots), probe[0])
        return best(slots, cosines, count)

    def _filled(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for number, block in enumerate(self._blocks):
            start = number * BLOCK_ROWS
            if start < self._count:
                yield start, block[: self._count - start]

    def _capacity(self) -> int:
        return (len(self._blocks) - 1) * BLOCK_ROWS + len(self._blocks[-1])

    def _grow(self) -> None:
        rows = len(self._blocks[-1])
        if rows < BLOCK_ROWS:
            larger = np.zeros((min(4 * rows, BLOCK_ROWS), self._dimension), dtype=np.float32)
            larger[:rows] = self._blocks[-1]
            self._blocks[-1][:] = 0.0
            self._blocks[-1] = larger
        else:
            self._blocks.append(np.zeros((BLOCK_ROWS, self._dimension), dtype=np.float32))


def best(
    slots: NDArray[np.int64], cosines: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the ``count`` slots of the largest cosines, best first, equals by slot."""
    if count < len(slots):
        kept = np.argpartition(-cosines, count)[:count]
        slots, cosines = slots[kept], cosines[kept]
    order = np.lexsort((slots, -cosines))
    return slots[order], cosines[order]
