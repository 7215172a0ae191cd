# SPDX-License-Identifier: Apache-2.0
"""One tenant's voiceprints: names, groups, exact vectors, and lists where there are many.

Whoever calls holds ``lock``. A slot is a row of the exact vectors; the lists know slots only. When
lists are being built beside running calls, ``changed`` notes the slots that they have to look at
again.
"""

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InternalError
from voiceauth.gallery.lists import InvertedLists
from voiceauth.gallery.plan import PlanRule
from voiceauth.gallery.rows import VectorRows
from voiceauth.types import GroupName, SubjectId, VoiceprintId
from voiceauth.units import Cosine

LEAST_PROPOSALS = 64
"""Slots that lists propose, at least, for the exact vectors to choose from."""
PROPOSALS_PER_RESULT = 4


class TenantVoices:
    """A tenant's part of the gallery. Not thread-safe: hold ``lock``.

    Args:
        dimension: of an embedding.
        rule: when a group is small enough to be compared whole.
    """

    def __init__(self, dimension: int, rule: PlanRule) -> None:
        self.lock = threading.Lock()
        self.rows = VectorRows(dimension)
        self.lists: InvertedLists | None = None
        self.changed: set[int] | None = None
        self._rule = rule
        self._owners: list[SubjectId] = []
        self._names: list[VoiceprintId] = []
        self._slots: dict[VoiceprintId, int] = {}
        self._held: dict[SubjectId, tuple[VoiceprintId, ...]] = {}
        self._members: dict[GroupName, set[SubjectId]] = {}

    def __len__(self) -> int:
        """Return the number of voiceprints."""
        return len(self.rows)

    def add_many(
        self,
        subjects: Sequence[SubjectId],
        voiceprints: Sequence[VoiceprintId],
        vectors: NDArray[np.float32],
        groups: Sequence[frozenset[GroupName]],
    ) -> None:
        """Add or replace voiceprints; the last groups of a subject count for all of its own.

        Args:
            subjects: whose voice each is.
            voiceprints: their ids.
            vectors: shape (voiceprints, dimension).
            groups: of each one's subject.

        Raises:
            InternalError: an id is another subject's voiceprint; those before it are added.
        """
        known = not self._slots.keys().isdisjoint(voiceprints)
        if not known and len(set(voiceprints)) == len(voiceprints):
            self._append(subjects, voiceprints, vectors, groups)
            return
        columns = zip(subjects, voiceprints, vectors, groups, strict=True)
        for subject, voiceprint, vector, names in columns:
            slot = self._slots.get(voiceprint)
            if slot is None:
                self._append((subject,), (voiceprint,), vector[np.newaxis], (names,))
            elif self._owners[slot] != subject:
                raise InternalError(detail="a voiceprint id is already another subject's")
            else:
                self.rows.replace(slot, vector)
                self._enter(slot, vector)
                self._set_groups(subject, names)

    def remove_subject(self, subject: SubjectId) -> int:
        """Remove all of a subject's voiceprints; return how many."""
        gone = self._held.pop(subject, ())
        for voiceprint in gone:
            self._drop(self._slots.pop(voiceprint))
        if gone:
            self._set_groups(subject, frozenset())
        return len(gone)

    def set_groups(self, subject: SubjectId, groups: frozenset[GroupName]) -> bool:
        """Replace the groups of a subject; return False for one without voiceprints."""
        if subject not in self._held:
            return False
        self._set_groups(subject, groups)
        return True

    def subjects(self, group: GroupName | None) -> int:
        """Return how many subjects there are, in a group or altogether."""
        return len(self._held if group is None else self._members.get(group, ()))

    def search(
        self, probe: NDArray[np.float32], group: GroupName | None, limit: int
    ) -> Sequence[tuple[SubjectId, Cosine]]:
        """Return the best voiceprint of each of the nearest subjects, best first.

        More voiceprints are asked for until enough different subjects came, or no more come.
        """
        members = None if group is None else self._slots_of(group)
        available = len(self) if members is None else len(members)
        wanted = min(available, 2 * limit)
        while wanted:
            slots, cosines = self._nearest(probe, members, wanted)
            found: dict[SubjectId, Cosine] = {}
            for slot, cosine in zip(slots.tolist(), cosines.tolist(), strict=True):
                found.setdefault(self._owners[slot], min(1.0, max(-1.0, cosine)))
            if len(found) >= limit or wanted == available or len(slots) < wanted:
                return list(found.items())[:limit]
            wanted = min(available, 4 * wanted)
        return []

    def _nearest(
        self, probe: NDArray[np.float32], members: NDArray[np.int64] | None, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        few = members is not None and len(members) <= self._rule.exact_limit
        if self.lists is not None and not few:
            proposals = max(LEAST_PROPOSALS, PROPOSALS_PER_RESULT * count)
            near = self.lists.near(probe, proposals, members)
            return self.rows.nearest_of(probe, near, count)
        if members is not None:
            return self.rows.nearest_of(probe, members, count)
        return self.rows.nearest(probe, count)

    def _slots_of(self, group: GroupName) -> NDArray[np.int64]:
        slots = [
            self._slots[voiceprint]
            for subject in self._members.get(group, ())
            for voiceprint in self._held[subject]
        ]
        return np.sort(np.array(slots, dtype=np.int64))

    def _append(
        self,
        subjects: Sequence[SubjectId],
        voiceprints: Sequence[VoiceprintId],
        vectors: NDArray[np.float32],
        groups: Sequence[frozenset[GroupName]],
    ) -> None:
        """Add voiceprints whose ids are not here yet. Arguments as ``add_many``."""
        first = self.rows.extend(vectors)
        slots = range(first, first + len(voiceprints))
        self._owners.extend(subjects)
        self._names.extend(voiceprints)
        self._slots.update(zip(voiceprints, slots, strict=True))
        for subject, voiceprint, names in zip(subjects, voiceprints, groups, strict=True):
            held = self._held.get(subject)
            if held is None:  # and so in no group yet
                self._held[subject] = (voiceprint,)
                self._join(subject, names)
            else:
                self._held[subject] = (*held, voiceprint)
                self._set_groups(subject, names)
        if self.lists is not None:
            self.lists.add(np.arange(slots.start, slots.stop, dtype=np.int64), vectors)
        if self.changed is not None:
            self.changed.update(slots)

    def _set_groups(self, subject: SubjectId, groups: frozenset[GroupName]) -> None:
        for name in [name for name, members in self._members.items() if name not in groups]:
            self._members[name].discard(subject)
            if not self._members[name]:
                del self._members[name]
        self._join(subject, groups)

    def _join(self, subject: SubjectId, groups: frozenset[GroupName]) -> None:
        for name in groups:
            self._members.setdefault(name, set()).add(subject)

    def _enter(self, slot: int, vector: NDArray[np.float32]) -> None:
        """Bring a slot's new vector into the lists."""
        if self.lists is not None:
            place = np.array([slot], dtype=np.int64)
            self.lists.remove(place)
            self.lists.add(place, vector[np.newaxis])
        if self.changed is not None:
            self.changed.add(slot)

    def _drop(self, slot: int) -> None:
        """Take a slot out of everything; the last slot's voiceprint moves into it."""
        last = self.rows.drop(slot)
        owner, name = self._owners.pop(), self._names.pop()
        if self.lists is not None:
            self.lists.remove(np.array([last], dtype=np.int64))
        if self.changed is not None:
            self.changed.add(last)
        if last != slot:
            self._owners[slot], self._names[slot] = owner, name
            self._slots[name] = slot
            self._enter(slot, self.rows.at(np.array([slot], dtype=np.int64))[0])
