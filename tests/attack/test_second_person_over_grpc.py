# SPDX-License-Identifier: Apache-2.0
"""One person trying to do alone, over real gRPC with tokens, what takes two."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from issuer import AUDIENCE, ISSUER, document, token
from secured import Secured, secured
from served import CONSENT, PCM, TENANT, Parts, Served, pieces, speech

from voiceauth.adapters import SystemRandom
from voiceauth.client import Client, EnrolOptions
from voiceauth.config import TokenSettings
from voiceauth.errors import (
    AccessError,
    ApprovalInvalidError,
    InputError,
    NotFoundError,
    PolicyError,
    SecondPersonMissingError,
)
from voiceauth.keys.keyring import FileKeyring
from voiceauth.types import ApprovalState, KeyId, Operation, Plan, SubjectId, TenantId
from voiceauth.usecases.export_subject import check_export
from voiceauth.usecases.keep_keys import KeyDesk
from voiceauth.vault.open import open_vault

BANK = TenantId(TENANT)
EXPORT = Plan(Operation.SUBJECT_EXPORT, BANK, (SubjectId("alice"),))
ERASURE = Plan(Operation.BULK_ERASURE, BANK, (SubjectId("alice"), SubjectId("bob")))
OFFICER, ADMINISTRATOR, OPERATOR = ["privacy-officer"], ["administrator"], ["operator"]


@pytest.fixture
async def bank(parts: Parts, tmp_path: Path) -> AsyncIterator[Secured]:
    """A server that takes tokens; a person is known by the claim ``employee``, too."""
    jwks = tmp_path / "jwks.json"
    jwks.write_bytes(document())
    settings = TokenSettings(
        issuer=ISSUER, audience=AUDIENCE, jwks_file=jwks, person_claim="employee"
    )
    async with secured(parts, tmp_path, tokens=settings) as running:
        yield running


def staff(bank: Secured, name: str, roles: list[str], **claims: Any) -> Client:
    """Return a client of a member of staff; everybody is an employee of their own."""
    told = {"sub": name, "roles": roles, "employee": f"e-{name}", **claims}
    return bank.client("stranger", token=token(bank.parts.clock.now(), **told))


async def known(bank: Secured, *names: str) -> None:
    """Create subjects; enrol the first one."""
    async with bank.client("enrolment") as client:
        for name in names:
            await client.create_subject(TENANT, name)
        await client.record_consent(TENANT, names[0], CONSENT)
        bank.parts.embedder.voice = names[0]
        async with client.enrol(EnrolOptions("enrol-1", TENANT, names[0], PCM)) as stream:
            await stream.run(pieces(speech(14.0)))


async def asked(bank: Secured, plan: Plan, roles: list[str] = OFFICER) -> str:
    """Return the id of what Anna asked for."""
    async with staff(bank, "anna", roles) as anna:
        return str((await anna.approvals.request(plan)).approval)


async def given(bank: Secured, plan: Plan, roles: list[str] = OFFICER) -> str:
    """Return the id of what Anna asked for and Ben, an administrator, approved."""
    approval = await asked(bank, plan, roles)
    async with staff(bank, "ben", ADMINISTRATOR) as ben:
        await ben.approvals.approve(approval, plan)
    return approval


async def test_nobody_approves_what_they_asked_for(bank: Secured) -> None:
    """The refusal is recorded, and the export still needs somebody else."""
    approval = await asked(bank, EXPORT)
    async with staff(bank, "anna", OFFICER) as anna:
        with pytest.raises(SecondPersonMissingError):
            await anna.approvals.approve(approval, EXPORT)
        with pytest.raises(SecondPersonMissingError):
            await anna.approvals.export_subject(TENANT, "alice", approval)

    assert bank.reasons() == ["approval_same_person", "approval_pending"]


async def test_a_second_account_of_the_same_person_is_not_a_second_person(bank: Secured) -> None:
    """Another ``sub`` with the same employee, and the same name by certificate, are Anna."""
    approval = await asked(bank, EXPORT)
    async with staff(bank, "anna-admin", ADMINISTRATOR, employee="E-Anna") as twin:
        with pytest.raises(SecondPersonMissingError):
            await twin.approvals.approve(approval, EXPORT)
    async with staff(bank, "privacy-officer", OFFICER) as named_like_a_certificate:
        own = (await named_like_a_certificate.approvals.request(EXPORT)).approval
    async with bank.client("privacy-officer") as client:
        with pytest.raises(SecondPersonMissingError):
            await client.approvals.approve(own, EXPORT)


async def test_a_token_that_does_not_say_who_the_person_is_is_refused(bank: Secured) -> None:
    """Where the settings name the claim, leaving it out is no way around the rule."""
    for person in (None, "", 7, "x" * 257):
        async with staff(bank, "anna", OFFICER, employee=person) as client:
            with pytest.raises(AccessError):
                await client.information()

    assert set(bank.reasons()) == {"token_claims"}


async def test_an_approval_is_used_once_and_by_the_one_who_asked(bank: Secured) -> None:
    """Neither who approved nor a second time, nor for another subject."""
    await known(bank, "alice", "bob")
    approval = await given(bank, EXPORT)
    async with staff(bank, "carl", OFFICER) as carl:
        with pytest.raises(ApprovalInvalidError):
            await carl.approvals.export_subject(TENANT, "alice", approval)
    async with staff(bank, "anna", OFFICER) as anna:
        with pytest.raises(ApprovalInvalidError):
            await anna.approvals.export_subject(TENANT, "bob", approval)
        text = await anna.approvals.export_subject(TENANT, "alice", approval)
        with pytest.raises(ApprovalInvalidError):
            await anna.approvals.export_subject(TENANT, "alice", approval)

    assert check_export(json.loads(text))["subject"] == "alice"
    assert bank.reasons() == [
        "approval_of_another_requester",
        "approval_for_something_else",
        "approval_used",
    ]


async def test_an_approval_that_is_over_is_refused(bank: Secured) -> None:
    """A day after the request nothing goes through, however fresh the token is."""
    approval = await given(bank, EXPORT)
    bank.parts.clock.advance(86_400)
    async with staff(bank, "anna", OFFICER) as anna:
        with pytest.raises(ApprovalInvalidError):
            await anna.approvals.export_subject(TENANT, "alice", approval)

    assert bank.reasons() == ["approval_expired"]


@pytest.mark.parametrize(
    ("roles", "plan"),
    [
        (OPERATOR, EXPORT),
        (ADMINISTRATOR, EXPORT),
        (ADMINISTRATOR, ERASURE),
        (OFFICER, Plan(Operation.KEY_DESTRUCTION, BANK, key=KeyId("kek-1"))),
    ],
    ids=["operator", "administrator-export", "administrator-erasure", "officer-key"],
)
async def test_only_the_right_role_asks(bank: Secured, roles: list[str], plan: Plan) -> None:
    """Whoever may ask for something may not therefore ask for anything."""
    async with staff(bank, "anna", roles) as anna:
        with pytest.raises(AccessError):
            await anna.approvals.request(plan)

    assert bank.reasons() == ["role_missing"]


async def test_only_the_right_role_approves(bank: Secured) -> None:
    """An operator and an auditor see what is asked for, and decide nothing."""
    approval = await asked(bank, EXPORT)
    for roles in (OPERATOR, ["auditor"]):
        async with staff(bank, "ben", roles) as ben:
            assert len(await ben.approvals.list(TENANT)) == 1
            with pytest.raises(AccessError):
                await ben.approvals.approve(approval, EXPORT)
            with pytest.raises(AccessError):
                await ben.approvals.refuse(TENANT, approval)


async def test_another_tenants_officer_neither_asks_nor_approves(bank: Secured) -> None:
    """Approvals stay within a tenant, and a foreign id under one's own tenant is unknown."""
    approval = await asked(bank, EXPORT)
    shop = replace(EXPORT, tenant=TenantId("shop"))
    async with staff(bank, "ben", [*OFFICER, *OPERATOR], tenant="shop") as ben:
        for attempt in (
            ben.approvals.request(EXPORT),
            ben.approvals.list(TENANT),
            ben.approvals.approve(approval, EXPORT),
            ben.approvals.refuse(TENANT, approval),
            ben.approvals.export_subject(TENANT, "alice", approval),
            ben.approvals.erase_subjects(TENANT, ["alice"], approval),
            ben.approvals.destroy_key(TENANT, "kek-1", approval),
            ben.approvals.approve(approval, shop),
        ):
            with pytest.raises(AccessError):
                await attempt

    assert bank.reasons() == ["wrong_tenant"] * 7 + ["approval_unknown"]


