# SPDX-License-Identifier: Apache-2.0
"""1:N search over all voiceprints, tenant by tenant; implements ``ports.Gallery``.

Rules:

* A search sees one tenant's voiceprints, by construction: nothing is built over two tenants.
* A group is searched by selecting its voiceprints, so that a member has one copy in memory.
* A subject appears once in a result, with its best voiceprint.
* The cosine of a result is that of the exact vectors, however the result was found.
* What was removed is found no more from that moment on, whatever is being built.
* Nothing of FAISS leaks: its failures become errors of the engine.
"""

import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InputError, InternalError, SettingsError
from voiceauth.gallery.building import build_lists
from voiceauth.gallery.plan import ListPlan, PlanRule
from voiceauth.gallery.voices import TenantVoices
from voiceauth.types import (
    Embedding,
    GroupName,
    StoredVoices,
    SubjectId,
    TenantId,
    VoiceprintId,
)
from voiceauth.units import Cosine

_UNIT_TOLERANCE = 1e-3


class FaissGallery:
    """The gallery of an engine. Safe from several threads.

    Args:
        dimension: length of an embedding.
        rule: which size is searched how; default the stated one.

    Raises:
        SettingsError: a dimension below 1.
    """

    def __init__(self, dimension: int, rule: PlanRule | None = None) -> None:
        if dimension < 1:
            raise SettingsError("A gallery needs embeddings of at least one dimension.")
        self._dimension = dimension
        self._rule = rule or PlanRule()
        self._tenants: dict[TenantId, TenantVoices] = {}
        self._generation = 0
        self._lock = threading.Lock()
        self._tending = threading.Lock()

    @property
    def ready(self) -> bool:
        """Always: what was added is found."""
        return True

    @property
    def generation(self) -> int:
        """Number of changes so far: two searches with the same one saw the same voiceprints."""
        return self._generation

    def add(
        self,
        tenant: TenantId,
        subject: SubjectId,
        voiceprint: VoiceprintId,
        embedding: Embedding,
        groups: frozenset[GroupName],
    ) -> None:
        """Add or replace one voiceprint.

        Args:
            tenant: whose list it is on.
            subject: whose voice it is.
            voiceprint: its id; one that is there already is replaced.
            embedding: unit norm, shape (dimension,).
            groups: that the subject is found under, all its voiceprints included.

        Raises:
            InternalError: an embedding of the wrong shape or norm, or a voiceprint id that is
                another subject's.
        """
        row = np.asarray(embedding)[np.newaxis]
        self.add_many(StoredVoices(tenant, (subject,), (voiceprint,), (groups,), row))

    def add_many(self, voices: StoredVoices) -> None:
        """Add or replace a tenant's voiceprints.

        Errors as ``add``: of embeddings one of which is bad none is added; voiceprints before one
        that is another subject's may be.
        """
        rows = self._checked(voices.embeddings)
        with self._lock:
            held = self._tenants.get(voices.tenant)
            if held is None:
                held = self._tenants[voices.tenant] = TenantVoices(self._dimension, self._rule)
        with held.lock:
            held.add_many(voices.subjects, voices.voiceprints, rows, voices.groups)
        self._changed()

    def remove_subject(self, tenant: TenantId, subject: SubjectId) -> int:
        """Remove all of a subject's voiceprints; return how many, 0 for an unknown subject."""
        voices = self._voices(tenant)
        if voices is None:
            return 0
        with voices.lock:
            gone = voices.remove_subject(subject)
        if gone:
            self._changed()
        return gone

    def set_groups(
        self, tenant: TenantId, subject: SubjectId, groups: frozenset[GroupName]
    ) -> None:
        """Replace the groups that a subject is found under; nothing for one without voiceprints."""
        voices = self._voices(tenant)
        if voices is None:
            return
        with voices.lock:
            known = voices.set_groups(subject, groups)
        if known:
            self._changed()

    def search(
        self, tenant: TenantId, probe: Embedding, *, group: GroupName | None, limit: int
    ) -> Sequence[tuple[SubjectId, Cosine]]:
        """Return the best voiceprint of each of the nearest subjects.

        Args:
            tenant: whose list is searched.
            probe: unit norm, shape (dimension,).
            group: only its members; None for all.
            limit: most subjects to return, 1 or more.

        Returns:
            (subject, cosine) pairs, best first; fewer than ``limit`` if there are fewer.

        Raises:
            InputError: a limit below 1.
            InternalError: a probe of the wrong shape or norm.
        """
        if limit < 1:
            raise InputError("A search needs a limit of at least 1.")
        row = self._checked(np.asarray(probe)[np.newaxis])
        voices = self._voices(tenant)
        if voices is None:
            return []
        with voices.lock:
            return voices.search(row, group, limit)

    def subjects(self, tenant: TenantId, group: GroupName | None) -> int:
        """Return how many subjects a search of this tenant and group covers."""
        voices = self._voices(tenant)
        if voices is None:
            return 0
        with voices.lock:
            return voices.subjects(group)

    def tend(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Bring the indexes of tenants that outgrew theirs to their size. Takes minutes for many.

        Searches and changes go on meanwhile; one caller at a time works, a second one waits.

        Args:
            stopped: asked between steps; True gives up.

        Returns:
            How many tenants are searched in another way now.

        Raises:
            InternalError: FAISS failed; searches go on as before.
        """
        changed = 0
        with self._tending:
            for voices in list(self._tenants.values()):
                with voices.lock:
                    built = None if voices.lists is None else voices.lists.plan
                    count = len(voices)
                    plan = self._rule.plan(count)
                    if not self._rule.outgrown(built, count):
                        continue
                    if plan is None:
                        voices.lists = None
                        changed += 1
                        continue
                changed += build_lists(voices, self._dimension, plan, stopped)
        return changed

    def plan(self, tenant: TenantId) -> ListPlan | None:
        """Return the lists that a tenant is searched with now; None where all are compared."""
        voices = self._voices(tenant)
        return None if voices is None or voices.lists is None else voices.lists.plan

    def __len__(self) -> int:
        """Return the number of voiceprints held, over all tenants."""
        return sum(len(voices) for voices in list(self._tenants.values()))

    def _voices(self, tenant: TenantId) -> TenantVoices | None:
        return self._tenants.get(tenant)

    def _changed(self) -> None:
        with self._lock:
            self._generation += 1

    def _checked(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = np.ascontiguousarray(embeddings, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self._dimension:  # noqa: PLR2004 - rows, columns
            raise InternalError(detail=f"embeddings of shape {rows.shape} came to the gallery")
        if not bool((abs(np.linalg.norm(rows, axis=1) - 1.0) <= _UNIT_TOLERANCE).all()):
            raise InternalError(detail="an embedding without unit norm came to the gallery")
        return rows
