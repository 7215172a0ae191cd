# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.gallery.plan import EXACT_LIMIT, PlanRule
from voiceauth.gallery.voices import TenantVoices
from voiceauth.types import GroupName, SubjectId, TenantId, VoiceprintId

BANK, SHOP = TenantId("bank"), TenantId("shop")
VIP = GroupName("vip")
NONE: frozenset[GroupName] = frozenset()
DIMENSION = 16
PEOPLE = 600
RULE = PlanRule(exact_limit=100, probed_share=1.0)


def _voices(count: int = PEOPLE, seed: int = 5) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal((count, DIMENSION))
    unit: NDArray[np.float32] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype("f4")
    return unit


def _subject(number: int) -> SubjectId:
    return SubjectId(f"s{number}")


def _put(
    gallery: FaissGallery,
    number: int,
    voice: NDArray[np.float32],
    groups: frozenset[GroupName] = NONE,
    tenant: TenantId = BANK,
) -> None:
    gallery.add(tenant, _subject(number), VoiceprintId(f"{tenant}-{number}"), voice, groups)


def _filled(voices: NDArray[np.float32], rule: PlanRule = RULE) -> FaissGallery:
    gallery = FaissGallery(DIMENSION, rule)
    for number, voice in enumerate(voices):
        _put(gallery, number, voice)
    return gallery


def _inside(gallery: FaissGallery, tenant: TenantId = BANK) -> TenantVoices:
    return gallery._tenants[tenant]


def _first(gallery: FaissGallery, voice: NDArray[np.float32]) -> SubjectId:
    return gallery.search(BANK, voice, group=None, limit=1)[0][0]


def _once(act: Callable[[], None]) -> Callable[[], bool]:
    """Something that building asks whether to stop, and that acts at its first question."""
    asked: list[bool] = []

    def stopped() -> bool:
        if not asked:
            asked.append(True)
            act()
        return False

    return stopped


def test_a_small_tenant_is_compared_whole() -> None:
    """Up to the limit there is nothing to build."""
    gallery = _filled(_voices(100))

    assert gallery.tend() == 0
    assert _inside(gallery).lists is None


def test_a_large_tenant_gets_lists_and_finds_the_same_subjects() -> None:
    """The switch changes how a voice is found, not who is found, nor how like they are."""
    voices = _voices()
    gallery = _filled(voices)
    probes = _voices(50, seed=6)
    before = [gallery.search(BANK, one, group=None, limit=5) for one in probes]

    assert gallery.tend() == 1
    assert _inside(gallery).lists is not None
    after = [gallery.search(BANK, one, group=None, limit=5) for one in probes]

    assert [[name for name, _ in one] for one in after] == [
        [name for name, _ in one] for one in before
    ]
    np.testing.assert_allclose(
        [[cosine for _, cosine in one] for one in after],
        [[cosine for _, cosine in one] for one in before],
        atol=1e-6,
    )


def test_a_list_that_suits_is_not_built_again() -> None:
    """Tending twice works once."""
    gallery = _filled(_voices())

    assert [gallery.tend(), gallery.tend()] == [1, 0]


def test_an_erased_subject_leaves_no_ghost_in_the_lists() -> None:
    """After removal neither the lists nor the exact vectors hold anything of the subject."""
    voices = _voices()
    gallery = _filled(voices)
    gallery.tend()

    for number in range(0, PEOPLE, 3):
        assert gallery.remove_subject(BANK, _subject(number)) == 1

    inside = _inside(gallery)
    assert inside.lists is not None
    assert len(inside.lists) == len(inside) == len(gallery) == PEOPLE - 200
    for number, voice in enumerate(voices):
        assert (_first(gallery, voice) == _subject(number)) == (number % 3 != 0)


def test_a_vector_that_is_given_up_is_overwritten() -> None:
    """What was removed stands nowhere in the rows, though their memory is kept."""
    gallery = _filled(_voices(3))

    for number in range(3):
        gallery.remove_subject(BANK, _subject(number))

    assert not any(block.any() for block in _inside(gallery).rows._blocks)


def test_an_erasure_during_building_holds() -> None:
    """A subject that is erased while lists are built is not in them."""
    voices = _voices()
    gallery = _filled(voices)

    def erase() -> None:
        for number in range(0, PEOPLE, 2):
            gallery.remove_subject(BANK, _subject(number))

    assert gallery.tend(_once(erase)) == 1

    inside = _inside(gallery)
    assert inside.lists is not None
    assert len(inside.lists) == len(inside) == PEOPLE // 2
    found = {_first(gallery, voice) for voice in voices}
    assert found <= {_subject(number) for number in range(1, PEOPLE, 2)}


