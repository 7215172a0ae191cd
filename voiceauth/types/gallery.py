# SPDX-License-Identifier: Apache-2.0
"""What the gallery is filled with."""

from dataclasses import dataclass

from voiceauth.types.names import Embedding, GroupName, SubjectId, TenantId, VoiceprintId


@dataclass(frozen=True, slots=True, eq=False)
class StoredVoice:
    """A voiceprint as searches need it.

    Attributes:
        place: where it stands in the vault's order; later ones have larger ones.
        embedding: unit norm, float32, shape (dimension,).
        groups: that its subject is found under.
    """

    place: int
    tenant: TenantId
    subject: SubjectId
    voiceprint: VoiceprintId
    embedding: Embedding
    groups: frozenset[GroupName]
