# SPDX-License-Identifier: Apache-2.0
"""What the gallery is filled with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.types.names import GroupName, SubjectId, TenantId, VoiceprintId


@dataclass(frozen=True, slots=True, eq=False)
class StoredVoices:
    """Voiceprints of one tenant as searches need them: columns, for there may be a million.

    Attributes:
        subjects: whose voice each is.
        voiceprints: their ids.
        groups: that the subject of each is found under.
        embeddings: unit norm, float32, shape (voiceprints, dimension).
    """

    tenant: TenantId
    subjects: Sequence[SubjectId]
    voiceprints: Sequence[VoiceprintId]
    groups: Sequence[frozenset[GroupName]]
    embeddings: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of voiceprints."""
        return len(self.voiceprints)


@dataclass(frozen=True, slots=True, eq=False)
class VoicePage:
    """Some voiceprints of all tenants, one behind the other in the vault's order.

    Attributes:
        voices: at least one tenant's, unless the page is empty; a tenant may be there twice.
        last: place of the last one, to read on behind.
    """

    voices: Sequence[StoredVoices]
    last: int

    def __len__(self) -> int:
        """Return the number of voiceprints."""
        return sum(len(one) for one in self.voices)
