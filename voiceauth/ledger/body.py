# SPDX-License-Identifier: Apache-2.0
"""The one text form of an event's body, and of whatever the ledger hashes.

JSON arrays and objects keep their parts apart, so different parts never give the same bytes, and an
auditor can recompute every hash with nothing but a JSON writer and SHA-256.
"""

import json
import math
from collections.abc import Mapping

from voiceauth.errors import InternalError


def canonical_json(body: Mapping[str, object]) -> str:
    """Write a body as JSON: sorted keys, no blanks, ASCII, floats in their shortest exact form.

    Args:
        body: strings, whole numbers, finite floats, booleans, None, and lists and mappings of them.

    Returns:
        JSON text.

    Raises:
        InternalError: NaN, infinity, a key that is no string, or another type. The events are the
            engine's own, so this is a fault of the engine.
    """
    plain = dict(body)
    _check(plain)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def framed(kind: str, *parts: str | int) -> bytes:
    """Return the bytes to hash for some parts: a compact JSON array in UTF-8, ``kind`` first."""
    text = json.dumps([kind, *parts], ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _check(value: object) -> None:
    if isinstance(value, Mapping):
        if not isinstance(value, dict):
            raise InternalError(detail="a ledger body must be made of plain dicts")
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InternalError(detail="a ledger body has a key that is no string")
            _check(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InternalError(detail="a ledger body holds NaN or infinity")
    elif value is not None and not isinstance(value, str | int):
        raise InternalError(detail=f"a ledger body holds a {type(value).__name__}")
