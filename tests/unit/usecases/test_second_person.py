# SPDX-License-Identifier: Apache-2.0
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_engine import TENANT, consenting, make_engine

from voiceauth.access.approvals import Unfit
from voiceauth.errors import (
    AccessError,
    ApprovalInvalidError,
    InputError,
    LimitError,
    NotFoundError,
    SecondPersonMissingError,
    TagMismatchError,
)
from voiceauth.testing.fakes import FakeClock
from voiceauth.types import (
    Approval,
    ApprovalId,
    ApprovalState,
    KeyId,
    Operation,
    Party,
    Plan,
    SubjectId,
    TenantId,
)
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.erase_subjects import erase_subjects
from voiceauth.usecases.key_services import VAULT_FILE
from voiceauth.usecases.second_person import (
    MOST_OPEN,
    MOST_PEOPLE,
    ApprovalDesk,
    ApprovalRules,
    approve,
    ask,
    destruction_plan,
    erasure_plan,
    export_plan,
    listed,
    refuse,
    use,
)

ANNA = Party("token:anna", frozenset({"anna"}))
BEN = Party("token:ben", frozenset({"ben"}))
ALICE = SubjectId("alice-4711")
PLAN = export_plan(TENANT, ALICE)
DAY = 86_400.0


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with an empty vault."""
    built = make_engine(tmp_path)
    yield built
    built.vault.close()


@pytest.fixture
def desk(engine: Engine) -> ApprovalDesk:
    """The desk of the engine."""
    return engine.approval_desk


def clock_of(desk: ApprovalDesk) -> FakeClock:
    """Return the clock that the test moves."""
    if not isinstance(desk.clock, FakeClock):
        raise TypeError
    return desk.clock


def given(desk: ApprovalDesk, plan: Plan = PLAN) -> Approval:
    """Return an approval that Anna asked for and Ben gave."""
    return approve(desk, ask(desk, plan, ANNA).approval, plan, BEN)


def spend(desk: ApprovalDesk, name: str, plan: Plan = PLAN, by: Party | None = ANNA) -> None:
    """Use an approval up in a transaction of its own."""
    with desk.vault.begin() as transaction:
        use(desk, transaction, plan, ApprovalId(name), by)


def refusal(desk: ApprovalDesk, name: str, plan: Plan = PLAN, by: Party | None = ANNA) -> str:
    """Return why an approval cannot be used; nothing may be recorded of it."""
    before = events(desk)
    with pytest.raises(AccessError) as caught:
        spend(desk, name, plan, by)
    assert events(desk) == before
    return str(caught.value.detail)


def events(desk: ApprovalDesk) -> list[str]:
    """Return the ledger's event names."""
    return [entry.event for entry in desk.vault.ledger()]


def file_of(tmp_path: Path) -> sqlite3.Connection:
    """Open the vault's file as somebody who has it and not its keys."""
    return sqlite3.connect(tmp_path / VAULT_FILE)


# What must not go through.


def test_without_an_approval_nothing_is_done(desk: ApprovalDesk) -> None:
    """Naming none is refused as lacking the second person."""
    assert refusal(desk, "") == Unfit.MISSING


def test_an_approval_that_nobody_asked_for_is_unknown(desk: ApprovalDesk) -> None:
    """A guessed id is of no use, for approving and refusing neither."""
    assert refusal(desk, "0123456789abcdef") == Unfit.UNKNOWN
    with pytest.raises(ApprovalInvalidError):
        approve(desk, ApprovalId("0123456789abcdef"), PLAN, BEN)
    with pytest.raises(ApprovalInvalidError):
        refuse(desk, TENANT, ApprovalId("0123456789abcdef"), BEN)


def test_self_approval_changes_nothing(desk: ApprovalDesk) -> None:
    """The attempt leaves the request open and no entry of an approval."""
    asked = ask(desk, PLAN, ANNA)
    with pytest.raises(SecondPersonMissingError):
        approve(desk, asked.approval, PLAN, ANNA)

    assert events(desk) == ["approval.requested"]
    assert refusal(desk, asked.approval) == Unfit.PENDING


