# SPDX-License-Identifier: Apache-2.0
"""Many voiceprints at once, in the order in which they were stored: what fills the gallery.

A start reads every row of the vault, so a row must cost little. One statement per page brings rows
and keys together, the key service is asked once per page, of a voiceprint only the embedding is
decoded, and the embeddings of one tenant and generation are turned back together. Each row is
authenticated like any other.
"""

from dataclasses import dataclass, field
from typing import Any

from voiceauth.keys.canonical import Form
from voiceauth.keys.envelope import Opener
from voiceauth.keys.voice_transform import VoiceTransform
from voiceauth.types import (
    GroupName,
    ModelHash,
    StoredVoices,
    SubjectId,
    TenantId,
    VoicePage,
    VoiceprintId,
)
from voiceauth.vault import codec
from voiceauth.vault.sealing import Sealer, place_form
from voiceauth.vault.voice_rows import Select, VoiceRows

# The order of ids is that of the table: pages are read from the disk one behind the other.
_PAGE = (
    "SELECT v.id, s.tenant, s.row_key, s.key_id, s.wrapped_key, s.record, v.voiceprint, "
    "v.generation, v.sealed FROM voiceprints AS v CROSS JOIN subjects AS s "
    "ON s.row_key = v.row_key WHERE v.id > ? AND v.model = ? ORDER BY v.id LIMIT ?"
)


@dataclass(slots=True)
class _Column:
    """The voiceprints of a page that are one tenant's and generation's, their vectors as stored."""

    transform: VoiceTransform | None
    record: Form
    voiceprint: Form
    subjects: list[SubjectId] = field(default_factory=list)
    names: list[VoiceprintId] = field(default_factory=list)
    groups: list[frozenset[GroupName]] = field(default_factory=list)
    vectors: list[bytes] = field(default_factory=list)


def voice_page(
    select: Select, sealer: Sealer, voices: VoiceRows, model: ModelHash, *, after: int, limit: int
) -> VoicePage:
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
    rows = select(_PAGE, after, model, limit)
    keys = sealer.open_keys([row[1:5] for row in rows])
    columns: dict[tuple[TenantId, int], _Column] = {}
    for row, key in zip(rows, keys, strict=True):
        space = row[1], row[7]
        column = columns.get(space)
        if column is None:
            column = columns[space] = _column(voices, model, *space)
        _open(row, key, column)
    last = rows[-1][0] if rows else after
    return VoicePage([_turned(tenant, one) for (tenant, _), one in columns.items()], last)


def _column(voices: VoiceRows, model: ModelHash, tenant: TenantId, generation: int) -> _Column:
    transform = voices.transform(tenant, generation)
    mark = "" if transform is None else transform.mark
    return _Column(
        transform,
        place_form("subject", tenant),
        place_form("voiceprint", tenant, model=model, space=mark),
    )


def _open(row: tuple[Any, ...], key: Opener, column: _Column) -> None:
    """Open one row into its column."""
    _, _, row_key, _, _, record, name, _, sealed = row
    who = key.open(record, column.record.bind(row_key=row_key, record=""))
    subject, groups = codec.decode_name_and_groups(who)
    voice = key.open(sealed, column.voiceprint.bind(row_key=row_key, record=name))
    column.subjects.append(subject)
    column.names.append(name)
    column.groups.append(groups)
    column.vectors.append(codec.voiceprint_vector(voice))


def _turned(tenant: TenantId, column: _Column) -> StoredVoices:
    """Turn a column's vectors back."""
    stored = codec.stacked(column.vectors)
    plain = stored if column.transform is None else column.transform.reveal(stored)
    return StoredVoices(tenant, column.subjects, column.names, column.groups, plain)
