# SPDX-License-Identifier: Apache-2.0
"""Exact search over all voiceprints of a tenant, one flat inner-product index per tenant.

Rules:

* A search sees one tenant's voiceprints, by construction: there is no index over two tenants.
* A group is searched by selecting its voiceprints, so that a member has one copy in memory.
* A subject appears once in a result, with its best voiceprint.
* Nothing of FAISS leaks: its failures become errors of the engine.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InputError, InternalError, SettingsError
from voiceauth.types import Embedding, GroupName, SubjectId, TenantId, VoiceprintId
from voiceauth.units import Cosine

_UNIT_TOLERANCE = 1e-3


@dataclass(slots=True)
class _Tenant:
    """One tenant's index with the names behind its row numbers."""

    index: faiss.IndexIDMap2
    rows: dict[VoiceprintId, int] = field(default_factory=dict)
    owner: dict[int, SubjectId] = field(default_factory=dict)
    groups: dict[SubjectId, frozenset[GroupName]] = field(default_factory=dict)
    held: dict[SubjectId, list[VoiceprintId]] = field(default_factory=dict)


class FaissGallery:
    """Exact 1:N search; implements ``ports.Gallery``. Safe from several threads.

    Args:
        dimension: length of an embedding.

    Raises:
        SettingsError: a dimension below 1.
    """

    def __init__(self, dimension: int) -> None:
        if dimension < 1:
            raise SettingsError("A gallery needs embeddings of at least one dimension.")
        self._dimension = dimension
        self._tenants: dict[TenantId, _Tenant] = {}
        self._next_row = 1
        self._generation = 0
        self._lock = threading.RLock()

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
        row = self._checked(embedding)
        with self._lock:
            if tenant not in self._tenants:
                self._tenants[tenant] = _Tenant(_new_index(self._dimension))
            mine = self._tenants[tenant]
            known = mine.rows.get(voiceprint)
            if known is not None and mine.owner[known] != subject:
                raise InternalError(detail="a voiceprint id is already another subject's")
            if known is not None:
                _drop(mine, [voiceprint])
            number, self._next_row = self._next_row, self._next_row + 1
            _call(mine.index.add_with_ids, row, np.array([number], dtype=np.int64))
            mine.rows[voiceprint] = number
            mine.owner[number] = subject
            mine.held.setdefault(subject, []).append(voiceprint)
            mine.groups[subject] = groups
            self._generation += 1

    def remove_subject(self, tenant: TenantId, subject: SubjectId) -> int:
        """Remove all of a subject's voiceprints; return how many, 0 for an unknown subject."""
        with self._lock:
            mine = self._tenants.get(tenant)
            if mine is None or subject not in mine.held:
                return 0
            gone = list(mine.held[subject])
            _drop(mine, gone)
            del mine.groups[subject]
            if not mine.rows:
                del self._tenants[tenant]
            self._generation += 1
            return len(gone)

    def set_groups(
        self, tenant: TenantId, subject: SubjectId, groups: frozenset[GroupName]
    ) -> None:
        """Replace the groups that a subject is found under; nothing for one without voiceprints."""
        with self._lock:
            mine = self._tenants.get(tenant)
            if mine is not None and subject in mine.groups:
                mine.groups[subject] = groups
                self._generation += 1

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
        row = self._checked(probe)
        with self._lock:
            mine = self._tenants.get(tenant)
            if mine is None:
                return []
            rows = _rows_of(mine, group)
            if rows is not None and not len(rows):
                return []
            return _nearest(mine, row, rows, limit)

    def subjects(self, tenant: TenantId, group: GroupName | None) -> int:
        """Return how many subjects a search of this tenant and group covers."""
        with self._lock:
            mine = self._tenants.get(tenant)
            if mine is None:
                return 0
            return sum(group is None or group in groups for groups in mine.groups.values())

    def __len__(self) -> int:
        """Return the number of voiceprints held, over all tenants."""
        with self._lock:
            return sum(len(one.rows) for one in self._tenants.values())

    def _checked(self, embedding: Embedding) -> NDArray[np.float32]:
        row = np.ascontiguousarray(embedding, dtype=np.float32)
        if row.shape != (self._dimension,):
            raise InternalError(detail=f"an embedding of shape {row.shape} came to the gallery")
        if not abs(float(np.linalg.norm(row)) - 1.0) <= _UNIT_TOLERANCE:
            raise InternalError(detail="an embedding without unit norm came to the gallery")
        return row[np.newaxis]


def _new_index(dimension: int) -> faiss.IndexIDMap2:
    return faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))


def _drop(mine: _Tenant, gone: Sequence[VoiceprintId]) -> None:
    numbers = np.array([mine.rows[one] for one in gone], dtype=np.int64)
    _call(mine.index.remove_ids, numbers)
    for voiceprint in gone:
        subject = mine.owner.pop(mine.rows.pop(voiceprint))
        mine.held[subject].remove(voiceprint)
        if not mine.held[subject]:
            del mine.held[subject]


def _rows_of(mine: _Tenant, group: GroupName | None) -> NDArray[np.int64] | None:
    if group is None:
        return None
    members = [subject for subject, groups in mine.groups.items() if group in groups]
    return np.array(
        [mine.rows[one] for subject in members for one in mine.held[subject]], dtype=np.int64
    )


def _nearest(
    mine: _Tenant, probe: NDArray[np.float32], rows: NDArray[np.int64] | None, limit: int
) -> list[tuple[SubjectId, Cosine]]:
    """Ask for more voiceprints until enough different subjects came, or all did."""
    available = len(mine.rows) if rows is None else len(rows)
    options = None
    # FAISS keeps a bare pointer to the selector: this name keeps it alive during the search.
    selector = None if rows is None else faiss.IDSelectorBatch(rows)
    if selector is not None:
        options = faiss.SearchParameters()
        options.sel = selector
    wanted = min(available, 2 * limit)
    while True:
        found = _call(mine.index.search, probe, wanted, params=options)
        best: dict[SubjectId, Cosine] = {}
        for score, number in zip(found[0][0].tolist(), found[1][0].tolist(), strict=True):
            if number >= 0:
                best.setdefault(mine.owner[number], min(1.0, max(-1.0, score)))
        if len(best) >= limit or wanted == available:
            return list(best.items())[:limit]
        wanted = min(available, 4 * wanted)


def _call(method: Callable[..., Any], *arguments: object, **options: object) -> Any:
    """Call into FAISS, which raises RuntimeError from C++ and assertions from its wrapper."""
    try:
        return method(*arguments, **options)
    except (RuntimeError, AssertionError, TypeError, ValueError, MemoryError) as error:
        raise InternalError(detail=f"gallery: {error!r}") from error
