# SPDX-License-Identifier: Apache-2.0
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import InternalError
from voiceauth.keys.voice_transform import VoiceTransform, orthogonal
from voiceauth.scoring.asnorm import AdaptiveNorm
from voiceauth.scoring.cosine import unit

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))
DIMENSION = 192


def voices(people: int, per_person: int, seed: int = 1) -> NDArray[np.float32]:
    """Return embeddings as a model makes them: people around a common mean, sessions around people.

    Shape (people, per_person, DIMENSION), unit norm.
    """
    rng = np.random.default_rng(seed)
    common = 0.4 * rng.standard_normal(DIMENSION)
    person = rng.standard_normal((people, 1, DIMENSION))
    session = 0.6 * rng.standard_normal((people, per_person, DIMENSION))
    return unit((common + person + session).reshape(-1, DIMENSION)).reshape(
        people, per_person, DIMENSION
    )


def ranked_above(targets: NDArray[np.floating], others: NDArray[np.floating]) -> float:
    """Return how often a target's score exceeds another's: 0.5 is chance, 1 is a sure link."""
    return float((targets[:, np.newaxis] > others[np.newaxis]).mean())


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_a_secret_of_another_length_is_refused(secret: bytes) -> None:
    """A short secret could be guessed."""
    with pytest.raises(InternalError):
        VoiceTransform(secret, 1)


def test_generation_0_is_no_transform() -> None:
    """0 names rows from before there were transforms; no secret can be of it."""
    with pytest.raises(InternalError):
        VoiceTransform(SECRET, 0)


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((2, 2, 2), dtype=np.float32),
        np.float32(1.0),
        np.zeros(0, dtype=np.float32),
        np.zeros(4097, dtype=np.float32),
        np.zeros(8, dtype=np.float64),
    ],
)
def test_what_is_no_embedding_is_not_turned(vectors: Any) -> None:
    """Neither wrong shapes, nor dimensions that no model has, nor another precision."""
    with pytest.raises(InternalError):
        VoiceTransform(SECRET, 1).protect(np.asarray(vectors))