async def test_what_was_approved_is_what_is_erased(bank: Secured) -> None:
    """With one name more nobody is erased; with the approved list all of it is."""
    await known(bank, "alice", "bob", "carol")
    approval = await given(bank, ERASURE)
    async with staff(bank, "anna", OFFICER) as anna:
        with pytest.raises(ApprovalInvalidError):
            await anna.approvals.erase_subjects(TENANT, ["alice", "bob", "carol"], approval)
        erased = await anna.approvals.erase_subjects(TENANT, ["bob", "alice"], approval)
        left = [one.subject async for one in anna.list_subjects(TENANT)]

    assert erased == (2, 1, 0)
    assert left == ["carol"]


async def test_a_refused_request_is_seen_and_of_no_use(bank: Secured) -> None:
    """The one who asked sees who refused, and cannot go on."""
    approval = await asked(bank, EXPORT)
    async with staff(bank, "ben", ADMINISTRATOR) as ben:
        await ben.approvals.refuse(TENANT, approval)
    async with staff(bank, "anna", OFFICER) as anna:
        (seen,) = await anna.approvals.list(TENANT)
        with pytest.raises(ApprovalInvalidError):
            await anna.approvals.export_subject(TENANT, "alice", approval)

    assert (seen.state, seen.decided_by) == (ApprovalState.REFUSED, "token:ben")
    assert (seen.requested_by, seen.people) == ("token:anna", 1)


