# SPDX-License-Identifier: Apache-2.0
"""Authenticated encryption of long content, some at a time: the STREAM construction on AES-256-GCM.

Each stream has a key of its own, so a nonce is a counter and cannot repeat. The last chunk is
marked in its nonce: a stream that was cut off at a chunk's end does not open, nor does one whose
chunks were exchanged, doubled or left out.
"""

import struct
from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from voiceauth.errors import InternalError, TagMismatchError
from voiceauth.keys.envelope import KEY_BYTES, TAG_BYTES

CHUNK_BYTES = 1_048_576
"""Plaintext of every chunk but the last, which may be shorter and even empty."""
_NONCE = struct.Struct(">3xQB")  # zeros, number of the chunk, whether it is the last


def sealed_chunks(key: bytes, content: Iterable[bytes], associated: bytes) -> Iterator[bytes]:
    """Encrypt a stream.

    Args:
        key: 32 bytes that seal nothing else.
        content: pieces of any length.
        associated: what the stream belongs to; needed, unchanged, to open it.

    Yields:
        Chunks, ``TAG_BYTES`` longer than their plaintext.

    Raises:
        InternalError: the key does not have 32 bytes.
    """
    cipher = _cipher(key)
    number, held = 0, bytearray()
    for piece in content:
        held += piece
        while len(held) > CHUNK_BYTES:  # what fills a chunk exactly may be the last one
            chunk = bytes(held[:CHUNK_BYTES])
            yield cipher.encrypt(_NONCE.pack(number, 0), chunk, associated)
            del held[:CHUNK_BYTES]
            number += 1
    yield cipher.encrypt(_NONCE.pack(number, 1), bytes(held), associated)


def opened_chunks(key: bytes, chunks: Iterable[bytes], associated: bytes) -> Iterator[bytes]:
    """Check and decrypt a stream; what was yielded before an error must not be used.

    Raises:
        TagMismatchError: another key, another ``associated``, or anything in the stream was
            changed, moved, added or cut off.
        InternalError: the key does not have 32 bytes.
    """
    cipher = _cipher(key)
    number, held = 0, None
    for chunk in chunks:
        if held is not None:
            yield _opened(cipher, held, number, associated, last=False)
            number += 1
        held = chunk
    if held is None:
        raise TagMismatchError(detail="an empty stream")
    yield _opened(cipher, held, number, associated, last=True)


def _opened(cipher: AESGCM, chunk: bytes, number: int, associated: bytes, *, last: bool) -> bytes:
    if len(chunk) < TAG_BYTES:
        raise TagMismatchError(detail=f"chunk {number} is truncated")
    try:
        return cipher.decrypt(_NONCE.pack(number, last), chunk, associated)
    except InvalidTag:
        raise TagMismatchError(detail=f"chunk {number} does not match its tag") from None


def _cipher(key: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise InternalError(detail=f"a stream key must have {KEY_BYTES} bytes")
    return AESGCM(key)
