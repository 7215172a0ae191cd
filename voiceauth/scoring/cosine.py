# SPDX-License-Identifier: Apache-2.0
"""Cosine similarity of embeddings."""

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InternalError
from voiceauth.types import Embedding
from voiceauth.units import Cosine

_LEAST_NORM = 1e-6


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale vectors to Euclidean norm 1.

    Args:
        vectors: shape (dimension,) or (count, dimension).

    Returns:
        float32, same shape.

    Raises:
        InternalError: a vector is not finite or has no direction.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    if not np.isfinite(norms).all() or (norms < _LEAST_NORM).any():
        raise InternalError(detail="an embedding is not finite or has no direction")
    return np.asarray(wide / norms, dtype=np.float32)


def cosine(one: Embedding, other: Embedding) -> Cosine:
    """Return the cosine similarity of two embeddings, -1 to 1.

    Args:
        one: shape (dimension,), any norm but zero.
        other: the same.

    Raises:
        InternalError: the shapes differ, or one is not finite or has no direction.
    """
    if one.ndim != 1 or one.shape != other.shape:
        raise InternalError(detail=f"embeddings of shapes {one.shape} and {other.shape} were met")
    product = np.dot(unit(one).astype(np.float64), unit(other).astype(np.float64))
    return float(np.clip(product, -1.0, 1.0))
