# SPDX-License-Identifier: Apache-2.0
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import InputError, InternalError, SettingsError
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.types import GroupName, SubjectId, TenantId, VoiceprintId

BANK, SHOP = TenantId("bank"), TenantId("shop")
VIP, FRAUD = GroupName("vip"), GroupName("fraud")
NONE: frozenset[GroupName] = frozenset()


def _at(degrees: float) -> NDArray[np.float32]:
    angle = np.deg2rad(degrees)
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


def _add(
    gallery: FaissGallery,
    subject: str,
    degrees: float,
    *,
    voiceprint: str = "",
    tenant: TenantId = BANK,
    groups: frozenset[GroupName] = NONE,
) -> None:
    identifier = VoiceprintId(voiceprint or f"{subject}-{degrees}")
    gallery.add(tenant, SubjectId(subject), identifier, _at(degrees), groups)


def _names(
    gallery: FaissGallery,
    degrees: float,
    *,
    tenant: TenantId = BANK,
    group: GroupName | None = None,
    limit: int = 10,
) -> list[str]:
    found = gallery.search(tenant, _at(degrees), group=group, limit=limit)
    return [subject for subject, _ in found]


@pytest.fixture
def gallery() -> FaissGallery:
    """An empty gallery of two dimensions."""
    return FaissGallery(2)


def test_subjects_come_best_first_with_their_cosine(gallery: FaissGallery) -> None:
    """The result is ordered by likeness, and the likeness is the cosine."""
    _add(gallery, "far", 90)
    _add(gallery, "near", 10)

    found = gallery.search(BANK, _at(0), group=None, limit=5)

    assert [name for name, _ in found] == ["near", "far"]
    np.testing.assert_allclose(
        [score for _, score in found], np.cos([np.pi / 18, np.pi / 2]), atol=1e-6
    )


def test_a_subject_comes_once_with_its_best_voiceprint(gallery: FaissGallery) -> None:
    """Many voiceprints of one subject neither repeat it nor push others out of the limit."""
    for degrees in range(40):
        _add(gallery, "crowd", degrees)
    _add(gallery, "lone", 60)

    assert _names(gallery, 0, limit=2) == ["crowd", "lone"]


def test_the_limit_holds(gallery: FaissGallery) -> None:
    """No more subjects come than were asked for."""
    for degrees in range(20):
        _add(gallery, f"s{degrees}", degrees)

    assert _names(gallery, 0, limit=3) == ["s0", "s1", "s2"]


def test_tenants_never_see_each_other(gallery: FaissGallery) -> None:
    """A search of one tenant finds nothing of another, even under the same names."""
    _add(gallery, "same", 0, tenant=BANK)
    _add(gallery, "other", 0, tenant=SHOP)

    assert _names(gallery, 0, tenant=BANK) == ["same"]
    assert gallery.remove_subject(SHOP, SubjectId("same")) == 0
    assert _names(gallery, 0, tenant=TenantId("absent")) == []


def test_a_group_search_sees_its_members_only(gallery: FaissGallery) -> None:
    """A nearer subject outside the group does not appear and does not hide a member."""
    _add(gallery, "outside", 0)
    _add(gallery, "member", 50, groups=frozenset({VIP}))

    assert _names(gallery, 0, group=VIP, limit=1) == ["member"]
    assert _names(gallery, 0, group=FRAUD) == []
    assert gallery.subjects(BANK, VIP) == 1
    assert gallery.subjects(BANK, None) == 2


def test_new_groups_replace_the_old(gallery: FaissGallery) -> None:
    """After a change a subject is found under its new groups only."""
    _add(gallery, "one", 0, groups=frozenset({VIP}))

    gallery.set_groups(BANK, SubjectId("one"), frozenset({FRAUD}))
    gallery.set_groups(BANK, SubjectId("absent"), frozenset({FRAUD}))

    assert _names(gallery, 0, group=VIP) == []
    assert _names(gallery, 0, group=FRAUD) == ["one"]
    assert gallery.subjects(BANK, FRAUD) == 1


def test_a_voiceprint_with_the_same_id_is_replaced(gallery: FaissGallery) -> None:
    """The old direction is gone; the count stays."""
    _add(gallery, "one", 0, voiceprint="v")
    _add(gallery, "two", 30)
    _add(gallery, "one", 90, voiceprint="v")

    assert _names(gallery, 0) == ["two", "one"]
    assert len(gallery) == 2


def test_a_voiceprint_id_cannot_change_its_owner(gallery: FaissGallery) -> None:
    """One voiceprint cannot be given to a second subject."""
    _add(gallery, "one", 0, voiceprint="v")

    with pytest.raises(InternalError):
        _add(gallery, "two", 0, voiceprint="v")


def test_a_removed_subject_is_gone_with_all_voiceprints(gallery: FaissGallery) -> None:
    """Removal counts the voiceprints, leaves the others, and can be repeated."""
    _add(gallery, "gone", 0)
    _add(gallery, "gone", 5)
    _add(gallery, "stays", 80)

    assert gallery.remove_subject(BANK, SubjectId("gone")) == 2
    assert gallery.remove_subject(BANK, SubjectId("gone")) == 0
    assert _names(gallery, 0) == ["stays"]
    assert gallery.remove_subject(BANK, SubjectId("stays")) == 1
    assert (len(gallery), _names(gallery, 0)) == (0, [])


def test_every_change_moves_the_generation(gallery: FaissGallery) -> None:
    """Searches change nothing; additions, removals and new groups do."""
    seen = [gallery.generation]
    _add(gallery, "one", 0)
    seen.append(gallery.generation)
    gallery.set_groups(BANK, SubjectId("one"), frozenset({VIP}))
    seen.append(gallery.generation)
    _names(gallery, 0)
    gallery.remove_subject(BANK, SubjectId("absent"))
    assert gallery.generation == seen[-1]
    gallery.remove_subject(BANK, SubjectId("one"))
    seen.append(gallery.generation)

    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    "embedding",
    [[1.0, 0.0, 0.0], [2.0, 0.0], [0.0, 0.0], [np.nan, 1.0], [[1.0, 0.0]]],
    ids=["dimension", "norm", "zero", "nan", "rank"],
)
def test_only_unit_embeddings_are_taken(gallery: FaissGallery, embedding: list[float]) -> None:
    """An impossible embedding is refused on the way in and as a probe."""
    bad = np.array(embedding, dtype=np.float32)

    with pytest.raises(InternalError):
        gallery.add(BANK, SubjectId("one"), VoiceprintId("v"), bad, NONE)
    with pytest.raises(InternalError):
        gallery.search(BANK, bad, group=None, limit=1)
    assert len(gallery) == 0


def test_impossible_sizes_are_refused(gallery: FaissGallery) -> None:
    """A limit below one and a dimension below one are errors of the caller."""
    with pytest.raises(InputError):
        gallery.search(BANK, _at(0), group=None, limit=0)
    with pytest.raises(SettingsError):
        FaissGallery(0)


def test_searches_during_changes_stay_whole(gallery: FaissGallery) -> None:
    """A search beside additions and removals always returns a complete, valid result."""
    _add(gallery, "fixed", 0)
    failures: list[list[str]] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            found = _names(gallery, 0, limit=1)
            if found != ["fixed"]:
                failures.append(found)

    reader = threading.Thread(target=search)
    reader.start()
    for degrees in range(1, 60):
        _add(gallery, f"s{degrees}", degrees)
        gallery.remove_subject(BANK, SubjectId(f"s{degrees}"))
    stop.set()
    reader.join()

    assert failures == []
