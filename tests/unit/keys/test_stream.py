# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest

from voiceauth.errors import InternalError, TagMismatchError
from voiceauth.keys.stream import CHUNK_BYTES, opened_chunks, sealed_chunks

KEY = bytes(range(32))
LONG = bytes(range(256)) * (CHUNK_BYTES // 256) * 2 + b"the end"


def sealed(content: bytes = LONG) -> list[bytes]:
    """Return the chunks of a stream."""
    return list(sealed_chunks(KEY, [content], b"context"))


def opened(chunks: list[bytes], key: bytes = KEY, context: bytes = b"context") -> bytes:
    """Open chunks to the end."""
    return b"".join(opened_chunks(key, chunks, context))


def flipped(chunks: list[bytes]) -> list[bytes]:
    """Change one bit of the middle chunk."""
    return [chunks[0], bytes([chunks[1][0] ^ 1]) + chunks[1][1:], *chunks[2:]]


@pytest.mark.parametrize(
    "attack",
    [
        flipped,
        lambda chunks: chunks[:-1],
        lambda chunks: chunks[1:],
        lambda chunks: [chunks[1], chunks[0], *chunks[2:]],
        lambda chunks: [chunks[0], *chunks],
        lambda chunks: [*chunks, chunks[-1]],
        lambda chunks: [*chunks, b""],
        lambda chunks: [*chunks[:-1], chunks[-1][:10]],
        lambda chunks: chunks[:0],
    ],
    ids=["flip", "cut", "behead", "swap", "double", "append", "empty", "short", "nothing"],
)
def test_a_stream_that_was_changed_does_not_open(
    attack: Callable[[list[bytes]], list[bytes]],
) -> None:
    """Whatever was changed, cut off, moved, doubled or added raises."""
    with pytest.raises(TagMismatchError):
        opened(attack(sealed()))


def test_another_key_or_place_does_not_open_a_stream() -> None:
    """A stream belongs to its key and to what it was bound to."""
    with pytest.raises(TagMismatchError):
        opened(sealed(), key=bytes(32))
    with pytest.raises(TagMismatchError):
        opened(sealed(), context=b"elsewhere")


def test_a_key_of_another_length_is_a_fault_of_the_engine() -> None:
    """Nothing is sealed or opened under half a key."""
    with pytest.raises(InternalError):
        list(sealed_chunks(b"short", [b""], b""))
    with pytest.raises(InternalError):
        opened([b""], key=b"short")


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_what_was_sealed_comes_back(size: int) -> None:
    """Of every length around that of a chunk, in whatever pieces it came."""
    content = LONG[:size]
    pieces = [content[:7], content[7:]]

    assert opened(list(sealed_chunks(KEY, pieces, b"context"))) == content
