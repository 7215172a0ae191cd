# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from voiceauth.errors import (
    InputError,
    InternalError,
    KeyServiceError,
    NotFoundError,
    SubjectExistsError,
)
from voiceauth.ports import Transaction
from voiceauth.testing.fakes import EPOCH, FakeKeyService
from voiceauth.testing.records import (
    MODEL,
    OTHER_MODEL,
    made_up_consent,
    made_up_segment,
    made_up_voiceprint,
)
from voiceauth.types import (
    Consent,
    Factor,
    FactorKind,
    GroupName,
    SubjectId,
    SubjectState,
    TenantId,
)
from voiceauth.vault.store import SqliteVault

BANK, SHOP = TenantId("bank"), TenantId("shop")
ALICE, BOB = SubjectId("alice"), SubjectId("bob")


def create(vault: SqliteVault, tenant: TenantId = BANK, subject: SubjectId = ALICE) -> None:
    """Create one subject."""
    with vault.begin() as change:
        change.create_subject(tenant, subject, at=EPOCH, groups=frozenset({GroupName("vip")}))


def test_an_unknown_subject_is_none_not_an_error(vault: SqliteVault) -> None:
    """The verify path asks about people who may not be there."""
    create(vault)
    with vault.read() as view:
        assert view.subject(BANK, BOB) is None
        assert view.subject(SHOP, ALICE) is None
        assert view.voiceprints(BANK, BOB, MODEL) == ()
        assert view.pending_segments(BANK, BOB, MODEL) == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.set_state(BANK, BOB, SubjectState.ACTIVE),
        lambda one: one.set_groups(BANK, BOB, frozenset()),
        lambda one: one.put_consent(BANK, BOB, made_up_consent()),
        lambda one: one.note_interaction(BANK, BOB, EPOCH),
        lambda one: one.add_voiceprint(BANK, made_up_voiceprint("v", BOB)),
        lambda one: one.keep_latest_voiceprints(BANK, BOB, MODEL, 1),
        lambda one: one.delete_voiceprints(BANK, BOB),
        lambda one: one.put_pending_segments(BANK, BOB, MODEL, ()),
        lambda one: one.erase_subject(BANK, BOB),
    ],
)
def test_changing_an_unknown_subject_is_refused(vault: SqliteVault, change: object) -> None:
    """No change makes a subject appear."""
    with pytest.raises(NotFoundError), vault.begin() as transaction:
        change(transaction)  # type: ignore[operator]


def test_a_subject_is_created_once(vault: SqliteVault) -> None:
    """A second creation is refused and leaves the first as it was."""
    create(vault)
    with pytest.raises(SubjectExistsError):
        create(vault)
    create(vault, tenant=SHOP)
    assert vault.tenants() == [BANK, SHOP]


def test_a_new_subject_is_empty_and_active(vault: SqliteVault) -> None:
    """Creation stores time and groups, and nothing else."""
    create(vault)
    with vault.read() as view:
        found = view.subject(BANK, ALICE)
    assert found is not None
    assert (found.tenant, found.subject, found.state) == (BANK, ALICE, SubjectState.ACTIVE)
    assert (found.created_at, found.groups) == (EPOCH, frozenset({"vip"}))
    assert (found.consent, found.voiceprints, found.pending_seconds) == (None, 0, 0.0)


def test_state_groups_and_consent_are_replaced(vault: SqliteVault) -> None:
    """The last value wins; the other fields stay."""
    create(vault)
    consent = made_up_consent()
    with vault.begin() as change:
        change.set_state(BANK, ALICE, SubjectState.OPTED_OUT)
        change.set_groups(BANK, ALICE, frozenset({GroupName("x"), GroupName("y")}))
        change.put_consent(BANK, ALICE, consent)
        change.put_consent(BANK, ALICE, replace(consent, withdrawn_at=EPOCH))
    with vault.read() as view:
        found = view.subject(BANK, ALICE)
    assert found is not None
    assert found.state is SubjectState.OPTED_OUT
    assert found.groups == {"x", "y"}
    assert found.consent == replace(consent, withdrawn_at=EPOCH)
    assert found.created_at == EPOCH


