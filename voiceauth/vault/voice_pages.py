# SPDX-License-Identifier: Apache-2.0
"""Many voiceprints at once, in the order in which they were stored: what fills the gallery.

One statement per page brings rows and keys together, of a voiceprint only the embedding is decoded,
and the embeddings of one tenant and generation are turned back together. Each row is authenticated
like any other.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from voiceauth.keys.voice_transform import VoiceTransform
from voiceauth.types import KeyId, ModelHash, StoredVoice, TenantId, VoiceprintId
from voiceauth.vault import codec
from voiceauth.vault.sealing import Sealer
from voiceauth.vault.voice_rows import Select, VoiceRows

# The order of ids is that of the table: pages are read from the disk one behind the other.
_PAGE = (
    "SELECT v.id, s.tenant, s.row_key, s.key_id, s.wrapped_key, s.record, v.voiceprint, "
    "v.generation, v.sealed FROM voiceprints AS v CROSS JOIN subjects AS s "
    "ON s.row_key = v.row_key WHERE v.id > ? AND v.model = ? ORDER BY v.id LIMIT ?"
)
_Space = tuple[TenantId, int]


def voice_page(
    select: Select, sealer: Sealer, voices: VoiceRows, model: ModelHash, *, after: int, limit: int
) -> Sequence[StoredVoice]:
    """Read up to ``limit`` voiceprints of a model behind a place.

    Args:
        select: reads within the transaction.
        sealer: of the vault.
        voices: of the same transaction, for the tenants' transforms.
        model: whose voiceprints.
        after: place to start behind; 0 for the first page.
        limit: most voiceprints to read.

    Raises:
        TagMismatchError: a row was changed or moved.
        KeyServiceError: a data key cannot be unwrapped.
        TransformLostError: a row's transform is missing.
    """
    found: list[StoredVoice] = []
    transforms: dict[_Space, VoiceTransform | None] = {}
    members: dict[_Space, list[int]] = {}
    for row in select(_PAGE, after, model, limit):
        space = (TenantId(row[1]), int(row[7]))
        if space not in transforms:
            transforms[space] = voices.transform(*space)
        members.setdefault(space, []).append(len(found))
        found.append(_opened(row, model, sealer, transforms[space]))
    for space, places in members.items():
        transform = transforms[space]
        if transform is not None:
            plain = transform.reveal(np.stack([found[place].embedding for place in places]))
            for place, embedding in zip(places, plain, strict=True):
                found[place] = replace(found[place], embedding=embedding)
    return found


def _opened(
    row: tuple[Any, ...], model: ModelHash, sealer: Sealer, transform: VoiceTransform | None
) -> StoredVoice:
    """Open one row; its embedding is still as it was stored."""
    place, tenant, row_key, key_id, wrapped, record, name, _, sealed = row
    key = sealer.open_key(TenantId(tenant), row_key, KeyId(key_id), wrapped)
    subject, groups = codec.decode_name_and_groups(sealer.open(key, record, "subject"))
    mark = "" if transform is None else transform.mark
    payload = sealer.open(key, sealed, "voiceprint", record=name, model=model, space=mark)
    return StoredVoice(
        place=place,
        tenant=key.tenant,
        subject=subject,
        voiceprint=VoiceprintId(name),
        embedding=codec.voiceprint_embedding(payload),
        groups=groups,
    )
