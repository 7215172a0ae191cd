# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from voiceauth.access.approvals import (
    CORRECTION,
    TERMS,
    Unfit,
    approved,
    moment,
    over,
    party_of,
    refused,
    require_approving,
    require_asking,
    shown,
    used,
)
from voiceauth.access.principal import Means, Principal
from voiceauth.access.roles import GRANTS, Permission, Role
from voiceauth.errors import AccessError, ApprovalInvalidError, SecondPersonMissingError
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import Approval, ApprovalId, ApprovalState, Operation, Party, TenantId

HOUR = timedelta(hours=1)
DIGEST, OTHER = b"d" * 32, b"e" * 32


def somebody(name: str, *roles: Role, means: Means = Means.TOKEN, person: str = "") -> Principal:
    """Return a principal of every tenant."""
    return Principal(means, name, frozenset(roles), None, person=person)


ANNA, BEN = party_of(somebody("anna")), party_of(somebody("ben"))
ASKED = Approval(
    approval=ApprovalId("0123"),
    tenant=TenantId("bank"),
    operation=Operation.SUBJECT_EXPORT,
    digest=DIGEST,
    people=1,
    requester=ANNA,
    requested_at=EPOCH,
    expires_at=EPOCH + HOUR,
    sequence=7,
)
GIVEN = approved(ASKED, BEN, digest=DIGEST, now=EPOCH)


# Approving.


def test_nobody_approves_their_own_request() -> None:
    """The one who asked is refused as second person, with everything else in order."""
    with pytest.raises(SecondPersonMissingError) as caught:
        approved(ASKED, ANNA, digest=DIGEST, now=EPOCH)

    assert caught.value.detail == Unfit.SAME_PERSON


@pytest.mark.parametrize(
    "other",
    [
        somebody("anna", means=Means.CERTIFICATE),
        somebody("ANNA "),
        somebody("\uff21\uff4e\uff4e\uff41"),
        somebody("a.smith", person="anna"),
        somebody("a.smith", person=" Anna"),
    ],
    ids=["certificate", "case", "width", "person", "person-case"],
)
def test_one_person_with_two_credentials_is_one_person(other: Principal) -> None:
    """Where names or the person's own name tell that it is the same human being, it is refused."""
    with pytest.raises(SecondPersonMissingError):
        approved(ASKED, party_of(other), digest=DIGEST, now=EPOCH)


def test_two_accounts_of_one_person_are_one_person() -> None:
    """A shared person makes two differently named principals one, whichever of them asked."""
    first = party_of(somebody("account-1", person="e4711"))
    second = party_of(somebody("account-2", person="E4711"))

    with pytest.raises(SecondPersonMissingError):
        approved(replace(ASKED, requester=first), second, digest=DIGEST, now=EPOCH)


def test_two_principals_without_a_person_are_not_one_for_lack_of_it() -> None:
    """An empty person is no name that two could share."""
    assert party_of(somebody("anna")).names == {"anna"}


def test_whoever_reaches_the_port_is_no_party() -> None:
    """The local principal is nobody in particular: it neither asks nor approves."""
    with pytest.raises(SecondPersonMissingError) as caught:
        party_of(somebody("local", means=Means.LOCAL))

    assert caught.value.detail == Unfit.NOBODY


def test_what_is_approved_is_what_was_asked_for() -> None:
    """Whoever names other arguments has approved nothing."""
    with pytest.raises(ApprovalInvalidError) as caught:
        approved(ASKED, BEN, digest=OTHER, now=EPOCH)

    assert caught.value.detail == Unfit.CHANGED


@pytest.mark.parametrize("state", set(ApprovalState) - {ApprovalState.PENDING})
def test_what_was_decided_is_not_decided_again(state: ApprovalState) -> None:
    """Neither a second yes nor a second no changes an approval that is not open."""
    settled = replace(ASKED, state=state)
    attempts: list[Callable[[], Approval]] = [
        lambda: approved(settled, BEN, digest=DIGEST, now=EPOCH),
        lambda: refused(settled, BEN, now=EPOCH),
    ]
    for attempt in attempts:
        with pytest.raises(ApprovalInvalidError) as caught:
            attempt()
        assert caught.value.detail == Unfit.DECIDED


