# SPDX-License-Identifier: Apache-2.0
"""One byte string for a set of named parts, such that different parts never give the same bytes.

Joining with separators would let ``("ab", "c")`` and ``("a", "bc")`` collide, and a row could be
moved between them unnoticed. Here every name and value is preceded by its length and type.
``Form`` gives the same bytes, faster where few of many sets of parts differ.
"""

import struct
from functools import lru_cache

from voiceauth.errors import InternalError

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
        pieces.append(before)
        pieces += _value(parts[name])
    return b"".join(pieces)


class Form:
    """What ``bind`` gives for many sets of parts that have most in common: a quarter of its time.

    Args:
        kind: as for ``bind``.
        left_open: names of the parts that come with each set; their values are text or bytes.
        **fixed: names and values of the others.

    Raises:
        InternalError: a part is both.
    """

    def __init__(self, kind: str, left_open: frozenset[str], /, **fixed: _Part) -> None:
        if not left_open.isdisjoint(fixed):
            raise InternalError(detail=f"a form of {kind} has a part twice")
        head, fields = _frame(kind, (*left_open, *fixed))
        self._pieces = [head]
        self._places: list[tuple[str, int]] = []
        for name, before in fields:
            if name in left_open:
                self._pieces[-1] += before
                self._places.append((name, len(self._pieces)))
                self._pieces += (b"", b"", b"", b"")  # mark, length, value, and what comes next
            else:
                self._pieces[-1] += before + b"".join(_value(fixed[name]))

    def bind(self, **parts: str | bytes) -> bytes:
        """Return what the function ``bind`` returns for the fixed parts and these.

        Raises:
            InternalError: they are not those that were left open.
        """
        if len(parts) != len(self._places):
            raise InternalError(detail="a form was filled in with other parts than it has")
        pieces = self._pieces.copy()
        for name, place in self._places:
            value = parts.get(name)
            if isinstance(value, bytes):
                pieces[place] = b"b"
            elif isinstance(value, str):
                pieces[place] = b"s"
                value = _text(value)
            else:
                raise InternalError(detail="a form was filled in with other parts than it has")
            pieces[place + 1] = _LENGTH(len(value))
            pieces[place + 2] = value
        return b"".join(pieces)


def _value(value: _Part) -> tuple[bytes, bytes, bytes]:
    if isinstance(value, bytes):
        return b"b", _LENGTH(len(value)), value
    mark = b"i" if isinstance(value, int) else b"s"
    text = _text(str(int(value)) if isinstance(value, int) else value)
    return mark, _LENGTH(len(text)), text


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
