# SPDX-License-Identifier: Apache-2.0
"""Counters and nameless voices as bytes, before they are sealed. Same rules as ``codec``."""

import struct

import numpy as np

from voiceauth.errors import IntegrityError, InternalError
from voiceauth.types import Attempts, FailedVoice
from voiceauth.vault.codec import from_microseconds, to_microseconds

_ATTEMPTS = struct.Struct("<QQQ?q")  # failures, undecided, total, anchored, anchor
_VOICE = struct.Struct("<dq")  # net seconds, heard


def encode_attempts(attempts: Attempts) -> bytes:
    """Write counters."""
    anchor = attempts.anchored_at
    return _ATTEMPTS.pack(
        attempts.failures,
        attempts.undecided,
        attempts.total,
        anchor is not None,
        0 if anchor is None else to_microseconds(anchor),
    )


def decode_attempts(payload: bytes) -> Attempts:
    """Read counters. Raises IntegrityError if they are malformed."""
    try:
        failures, undecided, total, anchored, anchor = _ATTEMPTS.unpack(payload)
        moment = from_microseconds(anchor) if anchored else None
    except (struct.error, OverflowError) as error:
        raise IntegrityError(detail="stored counters are malformed") from error
    return Attempts(failures, undecided, total, moment)


def encode_failed_voice(voice: FailedVoice) -> bytes:
    """Write a voice; its time stands beside it, too. Raises InternalError for a bad embedding."""
    vector = voice.embedding
    if vector.ndim != 1 or vector.dtype != np.float32 or not bool(np.isfinite(vector).all()):
        raise InternalError(detail="an embedding must be one finite float32 vector")
    head = _VOICE.pack(voice.net_seconds, to_microseconds(voice.heard_at))
    return head + vector.astype("<f4").tobytes()


def decode_failed_voice(payload: bytes) -> FailedVoice:
    """Read a voice. Raises IntegrityError if it is malformed."""
    try:
        net_seconds, heard = _VOICE.unpack_from(payload)
        vector = np.frombuffer(payload, dtype="<f4", offset=_VOICE.size).astype(np.float32)
        return FailedVoice(vector, net_seconds, from_microseconds(heard))
    except (struct.error, ValueError, OverflowError) as error:
        raise IntegrityError(detail="a stored voice is malformed") from error
