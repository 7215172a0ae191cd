# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from datetime import timedelta

import pytest

from voiceauth.errors import InputError, IntegrityError, InternalError
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import Approval, ApprovalId, ApprovalState, Operation, Party, TenantId
from voiceauth.vault.approval_store import _plain, _read
from voiceauth.vault.store import SqliteVault

BANK, SHOP = TenantId("bank"), TenantId("shop")
ASKED = Approval(
    approval=ApprovalId("0123"),
    tenant=BANK,
    operation=Operation.BULK_ERASURE,
    digest=bytes(range(32)),
    people=3,
    requester=Party("token:anna", frozenset({"anna", "e4711"})),
    requested_at=EPOCH,
    expires_at=EPOCH + timedelta(days=1),
    sequence=2,
)
GIVEN = replace(
    ASKED,
    approval=ApprovalId("0124"),
    sequence=1,
    state=ApprovalState.APPROVED,
    decider=Party("token:ben", frozenset({"ben"})),
    decided_at=EPOCH + timedelta(microseconds=1),
)


def test_approvals_come_back_as_they_were_in_the_order_of_their_requests(
    vault: SqliteVault,
) -> None:
    """Open and decided ones, to the microsecond, and of that tenant only."""
    with vault.begin() as change:
        change.approvals.put(ASKED)
        change.approvals.put(GIVEN)
        change.approvals.put(replace(ASKED, tenant=SHOP, approval=ApprovalId("0125")))

    with vault.read() as view:
        assert view.approvals.all_of(BANK) == [GIVEN, ASKED]
        assert view.approvals.get(BANK, GIVEN.approval) == GIVEN
        assert view.approvals.get(SHOP, GIVEN.approval) is None


def test_a_newer_state_replaces_the_older_one(vault: SqliteVault) -> None:
    """There is one row of an approval, and a deleted one is gone."""
    with vault.begin() as change:
        change.approvals.put(ASKED)
        change.approvals.put(replace(ASKED, state=ApprovalState.USED))
    with vault.read() as view:
        assert [one.state for one in view.approvals.all_of(BANK)] == [ApprovalState.USED]
    with vault.begin() as change:
        change.approvals.delete(ASKED.approval)
    with vault.read() as view:
        assert view.approvals.all_of(BANK) == []


def test_a_view_changes_no_approval(vault: SqliteVault) -> None:
    """Reading cannot approve or forget."""
    with vault.read() as view:
        with pytest.raises(InternalError):
            view.approvals.put(ASKED)
        with pytest.raises(InternalError):
            view.approvals.delete(ASKED.approval)


def test_the_latest_time_since_a_request_is_known(vault: SqliteVault) -> None:
    """Of all entries from there on, whatever their order; none without an entry."""
    with vault.begin() as change:
        for seconds in (0, 60, 30):
            at = EPOCH + timedelta(seconds=seconds)
            change.append(at=at, tenant=BANK, event="x", body={})

    with vault.read() as view:
        assert view.approvals.latest_since(1) == EPOCH + timedelta(seconds=60)
        assert view.approvals.latest_since(3) == EPOCH + timedelta(seconds=30)
        assert view.approvals.latest_since(4) is None


def test_a_use_is_known_from_the_ledger(vault: SqliteVault) -> None:
    """Of this approval, and behind its request only."""
    with vault.begin() as change:
        for name in ("0123", "0124"):
            change.append(at=EPOCH, tenant=BANK, event="approval.used", body={"approval": name})

    with vault.read() as view:
        assert view.approvals.used_since(ApprovalId("0124"), 0)
        assert view.approvals.used_since(ApprovalId("0124"), 1)
        assert not view.approvals.used_since(ApprovalId("0124"), 2)
        assert not view.approvals.used_since(ApprovalId("0123"), 1)


@pytest.mark.parametrize("name", ["digest", "operation", "state", "requester", "sequence"])
def test_what_another_version_wrote_is_damage(name: str) -> None:
    """A field that is missing or makes no sense never reads as an approval."""
    told = _plain(GIVEN)
    missing = {key: value for key, value in told.items() if key != name}
    with pytest.raises(IntegrityError):
        _read(missing)
    if name != "sequence":
        with pytest.raises(IntegrityError):
            _read({**told, name: "?"})


def test_an_id_that_is_no_text_is_refused(vault: SqliteVault) -> None:
    """Surrogates from a broken client become an error of the caller."""
    with vault.read() as view, pytest.raises(InputError):
        view.approvals.get(BANK, ApprovalId("\ud800"))