def test_what_is_over_is_not_approved_or_refused() -> None:
    """At the moment of its end a request is over, and a moment before it is not."""
    attempts: list[Callable[[], Approval]] = [
        lambda: approved(ASKED, BEN, digest=DIGEST, now=EPOCH + HOUR),
        lambda: refused(ASKED, BEN, now=EPOCH + HOUR),
    ]
    for attempt in attempts:
        with pytest.raises(ApprovalInvalidError) as caught:
            attempt()
        assert caught.value.detail == Unfit.EXPIRED
    just = EPOCH + HOUR - timedelta(microseconds=1)

    assert approved(ASKED, BEN, digest=DIGEST, now=just).state is ApprovalState.APPROVED


def test_an_approval_says_who_gave_it_and_when() -> None:
    """The second person and the time stand in it; nothing else of the request has changed."""
    when = EPOCH + timedelta(minutes=5)

    given = approved(ASKED, BEN, digest=DIGEST, now=when)

    assert given == replace(ASKED, state=ApprovalState.APPROVED, decider=BEN, decided_at=when)


@pytest.mark.parametrize("by", [ANNA, BEN], ids=["own", "other"])
def test_saying_no_needs_no_second_person(by: Party) -> None:
    """A request is refused by anybody who may, also by the one who asked."""
    when = EPOCH + timedelta(minutes=5)

    said = refused(ASKED, by, now=when)

    assert said == replace(ASKED, state=ApprovalState.REFUSED, decider=by, decided_at=when)


# Using.


def test_an_approval_is_used_once() -> None:
    """Using leaves it used, and a used one is of no use."""
    gone = used(GIVEN, ANNA, digest=DIGEST, now=EPOCH)

    with pytest.raises(ApprovalInvalidError) as caught:
        used(gone, ANNA, digest=DIGEST, now=EPOCH)
    assert caught.value.detail == Unfit.USED
    assert gone == replace(GIVEN, state=ApprovalState.USED)


def test_a_request_that_nobody_approved_allows_nothing() -> None:
    """Asking alone is not enough."""
    with pytest.raises(SecondPersonMissingError) as caught:
        used(ASKED, ANNA, digest=DIGEST, now=EPOCH)

    assert caught.value.detail == Unfit.PENDING


def test_a_refused_request_allows_nothing() -> None:
    """A no is final."""
    with pytest.raises(ApprovalInvalidError) as caught:
        used(refused(ASKED, BEN, now=EPOCH), ANNA, digest=DIGEST, now=EPOCH)

    assert caught.value.detail == Unfit.REFUSED


def test_an_approval_that_is_over_allows_nothing() -> None:
    """At the moment of its end it is over."""
    with pytest.raises(ApprovalInvalidError) as caught:
        used(GIVEN, ANNA, digest=DIGEST, now=EPOCH + HOUR)

    assert caught.value.detail == Unfit.EXPIRED


def test_an_approval_is_for_its_own_arguments() -> None:
    """Changed arguments are another operation."""
    with pytest.raises(ApprovalInvalidError) as caught:
        used(GIVEN, ANNA, digest=OTHER, now=EPOCH)

    assert caught.value.detail == Unfit.CHANGED


@pytest.mark.parametrize(
    "other", [BEN, party_of(somebody("anna", means=Means.CERTIFICATE))], ids=["ben", "credential"]
)
def test_an_approval_is_for_the_one_who_asked(other: Party) -> None:
    """Nobody else uses it, not even the one who gave it, nor the same name by another means."""
    with pytest.raises(ApprovalInvalidError) as caught:
        used(GIVEN, other, digest=DIGEST, now=EPOCH)

    assert caught.value.detail == Unfit.REQUESTER


