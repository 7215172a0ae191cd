# SPDX-License-Identifier: Apache-2.0
"""Embeddings kept for the next run: never another model's, never another sound's."""

from pathlib import Path

import numpy as np
import pytest

from voiceauth.errors import IntegrityError
from voiceauth.evaluation.embedding_cache import EmbeddingCache, sound_key

SOUND = np.linspace(-0.5, 0.5, 1000, dtype=np.float32)


def test_a_key_tells_any_two_sounds_apart() -> None:
    """One changed sample, one sample less or another rate is another sound."""
    changed = SOUND.copy()
    changed[500] = np.nextafter(changed[500], np.float32(1.0))
    sounds = [(SOUND, 8000), (changed, 8000), (SOUND[:-1], 8000), (SOUND, 16000)]
    assert len({sound_key(*one) for one in sounds}) == len(sounds)


def test_a_key_is_of_the_samples_only() -> None:
    """A view, another byte order or another run make no difference."""
    doubled = np.repeat(SOUND, 2)[::2]
    assert sound_key(doubled, 8000) == sound_key(SOUND, 8000)
    assert sound_key(SOUND.astype(">f4"), 8000) == sound_key(SOUND, 8000)
    exact = np.array([0.0, 0.25, -0.5, 1.0], dtype=np.float32)
    assert sound_key(exact, 8000).hex() == "825c5799ab2ab7941bf757fc0b242734"


def test_what_was_saved_is_there_in_the_next_run(tmp_path: Path) -> None:
    """A new cache of the same system gives the same vectors."""
    cache = EmbeddingCache(tmp_path / "cache", "model-a")
    keys = [sound_key(SOUND[at:], 8000) for at in range(3)]
    vectors = {key: np.full(4, at, dtype=np.float32) for at, key in enumerate(keys)}
    cache.add(vectors)
    cache.save()
    again = EmbeddingCache(tmp_path / "cache", "model-a")
    assert len(again) == len(keys)
    for key, vector in vectors.items():
        np.testing.assert_array_equal(again[key], vector)
    again.add({sound_key(SOUND, 16000): np.ones(4, dtype=np.float32)})
    again.save()
    assert len(EmbeddingCache(tmp_path / "cache", "model-a")) == len(keys) + 1


def test_another_model_starts_empty(tmp_path: Path) -> None:
    """An embedding is never taken from another system."""
    cache = EmbeddingCache(tmp_path, "model-a")
    key = sound_key(SOUND, 8000)
    cache.add({key: np.ones(4, dtype=np.float32)})
    cache.save()
    assert key not in EmbeddingCache(tmp_path, "model-b")


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    """A file that is no cache stops the run instead of being taken for an empty one."""
    (tmp_path / "model-a.npz").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"model-a\.npz"):
        EmbeddingCache(tmp_path, "model-a")


def test_foreign_arrays_are_refused(tmp_path: Path) -> None:
    """Keys of another length do not belong here."""
    np.savez(tmp_path / "model-a.npz", keys=np.zeros((2, 3), np.uint8), rows=np.zeros((2, 4)))
    with pytest.raises(IntegrityError, match=r"model-a\.npz"):
        EmbeddingCache(tmp_path, "model-a")
