# SPDX-License-Identifier: Apache-2.0
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import InputError, InternalError, TransformLostError
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.gallery.protected import ProtectedGallery
from voiceauth.keys.voice_transform import VoiceTransform
from voiceauth.testing.records import made_up_embedding
from voiceauth.types import GroupName, SubjectId, TenantId, VoiceprintId

BANK, SHOP = TenantId("bank"), TenantId("shop")
ALICE, BOB = SubjectId("alice"), SubjectId("bob")
VIP = GroupName("vip")
NONE: frozenset[GroupName] = frozenset()
DIMENSION = 32
SECRETS = {BANK: b"b" * 32, SHOP: b"s" * 32}


def voice(seed: int) -> NDArray[np.float32]:
    """Return a made-up voice."""
    return made_up_embedding(seed, DIMENSION)


def transform(tenant: TenantId, generation: int = 1) -> VoiceTransform:
    """Return a tenant's transform."""
    return VoiceTransform(bytes([generation]) + SECRETS[tenant][1:], generation)


class Made:
    """Makes plain galleries and remembers them."""

    def __init__(self) -> None:
        self.galleries: list[FaissGallery] = []

    def __call__(self) -> FaissGallery:
        """Make one."""
        self.galleries.append(FaissGallery(DIMENSION))
        return self.galleries[-1]


@pytest.fixture
def made() -> Made:
    """What the gallery is built of."""
    return Made()


@pytest.fixture
def gallery(made: Made) -> ProtectedGallery:
    """An empty gallery."""
    return ProtectedGallery(made, transform)


def add(gallery: ProtectedGallery, subject: SubjectId, seed: int, tenant: TenantId = BANK) -> None:
    """Add one voiceprint of a made-up voice."""
    gallery.add(tenant, subject, VoiceprintId(f"{subject}-{seed}"), voice(seed), NONE)


def names(gallery: ProtectedGallery, seed: int, tenant: TenantId = BANK) -> list[str]:
    """Return who is found, best first."""
    return [one for one, _ in gallery.search(tenant, voice(seed), group=None, limit=9)]


def test_nothing_is_held_without_the_tenants_secret(made: Made) -> None:
    """Where the secret cannot be had, a voiceprint does not get in unprotected."""

    def lost(tenant: TenantId) -> VoiceTransform:
        raise TransformLostError(detail=tenant)

    gallery = ProtectedGallery(made, lost)

    with pytest.raises(TransformLostError):
        add(gallery, ALICE, 1)
    assert len(gallery) == 0
    assert made.galleries == []


def test_a_wrong_embedding_is_refused(gallery: ProtectedGallery) -> None:
    """Shape and norm are checked as without protection."""
    with pytest.raises(InternalError):
        gallery.add(BANK, ALICE, VoiceprintId("v"), voice(1) * np.float32(2), NONE)
    with pytest.raises(InternalError):
        gallery.search(BANK, made_up_embedding(1, 8), group=None, limit=1)
    with pytest.raises(InputError):
        gallery.search(SHOP, voice(1), group=None, limit=0)


def test_nothing_can_be_staged_by_halves(gallery: ProtectedGallery) -> None:
    """What was never begun is neither added to nor promoted."""
    with pytest.raises(InternalError):
        gallery.add_staged(BANK, ALICE, VoiceprintId("v"), voice(1), NONE)
    with pytest.raises(InternalError):
        gallery.promote(BANK)


def test_searches_find_what_they_found_before(gallery: ProtectedGallery) -> None:
    """Order and cosine are those of the plain vectors."""
    plain = FaissGallery(DIMENSION)
    for seed in range(30):
        add(gallery, SubjectId(f"s{seed}"), seed)
        plain.add(BANK, SubjectId(f"s{seed}"), VoiceprintId(f"v{seed}"), voice(seed), NONE)

    found = gallery.search(BANK, voice(3), group=None, limit=10)
    expected = plain.search(BANK, voice(3), group=None, limit=10)

    assert [one for one, _ in found] == [one for one, _ in expected]
    np.testing.assert_allclose(
        [score for _, score in found], [score for _, score in expected], atol=1e-6
    )


def test_what_is_held_is_not_the_voice(gallery: ProtectedGallery, made: Made) -> None:
    """A plain probe against the index itself finds nobody; the turned vector is what lies there."""
    add(gallery, ALICE, 1)

    ((_, plain),) = made.galleries[0].search(BANK, voice(1), group=None, limit=1)
    ((_, turned),) = made.galleries[0].search(
        BANK, transform(BANK).protect(voice(1)), group=None, limit=1
    )
    assert plain < 0.7
    assert turned == pytest.approx(1.0, abs=1e-5)