def test_an_approval_is_not_replayed(desk: ApprovalDesk) -> None:
    """The second use is refused."""
    done = given(desk)
    spend(desk, done.approval)

    assert refusal(desk, done.approval) == Unfit.USED


def test_an_old_row_that_is_put_back_is_not_replayed(desk: ApprovalDesk, tmp_path: Path) -> None:
    """Who restores the row from before its use is found out by the ledger."""
    done = given(desk)
    with file_of(tmp_path) as file:
        row = file.execute("SELECT approval, tenant, sealed FROM approvals").fetchone()
    spend(desk, done.approval)
    with file_of(tmp_path) as file:
        file.execute("INSERT OR REPLACE INTO approvals VALUES (?,?,?)", row)
    file.close()

    assert refusal(desk, done.approval) == Unfit.USED


def test_an_approval_from_before_a_restore_is_void(desk: ApprovalDesk) -> None:
    """The restored ledger cannot tell whether it was used after the backup: it counts as used."""
    done = given(desk)
    with desk.vault.begin() as transaction:
        transaction.append(
            at=desk.clock.now(), tenant=TenantId(""), event="backup.restored", body={}
        )

    assert refusal(desk, done.approval) == Unfit.USED
    spend(desk, given(desk).approval)


def test_a_row_under_another_id_or_tenant_does_not_open(desk: ApprovalDesk, tmp_path: Path) -> None:
    """A given approval cannot be passed off as another one by whoever writes the file."""
    done, other = given(desk), ask(desk, PLAN, ANNA)
    with file_of(tmp_path) as file:
        file.execute(
            "UPDATE approvals SET sealed = (SELECT sealed FROM approvals WHERE approval = ?) "
            "WHERE approval = ?",
            (done.approval, other.approval),
        )
        file.execute("UPDATE approvals SET tenant = 'shop' WHERE approval = ?", (done.approval,))
    file.close()

    with pytest.raises(TagMismatchError):
        spend(desk, other.approval)
    with pytest.raises(TagMismatchError):
        spend(desk, done.approval, replace(PLAN, tenant=TenantId("shop")))


@pytest.mark.parametrize(
    "other",
    [
        export_plan(TENANT, SubjectId("alice-4712")),
        erasure_plan(TENANT, [ALICE]),
        destruction_plan(TENANT, KeyId("alice-4711")),
    ],
    ids=["subject", "operation", "key"],
)
def test_an_approval_is_for_nothing_else(desk: ApprovalDesk, other: Plan) -> None:
    """Neither another person nor another operation on the same one goes through with it."""
    assert refusal(desk, given(desk).approval, other) == Unfit.CHANGED


def test_what_is_approved_has_to_be_named(desk: ApprovalDesk) -> None:
    """Who approves a list with one name more has approved nothing."""
    plan = erasure_plan(TENANT, [ALICE, SubjectId("bob")])
    asked = ask(desk, plan, ANNA)

    with pytest.raises(ApprovalInvalidError):
        approve(desk, asked.approval, erasure_plan(TENANT, [ALICE]), BEN)


def test_another_tenant_knows_nothing_of_an_approval(desk: ApprovalDesk) -> None:
    """The same id under another tenant is unknown, to use, approve, refuse and list."""
    done, shop = given(desk), TenantId("shop")

    assert refusal(desk, done.approval, replace(PLAN, tenant=shop)) == Unfit.UNKNOWN
    with pytest.raises(ApprovalInvalidError):
        approve(desk, done.approval, replace(PLAN, tenant=shop), BEN)
    with pytest.raises(ApprovalInvalidError):
        refuse(desk, shop, done.approval, BEN)
    assert listed(desk, shop) == ()


def test_an_approval_expires(desk: ApprovalDesk) -> None:
    """A day after the request it is over, whenever it was given."""
    asked = ask(desk, PLAN, ANNA)
    clock_of(desk).advance(DAY - 1)
    approve(desk, asked.approval, PLAN, BEN)
    clock_of(desk).advance(1)

    assert refusal(desk, asked.approval) == Unfit.EXPIRED


