# SPDX-License-Identifier: Apache-2.0
"""What was heard of a subject, as bytes: all recordings in one blob, so that none can be taken out.

Decoded only after authentication, like everything in ``codec``.
"""

import struct
from collections.abc import Sequence

from voiceauth.errors import IntegrityError, InternalError
from voiceauth.types import CallId, Fingerprint, HeardRecording
from voiceauth.vault.codec import from_microseconds, to_microseconds

_COUNT = struct.Struct("<I")
_HEAD = struct.Struct("<qHHI")  # heard at, lengths of call id and version, frames
_BYTES_PER_FRAME = 4


def encode_recordings(recordings: Sequence[HeardRecording]) -> bytes:
    """Write recordings in order. Raises InternalError if one is not what it says."""
    pieces = [_COUNT.pack(len(recordings))]
    for one in recordings:
        call = one.call.encode("utf-8", "surrogatepass")
        version = one.fingerprint.version.encode("utf-8")
        if len(one.fingerprint.bits) != one.fingerprint.frames * _BYTES_PER_FRAME:
            raise InternalError(detail="a fingerprint's bytes do not fit its frames")
        heard = to_microseconds(one.heard_at)
        pieces.append(_HEAD.pack(heard, len(call), len(version), one.fingerprint.frames))
        pieces += [call, version, one.fingerprint.bits]
    return b"".join(pieces)


def decode_recordings(payload: bytes) -> tuple[HeardRecording, ...]:
    """Read recordings. Raises IntegrityError if they are malformed."""
    try:
        (count,) = _COUNT.unpack_from(payload)
        place, found = _COUNT.size, []
        for _ in range(count):
            heard, call_size, version_size, frames = _HEAD.unpack_from(payload, place)
            place += _HEAD.size
            sizes = (call_size, version_size, frames * _BYTES_PER_FRAME)
            call, version, bits = _cut(payload, place, sizes)
            place += sum(sizes)
            print_ = Fingerprint(version.decode("utf-8"), frames, bits)
            name = CallId(call.decode("utf-8", "surrogatepass"))
            found.append(HeardRecording(name, from_microseconds(heard), print_))
    except (ValueError, struct.error, OverflowError) as error:
        raise IntegrityError(detail="stored recordings are malformed") from error
    if place != len(payload):
        raise IntegrityError(detail="stored recordings are malformed")
    return tuple(found)


def _cut(payload: bytes, place: int, sizes: tuple[int, int, int]) -> tuple[bytes, bytes, bytes]:
    first, second, third = sizes
    ends = (place + first, place + first + second, place + first + second + third)
    return payload[place : ends[0]], payload[ends[0] : ends[1]], payload[ends[1] : ends[2]]
