# SPDX-License-Identifier: Apache-2.0
"""Inverted lists of 8-bit codes: they propose slots, and never say how like a voice is.

Rules:

* What is removed is out of its list at once: there are no marks to skip, and no ghosts.
* Codes are not vectors: whoever asks compares the proposed slots with the exact ones.
"""

import numpy as np
from numpy.typing import NDArray

from voiceauth.gallery.calling import call, library
from voiceauth.gallery.plan import ListPlan

TRAINING_PER_LIST = 40
"""Vectors per list that the lists' centres are found with; FAISS warns below 39."""
_ROUNDS = 8
_SEED = 1234


class InvertedLists:
    """Proposes the slots of vectors near a probe. Not thread-safe.

    Args:
        dimension: of a vector.
        plan: shape of the lists.
        sample: vectors to find the centres with, float32, shape (any, dimension), at least as many
            as there are lists.
    """

    def __init__(self, dimension: int, plan: ListPlan, sample: NDArray[np.float32]) -> None:
        self.plan = plan
        self._centres = library.IndexFlatIP(dimension)
        self._index = library.IndexIVFScalarQuantizer(
            self._centres,
            dimension,
            plan.lists,
            library.ScalarQuantizer.QT_8bit,
            library.METRIC_INNER_PRODUCT,
            False,  # codes of the vectors themselves, not of what a centre leaves
        )
        self._index.cp.niter = _ROUNDS
        self._index.cp.seed = _SEED
        self._index.cp.spherical = True
        call(self._index.train, np.ascontiguousarray(sample))
        # Removal finds a slot by this map instead of looking through every list.
        self._index.set_direct_map_type(library.DirectMap.Hashtable)
        self._index.nprobe = plan.probes

    def __len__(self) -> int:
        """Return the number of slots in the lists."""
        return int(self._index.ntotal)

    def add(self, slots: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Enter vectors, shape (slots, dimension), under slots that are not in the lists."""
        call(self._index.add_with_ids, np.ascontiguousarray(vectors), slots)

    def remove(self, slots: NDArray[np.int64]) -> None:
        """Take slots out; those that are not in are passed over."""
        if len(slots):
            call(self._index.remove_ids, slots)

    def near(
        self, probe: NDArray[np.float32], count: int, only: NDArray[np.int64] | None
    ) -> NDArray[np.int64]:
        """Propose slots for a probe, shape (1, dimension).

        Args:
            probe: unit norm.
            count: most slots to return.
            only: slots to choose from; None for all.

        Returns:
            Slots, shape (found,), in no order that means anything.
        """
        options, selector = library.SearchParametersIVF(nprobe=self.plan.probes), None
        if only is not None:
            # FAISS keeps bare pointers: these names keep bits and selector alive in the search.
            chosen = np.zeros(int(only.max()) // 8 + 1, dtype=np.uint8)
            np.bitwise_or.at(chosen, only // 8, (1 << (only % 8)).astype(np.uint8))
            selector = library.IDSelectorBitmap(chosen)
            options.sel = selector
        found: NDArray[np.int64] = call(self._index.search, probe, count, params=options)[1][0]
        return found[found >= 0]
