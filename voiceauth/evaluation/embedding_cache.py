# SPDX-License-Identifier: Apache-2.0
"""Embeddings on disk, so that a benchmark that is run again computes only what is new.

An embedding is filed under the system that made it and the very samples that it heard. Another
model, another simulator or another seed therefore never meets an old embedding; nothing needs to be
cleared by hand. No audio is kept.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import IntegrityError
from voiceauth.types import Samples
from voiceauth.units import Hertz

KEY_BYTES = 16

Vector = NDArray[np.float32]


def sound_key(samples: Samples, rate_hz: Hertz) -> bytes:
    """Name a sound by what it is: 16 bytes of a hash over rate and samples, shape (samples,)."""
    digest = hashlib.sha256(f"{rate_hz} ".encode())
    digest.update(np.ascontiguousarray(samples, dtype="<f4").tobytes())
    return digest.digest()[:KEY_BYTES]


class EmbeddingCache:
    """The embeddings of one system.

    Args:
        folder: where the file lies; created if missing.
        system: names the system and its weights; part of the file's name.

    Raises:
        IntegrityError: the file is there and is no such cache.
    """

    def __init__(self, folder: Path, system: str) -> None:
        self._path = folder / f"{system}.npz"
        self._known: dict[bytes, Vector] = _read(self._path) if self._path.exists() else {}
        self._unsaved = False

    def __len__(self) -> int:
        """Count the embeddings."""
        return len(self._known)

    def __contains__(self, key: bytes) -> bool:
        """Tell whether a sound's embedding is known."""
        return key in self._known

    def __getitem__(self, key: bytes) -> Vector:
        """Return the embedding of a known sound, float32, shape (dimension,)."""
        return self._known[key]

    def add(self, found: Mapping[bytes, Vector]) -> None:
        """Keep embeddings by ``sound_key``; all of one dimension."""
        self._known.update(found)
        self._unsaved = self._unsaved or bool(found)

    def save(self) -> None:
        """Write what is new; the file is replaced at once or not at all."""
        if not self._unsaved:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp.npz")
        keys = np.frombuffer(b"".join(self._known), dtype=np.uint8).reshape(-1, KEY_BYTES)
        np.savez(temporary, keys=keys, rows=np.stack(list(self._known.values())))
        temporary.replace(self._path)
        self._unsaved = False


def _read(path: Path) -> dict[bytes, Vector]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            keys, rows = arrays["keys"], arrays["rows"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"{path.name} is no embedding cache.", detail=str(error)) from error
    fits = keys.ndim == rows.ndim == 2 and len(keys) == len(rows)  # noqa: PLR2004
    if not fits or keys.dtype != np.uint8 or keys.shape[1] != KEY_BYTES:
        raise IntegrityError(f"{path.name} is no embedding cache.")
    return {key.tobytes(): row for key, row in zip(keys, rows.astype(np.float32), strict=True)}
