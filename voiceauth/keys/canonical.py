# SPDX-License-Identifier: Apache-2.0
"""One byte string for a set of named parts, such that different parts never give the same bytes.

Joining with separators would let ``("ab", "c")`` and ``("a", "bc")`` collide, and a row could be
moved between them unnoticed. Here every name and value is preceded by its length and type.
"""

import struct

_Part = str | bytes | int


def bind(kind: str, /, **parts: _Part) -> bytes:
    """Encode named parts injectively; their order does not matter.

    Args:
        kind: what is being bound, for example ``voiceprint``: keeps purposes apart.
        **parts: names and values.

    Returns:
        Bytes to use as associated data, or as the input of a hash.
    """
    pieces = [b"voiceauth/1", _prefixed(_text(kind)), struct.pack(">I", len(parts))]
    for name in sorted(parts):
        pieces.append(_prefixed(_text(name)))
        pieces.append(_value(parts[name]))
    return b"".join(pieces)


def _value(value: _Part) -> bytes:
    if isinstance(value, bytes):
        return b"b" + _prefixed(value)
    if isinstance(value, int):
        return b"i" + _prefixed(str(int(value)).encode())
    return b"s" + _prefixed(_text(value))


def _text(text: str) -> bytes:
    # Lone surrogates cannot come through the checked contract, but must not become a crash.
    return text.encode("utf-8", "surrogatepass")


def _prefixed(data: bytes) -> bytes:
    return struct.pack(">Q", len(data)) + data
