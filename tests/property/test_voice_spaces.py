# SPDX-License-Identifier: Apache-2.0
"""Secret spaces over random secrets, dimensions and vectors: what is kept, and what is lost."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voiceauth.keys.voice_transform import VoiceTransform

SECRETS = st.binary(min_size=32, max_size=32)
DIMENSIONS = st.integers(1, 80)


def vectors(seed: int, count: int, dimension: int) -> NDArray[np.float32]:
    """Return random vectors of very different lengths."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-3, 3, size=(count, 1))
    return np.asarray(scale * rng.standard_normal((count, dimension)), dtype=np.float32)


@given(SECRETS, DIMENSIONS, st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_inner_products_and_lengths_are_kept(secret: bytes, dimension: int, seed: int) -> None:
    """Whatever the secret, everything that a score is made of stays what it was."""
    plain = vectors(seed, 5, dimension)
    turned = VoiceTransform(secret, 1).protect(plain)
    size = np.linalg.norm(plain, axis=1)
    bound = 1e-5 * np.outer(size, size)

    assert (np.abs(turned @ turned.T - plain @ plain.T) <= bound).all()


@given(SECRETS, DIMENSIONS, st.integers(0, 2**32 - 1), st.integers(1, 1000))
@settings(max_examples=60)
def test_what_is_turned_comes_back_under_its_own_secret(
    secret: bytes, dimension: int, seed: int, generation: int
) -> None:
    """Another object of the same secret, as after a restart, turns it back."""
    plain = vectors(seed, 3, dimension)
    stored = VoiceTransform(secret, generation).protect(plain)
    back = VoiceTransform(secret, generation).reveal(stored)

    size = np.linalg.norm(plain, axis=1, keepdims=True)
    assert (np.abs(back - plain) <= 1e-5 * size).all()


@given(st.lists(SECRETS, min_size=2, max_size=2, unique=True), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_another_secret_turns_nothing_back(secrets: list[bytes], seed: int) -> None:
    """Under a wrong secret what comes out points anywhere."""
    plain = vectors(seed, 1, 192)[0]
    plain /= np.linalg.norm(plain)
    wrong = VoiceTransform(secrets[1], 1).reveal(VoiceTransform(secrets[0], 1).protect(plain))

    assert abs(float(plain @ wrong)) < 0.6  # eight deviations of a random direction