def test_a_clock_that_is_set_back_brings_no_approval_to_life(desk: ApprovalDesk) -> None:
    """After its end, with anything recorded meanwhile, an earlier time is not believed."""
    done = given(desk)
    clock_of(desk).advance(2 * DAY)
    listed(desk, TENANT)  # anything that leaves an entry
    clock_of(desk).jump(-2 * DAY + 60)

    assert refusal(desk, done.approval) == Unfit.CLOCK


def test_a_clock_that_is_set_back_before_the_request_makes_it_unusable(desk: ApprovalDesk) -> None:
    """An approval from the future is none."""
    done = given(desk)
    clock_of(desk).jump(-3600)

    assert refusal(desk, done.approval) == Unfit.CLOCK
    with pytest.raises(ApprovalInvalidError):
        approve(desk, ask(desk, PLAN, BEN).approval, export_plan(TENANT, SubjectId("x")), ANNA)


def test_a_clock_that_is_set_forward_ends_approvals(desk: ApprovalDesk) -> None:
    """A jump ahead costs an approval, and allows nothing."""
    done = given(desk)
    clock_of(desk).jump(10 * DAY)

    assert refusal(desk, done.approval) == Unfit.EXPIRED


def test_a_refused_request_stays_refused(desk: ApprovalDesk) -> None:
    """After a no, neither use nor a later yes goes through."""
    asked = ask(desk, PLAN, ANNA)
    refuse(desk, TENANT, asked.approval, BEN)

    assert refusal(desk, asked.approval) == Unfit.REFUSED
    with pytest.raises(ApprovalInvalidError):
        approve(desk, asked.approval, PLAN, BEN)


@pytest.mark.parametrize("names", [[], ["a", "b", "a"], [f"s{n}" for n in range(MOST_PEOPLE + 1)]])
def test_an_impossible_list_is_refused(names: list[str]) -> None:
    """A bulk erasure names somebody, each once, and not more than one transaction bears."""
    with pytest.raises(InputError):
        erasure_plan(TENANT, [SubjectId(one) for one in names])


def test_requests_do_not_pile_up(desk: ApprovalDesk) -> None:
    """A tenant has a bounded number of them; what is over makes room."""
    for _ in range(MOST_OPEN):
        ask(desk, PLAN, ANNA)
    with pytest.raises(LimitError):
        ask(desk, PLAN, ANNA)
    ask(desk, replace(PLAN, tenant=TenantId("shop")), ANNA)
    clock_of(desk).advance(DAY)

    ask(desk, PLAN, ANNA)

    assert len(listed(desk, TENANT)) == 1


# What does go through.


def test_each_step_is_recorded(desk: ApprovalDesk) -> None:
    """Request, approval, use and refusal have an entry each; none holds an argument."""
    spend(desk, given(desk).approval)
    refuse(desk, TENANT, ask(desk, PLAN, ANNA).approval, BEN)

    assert events(desk) == [
        "approval.requested",
        "approval.approved",
        "approval.used",
        "approval.requested",
        "approval.refused",
    ]
    assert not any(ALICE in entry.body for entry in desk.vault.ledger())


