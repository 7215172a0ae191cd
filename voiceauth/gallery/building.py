# SPDX-License-Identifier: Apache-2.0
"""Build a tenant's lists beside running searches, and switch over to them.

(1) Under the lock: start noting which slots change, and copy a sample.
(2) Beside it: find the centres of the lists, the longest step.
(3) Slot by slot in small batches: copy under the lock, enter beside it.
(4) Look again at the slots that changed meanwhile, until few are left; those under the lock.
(5) Under the same lock: switch over. No search saw a half-built index, and none lost a voiceprint.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from voiceauth.gallery.lists import TRAINING_PER_LIST, InvertedLists
from voiceauth.gallery.plan import ListPlan
from voiceauth.gallery.voices import TenantVoices

BATCH = 2048
"""Slots that are copied at once: searches wait for less than a millisecond."""
FEW_CHANGES = 64
"""Slots that are entered under the lock before the switch."""
_SEED = 20_25


def build_lists(
    voices: TenantVoices, dimension: int, plan: ListPlan, stopped: Callable[[], bool]
) -> bool:
    """Build lists for one tenant and switch over to them.

    Args:
        voices: of the tenant; others may search and change it meanwhile.
        dimension: of an embedding.
        plan: shape of the lists.
        stopped: asked between steps; True gives up and leaves everything as it was.

    Returns:
        Whether the tenant is searched with the new lists.

    Raises:
        InternalError: FAISS failed; everything is as it was.
    """
    try:
        with voices.lock:  # (1)
            voices.changed = set()
            there = len(voices)
            sample = voices.rows.at(_sample(there, plan))
        built = InvertedLists(dimension, plan, sample)  # (2)
        del sample
        for slots in _batches(range(there)):  # (3)
            if stopped():
                return False
            _enter(voices, built, slots)
        return _catch_up(voices, built, stopped)  # (4), (5)
    finally:
        with voices.lock:
            voices.changed = None


def _sample(there: int, plan: ListPlan) -> NDArray[np.int64]:
    count = min(there, TRAINING_PER_LIST * plan.lists)
    chosen = np.random.default_rng(_SEED).choice(there, size=count, replace=False)
    return np.sort(chosen).astype(np.int64)


def _batches(slots: Iterable[int]) -> Iterable[NDArray[np.int64]]:
    whole = np.fromiter(slots, dtype=np.int64)
    return (whole[start : start + BATCH] for start in range(0, len(whole), BATCH))


def _enter(voices: TenantVoices, built: InvertedLists, slots: NDArray[np.int64]) -> None:
    """Enter what is in some slots now; one that changes later is noted and looked at again."""
    with voices.lock:
        slots = slots[slots < len(voices)]
        vectors = voices.rows.at(slots)
    built.add(slots, vectors)


def _catch_up(voices: TenantVoices, built: InvertedLists, stopped: Callable[[], bool]) -> bool:
    while not stopped():
        with voices.lock:
            changed, voices.changed = voices.changed or set(), set()
            if len(changed) <= FEW_CHANGES:
                left = np.array(sorted(changed), dtype=np.int64)
                built.remove(left)
                left = left[left < len(voices)]
                built.add(left, voices.rows.at(left))
                voices.lists = built  # (5)
                return True
        for slots in _batches(sorted(changed)):
            built.remove(slots)
            _enter(voices, built, slots)
    return False
