# SPDX-License-Identifier: Apache-2.0
"""A gallery that holds every tenant's voiceprints in the tenant's secret space.

Rules:

* One index holds vectors of one tenant and one generation; there is no other way in, so vectors of
  two generations are never compared.
* A probe is turned into the space of the index that it is held against; cosines stay what they are.
* A tenant moves to its next generation in a second index beside the first. While that is built,
  searches see the first one, whole, and every change goes into both.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from voiceauth.errors import InternalError
from voiceauth.ports import Gallery, VoiceTransform
from voiceauth.types import (
    Embedding,
    GroupName,
    StoredVoices,
    SubjectId,
    TenantId,
    VoiceprintId,
)
from voiceauth.units import Cosine


@dataclass(frozen=True, slots=True, eq=False)
class _Space:
    """One index and the transform that everything in it went through."""

    transform: VoiceTransform
    index: Gallery


class ProtectedGallery:
    """Implements ``ports.StagedGallery`` over plain galleries. Safe from several threads.

    Args:
        new_index: makes an empty gallery for one tenant and generation.
        transform_of: returns a tenant's newest transform; may read the vault.
    """

    def __init__(
        self,
        new_index: Callable[[], Gallery],
        transform_of: Callable[[TenantId], VoiceTransform],
    ) -> None:
        self._new_index = new_index
        self._transform_of = transform_of
        self._serving: dict[TenantId, _Space] = {}
        self._staged: dict[TenantId, _Space] = {}
        self._lock = threading.RLock()

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
            embedding: as the model made it, unit norm, shape (dimension,).
            groups: that the subject is found under.

        Raises:
            KeyServiceError, TransformLostError: the tenant's secret cannot be had.
            InternalError: an embedding of the wrong shape or norm.
        """
        row = np.asarray(embedding)[np.newaxis]
        self.add_many(StoredVoices(tenant, (subject,), (voiceprint,), (groups,), row))

    def add_many(self, voices: StoredVoices) -> None:
        """Add or replace a tenant's voiceprints, turned together. Errors as ``add``."""
        tenant = voices.tenant
        with self._lock:
            known = tenant in self._serving
        fetched = None if known else self._transform_of(tenant)  # without the lock: it may wait
        with self._lock:
            if fetched is not None and tenant not in self._serving:
                self._serving[tenant] = _Space(fetched, self._new_index())
            for space in self._spaces(tenant):
                turned = space.transform.protect(voices.embeddings)
                space.index.add_many(replace(voices, embeddings=turned))

    def remove_subject(self, tenant: TenantId, subject: SubjectId) -> int:
        """Remove all of a subject's voiceprints; return how many, 0 for an unknown subject."""
        with self._lock:
            removed = [one.index.remove_subject(tenant, subject) for one in self._spaces(tenant)]
            return removed[0] if removed else 0

    def set_groups(
        self, tenant: TenantId, subject: SubjectId, groups: frozenset[GroupName]
    ) -> None:
        """Replace the groups that a subject is found under; nothing for one without voiceprints."""
        with self._lock:
            for space in self._spaces(tenant):
                space.index.set_groups(tenant, subject, groups)

    def search(
        self, tenant: TenantId, probe: Embedding, *, group: GroupName | None, limit: int
    ) -> Sequence[tuple[SubjectId, Cosine]]:
        """Return the best voiceprint of each of the nearest subjects.

        Args:
            tenant: whose list is searched.
            probe: as the model made it, unit norm, shape (dimension,).
            group: only its members; None for all.
            limit: most subjects to return, 1 or more.

        Returns:
            (subject, cosine) pairs, best first.
        """
        with self._lock:
            space = self._serving.get(tenant)
        if space is None:
            return self._new_index().search(tenant, probe, group=group, limit=limit)
        return space.index.search(tenant, space.transform.protect(probe), group=group, limit=limit)

    def subjects(self, tenant: TenantId, group: GroupName | None) -> int:
        """Return how many subjects a search of this tenant and group covers."""
        with self._lock:
            space = self._serving.get(tenant)
        return 0 if space is None else space.index.subjects(tenant, group)

    @property
    def ready(self) -> bool:
        """Always: what was added is found."""
        return True

    def tend(self, stopped: Callable[[], bool]) -> int:
        """Bring the indexes of all tenants to their size; return how many changed."""
        with self._lock:
            spaces = [*self._serving.values(), *self._staged.values()]
        return sum(one.index.tend(stopped) for one in spaces)

    def __len__(self) -> int:
        """Return the number of voiceprints that searches cover, over all tenants."""
        with self._lock:
            return sum(len(one.index) for one in self._serving.values())

    def generation_of(self, tenant: TenantId) -> int | None:
        """Return the generation that a tenant is searched in, None for one that is not held."""
        with self._lock:
            space = self._serving.get(tenant)
        return None if space is None else space.transform.generation

    def stage(self, tenant: TenantId, transform: VoiceTransform) -> None:
        """Begin to build a tenant anew in another space; drops what was staged before."""
        with self._lock:
            self._staged[tenant] = _Space(transform, self._new_index())

    def add_staged(
        self,
        tenant: TenantId,
        subject: SubjectId,
        voiceprint: VoiceprintId,
        embedding: Embedding,
        groups: frozenset[GroupName],
    ) -> None:
        """Add one voiceprint to what is staged only. Arguments as ``add``.

        The caller keeps the subject from being erased meanwhile.

        Raises:
            InternalError: nothing is staged.
        """
        with self._lock:
            space = self._staging(tenant)
            turned = space.transform.protect(embedding)
            space.index.add(tenant, subject, voiceprint, turned, groups)

    def promote(self, tenant: TenantId) -> None:
        """Search what was staged from now on, and drop what was searched before.

        Raises:
            InternalError: nothing is staged.
        """
        with self._lock:
            self._serving[tenant] = self._staging(tenant)
            del self._staged[tenant]

    def _staging(self, tenant: TenantId) -> _Space:
        found = self._staged.get(tenant)
        if found is None:
            raise InternalError(detail="nothing is staged for this tenant")
        return found

    def _spaces(self, tenant: TenantId) -> list[_Space]:
        both = (self._serving.get(tenant), self._staged.get(tenant))
        return [one for one in both if one is not None]
