# SPDX-License-Identifier: Apache-2.0
"""The part of an archive that stands in clear: which key opens it, and who says to have made it."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from voiceauth.errors import IntegrityError
from voiceauth.types import KeyId


@dataclass(frozen=True, slots=True)
class Header:
    """What stands in clear: nothing about anybody."""

    key_id: KeyId
    wrapped: bytes
    signer: bytes


def encode_header(header: Header) -> bytes:
    """Write a header."""
    fields = {
        "key": header.key_id,
        "wrapped": base64.b64encode(header.wrapped).decode("ascii"),
        "signer": base64.b64encode(header.signer).decode("ascii"),
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def decode_header(data: bytes) -> Header:
    """Read a header. Raises IntegrityError if it is malformed."""
    try:
        found: dict[str, Any] = json.loads(data)
        return Header(
            KeyId(str(found["key"])),
            base64.b64decode(found["wrapped"], validate=True),
            base64.b64decode(found["signer"], validate=True),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError("The backup's header cannot be read.") from error