def test_a_command_on_the_servers_own_machine_uses_what_two_persons_agreed_on() -> None:
    """There nobody is known by name, so the approval of the two is what counts."""
    assert used(GIVEN, None, digest=DIGEST, now=EPOCH).state is ApprovalState.USED


# Time.


def test_a_clock_that_was_set_back_makes_nothing_usable() -> None:
    """Where anything was recorded later than now, the clock is not believed."""
    late = EPOCH + CORRECTION + timedelta(microseconds=1)
    with pytest.raises(ApprovalInvalidError) as caught:
        moment(EPOCH, late)

    assert caught.value.detail == Unfit.CLOCK


def test_time_never_goes_back() -> None:
    """A small correction counts as no time; otherwise the clock's time is the time."""
    assert moment(EPOCH, EPOCH + CORRECTION) == EPOCH + CORRECTION
    assert moment(EPOCH, EPOCH - HOUR) == EPOCH
    assert moment(EPOCH, None) == EPOCH
    assert timedelta(seconds=60) == CORRECTION


# What is told.


@pytest.mark.parametrize("state", set(ApprovalState))
def test_what_waits_beyond_its_time_is_shown_as_expired(state: ApprovalState) -> None:
    """Open and given approvals expire; what was refused or used stays what it was."""
    waiting = state in (ApprovalState.PENDING, ApprovalState.APPROVED)
    one = replace(ASKED, state=state)

    assert shown(one, EPOCH) == one
    assert shown(one, EPOCH + HOUR).state is (ApprovalState.EXPIRED if waiting else state)
    assert over(one, EPOCH + HOUR)
    assert not over(one, EPOCH + HOUR - timedelta(microseconds=1))


# Who may.


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("role", Role)
def test_asking_and_approving_follow_the_table_of_roles(role: Role, operation: Operation) -> None:
    """Each operation has its permission to ask and one to approve, and nothing else counts."""
    terms, granted = TERMS[operation], GRANTS[role].permissions
    for check, permission in (
        (require_asking, terms.ask),
        (require_approving, terms.approve),
    ):
        if permission in granted:
            check(somebody("x", role), operation)
        else:
            with pytest.raises(AccessError) as caught:
                check(somebody("x", role), operation)
            assert caught.value.detail == "role_missing"


def test_who_asks_and_who_approves() -> None:
    """Officers ask for what touches people, operators for keys; auditors only look."""
    asking = {
        one: {role for role in Role if TERMS[one].ask in GRANTS[role].permissions}
        for one in Operation
    }
    approving = {
        one: {role for role in Role if TERMS[one].approve in GRANTS[role].permissions}
        for one in Operation
    }

    assert asking == {
        Operation.SUBJECT_EXPORT: {Role.PRIVACY_OFFICER},
        Operation.BULK_ERASURE: {Role.PRIVACY_OFFICER},
        Operation.KEY_DESTRUCTION: {Role.OPERATOR, Role.ADMINISTRATOR},
    }
    assert approving == {key: {Role.PRIVACY_OFFICER, Role.ADMINISTRATOR} for key in Operation}


@pytest.mark.parametrize("role", Role)
def test_the_coarse_permissions_agree_with_the_operations(role: Role) -> None:
    """Whoever may ask for something may use the RPC that asks, and the same for approving."""
    granted = GRANTS[role].permissions
    asks = any(terms.ask in granted for terms in TERMS.values())
    approves = any(terms.approve in granted for terms in TERMS.values())

    assert (Permission.ASK_APPROVAL in granted) == asks
    assert (Permission.DECIDE_APPROVAL in granted) == approves
    assert not GRANTS[role].machine or not (asks or approves)


def test_each_operation_has_permissions_of_its_own() -> None:
    """No permission stands for two operations, or for both halves of one."""
    named = [one for terms in TERMS.values() for one in (terms.ask, terms.approve)]

    assert set(TERMS) == set(Operation)
    assert len(set(named)) == 2 * len(Operation)