def test_voiceprints_come_back_oldest_first_and_by_model(vault: SqliteVault) -> None:
    """A voiceprint of another model is never returned."""
    create(vault)
    with vault.begin() as change:
        for name in ("v1", "v2", "v3"):
            change.add_voiceprint(BANK, made_up_voiceprint(name, ALICE, seed=int(name[1])))
        change.add_voiceprint(BANK, made_up_voiceprint("w", ALICE, model=OTHER_MODEL))
    with vault.read() as view:
        found = view.voiceprints(BANK, ALICE, MODEL)
        others = view.voiceprints(BANK, ALICE, OTHER_MODEL)
    assert [one.voiceprint for one in found] == ["v1", "v2", "v3"]
    assert [one.voiceprint for one in others] == ["w"]
    expected = made_up_voiceprint("v2", ALICE, seed=2)
    assert np.allclose(found[1].embedding, expected.embedding, atol=1e-6)  # turned and back
    assert found[1].subject == ALICE
    assert [one.call for one in found[1].segments] == [one.call for one in expected.segments]


def test_a_voiceprint_id_is_used_once(vault: SqliteVault) -> None:
    """Two voiceprints of one id would be a fault of the engine."""
    create(vault)
    with vault.begin() as change:
        change.add_voiceprint(BANK, made_up_voiceprint("v", ALICE))
        with pytest.raises(InternalError):
            change.add_voiceprint(BANK, made_up_voiceprint("v", ALICE))


def test_a_subject_counts_its_speech(vault: SqliteVault) -> None:
    """Enrolled seconds are those of the newest voiceprint's model, pending ones the last put."""
    create(vault)
    with vault.begin() as change:
        change.add_voiceprint(BANK, made_up_voiceprint("w", ALICE, model=OTHER_MODEL, seed=7))
        change.add_voiceprint(BANK, made_up_voiceprint("v1", ALICE, seed=1))
        change.add_voiceprint(BANK, made_up_voiceprint("v2", ALICE, seed=2))
        change.put_pending_segments(BANK, ALICE, MODEL, [made_up_segment(1), made_up_segment(2)])
        found = change.subject(BANK, ALICE)
    assert found is not None
    assert (found.voiceprints, found.net_enrolled_seconds) == (3, 43.0)
    assert found.pending_seconds == 6.0


def test_only_the_latest_voiceprints_are_kept(vault: SqliteVault) -> None:
    """The oldest make room; other models and subjects are not touched."""
    create(vault)
    create(vault, subject=BOB)
    with vault.begin() as change:
        for n in range(4):
            change.add_voiceprint(BANK, made_up_voiceprint(f"v{n}", ALICE))
        change.add_voiceprint(BANK, made_up_voiceprint("w", ALICE, model=OTHER_MODEL))
        change.add_voiceprint(BANK, made_up_voiceprint("b", BOB))
        assert change.keep_latest_voiceprints(BANK, ALICE, MODEL, 9) == 4
        assert change.keep_latest_voiceprints(BANK, ALICE, MODEL, 2) == 2
        kept = change.voiceprints(BANK, ALICE, MODEL)
        assert [one.voiceprint for one in kept] == ["v2", "v3"]
        assert len(change.voiceprints(BANK, ALICE, OTHER_MODEL)) == 1
        assert len(change.voiceprints(BANK, BOB, MODEL)) == 1
        with pytest.raises(InternalError):
            change.keep_latest_voiceprints(BANK, ALICE, MODEL, -1)


def test_deleting_voiceprints_takes_pending_segments_along(vault: SqliteVault) -> None:
    """After a withdrawal nothing of the voice is left, and the subject still is."""
    create(vault)
    with vault.begin() as change:
        change.put_consent(BANK, ALICE, made_up_consent())
        change.add_voiceprint(BANK, made_up_voiceprint("v1", ALICE))
        change.add_voiceprint(BANK, made_up_voiceprint("v2", ALICE, model=OTHER_MODEL))
        change.put_pending_segments(BANK, ALICE, MODEL, [made_up_segment(1)])
    with vault.begin() as change:
        assert change.delete_voiceprints(BANK, ALICE) == 2
        assert change.delete_voiceprints(BANK, ALICE) == 0
    with vault.read() as view:
        found = view.subject(BANK, ALICE)
        assert view.pending_segments(BANK, ALICE, MODEL) == ()
    assert found is not None
    assert (found.voiceprints, found.pending_seconds) == (0, 0.0)
    assert found.consent is not None


