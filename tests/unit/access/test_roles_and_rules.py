# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from voiceauth.access.principal import Means, Principal
from voiceauth.access.roles import (
    GRANTS,
    Grant,
    Permission,
    Role,
    View,
    machine_roles,
    permissions_of,
    view_of,
)
from voiceauth.access.rpcs import ROWS, Foreign, Row
from voiceauth.access.rules import Refusal, SecondFactor, authorise, require_tenant
from voiceauth.errors import AccessError, SecondFactorMissingError
from voiceauth.types import TenantId

ERASE = ROWS["/voiceauth.v1.SubjectService/EraseSubject"]
VERIFY = ROWS["/voiceauth.v1.VerificationService/Verify"]
NOTHING = SecondFactor()
MFA = SecondFactor(frozenset({"mfa"}), frozenset({"gold"}))


def someone(*roles: Role, means: Means = Means.TOKEN) -> Principal:
    """Return a principal of the bank."""
    return Principal(means, "jo", frozenset(roles), frozenset({TenantId("bank")}))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_who_has_no_role_may_do_nothing(row: Row) -> None:
    """Nothing is granted by default."""
    with pytest.raises(AccessError) as caught:
        authorise(someone(), row, NOTHING)

    assert caught.value.detail == Refusal.ROLE


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_role_may_do_what_its_row_grants_and_nothing_else(role: Role, row: Row) -> None:
    """The table of roles is the whole truth about what a role may do."""
    principal = someone(role)
    if row.permission in GRANTS[role].permissions:
        assert authorise(principal, row, NOTHING) == principal
    else:
        with pytest.raises(AccessError):
            authorise(principal, row, NOTHING)


def test_erasing_and_searching_are_each_one_roles_business() -> None:
    """Two of the gravest things are in one hand each, and that hand does not enrol."""
    holders = {
        permission: {role for role in Role if permission in GRANTS[role].permissions}
        for permission in (Permission.ERASE_SUBJECT, Permission.IDENTIFY, Permission.ENROL)
    }

    assert holders == {
        Permission.ERASE_SUBJECT: {Role.PRIVACY_OFFICER},
        Permission.IDENTIFY: {Role.FRAUD_ANALYST},
        Permission.ENROL: {Role.ENROLMENT},
    }


def test_leaving_is_as_easy_as_joining() -> None:
    """Whoever may record a consent may withdraw it, and the line that a person calls may, too."""
    givers = {role for role in Role if Permission.RECORD_CONSENT in GRANTS[role].permissions}
    takers = {role for role in Role if Permission.WITHDRAW_CONSENT in GRANTS[role].permissions}

    assert givers | {Role.IVR} <= takers


def test_only_roles_that_see_everything_may_list() -> None:
    """Page tokens name people, so they may not reach a role whose view is masked."""
    listing = [role for role in Role if Permission.LIST_SUBJECTS in GRANTS[role].permissions]

    assert listing
    assert all(GRANTS[role].view is View.FULL for role in listing)


def test_several_roles_add_up() -> None:
    """Two roles may do what one of them may, and see what the wider one sees."""
    both = (Role.AGENT, Role.PRIVACY_OFFICER)

    assert permissions_of(both) == permissions_of([both[0]]) | permissions_of([both[1]])
    assert view_of(both, Permission.READ_SUBJECT) is View.FULL
    assert view_of(both, Permission.VERIFY) is View.MASKED
    assert view_of((Role.ENROLMENT, Role.AGENT), Permission.READ_SUBJECT) is View.OWN


def test_what_nobody_granted_shows_nothing() -> None:
    """Without a role that grants the permission, the view is masked."""
    assert view_of((), Permission.READ_SUBJECT) is View.MASKED


def test_a_principal_shows_nothing_that_it_was_not_given() -> None:
    """Neither a sign-in nor an assurance, nor who the human being is."""
    plain = someone(Role.AGENT)

    assert (plain.methods, plain.assurance, plain.person) == (frozenset(), "", "")


def test_a_grant_is_a_persons_unless_it_says_otherwise() -> None:
    """Who forgets to say it asks for a second factor too often, never too rarely."""
    assert not Grant(frozenset(), View.MASKED).machine


def test_only_programs_are_machines() -> None:
    """No person's role escapes the demand for a second factor."""
    assert machine_roles(Role) == {Role.IVR, Role.ENROLMENT}


def test_a_person_without_a_second_factor_is_refused() -> None:
    """Where evidence is demanded, a sign-in without it is worth nothing."""
    with pytest.raises(SecondFactorMissingError) as caught:
        authorise(someone(Role.PRIVACY_OFFICER), ERASE, MFA)

    assert caught.value.detail == Refusal.SECOND_FACTOR


@pytest.mark.parametrize("shown", [{"methods": frozenset({"pwd", "mfa"})}, {"assurance": "gold"}])
def test_a_person_with_a_second_factor_is_let_in(shown: dict[str, object]) -> None:
    """One of the demanded methods, or one of the assurances, is enough."""
    principal = replace(someone(Role.PRIVACY_OFFICER), **shown)  # type: ignore[arg-type]

    assert authorise(principal, ERASE, MFA) == principal


def test_a_machine_is_not_asked_for_a_second_factor() -> None:
    """A program has none; but its principal keeps only the roles of programs."""
    principal = someone(Role.IVR, Role.PRIVACY_OFFICER, means=Means.CERTIFICATE)

    assert authorise(principal, VERIFY, MFA).roles == {Role.IVR}
    with pytest.raises(SecondFactorMissingError):
        authorise(principal, ERASE, MFA)


def test_the_machines_own_operator_is_outside_the_demand() -> None:
    """The local principal never signed in anywhere; the settings say whether there is one."""
    principal = someone(Role.PRIVACY_OFFICER, means=Means.LOCAL)

    assert authorise(principal, ERASE, MFA) == principal


def test_an_empty_demand_demands_nothing() -> None:
    """Only settings that name evidence ask for it."""
    assert not NOTHING.demanded
    assert SecondFactor(assurances=frozenset({"gold"})).demanded
    assert not NOTHING.shown_by(someone())


def test_a_tenant_is_ones_own_or_refused() -> None:
    """Only the tenants of the principal pass; a principal of all tenants is told by None."""
    require_tenant(someone(), "bank")
    require_tenant(replace(someone(), tenants=None), "shop")
    for wrong in ("shop", "", "Bank", "bank "):
        with pytest.raises(AccessError) as caught:
            require_tenant(someone(), wrong)
        assert caught.value.detail == Refusal.TENANT
    with pytest.raises(AccessError):
        require_tenant(replace(someone(), tenants=frozenset()), "bank")


def test_principals_of_different_means_are_different() -> None:
    """A token's subject cannot take the name of a certificate's principal."""
    assert someone().identity == "token:jo"
    assert someone(means=Means.CERTIFICATE).identity != someone().identity


def test_an_ivr_cannot_tell_another_tenants_people_from_nobody() -> None:
    """What an IVR may use on one person answers for other tenants as for unknown people."""
    plain = {
        name: row.foreign
        for name, row in ROWS.items()
        if row.permission in GRANTS[Role.IVR].permissions
    }

    denied = {name.rpartition("/")[2] for name, how in plain.items() if how is Foreign.DENIED}
    step_ups = {"BeginStepUp", "SendCode", "AnswerStepUp", "GetStepUp"}  # of a call, not a person
    assert denied == {"OptOut", "GetInformation"} | step_ups  # alike for known and unknown
