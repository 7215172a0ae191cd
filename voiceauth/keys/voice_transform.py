# SPDX-License-Identifier: Apache-2.0
"""A secret rotation of embedding space: what is stored can be revoked, and scores do not change.

An orthogonal matrix keeps every inner product, so vectors of one space compare as they did before.
Vectors of two spaces have nothing to say to each other: one voice under two secrets scores like two
strangers.

What this is **not**: irreversible. Whoever has the secret turns every vector back, and whoever has
enough pairs of vectors before and after finds the matrix (Procrustes). It also keeps all angles
*within* one space, so two whole galleries can be aligned by their shape. It revokes what leaked; it
does not make a leak harmless. The secret therefore stays wrapped, and vectors stay sealed besides.

Source:
    Mezzadri 2007, "How to generate random matrices from the classical compact groups": QR of a
    Gaussian matrix with the signs of R's diagonal moved into Q is uniform over all rotations.
"""

import threading

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from voiceauth.errors import InternalError
from voiceauth.keys.canonical import bind
from voiceauth.keys.envelope import KEY_BYTES

_NO_NONCE = bytes(16)
"""The key of the stream is used for one stream only."""
_MANTISSA_BITS = 53
_TOLERANCE = 1e-10
_MARK_BYTES = 8
_LARGEST_DIMENSION = 4096


class VoiceTransform:
    """The rotation of one tenant and generation. Immutable to its users, safe for several threads.

    Args:
        secret: 32 bytes; one secret gives one matrix per dimension, on every machine within
            rounding.
        generation: 1 or more; counts the tenant's secrets.

    Raises:
        InternalError: a secret of another length, or a generation below 1.
    """

    def __init__(self, secret: bytes, generation: int) -> None:
        if len(secret) != KEY_BYTES or generation < 1:
            raise InternalError(detail="a voice transform needs 32 secret bytes and a generation")
        self._secret = secret
        self._generation = generation
        self._matrices: dict[int, NDArray[np.float32]] = {}
        self._lock = threading.Lock()
        self._mark = f"{generation}:{_derived(secret, 'mark')[:_MARK_BYTES].hex()}"

    @property
    def generation(self) -> int:
        """Which of the tenant's secrets this is."""
        return self._generation

    @property
    def mark(self) -> str:
        """A name of this secret that tells nothing of it; sealed rows are bound to it."""
        return self._mark

    def protect(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn vectors into this space.

        Args:
            vectors: float32, shape (dimension,) or (count, dimension).

        Raises:
            InternalError: it is none of these.
        """
        return _product(vectors, self._matrix(vectors))

    def reveal(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn vectors of this space back. Argument and errors as ``protect``."""
        return _product(vectors, self._matrix(vectors).T)

    def _matrix(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        fits = vectors.dtype == np.float32 and vectors.ndim in {1, 2}
        if not fits or not 0 < vectors.shape[-1] <= _LARGEST_DIMENSION:
            raise InternalError(detail=f"vectors of shape {vectors.shape} cannot be protected")
        dimension = vectors.shape[-1]
        with self._lock:
            if dimension not in self._matrices:
                exact = orthogonal(self._secret, dimension)
                self._matrices[dimension] = exact.astype(np.float32)
            return self._matrices[dimension]


def _product(vectors: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore"):  # what is not finite stays so, and is refused when stored
        return np.asarray(vectors @ matrix, dtype=np.float32)


def orthogonal(secret: bytes, dimension: int) -> NDArray[np.float64]:
    """Return the matrix of a secret, uniform over all orthogonal ones.

    Args:
        secret: 32 bytes.
        dimension: 1 or more.

    Returns:
        float64, shape (dimension, dimension); its transpose is its inverse within 1e-10.

    Raises:
        InternalError: it did not come out orthogonal.
    """
    values, upper = np.linalg.qr(_gaussian(_derived(secret, "matrix"), dimension))
    # A diagonal entry is never exactly 0 but by a chance of 2**-53; then either sign will do.
    turned = np.asarray(values * np.where(np.diag(upper) < 0.0, -1.0, 1.0), dtype=np.float64)
    if not np.abs(turned.T @ turned - np.eye(dimension)).max() <= _TOLERANCE:
        raise InternalError(detail="a voice transform is not orthogonal")
    return turned


def _gaussian(key: bytes, dimension: int) -> NDArray[np.float64]:
    """Draw a square of normal numbers from a key's stream, by Box and Muller."""
    count = dimension * dimension
    raw = Cipher(ChaCha20(key, _NO_NONCE), mode=None).encryptor().update(bytes(16 * count))
    whole = np.frombuffer(raw, dtype="<u8").astype(np.uint64) >> np.uint64(64 - _MANTISSA_BITS)
    uniform = (whole.astype(np.float64) + 1.0) / 2.0**_MANTISSA_BITS  # above 0, so that log is
    radius = np.sqrt(-2.0 * np.log(uniform[:count]))
    normal: NDArray[np.float64] = radius * np.cos(2.0 * np.pi * uniform[count:])
    return normal.reshape(dimension, dimension)


def _derived(secret: bytes, purpose: str) -> bytes:
    info = bind("voice-transform", purpose=purpose)
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(secret)