def test_an_enrolment_during_building_is_found_before_and_after_the_switch() -> None:
    """New and replaced voiceprints are searched at every moment."""
    gallery = _filled(_voices())
    new, changed = _voices(2, seed=9)
    seen: list[SubjectId] = []

    def enrol() -> None:
        _put(gallery, 9000, new)
        _put(gallery, 7, changed)
        seen.extend([_first(gallery, new), _first(gallery, changed)])

    gallery.tend(_once(enrol))
    seen.extend([_first(gallery, new), _first(gallery, changed)])

    assert seen == [_subject(9000), _subject(7)] * 2


def test_building_that_is_stopped_leaves_everything_as_it_was() -> None:
    """Giving up loses nothing, and the next time starts anew."""
    voices = _voices()
    gallery = _filled(voices)

    assert gallery.tend(lambda: True) == 0
    assert _inside(gallery).lists is None
    assert _first(gallery, voices[3]) == _subject(3)
    assert gallery.tend() == 1


@pytest.mark.parametrize("members", [20, 300], ids=["compared-whole", "by-lists"])
def test_a_group_in_a_large_tenant_sees_its_members_only(members: int) -> None:
    """Nearer subjects outside the group neither appear nor hide a member."""
    voices = _voices()
    gallery = FaissGallery(DIMENSION, RULE)
    for number, voice in enumerate(voices):
        _put(gallery, number, voice, frozenset({VIP}) if number < members else NONE)
    gallery.tend()
    inside = [_subject(int(number)) for number in np.argsort(-(voices[:members] @ voices[-1]))]

    found = gallery.search(BANK, voices[-1], group=VIP, limit=5)

    assert [name for name, _ in found] == inside[:5]
    assert gallery.subjects(BANK, VIP) == members


def test_tenants_with_lists_never_see_each_other() -> None:
    """Lists are one tenant's; the same names in another tenant are other people."""
    gallery = _filled(_voices())
    for number, voice in enumerate(_voices(seed=11)):
        _put(gallery, number, voice, tenant=SHOP)

    assert gallery.tend() == 2
    assert gallery.remove_subject(SHOP, _subject(0)) == 1
    assert _first(gallery, _voices()[0]) == _subject(0)


def test_a_tenant_that_shrank_is_compared_whole_again() -> None:
    """Below half of the limit the lists go."""
    voices = _voices()
    gallery = _filled(voices)
    gallery.tend()
    for number in range(40, PEOPLE):
        gallery.remove_subject(BANK, _subject(number))

    assert gallery.tend() == 1
    assert _inside(gallery).lists is None
    assert _first(gallery, voices[5]) == _subject(5)


def test_lists_and_names_agree_through_any_changes() -> None:
    """After a long mix of changes, every voice that is there is found under its own name."""
    rng = np.random.default_rng(3)
    voices = _voices(3 * PEOPLE)
    gallery = _filled(voices[:PEOPLE])
    gallery.tend()
    there = set(range(PEOPLE))
    for number in rng.permutation(3 * PEOPLE).tolist():
        if number in there:
            gallery.remove_subject(BANK, _subject(number))
        else:
            _put(gallery, number, voices[number])
        there ^= {number}

    found = [number for number in range(3 * PEOPLE) if number in there]
    assert [_first(gallery, voices[number]) for number in found] == list(map(_subject, found))
    assert len(gallery) == len(there)


def test_the_rule_grows_lists_with_the_root_of_the_size() -> None:
    """The stated rule, as figures: nothing below the limit, 1024, 4096 and 16384 lists above."""
    rule = PlanRule()

    assert rule.plan(EXACT_LIMIT) is None
    plans = [rule.plan(count) for count in (100_001, 1_000_000, 10_000_000)]
    assert [plan and plan.lists for plan in plans] == [1024, 4096, 16_384]


def test_lists_are_built_anew_at_four_times_their_size() -> None:
    """Growth and shrinkage to a fourth call for other lists, less does not."""
    rule = PlanRule()
    plan = rule.plan(400_000)

    outgrown = [rule.outgrown(plan, count) for count in (1_599_999, 1_600_000, 100_001, 100_000)]
    assert outgrown == [False, True, False, True]