def test_tenants_have_spaces_of_their_own(gallery: ProtectedGallery, made: Made) -> None:
    """One person at two tenants lies in two indexes, whose vectors do not link."""
    add(gallery, ALICE, 1)
    add(gallery, ALICE, 1, SHOP)

    bank, shop = made.galleries
    ((_, linked),) = shop.search(SHOP, transform(BANK).protect(voice(1)), group=None, limit=1)
    assert linked < 0.7
    assert len(bank) == len(shop) == 1
    assert names(gallery, 1, SHOP) == [ALICE]
    assert len(gallery) == 2


def test_groups_and_removals_are_those_of_the_index(gallery: ProtectedGallery) -> None:
    """A group's search, its count and a removal work as without protection."""
    add(gallery, ALICE, 1)
    add(gallery, BOB, 2)
    gallery.set_groups(BANK, BOB, frozenset({VIP}))

    found = gallery.search(BANK, voice(1), group=VIP, limit=5)
    assert [one for one, _ in found] == [BOB]
    assert gallery.subjects(BANK, VIP) == 1
    assert gallery.subjects(BANK, None) == 2
    assert gallery.subjects(SHOP, None) == 0
    assert gallery.remove_subject(BANK, BOB) == 1
    assert gallery.remove_subject(SHOP, BOB) == 0
    assert names(gallery, 2) == [ALICE]


def test_while_a_space_is_built_searches_see_the_old_one_whole(gallery: ProtectedGallery) -> None:
    """No search finds fewer people in the middle of a move, nor twice as many."""
    add(gallery, ALICE, 1)
    add(gallery, BOB, 2)
    gallery.stage(BANK, transform(BANK, 2))
    gallery.add_staged(BANK, BOB, VoiceprintId("bob-2"), voice(2), NONE)

    assert names(gallery, 1) == [ALICE, BOB]
    assert gallery.generation_of(BANK) == 1
    assert len(gallery) == 2


def test_after_the_move_everything_is_in_the_new_space(
    gallery: ProtectedGallery, made: Made
) -> None:
    """The new index answers, and the old one is dropped with its vectors."""
    add(gallery, ALICE, 1)
    gallery.stage(BANK, transform(BANK, 2))
    gallery.add_staged(BANK, ALICE, VoiceprintId("alice-1"), voice(1), NONE)
    gallery.promote(BANK)

    assert gallery.generation_of(BANK) == 2
    ((_, score),) = gallery.search(BANK, voice(1), group=None, limit=1)
    assert score == pytest.approx(1.0, abs=1e-5)
    ((_, across),) = made.galleries[1].search(
        BANK, transform(BANK, 1).protect(voice(1)), group=None, limit=1
    )
    assert across < 0.7  # an old vector finds nothing in the new space


def test_changes_during_a_move_are_in_both_spaces(gallery: ProtectedGallery) -> None:
    """Who enrols, leaves or changes groups meanwhile is there, or gone, before and after."""
    add(gallery, ALICE, 1)
    gallery.stage(BANK, transform(BANK, 2))
    gallery.add_staged(BANK, ALICE, VoiceprintId("alice-1"), voice(1), NONE)
    add(gallery, BOB, 2)
    gallery.set_groups(BANK, BOB, frozenset({VIP}))
    assert gallery.remove_subject(BANK, ALICE) == 1

    assert names(gallery, 1) == [BOB]
    gallery.promote(BANK)
    assert names(gallery, 1) == [BOB]
    assert gallery.subjects(BANK, VIP) == 1


def test_staging_again_begins_anew(gallery: ProtectedGallery) -> None:
    """What an abandoned move left is not mixed into the next."""
    gallery.stage(BANK, transform(BANK, 2))
    gallery.add_staged(BANK, BOB, VoiceprintId("bob-2"), voice(2), NONE)
    gallery.stage(BANK, transform(BANK, 3))
    gallery.add_staged(BANK, ALICE, VoiceprintId("alice-1"), voice(1), NONE)
    gallery.promote(BANK)

    assert names(gallery, 1) == [ALICE]
    assert gallery.generation_of(BANK) == 3
    assert gallery.generation_of(SHOP) is None


def test_a_tenant_that_two_threads_meet_first_has_one_index() -> None:
    """The second one does not replace the first one's voiceprints."""
    made = Made()
    gallery = ProtectedGallery(made, transform)

    def late(tenant: TenantId) -> VoiceTransform:
        gallery._transform_of = transform
        add(gallery, BOB, 2)  # somebody else comes first while the vault is asked
        return transform(tenant)

    gallery._transform_of = late
    add(gallery, ALICE, 1)

    assert sorted(names(gallery, 1)) == [ALICE, BOB]
    assert len(made.galleries) == 1


def test_it_takes_any_plain_gallery() -> None:
    """The index is made by whoever puts the engine together."""
    gallery = ProtectedGallery(partial(FaissGallery, DIMENSION), transform)
    add(gallery, ALICE, 1)

    assert names(gallery, 1) == [ALICE]
