# SPDX-License-Identifier: Apache-2.0
"""What is sealed, as bytes: compact, exact and the same every time. No pickle, no encryption here.

Voiceprints and pending segments are little-endian binary, so that the verify path reads embeddings
without parsing text; subject records and consents are canonical JSON. Payloads are only decoded
after authentication, so a payload that does not decode is a fault of storage or of the engine.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import IntegrityError, InternalError
from voiceauth.types import (
    Bandwidth,
    CallId,
    Consent,
    Embedding,
    EnrolmentSegment,
    GroupName,
    ModelHash,
    SubjectId,
    SubjectState,
    Voiceprint,
    VoiceprintId,
)
from voiceauth.units import Seconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PRINT = struct.Struct("<dq")  # net seconds, created
_SEGMENT = struct.Struct("<dddBdBH")  # net, start, end, SNR known, SNR, wideband, length of call id
_COUNT = struct.Struct("<I")
_LARGEST_DIMENSION = 65_536
_NO_GROUPS: frozenset[GroupName] = frozenset()
_read_json = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class SubjectRecord:
    """The sealed part of a subject's row.

    Attributes:
        ledger_secret: keys the subject's pseudonym in the ledger and dies with the row; empty in
            rows of earlier versions.
    """

    subject: SubjectId
    state: SubjectState
    created_at: datetime
    groups: frozenset[GroupName]
    last_interaction_at: datetime | None = None
    ledger_secret: bytes = field(default=b"", repr=False)


def encode_record(record: SubjectRecord) -> bytes:
    """Write a subject record."""
    return _json(
        {
            "subject": record.subject,
            "state": record.state.value,
            "created_us": to_microseconds(record.created_at),
            "groups": sorted(record.groups),
            "interaction_us": _optional_us(record.last_interaction_at),
            "ledger_secret": record.ledger_secret.hex(),
        }
    )


def decode_record(payload: bytes) -> SubjectRecord:
    """Read a subject record. Raises IntegrityError if it is malformed."""
    try:
        found = json.loads(payload)
        return SubjectRecord(
            subject=SubjectId(found["subject"]),
            state=SubjectState(found["state"]),
            created_at=from_microseconds(found["created_us"]),
            groups=frozenset(GroupName(name) for name in found["groups"]),
            last_interaction_at=_optional_time(found.get("interaction_us")),
            ledger_secret=bytes.fromhex(found.get("ledger_secret", "")),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise _malformed("subject") from error


def decode_name_and_groups(payload: bytes) -> tuple[SubjectId, frozenset[GroupName]]:
    """Read only whose record it is, and the groups. Raises IntegrityError if it is malformed."""
    try:
        text = payload.decode()
        found, end = _read_json(text)
        subject, groups = SubjectId(found["subject"]), found["groups"]
        names = frozenset(map(GroupName, groups)) if groups else _NO_GROUPS
    except (ValueError, KeyError, TypeError) as error:
        raise _malformed("subject") from error
    if end != len(text):
        raise _malformed("subject")
    return subject, names


def encode_consent(consent: Consent) -> bytes:
    """Write a consent."""
    return _json(
        {
            "text_sha256": consent.text_sha256,
            "purpose": consent.purpose,
            "locale": consent.locale,
            "method": consent.method,
            "given_us": to_microseconds(consent.given_at),
            "expires_us": _optional_us(consent.expires_at),
            "withdrawn_us": _optional_us(consent.withdrawn_at),
            "channel": consent.channel,
            "jurisdiction": consent.jurisdiction,
        }
    )


def decode_consent(payload: bytes) -> Consent:
    """Read a consent. Raises IntegrityError if it is malformed."""
    try:
        found = json.loads(payload)
        return Consent(
            text_sha256=found["text_sha256"],
            purpose=found["purpose"],
            locale=found["locale"],
            method=found["method"],
            given_at=from_microseconds(found["given_us"]),
            expires_at=_optional_time(found["expires_us"]),
            withdrawn_at=_optional_time(found["withdrawn_us"]),
            channel=found.get("channel", ""),  # earlier versions wrote neither
            jurisdiction=found.get("jurisdiction", ""),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise _malformed("consent") from error


def encode_voiceprint(voiceprint: Voiceprint) -> bytes:
    """Write embedding, seconds, time and provenance; ids and model are bound, not written.

    Raises:
        InternalError: an embedding is not a finite float32 vector.
    """
    head = _PRINT.pack(voiceprint.net_seconds, to_microseconds(voiceprint.created_at))
    return head + _vector(voiceprint.embedding) + encode_segments(voiceprint.segments)


def voiceprint_seconds(payload: bytes) -> Seconds:
    """Read only the net seconds of a voiceprint's payload."""
    try:
        net_seconds, _ = _PRINT.unpack_from(payload)
    except struct.error as error:
        raise _malformed("voiceprint") from error
    return float(net_seconds)