async def test_a_malformed_plan_is_the_callers_mistake(bank: Secured) -> None:
    """No subject, nobody on the list, an impossible key, or a missing tenant ask for nothing."""
    wrong = [
        Plan(Operation.SUBJECT_EXPORT, BANK),
        Plan(Operation.BULK_ERASURE, BANK),
        Plan(Operation.KEY_DESTRUCTION, BANK, key=KeyId("no key")),
    ]
    async with staff(bank, "anna", ["privacy-officer", "operator"]) as anna:
        for plan in wrong:
            with pytest.raises(InputError):
                await anna.approvals.request(plan)
        with pytest.raises(InputError):  # the installation's own key is nobody's who has a tenant
            await anna.approvals.request(Plan(Operation.KEY_DESTRUCTION, TenantId("")))


async def test_a_server_without_keys_of_its_own_destroys_none(bank: Secured) -> None:
    """It says so, and the approval stays good."""
    plan = Plan(Operation.KEY_DESTRUCTION, BANK, key=KeyId("kek-1"))
    approval = await given(bank, plan, OPERATOR)
    async with staff(bank, "anna", OPERATOR) as anna:
        with pytest.raises(PolicyError):
            await anna.approvals.destroy_key(TENANT, "kek-1", approval)
        (left,) = await anna.approvals.list(TENANT)

    assert left.state is ApprovalState.APPROVED


async def test_whoever_reaches_an_open_port_does_none_of_it(service: Served) -> None:
    """On loopback in plain text nobody is known, so nobody asks, approves, exports or erases."""
    approvals = service.client.approvals
    await service.client.create_subject(TENANT, "alice")
    for attempt in (
        approvals.request(EXPORT),
        approvals.approve("0123", EXPORT),
        approvals.refuse(TENANT, "0123"),
        approvals.export_subject(TENANT, "alice"),
        approvals.erase_subjects(TENANT, ["alice"]),
    ):
        with pytest.raises(SecondPersonMissingError):
            await attempt

    assert await service.client.get_subject(TENANT, "alice")


async def test_a_key_is_destroyed_by_two(parts: Parts, tmp_path: Path) -> None:
    """Asked for by an operator, approved by an officer, and only the key that was named."""
    home = tmp_path / "keys"
    home.mkdir()
    keys = FileKeyring.create(home / "keys.json", clock=parts.clock, random=SystemRandom())
    vault = open_vault(home / "vault.db", keys, clock=parts.clock, random=SystemRandom())
    old = keys.current("bank")
    keys.rotate("bank")
    other = keys.current("shop")
    desk = KeyDesk(vault, keys, parts.clock)
    engine = replace(parts.engine, vault=vault, secret=keys.derive, keys=desk)
    jwks = tmp_path / "jwks.json"
    jwks.write_bytes(document())
    settings = TokenSettings(
        issuer=ISSUER, audience=AUDIENCE, jwks_file=jwks, person_claim="employee"
    )
    plan = Plan(Operation.KEY_DESTRUCTION, BANK, key=old)
    foreign = Plan(Operation.KEY_DESTRUCTION, BANK, key=other)
    async with secured(replace(parts, engine=engine), tmp_path, tokens=settings) as bank:
        approval, wrong = await given(bank, plan, OPERATOR), await given(bank, foreign, OPERATOR)
        async with staff(bank, "anna", OPERATOR) as anna:
            with pytest.raises(SecondPersonMissingError):
                await anna.approvals.destroy_key(TENANT, old)
            with pytest.raises(NotFoundError):  # another tenant's key looks unknown
                await anna.approvals.destroy_key(TENANT, other, wrong)
            await anna.approvals.destroy_key(TENANT, old, approval)
    left = {one.key_id for one in keys.inventory()}
    last = list(vault.ledger())[-1]
    vault.close()

    assert old not in left
    assert other in left
    assert (last.event, json.loads(last.body)["approval"]) == ("keys.destroyed", approval)
