# SPDX-License-Identifier: Apache-2.0
"""A gallery that is filled from the vault beside running calls, and searched once it is whole.

Rules:

* Until it is whole, a search raises ``GalleryLoadingError``: half a list would say "nobody" where
  the person may be in the other half.
* A change that comes meanwhile is noted before it takes effect, and its subject is read from the
  vault again at the end: what was read before an erasure leaves no ghost.
"""

import threading
from collections.abc import Callable, Sequence

from voiceauth.errors import GalleryLoadingError
from voiceauth.ports import Gallery
from voiceauth.types import Embedding, GroupName, StoredVoices, SubjectId, TenantId, VoiceprintId
from voiceauth.units import Cosine

Place = tuple[TenantId, SubjectId]


class FillingGallery:
    """Implements ``ports.Gallery`` over one that is being filled. Safe from several threads.

    Args:
        inner: holds the voiceprints.
    """

    def __init__(self, inner: Gallery) -> None:
        self.inner = inner
        self._ready = False
        self._touched: set[Place] = set()
        self._lock = threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether every voiceprint of the vault is in."""
        return self._ready

    def add(
        self,
        tenant: TenantId,
        subject: SubjectId,
        voiceprint: VoiceprintId,
        embedding: Embedding,
        groups: frozenset[GroupName],
    ) -> None:
        """Add or replace one voiceprint."""
        self._touch(tenant, subject)
        self.inner.add(tenant, subject, voiceprint, embedding, groups)

    def add_many(self, voices: StoredVoices) -> None:
        """Add or replace a tenant's voiceprints."""
        for subject in voices.subjects:
            self._touch(voices.tenant, subject)
        self.inner.add_many(voices)

    def remove_subject(self, tenant: TenantId, subject: SubjectId) -> int:
        """Remove all of a subject's voiceprints; return how many."""
        self._touch(tenant, subject)
        return self.inner.remove_subject(tenant, subject)

    def set_groups(
        self, tenant: TenantId, subject: SubjectId, groups: frozenset[GroupName]
    ) -> None:
        """Replace the groups that a subject is found under."""
        self._touch(tenant, subject)
        self.inner.set_groups(tenant, subject, groups)

    def search(
        self, tenant: TenantId, probe: Embedding, *, group: GroupName | None, limit: int
    ) -> Sequence[tuple[SubjectId, Cosine]]:
        """Return the best voiceprint of each of the nearest; raises GalleryLoadingError."""
        self._require_ready()
        return self.inner.search(tenant, probe, group=group, limit=limit)

    def subjects(self, tenant: TenantId, group: GroupName | None) -> int:
        """Return how many subjects a search covers. Raises GalleryLoadingError."""
        self._require_ready()
        return self.inner.subjects(tenant, group)

    def tend(self, stopped: Callable[[], bool]) -> int:
        """Bring indexes to the size of what they hold; return how many changed."""
        return self.inner.tend(stopped)

    def __len__(self) -> int:
        """Return the number of voiceprints that are in so far."""
        return len(self.inner)

    def settle(self) -> Sequence[Place]:
        """Return the subjects that changed since the last time; none means that all is in.

        To be called when every page was added: the answer "none" opens the gallery.
        """
        with self._lock:
            touched, self._touched = sorted(self._touched), set()
            self._ready = not touched
            return touched

    def _touch(self, tenant: TenantId, subject: SubjectId) -> None:
        with self._lock:
            if not self._ready:
                self._touched.add((tenant, subject))

    def _require_ready(self) -> None:
        if not self._ready:
            raise GalleryLoadingError
