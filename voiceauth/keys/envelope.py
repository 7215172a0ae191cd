# SPDX-License-Identifier: Apache-2.0
"""AES-256-GCM with a version byte: what is sealed can be neither read nor changed nor moved.

Layout of a sealed blob: version (1 byte, now 1), nonce (12 bytes, random), ciphertext, tag (16).

A random 96-bit nonce is safe for about 2**32 blobs under one key. A subject's data key seals a few
hundred in its life, and a key-encryption key one blob per subject and rotation.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from voiceauth.errors import InternalError, TagMismatchError
from voiceauth.ports import Random

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES
_VERSION = b"\x01"


def seal(key: bytes, plaintext: bytes, associated: bytes, random: Random) -> bytes:
    """Encrypt and authenticate.

    Args:
        key: 32 bytes.
        plaintext: what is to be kept secret.
        associated: what the blob belongs to; needed, unchanged, to open it.
        random: source of the nonce; must never repeat under one key.

    Returns:
        The sealed blob, ``OVERHEAD_BYTES`` longer than the plaintext.

    Raises:
        InternalError: the key does not have 32 bytes.
    """
    nonce = random.token(NONCE_BYTES)
    return _VERSION + nonce + _cipher(key).encrypt(nonce, plaintext, _VERSION + associated)


def open_sealed(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Check and decrypt.

    Raises:
        TagMismatchError: another key, another ``associated``, or any changed or missing byte.
        InternalError: the key does not have 32 bytes.
    """
    return Opener(key).open(sealed, associated)


class Opener:
    """Opens blobs that were sealed under one key, which is set up once.

    Raises:
        InternalError: the key does not have 32 bytes.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = _cipher(key)

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Check and decrypt.

        Raises:
            TagMismatchError: another key, another ``associated``, or any changed or missing byte.
        """
        if len(sealed) < OVERHEAD_BYTES:
            raise TagMismatchError(detail="sealed blob is truncated")
        if sealed[:1] != _VERSION:
            raise TagMismatchError(detail=f"unknown sealing version {sealed[0]}")
        nonce = sealed[1 : 1 + NONCE_BYTES]
        try:
            return self._cipher.decrypt(nonce, sealed[1 + NONCE_BYTES :], _VERSION + associated)
        except InvalidTag:
            raise TagMismatchError(detail="authentication tag does not match") from None


def _cipher(key: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise InternalError(detail=f"a sealing key must have {KEY_BYTES} bytes")
    return AESGCM(key)