def test_a_matrix_that_came_out_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the linear algebra stops the engine; it does not spoil voiceprints."""
    monkeypatch.setattr(np.linalg, "qr", lambda square: (square, square))

    with pytest.raises(InternalError, match="orthogonal"):
        orthogonal(SECRET, 8)


@pytest.mark.parametrize("dimension", [1, 2, 16, 192, 256, 512])
def test_the_matrix_is_orthogonal(dimension: int) -> None:
    """Its transpose is its inverse, in double precision to ten digits, in single to six."""
    exact = orthogonal(SECRET, dimension)
    single = exact.astype(np.float32)

    assert exact.dtype == np.float64
    assert np.abs(exact @ exact.T - np.eye(dimension)).max() < 1e-10
    assert np.abs(single @ single.T - np.eye(dimension)).max() < 2e-6


def test_a_secret_gives_the_same_matrix_for_ever() -> None:
    """Stored voiceprints depend on it: a release that changes these numbers loses them all."""
    expected = [
        [0.6770867737171977, 0.5292622354346264, 0.5113071356826329],
        [-0.6774717438525731, 0.7196228681968859, 0.1522332547423213],
        [-0.28737699479706075, -0.4494712601611241, 0.8458073357157535],
    ]

    np.testing.assert_allclose(orthogonal(SECRET, 3), expected, atol=1e-12)


def test_secrets_dimensions_and_purposes_have_nothing_in_common() -> None:
    """Another secret is another matrix, and the mark of a secret is not a piece of it."""
    one, other = orthogonal(SECRET, 64), orthogonal(OTHER, 64)

    assert np.abs((one * other).sum(axis=1)).max() < 0.7  # rows of independent rotations
    assert VoiceTransform(SECRET, 1).mark != VoiceTransform(OTHER, 1).mark
    assert VoiceTransform(SECRET, 1).mark != VoiceTransform(SECRET, 2).mark
    assert SECRET[:4].hex() not in VoiceTransform(SECRET, 1).mark
    assert "secret" not in repr(VoiceTransform(SECRET, 1))


def test_what_is_turned_comes_back() -> None:
    """One vector or many, over ten generations: within a millionth."""
    plain = voices(5, 1)[:, 0]
    turned = plain
    for generation in range(1, 11):
        transform = VoiceTransform(bytes([generation]) * 32, generation)
        turned = transform.reveal(transform.protect(turned))

    np.testing.assert_allclose(turned, plain, atol=1e-6)
    transform = VoiceTransform(SECRET, 1)
    np.testing.assert_allclose(transform.protect(plain[0]), transform.protect(plain)[0], atol=1e-6)
    assert transform.protect(plain).dtype == np.float32


def test_what_is_not_finite_stays_so() -> None:
    """Nothing that the codec would refuse becomes storable by being turned."""
    broken = np.ones(8, dtype=np.float32)
    broken[3] = np.nan

    assert not np.isfinite(VoiceTransform(SECRET, 1).protect(broken)).any()


def test_scores_within_a_space_are_unchanged() -> None:
    """Probe and voiceprint in one secret space have the cosine that they had, and its norm."""
    found = voices(40, 2)
    probes, enrolled = found[:, 0], found[:, 1]
    transform = VoiceTransform(SECRET, 1)

    turned = transform.protect(probes) @ transform.protect(enrolled).T

    np.testing.assert_allclose(turned, probes @ enrolled.T, atol=2e-6)
    np.testing.assert_allclose(
        np.linalg.norm(transform.protect(probes), axis=1), np.ones(40), atol=1e-6
    )


def test_normalised_scores_are_unchanged_where_every_side_is_in_one_space() -> None:
    """The cohort is in the model's space, so that is where a stored voiceprint is normalised.

    Against the turned cohort a turned pair has the same score; a turned pair against the plain one
    would not, and that is the mistake that this guards against.
    """
    found, transform = voices(40, 2), VoiceTransform(SECRET, 1)
    cohort = voices(200, 1, seed=2)[:, 0]
    norm, turned_norm = AdaptiveNorm(cohort, 20), AdaptiveNorm(transform.protect(cohort), 20)
    wrong = []
    for probe, enrolled in zip(found[:, 0], found[:, 1], strict=True):
        cosine = float(probe @ enrolled)
        plain = norm.score(cosine, probe, enrolled)
        stored = transform.protect(enrolled)
        assert abs(norm.score(cosine, probe, transform.reveal(stored)) - plain) < 1e-4
        assert abs(turned_norm.score(cosine, transform.protect(probe), stored) - plain) < 1e-4
        wrong.append(abs(norm.score(cosine, probe, stored) - plain))

    assert np.mean(wrong) > 0.5


def test_old_and_new_vectors_of_one_person_do_not_link() -> None:
    """Across a re-keying one's own old vector scores like a stranger's: at chance."""
    found = voices(300, 1)[:, 0]
    old = VoiceTransform(SECRET, 1).protect(found)
    new = VoiceTransform(OTHER, 2).protect(found)
    across = old @ new.T
    own = np.diag(across)
    strangers = across[~np.eye(300, dtype=bool)]

    assert 0.45 < ranked_above(own, strangers) < 0.55
    assert abs(own.mean() - strangers.mean()) < 0.02
    assert 0.8 < own.std() / strangers.std() < 1.2


def test_an_old_vector_does_not_match_a_new_session_either() -> None:
    """A leaked voiceprint is of no use against what the person says after the re-keying.

    Without a re-keying the same comparison would link nearly everybody.
    """
    found = voices(300, 2)
    old = VoiceTransform(SECRET, 1).protect(found[:, 0])
    same = VoiceTransform(SECRET, 1).protect(found[:, 1])
    new = VoiceTransform(OTHER, 2).protect(found[:, 1])
    away = ~np.eye(300, dtype=bool)

    linked, across = old @ same.T, old @ new.T
    assert ranked_above(np.diag(linked), linked[away]) > 0.99
    assert 0.45 < ranked_above(np.diag(across), across[away]) < 0.55


def test_the_secret_turns_everything_back() -> None:
    """What is not claimed: the transform is not irreversible, and pairs alone betray it."""
    found = voices(DIMENSION + 20, 1)[:, 0]
    turned = VoiceTransform(SECRET, 1).protect(found)

    known, unknown = slice(0, DIMENSION + 10), slice(DIMENSION + 10, None)
    left, _, right = np.linalg.svd(turned[known].T @ found[known])  # Procrustes
    np.testing.assert_allclose(turned[unknown] @ (left @ right), found[unknown], atol=1e-3)
