# SPDX-License-Identifier: Apache-2.0
"""Ed25519: what the installation states, others can check without any of its secrets."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from voiceauth.errors import IntegrityError, InternalError

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
_SEED_BYTES = 32


class SigningKey:
    """Signs; its secret never leaves it.

    Args:
        seed: 32 secret bytes, from ``KeyService.derive``: it survives every rotation, and whoever
            has the keys of the installation can sign in its name.

    Raises:
        InternalError: the seed does not have 32 bytes.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != _SEED_BYTES:
            raise InternalError(detail=f"a signing seed must have {_SEED_BYTES} bytes")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public(self) -> bytes:
        """The 32 bytes that others check with."""
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        """Return 64 bytes, the same every time."""
        return self._key.sign(message)


def check_signature(public: bytes, message: bytes, signature: bytes) -> None:
    """Check one signature.

    Raises:
        IntegrityError: the message was changed, or signed by another key, or a length is wrong.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise IntegrityError(detail="a signature does not match") from None