@pytest.mark.parametrize("consent", [None, made_up_consent()])
def test_what_is_left_after_a_deletion_can_be_read(
    vault: SqliteVault, consent: Consent | None
) -> None:
    """The record, the consent and other factors stay readable, under a data key of their own."""
    create(vault)
    factors = [Factor(kind, f"secret of {kind}", EPOCH) for kind in sorted(FactorKind)]
    with vault.begin() as change:
        for one in factors:
            change.put_factor(BANK, ALICE, one)
        if consent is not None:
            change.put_consent(BANK, ALICE, consent)
        change.add_voiceprint(BANK, made_up_voiceprint("v", "alice"))
    with vault.begin() as change:
        before = change.subject(BANK, ALICE)
        change.delete_voiceprints(BANK, ALICE)
        change.add_voiceprint(BANK, made_up_voiceprint("w", "alice"))

    with vault.read() as view:
        assert view.subject(BANK, ALICE) == before
        assert [one.voiceprint for one in view.voiceprints(BANK, ALICE, MODEL)] == ["w"]
        assert list(view.factors(BANK, ALICE)) == factors


def test_the_day_of_the_last_interaction_only_moves_forward(vault: SqliteVault) -> None:
    """It is kept to the day, in UTC, and a clock that was set back does not shorten it."""
    create(vault)
    for hours, day in ((30, 1), (6, 1), (31, 1), (-100, 1), (50, 2)):
        with vault.begin() as change:
            change.note_interaction(BANK, ALICE, EPOCH + timedelta(hours=hours))
            found = change.subject(BANK, ALICE)
        assert found is not None
        assert found.last_interaction_at == EPOCH.replace(hour=0) + timedelta(days=day)


def test_every_subject_has_a_ledger_secret_that_dies_with_it(vault: SqliteVault) -> None:
    """It is there from the beginning, another one for everybody, and never comes back."""
    create(vault)
    create(vault, subject=BOB)
    with vault.begin() as change:
        first, other = change.ledger_secret(BANK, ALICE), change.ledger_secret(BANK, BOB)
        change.set_groups(BANK, ALICE, frozenset())
        assert change.ledger_secret(BANK, ALICE) == first
        change.erase_subject(BANK, ALICE)
        assert change.ledger_secret(BANK, ALICE) == b""
    create(vault)
    with vault.read() as view:
        assert len({first, other, view.ledger_secret(BANK, ALICE)}) == 3
        assert len(first) == 32


def test_pending_segments_are_replaced_and_removed(vault: SqliteVault) -> None:
    """Putting replaces; an empty sequence removes; models are apart."""
    create(vault)
    with vault.begin() as change:
        change.put_pending_segments(BANK, ALICE, MODEL, [made_up_segment(1)])
        change.put_pending_segments(BANK, ALICE, OTHER_MODEL, [made_up_segment(9)])
        change.put_pending_segments(BANK, ALICE, MODEL, [made_up_segment(2), made_up_segment(3)])
    with vault.read() as view:
        found = view.pending_segments(BANK, ALICE, MODEL)
    assert [one.start_seconds for one in found] == [2.0, 3.0]
    with vault.begin() as change:
        change.put_pending_segments(BANK, ALICE, MODEL, ())
        assert change.pending_segments(BANK, ALICE, MODEL) == ()
        assert len(change.pending_segments(BANK, ALICE, OTHER_MODEL)) == 1


def test_an_erased_subject_is_gone_and_can_be_new_again(vault: SqliteVault) -> None:
    """Erasure takes everything; the same id starts empty, under a new data key."""
    create(vault)
    with vault.begin() as change:
        change.put_consent(BANK, ALICE, made_up_consent())
        change.add_voiceprint(BANK, made_up_voiceprint("v", ALICE))
        change.put_pending_segments(BANK, ALICE, MODEL, [made_up_segment(1)])
    with vault.begin() as change:
        change.erase_subject(BANK, ALICE)
        assert change.subject(BANK, ALICE) is None
    assert vault.tenants() == []
    create(vault)
    with vault.read() as view:
        found = view.subject(BANK, ALICE)
        assert view.voiceprints(BANK, ALICE, MODEL) == ()
    assert found is not None
    assert found.consent is None


