# SPDX-License-Identifier: Apache-2.0
"""One byte string for a set of named parts, such that different parts never give the same bytes.

Joining with separators would let ``("ab", "c")`` and ``("a", "bc")`` collide, and a row could be
moved between them unnoticed. Here every name and value is preceded by its length and type.
"""

import struct
from functools import lru_cache

_Part = str | bytes | int
_LENGTH = struct.Struct(">Q").pack


def bind(kind: str, /, **parts: _Part) -> bytes:
    """Encode named parts injectively; their order does not matter.

    Args:
        kind: what is being bound, for example ``voiceprint``: keeps purposes apart.
        **parts: names and values.

    Returns:
        Bytes to use as associated data, or as the input of a hash.
    """
    head, fields = _frame(kind, tuple(parts))
    pieces = [head]
    for name, before in fields:
        value = parts[name]
        if isinstance(value, bytes):
            pieces += (before, b"b", _LENGTH(len(value)), value)
            continue
        mark = b"i" if isinstance(value, int) else b"s"
        text = _text(str(int(value)) if isinstance(value, int) else value)
        pieces += (before, mark, _LENGTH(len(text)), text)
    return b"".join(pieces)


@lru_cache(maxsize=256)
def _frame(kind: str, names: tuple[str, ...]) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """Encode what does not depend on values; kinds and names stand in the source, so they are few.

    Returns:
        What comes first, and each name, sorted, with what comes before its value.
    """
    head = b"voiceauth/1" + _prefixed(_text(kind)) + struct.pack(">I", len(names))
    return head, tuple((name, _prefixed(_text(name))) for name in sorted(names))


def _text(text: str) -> bytes:
    # Lone surrogates cannot come through the checked contract, but must not become a crash.
    return text.encode("utf-8", "surrogatepass")


def _prefixed(data: bytes) -> bytes:
    return _LENGTH(len(data)) + data
