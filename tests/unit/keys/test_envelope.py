# SPDX-License-Identifier: Apache-2.0
import pytest

from voiceauth.errors import InternalError, TagMismatchError
from voiceauth.keys.envelope import NONCE_BYTES, OVERHEAD_BYTES, open_sealed, seal
from voiceauth.testing.fakes import FakeRandom

KEY = bytes(range(32))


def test_every_flipped_bit_is_refused() -> None:
    """No bit of a sealed blob, version and nonce included, can change unnoticed."""
    sealed = seal(KEY, b"a voice", b"its place", FakeRandom())

    for position in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(TagMismatchError):
            open_sealed(KEY, bytes(changed), b"its place")


def test_every_truncation_is_refused() -> None:
    """A blob cut short anywhere does not open."""
    sealed = seal(KEY, b"a voice", b"", FakeRandom())

    for length in range(len(sealed)):
        with pytest.raises(TagMismatchError):
            open_sealed(KEY, sealed[:length], b"")


def test_another_place_or_key_is_refused() -> None:
    """The associated data and the key belong to the blob."""
    sealed = seal(KEY, b"a voice", b"its place", FakeRandom())

    with pytest.raises(TagMismatchError):
        open_sealed(KEY, sealed, b"another place")
    with pytest.raises(TagMismatchError):
        open_sealed(bytes(32), sealed, b"its place")


def test_what_was_sealed_opens() -> None:
    """The right key and place give the plaintext back, at the stated cost in bytes."""
    sealed = seal(KEY, b"a voice", b"its place", FakeRandom())

    assert open_sealed(KEY, sealed, b"its place") == b"a voice"
    assert len(sealed) == len(b"a voice") + OVERHEAD_BYTES
    assert b"a voice" not in sealed


def test_each_sealing_takes_a_new_nonce() -> None:
    """The same plaintext never seals to the same bytes under one key."""
    random = FakeRandom()
    nonces = {seal(KEY, b"same", b"", random)[1 : 1 + NONCE_BYTES] for _ in range(100)}

    assert len(nonces) == 100


def test_a_published_vector_is_reproduced() -> None:
    """The cipher is AES-256-GCM: test case 14 of the GCM specification, behind our version byte."""
    zero = bytes(16)
    sealed = seal(bytes(32), zero, b"", _Zeros())

    # Associated data differs from the specification's (our version byte), the ciphertext does not.
    assert sealed[13:29].hex() == "cea7403d4d606b6e074ec5d3baf39d18"


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    """Only 256-bit keys seal or open anything."""
    with pytest.raises(InternalError):
        seal(bytes(size), b"", b"", FakeRandom())
    with pytest.raises(InternalError):
        open_sealed(bytes(size), b"\x01" + bytes(28), b"")


class _Zeros:
    def token(self, size: int) -> bytes:
        return bytes(size)