def test_pages_cover_every_subject_once(vault: SqliteVault) -> None:
    """Paging is stable, exclusive and goes on after a subject that was erased meanwhile."""
    names = {SubjectId(f"s{n}") for n in range(10)}
    for name in names:
        create(vault, subject=name)
    create(vault, tenant=SHOP, subject=SubjectId("s0"))
    seen: list[SubjectId] = []
    after: SubjectId | None = None
    while True:
        with vault.begin() as change:
            page = change.subjects(BANK, after=after, limit=3)
            if not page:
                break
            seen += [one.subject for one in page]
            after = page[-1].subject
            change.erase_subject(BANK, after)
    assert len(seen) == len(set(seen)) == 10
    assert set(seen) == names


def test_a_failed_change_leaves_nothing(vault: SqliteVault) -> None:
    """An exception inside the block takes effect and ledger entry back together."""

    def fail_half_way() -> None:
        with vault.begin() as change:
            change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())
            change.append(at=EPOCH, tenant=BANK, event="subject.created", body={})
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    with vault.read() as view:
        assert view.subject(BANK, ALICE) is None
    assert vault.ledger() == []


def test_a_view_cannot_write(vault: SqliteVault) -> None:
    """Every writing method of a read-only view is refused."""
    create(vault)
    with vault.read() as view:
        writes = (
            lambda: view.create_subject(BANK, BOB, at=EPOCH, groups=frozenset()),
            lambda: view.set_state(BANK, ALICE, SubjectState.OPTED_OUT),
            lambda: view.erase_subject(BANK, ALICE),
            lambda: view.append(at=EPOCH, tenant=BANK, event="x", body={}),
        )
        for write in writes:
            with pytest.raises(InternalError):
                write()
    with vault.read() as view:
        assert view.subject(BANK, ALICE) is not None


def test_a_view_sees_one_moment(vault: SqliteVault) -> None:
    """A change that commits while a view is open does not show in it."""
    create(vault)
    with vault.read() as view:
        create(vault, subject=BOB)
        assert view.subject(BANK, BOB) is None
        assert len(view.subjects(BANK, after=None, limit=10)) == 1
    with vault.read() as view:
        assert view.subject(BANK, BOB) is not None


def test_a_transaction_is_of_no_use_after_its_block(vault: SqliteVault) -> None:
    """A leaked transaction cannot read or write outside its block."""
    kept: list[Transaction] = []
    with vault.begin() as change:
        kept.append(change)
    with vault.read() as view:
        kept.append(view)
    for one in kept:
        with pytest.raises(InternalError):
            one.subject(BANK, ALICE)


def test_a_transaction_inside_a_transaction_is_refused(vault: SqliteVault) -> None:
    """A thread that would wait for itself is told so at once."""
    with vault.begin(), pytest.raises(InternalError), vault.begin():
        pass
    create(vault)


def test_an_id_that_is_no_text_is_refused(vault: SqliteVault) -> None:
    """A lone surrogate is the sender's fault, not a crash of the database driver."""
    bad = "\ud800"
    with vault.begin() as change:
        with pytest.raises(InputError):
            change.create_subject(BANK, SubjectId(bad), at=EPOCH, groups=frozenset())
        with pytest.raises(InputError):
            change.subjects(TenantId(bad), after=None, limit=1)
        with pytest.raises(InputError):
            change.append(at=EPOCH, tenant=TenantId(bad), event="x", body={})


def test_when_the_key_service_is_down_nothing_is_read_or_made(
    vault: SqliteVault, keys: FakeKeyService
) -> None:
    """Without keys there is no answer, rather than an empty one."""
    create(vault)
    keys.go_down()
    with vault.read() as view, pytest.raises(KeyServiceError):
        view.subject(BANK, ALICE)
    with vault.read() as view, pytest.raises(KeyServiceError):
        view.voiceprints(BANK, ALICE, MODEL)
    with pytest.raises(KeyServiceError):
        create(vault, subject=BOB)
    keys.come_up()
    with vault.read() as view:
        assert view.subject(BANK, BOB) is None
        assert view.subject(BANK, ALICE) is not None


def test_data_keys_move_to_the_new_wrapping_key(vault: SqliteVault, keys: FakeKeyService) -> None:
    """After a rotation every subject can be wrapped anew, once, and stays readable."""
    create(vault)
    create(vault, subject=BOB)
    keys.rotate()
    create(vault, subject=SubjectId("carol"))

    assert vault.rewrap_keys() == 2
    assert vault.rewrap_keys() == 0
    old = next(iter(keys._keys))
    del keys._keys[old]
    with vault.read() as view:
        assert len(view.subjects(BANK, after=None, limit=10)) == 3
