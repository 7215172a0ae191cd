# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import InternalError
from voiceauth.gallery import rows
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.gallery.plan import PlanRule
from voiceauth.gallery.rows import VectorRows
from voiceauth.types import GroupName, StoredVoices, SubjectId, TenantId, VoiceprintId

BANK = TenantId("bank")
VIP = GroupName("vip")
NONE: frozenset[GroupName] = frozenset()
DIMENSION = 16
RULE = PlanRule(exact_limit=100, probed_share=1.0)


def drawn(count: int, seed: int = 5) -> NDArray[np.float32]:
    """Return unit vectors, shape (count, dimension)."""
    values = np.random.default_rng(seed).standard_normal((count, DIMENSION))
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), dtype=np.float32)


def together(
    vectors: NDArray[np.float32],
    first: int = 0,
    groups: Sequence[frozenset[GroupName]] | None = None,
) -> StoredVoices:
    """Return voiceprints of different subjects, numbered from ``first`` on."""
    numbers = range(first, first + len(vectors))
    return StoredVoices(
        BANK,
        [SubjectId(f"s{number}") for number in numbers],
        [VoiceprintId(f"v{number}") for number in numbers],
        groups or [NONE] * len(vectors),
        vectors,
    )


def nearest(gallery: FaissGallery, vectors: NDArray[np.float32]) -> list[str]:
    """Return who is found first for each."""
    return [gallery.search(BANK, one, group=None, limit=1)[0][0] for one in vectors]


@pytest.mark.parametrize("bad", [0, 3, 6])
def test_one_bad_embedding_keeps_all_out(bad: int) -> None:
    """A norm that is not 1 is found wherever it stands, and nothing comes in beside it."""
    gallery, vectors = FaissGallery(DIMENSION), drawn(7)
    for value in (2.0, np.nan):
        changed = vectors.copy()
        changed[bad] *= np.float32(value)
        with pytest.raises(InternalError):
            gallery.add_many(together(changed))
    with pytest.raises(InternalError):
        gallery.add_many(together(vectors[:, :-1]))

    assert len(gallery) == 0


def test_a_voiceprint_of_another_subject_is_refused_among_many() -> None:
    """The check of owners holds where many come at once, in the gallery or among themselves."""
    vectors = drawn(3)
    twice = StoredVoices(
        BANK, [SubjectId("a"), SubjectId("b")], [VoiceprintId("v")] * 2, [NONE] * 2, vectors[:2]
    )
    with pytest.raises(InternalError):
        FaissGallery(DIMENSION).add_many(twice)

    gallery = FaissGallery(DIMENSION)
    gallery.add(BANK, SubjectId("another"), VoiceprintId("v1"), vectors[0], NONE)
    with pytest.raises(InternalError):
        gallery.add_many(together(vectors))


def test_many_at_once_are_found_like_one_by_one() -> None:
    """Names, groups and counts are those that single additions give."""
    vectors = drawn(500)
    groups = [frozenset({VIP}) if number % 7 == 0 else NONE for number in range(500)]
    bulk, single = FaissGallery(DIMENSION), FaissGallery(DIMENSION)
    for start in range(0, 500, 90):
        part = slice(start, start + 90)
        bulk.add_many(together(vectors[part], start, groups[part]))
    for number, vector in enumerate(vectors):
        name = SubjectId(f"s{number}")
        single.add(BANK, name, VoiceprintId(f"v{number}"), vector, groups[number])

    for group in (None, VIP):
        assert bulk.subjects(BANK, group) == single.subjects(BANK, group)
        for probe in drawn(20, seed=6):
            assert bulk.search(BANK, probe, group=group, limit=9) == single.search(
                BANK, probe, group=group, limit=9
            )


def test_what_is_there_already_is_replaced() -> None:
    """A page that is read again after a failure leaves no second copy."""
    vectors = drawn(50)
    gallery = FaissGallery(DIMENSION)
    gallery.add_many(together(drawn(30, seed=9), groups=[frozenset({VIP})] * 30))

    gallery.add_many(together(vectors))

    assert len(gallery) == 50
    assert nearest(gallery, vectors) == [f"s{number}" for number in range(50)]
    assert gallery.subjects(BANK, VIP) == 0


def test_a_second_voiceprint_counts_with_its_newer_groups() -> None:
    """Groups are a subject's, not a voiceprint's, also where both come at once."""
    vectors = drawn(2)
    gallery = FaissGallery(DIMENSION)
    names = [VoiceprintId("old"), VoiceprintId("new")]
    both = StoredVoices(BANK, [SubjectId("a")] * 2, names, [frozenset({VIP}), NONE], vectors)
    gallery.add_many(both)

    assert (len(gallery), gallery.subjects(BANK, None)) == (2, 1)
    assert gallery.subjects(BANK, VIP) == 0
    assert gallery.remove_subject(BANK, SubjectId("a")) == 2


def test_many_come_into_lists_that_are_there() -> None:
    """A large tenant finds by its lists what came later, and what is removed is out of them."""
    vectors = drawn(400)
    gallery = FaissGallery(DIMENSION, RULE)
    gallery.add_many(together(vectors[:200]))
    assert gallery.tend() == 1

    gallery.add_many(together(vectors[200:], 200))

    lists = gallery._tenants[BANK].lists
    assert lists is not None
    assert len(lists) == 400
    assert nearest(gallery, vectors) == [f"s{number}" for number in range(400)]
    gallery.remove_subject(BANK, SubjectId("s300"))
    assert nearest(gallery, vectors[300:301]) != ["s300"]


def test_many_that_come_while_lists_are_built_are_in_them() -> None:
    """The building looks again at what changed meanwhile, a whole page included."""
    vectors = drawn(400)
    gallery = FaissGallery(DIMENSION, RULE)
    gallery.add_many(together(vectors[:200]))
    asked: list[bool] = []

    def stopped() -> bool:
        if not asked:
            asked.append(True)
            gallery.add_many(together(vectors[200:], 200))
        return False

    assert gallery.tend(stopped) == 1
    assert nearest(gallery, vectors) == [f"s{number}" for number in range(400)]


def test_a_page_moves_the_generation() -> None:
    """Whoever compares generations sees that something came in."""
    gallery = FaissGallery(DIMENSION)
    before = gallery.generation
    gallery.add_many(together(drawn(3)))

    assert gallery.generation > before


@pytest.mark.parametrize("size", [1, 63, 64, 65, 100, 300, 1000])
def test_rows_grow_over_the_border_of_a_block(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Whatever the sizes, each vector stands in the slot that was named."""
    monkeypatch.setattr(rows, "BLOCK_ROWS", 128)
    vectors = drawn(1000)
    held = VectorRows(DIMENSION)
    firsts = [held.extend(vectors[start : start + size]) for start in range(0, 1000, size)]

    assert firsts == list(range(0, 1000, size))
    np.testing.assert_array_equal(held.at(np.arange(1000, dtype=np.int64)), vectors)
