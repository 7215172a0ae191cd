# SPDX-License-Identifier: Apache-2.0
"""Search over voiceprints."""

from collections.abc import Callable, Sequence
from typing import Protocol

from voiceauth.ports.vault import VoiceTransform
from voiceauth.types import Embedding, GroupName, StoredVoices, SubjectId, TenantId, VoiceprintId
from voiceauth.units import Cosine


class Gallery(Protocol):
    """1:N search over voiceprints: a cache rebuilt from the vault, never the record."""

    def add(
        self,
        tenant: TenantId,
        subject: SubjectId,
        voiceprint: VoiceprintId,
        embedding: Embedding,
        groups: frozenset[GroupName],
    ) -> None:
        """Add or replace one voiceprint."""
        ...

    def add_many(self, voices: StoredVoices) -> None:
        """Add or replace a tenant's voiceprints; faster than one by one."""
        ...

    def remove_subject(self, tenant: TenantId, subject: SubjectId) -> int:
        """Remove all of a subject's voiceprints; return how many."""
        ...

    def set_groups(
        self, tenant: TenantId, subject: SubjectId, groups: frozenset[GroupName]
    ) -> None:
        """Replace the groups that a subject is found under."""
        ...

    def search(
        self, tenant: TenantId, probe: Embedding, *, group: GroupName | None, limit: int
    ) -> Sequence[tuple[SubjectId, Cosine]]:
        """Return the best voiceprint of each of the ``limit`` nearest subjects, best first."""
        ...

    def subjects(self, tenant: TenantId, group: GroupName | None) -> int:
        """Return how many subjects a search of this tenant and group covers.

        Raises:
            GalleryLoadingError: it is not filled yet; so does ``search``.
        """
        ...

    @property
    def ready(self) -> bool:
        """Whether it can be searched: it holds all that the vault holds."""
        ...

    def tend(self, stopped: Callable[[], bool]) -> int:
        """Bring indexes to the size of what they hold; return how many changed. Blocking.

        Args:
            stopped: asked between steps; True gives up.
        """
        ...

    def __len__(self) -> int:
        """Return the number of voiceprints held, over all tenants."""
        ...


class StagedGallery(Gallery, Protocol):
    """A gallery in secret spaces, which can move a tenant to the next one beside its searches."""

    def generation_of(self, tenant: TenantId) -> int | None:
        """Return the generation that a tenant is searched in, None for one that is not held."""
        ...

    def stage(self, tenant: TenantId, transform: VoiceTransform) -> None:
        """Begin to build a tenant anew in another space; drops what was staged before."""
        ...

    def add_staged(
        self,
        tenant: TenantId,
        subject: SubjectId,
        voiceprint: VoiceprintId,
        embedding: Embedding,
        groups: frozenset[GroupName],
    ) -> None:
        """Add one voiceprint to what is staged only."""
        ...

    def promote(self, tenant: TenantId) -> None:
        """Search what was staged from now on, and drop what was searched before."""
        ...