def test_nothing_about_the_person_is_kept_in_an_approval(
    desk: ApprovalDesk, tmp_path: Path
) -> None:
    """Data directory and answers hold no argument: they would outlive the erasure."""
    plan = erasure_plan(TENANT, [ALICE])
    asked = ask(desk, plan, ANNA)

    assert ALICE not in repr(asked)
    assert not any(ALICE.encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_the_order_of_a_list_does_not_matter(desk: ApprovalDesk) -> None:
    """The same people are the same plan."""
    one = [SubjectId("a"), SubjectId("b")]
    done = given(desk, erasure_plan(TENANT, one))

    spend(desk, done.approval, erasure_plan(TENANT, one[::-1]))

    assert events(desk)[-1] == "approval.used"


def test_names_do_not_run_into_each_other(desk: ApprovalDesk) -> None:
    """``a`` and ``bc`` are not ``ab`` and ``c``."""
    done = given(desk, erasure_plan(TENANT, [SubjectId("a"), SubjectId("bc")]))
    other = erasure_plan(TENANT, [SubjectId("ab"), SubjectId("c")])

    assert refusal(desk, done.approval, other) == Unfit.CHANGED


def test_approvals_outlive_a_restart(engine: Engine, tmp_path: Path) -> None:
    """They are kept in the vault, with who asked, who approved and until when."""
    done = given(engine.approval_desk)
    engine.vault.close()
    again = make_engine(tmp_path)

    found = listed(again.approval_desk, TENANT)
    again.vault.close()

    assert found == (done,)
    assert (done.requester, done.decider, done.state) == (ANNA, BEN, ApprovalState.APPROVED)


def test_lists_say_what_is_over(desk: ApprovalDesk) -> None:
    """Oldest first, and an approval beyond its time is shown as expired."""
    first = ask(desk, PLAN, ANNA)
    clock_of(desk).advance(DAY)
    second = ask(replace(desk, rules=ApprovalRules(valid_seconds=2 * DAY)), PLAN, ANNA)
    third = ask(desk, PLAN, ANNA)
    clock_of(desk).advance(DAY)

    found = listed(desk, TENANT)

    assert first.approval not in {one.approval for one in found}  # forgotten with the next request
    assert [(one.approval, one.state) for one in found] == [
        (second.approval, ApprovalState.PENDING),
        (third.approval, ApprovalState.EXPIRED),
    ]


def test_what_the_settings_leave_out_needs_nobody(desk: ApprovalDesk) -> None:
    """One person does it alone, and what is recorded says that no approval was demanded."""
    open_desk = replace(desk, rules=ApprovalRules(demanded_for=frozenset()))
    with desk.vault.begin() as transaction:
        told = use(open_desk, transaction, PLAN, ApprovalId(""), None)

    assert told == {"approval": "not_demanded"}
    assert not any(open_desk.demands(one) for one in Operation)
    assert all(desk.demands(one) for one in Operation)


# Erasing many.


def test_a_list_is_erased_with_its_approval(engine: Engine) -> None:
    """All who are there go in one transaction, each with an entry that names the approval."""
    for name in ("a", "b", "c"):
        consenting(engine, name)
    desk, names = engine.approval_desk, [SubjectId(one) for one in ("a", "b", "gone")]
    done = given(desk, erasure_plan(TENANT, names))

    erasure = erase_subjects(engine, TENANT, names, done.approval, ANNA)

    assert (erasure.subjects, erasure.voiceprints, erasure.unknown) == (2, 0, 1)
    erased = [one for one in engine.vault.ledger() if one.event == "subject.erased"]
    assert erasure.record_id == erased[-1].sequence
    assert len(erased) == 2
    assert all(done.approval in one.body for one in erased)
    with engine.vault.read() as view:
        assert view.subject(TENANT, SubjectId("a")) is None
        assert view.subject(TENANT, SubjectId("c")) is not None


def test_without_an_approval_nobody_of_a_list_is_erased(engine: Engine) -> None:
    """Neither naming none nor one for a shorter list erases anybody."""
    for name in ("a", "b"):
        consenting(engine, name)
    shorter = given(engine.approval_desk, erasure_plan(TENANT, [SubjectId("a")]))
    names = [SubjectId("a"), SubjectId("b")]
    for approval in (ApprovalId(""), shorter.approval):
        with pytest.raises(AccessError):
            erase_subjects(engine, TENANT, names, approval, ANNA)

    assert "subject.erased" not in events(engine.approval_desk)


def test_a_list_of_strangers_uses_no_approval(engine: Engine) -> None:
    """Where nobody is there, nothing is done and the approval is still good."""
    done = given(engine.approval_desk, erasure_plan(TENANT, [SubjectId("gone")]))
    with pytest.raises(NotFoundError):
        erase_subjects(engine, TENANT, [SubjectId("gone")], done.approval, ANNA)

    assert events(engine.approval_desk)[-1] == "approval.approved"