def voiceprint_vector(payload: bytes) -> bytes:
    """Cut only the embedding out of a voiceprint's payload, for ``stacked``."""
    try:
        (size,) = _COUNT.unpack_from(payload, _PRINT.size)
    except struct.error as error:
        raise _malformed("voiceprint") from error
    start = _PRINT.size + _COUNT.size
    vector = payload[start : start + 4 * size]
    if len(vector) != 4 * size:
        raise _malformed("voiceprint")
    return vector


def stacked(vectors: Sequence[bytes]) -> NDArray[np.float32]:
    """Read embeddings of one model, at least one, shape (vectors, dimension).

    Raises:
        IntegrityError: they are not of one length.
    """
    size = len(vectors[0])
    if not size or any(len(one) != size for one in vectors):
        raise _malformed("voiceprint")
    values = np.frombuffer(b"".join(vectors), dtype="<f4").astype(np.float32, copy=False)
    return values.reshape(len(vectors), size // 4)


def decode_voiceprint(
    payload: bytes, *, voiceprint: VoiceprintId, subject: SubjectId, model: ModelHash
) -> Voiceprint:
    """Read a voiceprint. Raises IntegrityError if it is malformed."""
    try:
        net_seconds, created = _PRINT.unpack_from(payload)
        embedding, place = _read_vector(payload, _PRINT.size)
        return Voiceprint(
            voiceprint=voiceprint,
            subject=subject,
            model=model,
            embedding=embedding,
            net_seconds=net_seconds,
            created_at=from_microseconds(created),
            segments=_read_segments(payload, place),
        )
    except (ValueError, struct.error, OverflowError) as error:
        raise _malformed("voiceprint") from error


def encode_segments(segments: Sequence[EnrolmentSegment]) -> bytes:
    """Write segments with their provenance. Raises InternalError like ``encode_voiceprint``."""
    pieces = [_COUNT.pack(len(segments))]
    for one in segments:
        call = one.call.encode("utf-8", "surrogatepass")
        pieces.append(
            _SEGMENT.pack(
                one.net_seconds,
                one.start_seconds,
                one.end_seconds,
                one.snr_db is not None,
                one.snr_db or 0.0,
                one.bandwidth is Bandwidth.WIDEBAND,
                len(call),
            )
        )
        pieces.extend((call, _vector(one.embedding)))
    return b"".join(pieces)


def decode_segments(payload: bytes) -> tuple[EnrolmentSegment, ...]:
    """Read segments. Raises IntegrityError if they are malformed."""
    try:
        return _read_segments(payload, 0)
    except (ValueError, struct.error) as error:
        raise _malformed("segments") from error


def to_microseconds(moment: datetime) -> int:
    """Return whole microseconds since 1970 UTC. Raises InternalError without a time zone."""
    if moment.tzinfo is None:
        raise InternalError(detail="a stored time needs a time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """Return the UTC time of a count. Raises OverflowError beyond the calendar."""
    return _EPOCH + timedelta(microseconds=count)


def _read_segments(payload: bytes, place: int) -> tuple[EnrolmentSegment, ...]:
    (count,) = _COUNT.unpack_from(payload, place)
    place += _COUNT.size
    found = []
    for _ in range(count):
        net, start, end, known, snr, wide, length = _SEGMENT.unpack_from(payload, place)
        place += _SEGMENT.size
        call = payload[place : place + length].decode("utf-8", "surrogatepass")
        embedding, place = _read_vector(payload, place + length)
        found.append(
            EnrolmentSegment(
                embedding=embedding,
                net_seconds=net,
                call=CallId(call),
                start_seconds=start,
                end_seconds=end,
                snr_db=snr if known else None,
                bandwidth=Bandwidth.WIDEBAND if wide else Bandwidth.NARROWBAND,
            )
        )
    if place != len(payload):
        raise _malformed("segments")
    return tuple(found)


def _vector(embedding: Embedding) -> bytes:
    if embedding.ndim != 1 or not 0 < embedding.size <= _LARGEST_DIMENSION:
        raise InternalError(detail=f"an embedding of shape {embedding.shape} cannot be stored")
    if embedding.dtype != np.float32 or not bool(np.isfinite(embedding).all()):
        raise InternalError(detail="an embedding must be finite float32")
    return _COUNT.pack(embedding.size) + embedding.astype("<f4").tobytes()


def _read_vector(payload: bytes, place: int) -> tuple[Embedding, int]:
    (size,) = _COUNT.unpack_from(payload, place)
    place += _COUNT.size
    values = np.frombuffer(payload, dtype="<f4", count=size, offset=place)
    return values.astype(np.float32), place + 4 * size


def _json(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def _optional_us(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)


def _optional_time(count: int | None) -> datetime | None:
    return None if count is None else from_microseconds(count)


def _malformed(what: str) -> IntegrityError:
    return IntegrityError(detail=f"a stored {what} is malformed")
