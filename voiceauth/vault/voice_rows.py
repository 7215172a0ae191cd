# SPDX-License-Identifier: Apache-2.0
"""Voiceprints and unfinished enrolments as rows: turned by their tenant's transform, then sealed.

Outside the vault an embedding is as the model made it; in the vault every embedding, those of an
enrolment's segments included, is in the space of one generation of its tenant. The row names the
generation and is sealed with the secret's mark, so that it opens under its own secret only.
Generation 0 is no transform: rows from before there were any; ``rekeying`` brings them forward.

A secret that is missing is an error. Nothing ever falls back to no transform.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from voiceauth.errors import TransformLostError
from voiceauth.keys.voice_transform import VoiceTransform
from voiceauth.types import (
    Embedding,
    EnrolmentSegment,
    ModelHash,
    SubjectId,
    TenantId,
    Voiceprint,
    VoiceprintId,
)
from voiceauth.units import Seconds
from voiceauth.vault import codec
from voiceauth.vault.sealing import Sealer, SubjectKey
from voiceauth.vault.transforms import TransformRow

Select = Callable[..., list[tuple[Any, ...]]]
"""Runs a reading statement with its values, within the transaction."""
Write = Callable[..., int]
"""Runs a changing statement with its values; returns how many rows it changed."""
_NOBODY = SubjectId("")


@dataclass(frozen=True, slots=True)
class Holdings:
    """How much voice a subject has in the vault.

    Attributes:
        net_seconds: of the newest voiceprint's model: the vault does not know which model serves.
        pending_seconds: of the newest unfinished enrolment.
    """

    voiceprints: int
    net_seconds: Seconds
    pending_seconds: Seconds


class VoiceRows:
    """The rows with embeddings, and the transforms behind them, of one transaction."""

    def __init__(self, select: Select, write: Write, sealer: Sealer) -> None:
        self._select = select
        self._write = write
        self._sealer = sealer

    def newest(self, tenant: TenantId) -> VoiceTransform | None:
        """Return the transform that new rows get, None before a tenant's first one.

        Raises:
            KeyServiceError: the key service is down.
            TagMismatchError: the secret was changed, or is another tenant's.
            TransformLostError: there are protected rows, but no secret.
        """
        found = self._select(
            "SELECT generation, key_id, wrapped FROM voice_transforms WHERE tenant = ? "
            "ORDER BY generation DESC LIMIT 1",
            tenant,
        )
        if found:
            return self._sealer.transforms.open(TransformRow(tenant, *found[0]))
        orphans = self._select(
            "SELECT (SELECT count(*) FROM voiceprints JOIN subjects USING (row_key) "
            "WHERE tenant = ?1 AND generation > 0) + (SELECT count(*) FROM pending "
            "JOIN subjects USING (row_key) WHERE tenant = ?1 AND generation > 0)",
            tenant,
        )
        if orphans != [(0,)]:
            raise TransformLostError(detail="protected voiceprints, and no secret of the tenant")
        return None

    def current(self, tenant: TenantId) -> VoiceTransform:
        """Return the transform that new rows get, making a tenant's first. Errors as ``newest``."""
        return self.newest(tenant) or self.make(tenant, 1)

    def transform(self, tenant: TenantId, generation: int) -> VoiceTransform | None:
        """Return the transform of a generation, None for 0. Errors as ``read``."""
        if generation == 0:
            return None
        found = self._select(
            "SELECT key_id, wrapped FROM voice_transforms WHERE tenant = ? AND generation = ?",
            tenant,
            generation,
        )
        if not found:
            raise TransformLostError(detail=f"no secret of generation {generation}")
        return self._sealer.transforms.open(TransformRow(tenant, generation, *found[0]))

    def make(self, tenant: TenantId, generation: int) -> VoiceTransform:
        """Make and store a tenant's secret of a generation. Raises KeyServiceError."""
        row = self._sealer.transforms.new(tenant, generation)
        self._write(
            "INSERT INTO voice_transforms (tenant, generation, key_id, wrapped) VALUES (?,?,?,?)",
            row.tenant,
            row.generation,
            row.key_id,
            row.wrapped,
        )
        return self._sealer.transforms.open(row)

    def add(self, key: SubjectKey, voiceprint: Voiceprint) -> None:
        """Store a voiceprint. Errors as ``newest``."""
        transform = self.current(key.tenant)
        self._write(
            "INSERT INTO voiceprints (row_key, model, voiceprint, generation, sealed) "
            "VALUES (?,?,?,?,?)",
            key.row_key,
            voiceprint.model,
            voiceprint.voiceprint,
            transform.generation,
            self.seal_print(key, voiceprint, transform),
        )

    def read(self, key: SubjectKey, subject: SubjectId, model: ModelHash) -> tuple[Voiceprint, ...]:
        """Read a subject's voiceprints of one model, oldest first.

        Raises:
            KeyServiceError: the key service is down.
            TagMismatchError: a row or its secret was changed, or belongs elsewhere.
            TransformLostError: a row's secret is missing.
        """
        found = self._select(
            "SELECT voiceprint, generation, sealed FROM voiceprints WHERE row_key = ? "
            "AND model = ? ORDER BY id",
            key.row_key,
            model,
        )
        return tuple(
            replace(self.open_print(key, name, model, generation, sealed), subject=subject)
            for name, generation, sealed in found
        )

    def put_pending(
        self, key: SubjectKey, model: ModelHash, segments: Sequence[EnrolmentSegment]
    ) -> None:
        """Store the segments of an unfinished enrolment. Errors as ``newest``."""
        transform = self.current(key.tenant)
        self._write(
            "INSERT INTO pending (row_key, model, generation, sealed) VALUES (?,?,?,?)",
            key.row_key,
            model,
            transform.generation,
            self.seal_segments(key, model, segments, transform),
        )

    def pending(self, key: SubjectKey, model: ModelHash) -> tuple[EnrolmentSegment, ...]:
        """Read the segments of an unfinished enrolment, oldest first. Errors as ``read``."""
        found = self._select(
            "SELECT generation, sealed FROM pending WHERE row_key = ? AND model = ?",
            key.row_key,
            model,
        )
        return self.open_segments(key, model, *found[0]) if found else ()

    def holdings(self, key: SubjectKey) -> Holdings:
        """Count what a subject has, without turning anything back. Errors as ``read``."""
        prints = self._select(
            "SELECT model, voiceprint, generation, sealed FROM voiceprints WHERE row_key = ? "
            "ORDER BY id",
            key.row_key,
        )
        waiting = self._select(
            "SELECT model, generation, sealed FROM pending WHERE row_key = ? "
            "ORDER BY id DESC LIMIT 1",
            key.row_key,
        )
        seconds = [
            codec.voiceprint_seconds(
                self._print_payload(key, name, model, sealed, self._space(key, generation))
            )
            for model, name, generation, sealed in prints
            if model == prints[-1][0]
        ]
        segments = [
            one.net_seconds
            for model, generation, sealed in waiting
            for one in codec.decode_segments(
                self._sealer.open(
                    key, sealed, "pending", model=model, space=self._space(key, generation)
                )
            )
        ]
        return Holdings(len(prints), sum(seconds, 0.0), sum(segments, 0.0))

    def seal_print(self, key: SubjectKey, voiceprint: Voiceprint, into: VoiceTransform) -> bytes:
        """Turn and seal a voiceprint."""
        embeddings = [voiceprint.embedding, *(one.embedding for one in voiceprint.segments)]
        turned = _turned(into.protect, embeddings)
        payload = codec.encode_voiceprint(
            replace(
                voiceprint,
                embedding=turned[0],
                segments=_with_embeddings(voiceprint.segments, turned[1:]),
            )
        )
        return self._sealer.seal(
            key,
            payload,
            "voiceprint",
            record=voiceprint.voiceprint,
            model=voiceprint.model,
            space=into.mark,
        )

    def open_print(
        self, key: SubjectKey, name: str, model: str, generation: int, sealed: bytes
    ) -> Voiceprint:
        """Open a voiceprint, of nobody by name, and turn it back. Errors as ``read``."""
        transform = self.transform(key.tenant, generation)
        found = codec.decode_voiceprint(
            self._print_payload(key, name, model, sealed, _mark(transform)),
            voiceprint=VoiceprintId(name),
            subject=_NOBODY,
            model=ModelHash(model),
        )
        if transform is None:
            return found
        stored = [found.embedding, *(one.embedding for one in found.segments)]
        plain = _turned(transform.reveal, stored)
        segments = _with_embeddings(found.segments, plain[1:])
        return replace(found, embedding=plain[0], segments=segments)

    def seal_segments(
        self,
        key: SubjectKey,
        model: str,
        segments: Sequence[EnrolmentSegment],
        into: VoiceTransform,
    ) -> bytes:
        """Turn and seal the segments of an unfinished enrolment."""
        turned = _turned(into.protect, [one.embedding for one in segments])
        payload = codec.encode_segments(_with_embeddings(segments, turned))
        return self._sealer.seal(key, payload, "pending", model=model, space=into.mark)

    def open_segments(
        self, key: SubjectKey, model: str, generation: int, sealed: bytes
    ) -> tuple[EnrolmentSegment, ...]:
        """Open the segments of an unfinished enrolment and turn them back. Errors as ``read``."""
        transform = self.transform(key.tenant, generation)
        payload = self._sealer.open(key, sealed, "pending", model=model, space=_mark(transform))
        found = codec.decode_segments(payload)
        if transform is None:
            return found
        return _with_embeddings(found, _turned(transform.reveal, [one.embedding for one in found]))

    def _print_payload(
        self, key: SubjectKey, name: str, model: str, sealed: bytes, space: str
    ) -> bytes:
        return self._sealer.open(key, sealed, "voiceprint", record=name, model=model, space=space)

    def _space(self, key: SubjectKey, generation: int) -> str:
        return _mark(self.transform(key.tenant, generation))


def _mark(transform: VoiceTransform | None) -> str:
    return "" if transform is None else transform.mark


def _turned(
    turn: Callable[[Embedding], Embedding], embeddings: Sequence[Embedding]
) -> list[Embedding]:
    """Turn embeddings, all at once where they are alike, as those of one model are."""
    if len({one.shape for one in embeddings}) == 1 and embeddings[0].ndim == 1:
        return list(turn(np.stack(embeddings)))
    return [turn(one) for one in embeddings]


def _with_embeddings(
    segments: Sequence[EnrolmentSegment], embeddings: Sequence[Embedding]
) -> tuple[EnrolmentSegment, ...]:
    return tuple(
        replace(one, embedding=turned) for one, turned in zip(segments, embeddings, strict=True)
    )
