# SPDX-License-Identifier: Apache-2.0
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from noted import NotingSink, one_rule, somebody

from voiceauth.alerts.table import Rule, rules
from voiceauth.errors import KeyServiceError, SinkError, StorageError
from voiceauth.ports import AlertTransaction
from voiceauth.testing.fakes import FakeClock, FakeKeyService, FakeRandom
from voiceauth.types import Alert, Severity, TenantId
from voiceauth.usecases.deliver_alerts import AlertPost, Round
from voiceauth.usecases.raise_alerts import AlertDesk, LedgerWatch, Outlet, cry_out
from voiceauth.usecases.troubles import MOST_KINDS, TroubleBook
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK = TenantId("bank")


@dataclass(eq=False)
class House:
    """A vault with a watch over its ledger, and what a test turns."""

    path: Path
    vault: SqliteVault
    clock: FakeClock
    keys: FakeKeyService
    sink: NotingSink
    desk: AlertDesk
    watch: LedgerWatch

    def call(self, decision: str = "reject", subject: str = "anna", **more: Any) -> None:
        """Record a call."""
        body = {"decision": decision, "subject": somebody(subject), **more}
        self.clock.advance(60)
        with self.vault.begin() as change:
            change.append(at=self.clock.now(), tenant=BANK, event="verify.verdict", body=body)

    def alerts(self, tenant: TenantId = BANK) -> list[Alert]:
        """Return the alerts of a tenant, oldest first."""
        with self.vault.read() as view:
            return list(view.alerts(tenant))

    def events(self) -> list[str]:
        """Return the events of the ledger."""
        return [one.event for one in self.vault.ledger()]

    def restarted(self, **desk: Any) -> None:
        """Let another process take over."""
        self.desk = replace(self.desk, **desk)
        self.watch = LedgerWatch(self.desk)

    def tampered(self, statement: str) -> None:
        """Change the file behind the engine's back."""
        self.vault.close()
        with closing(sqlite3.connect(self.path)) as raw:
            raw.execute("DROP TRIGGER IF EXISTS ledger_keeps_content")
            raw.execute("DROP TRIGGER IF EXISTS ledger_keeps_entries")
            raw.execute(statement)
            raw.commit()
        self.vault = open_vault(
            self.path,
            self.keys,
            clock=self.clock,
            random=FakeRandom(2),
            accept_ledger_head=True,
        )
        self.restarted(vault=self.vault)


@contextmanager
def house(directory: Path, table: dict[str, Rule]) -> Iterator[House]:
    """Open a house whose alerts have been on from the start."""
    clock, keys, sink = FakeClock(), FakeKeyService(), NotingSink()
    path = directory / "vault.db"
    vault = open_vault(path, keys, clock=clock, random=FakeRandom(1))
    desk = AlertDesk(
        vault, clock, keys.derive, table, TroubleBook(), {"sink": Outlet(sink, Severity.LOW)}
    )
    made = House(path, vault, clock, keys, sink, desk, LedgerWatch(desk))
    made.watch.run()
    try:
        yield made
    finally:
        made.vault.close()


@pytest.fixture
def failures(tmp_path: Path) -> Iterator[House]:
    """A house with one rule: four rejections of one subject, and the engine's own trouble."""
    table = {
        **one_rule("failures-subject", threshold=4),
        **{name: rules()[name] for name in ("ledger-trouble", "key-trouble", "storage-trouble")},
        "clock-jumped": rules()["clock-jumped"],
    }
    with house(tmp_path, table) as made:
        yield made


class FullDisk:
    """A vault in front of another one that cannot write while the disk is full."""

    def __init__(self, vault: SqliteVault) -> None:
        self._vault = vault
        self.full = False
        self.writes = 0

    def __getattr__(self, name: str) -> Any:
        """Be the vault in everything else."""
        return getattr(self._vault, name)

    @contextmanager
    def begin(self) -> Iterator[AlertTransaction]:
        """Fail at the end, as a commit does."""
        self.writes += 1
        with self._vault.begin() as transaction:
            yield transaction
            if self.full:
                raise StorageError(detail="SQLITE_FULL")


def test_a_full_disk_loses_no_alert_and_doubles_none(failures: House) -> None:
    """What cannot be written is derived again later; the sinks hear of the disk meanwhile."""
    disk = FullDisk(failures.vault)
    failures.restarted(vault=disk)
    for _ in range(3):
        failures.call()
    failures.watch.run()
    failures.call()
    disk.full = True
    for _ in range(5):
        with pytest.raises(StorageError):
            failures.watch.run()
    disk.full = False
    failures.watch.run()
    failures.watch.run()

    assert [one.rule for one in failures.alerts()] == ["failures-subject"]
    assert failures.events().count("alert.raised") == 1
    assert [one.rule for one in failures.sink.taken] == ["storage-trouble"]


def test_a_disk_that_stays_full_is_cried_out_every_ten_minutes(failures: House) -> None:
    """Once is not enough, and every five seconds is too often."""
    disk = FullDisk(failures.vault)
    failures.restarted(vault=disk)
    failures.call()
    disk.full = True
    for _ in range(10):
        failures.clock.advance(120)
        with pytest.raises(StorageError):
            failures.watch.run()

    assert len(failures.sink.taken) == 2
    assert failures.sink.taken[0].record_id == 0


def test_a_key_service_that_is_down_is_cried_out(failures: House) -> None:
    """The memory cannot be sealed without keys: nothing is written, and the sinks hear of it."""
    failures.call()
    failures.keys.go_down()
    with pytest.raises(KeyServiceError):
        failures.watch.run()
    failures.keys.come_up()
    failures.watch.run()

    assert [one.rule for one in failures.sink.taken] == ["key-trouble"]


def test_a_cry_goes_past_sinks_that_are_down(failures: House) -> None:
    """One dead receiver does not keep the others from hearing."""
    down = NotingSink()
    down.failure = StorageError()
    outlets = {"down": Outlet(down), "up": Outlet(failures.sink)}

    assert cry_out(rules(), outlets, "key_service_down", failures.clock.now()) == 1
    assert cry_out(rules(), outlets, "of_no_rule", failures.clock.now()) == 0


def test_a_tampered_entry_is_an_alert_and_is_not_believed(failures: House) -> None:
    """A body that was changed raises the alarm, and what follows is looked at as ever."""
    for _ in range(3):
        failures.call("accept")
    body = json.dumps({"decision": "reject", "subject": somebody("anna")})
    failures.tampered(f"UPDATE ledger SET body = '{body}' WHERE sequence = 2")  # noqa: S608 - a test's own
    for _ in range(3):
        failures.call()
    failures.watch.run()

    (alert,) = failures.alerts(TenantId(""))
    assert (alert.rule, alert.severity) == ("ledger-trouble", Severity.CRITICAL)
    assert alert.records == (2,)
    assert failures.alerts() == []

    failures.call()
    failures.watch.run()
    assert [one.rule for one in failures.alerts()] == ["failures-subject"]


def test_a_dropped_entry_is_an_alert(failures: House) -> None:
    """A gap in the ledger is seen at the entry behind it."""
    for _ in range(3):
        failures.call("accept")
    failures.tampered("DELETE FROM ledger WHERE sequence = 2")
    failures.watch.run()

    assert [one.rule for one in failures.alerts(TenantId(""))] == ["ledger-trouble"]


def test_a_tail_that_was_cut_off_is_an_alert(failures: House) -> None:
    """What was looked at and is gone is missed."""
    for _ in range(5):
        failures.call("accept")
    failures.watch.run()
    failures.tampered("DELETE FROM ledger WHERE sequence > 3")
    failures.watch.run()
    for _ in range(4):
        failures.call()
    failures.watch.run()

    assert [one.rule for one in failures.alerts(TenantId(""))] == ["ledger-trouble"]
    assert [one.rule for one in failures.alerts()] == ["failures-subject"]


def test_a_ledger_that_was_emptied_is_an_alert(failures: House) -> None:
    """Nothing left is less than before."""
    failures.call()
    failures.watch.run()
    failures.tampered("DELETE FROM ledger")
    failures.watch.run()

    assert [one.rule for one in failures.alerts(TenantId(""))] == ["ledger-trouble"]


def test_a_rewritten_entry_is_an_alert(failures: House) -> None:
    """The entry that was looked at last has another hash now."""
    failures.call()
    failures.watch.run()
    failures.tampered("UPDATE ledger SET entry_hash = zeroblob(32) WHERE sequence = 1")
    failures.watch.run()

    assert "ledger-trouble" in [one.rule for one in failures.alerts(TenantId(""))]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alert_memory SET content = replace(content, '1', '2') WHERE part = 'cursor'",
        "UPDATE alert_memory SET content = '[9, \"00\", 0]' WHERE part = 'cursor'",
        "UPDATE alert_memory SET content = '' WHERE part = 'seal'",
        "UPDATE alert_memory SET content = 'ä' WHERE part = 'seal'",
        "DELETE FROM alert_memory WHERE part = 'failures-subject'",
        "DELETE FROM alert_memory WHERE part = 'cursor'",
    ],
)
def test_a_memory_that_was_changed_is_an_alert_and_is_made_anew(
    failures: House, statement: str
) -> None:
    """Who makes the rules forget is told of; what they knew is derived again, and told once."""
    for _ in range(4):
        failures.call()
    failures.watch.run()
    for _ in range(3):
        failures.call(subject="ben")
    failures.watch.run()
    failures.tampered(statement)
    failures.watch.run()
    failures.call(subject="ben")
    failures.watch.run()

    assert [one.rule for one in failures.alerts(TenantId(""))] == ["ledger-trouble"]
    assert [one.pseudonym for one in failures.alerts()] == [somebody("anna"), somebody("ben")]

    failures.restarted()
    failures.watch.run()
    assert len(failures.alerts(TenantId(""))) == 1


def test_a_second_change_of_the_memory_is_told_again(failures: House) -> None:
    """The second time is another alert than the first."""
    for _ in range(2):
        failures.call()
        failures.watch.run()
        failures.tampered("UPDATE alert_memory SET content = '' WHERE part = 'seal'")
        failures.clock.advance(7200)
        failures.watch.run()

    assert len(failures.alerts(TenantId(""))) == 2


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0, 365 * 86_400.0, -365 * 86_400.0])
def test_a_clock_that_was_set_is_an_alert(failures: House, seconds: float) -> None:
    """Times of entries are evidence; the alerts go on all the same."""
    failures.clock.jump(seconds)
    failures.watch.run()
    for _ in range(4):
        failures.call()
    failures.watch.run()

    assert [one.rule for one in failures.alerts(TenantId(""))] == ["clock-jumped"]
    assert [one.rule for one in failures.alerts()] == ["failures-subject"]


def test_a_clock_that_is_steered_is_no_alert(failures: House) -> None:
    """A time service corrects a second now and then."""
    for _ in range(20):
        failures.clock.jump(1.0)
        failures.watch.run()

    assert failures.alerts(TenantId("")) == []


def test_an_alert_is_in_the_ledger_and_in_the_outbox(failures: House) -> None:
    """Alert, record and delivery are one transaction; the record names nobody."""
    for _ in range(4):
        failures.call()
    failures.watch.run()

    (alert,) = failures.alerts()
    record = failures.vault.ledger(after=alert.record_id - 1, limit=1)[0]
    assert record.event == "alert.raised"
    assert record.tenant == BANK
    assert json.loads(record.body)["id"] == alert.alert
    assert json.loads(record.body)["pseudonym"] == somebody("anna")
    AlertPost(failures.desk).run()
    assert failures.sink.taken == [alert]


def test_entries_about_alerts_raise_none(tmp_path: Path) -> None:
    """Not even under a rule that asks for them: an alert about alerts would never end."""
    rule = one_rule("failures-subject")["failures-subject"]
    own = rule.model_copy(
        update={
            "where": ({"event": ("alert.raised", "verify.verdict")},),
            "key": "tenant",
            "threshold": 1,
            "cooldown_seconds": 1e-6,
        }
    )
    with house(tmp_path, {"own": own}) as made:
        made.call()
        for _ in range(5):
            made.watch.run()

        assert made.events().count("alert.raised") == 1


def test_every_look_takes_up_where_the_last_one_ended(failures: House) -> None:
    """However entries are spread over looks and restarts, each counts once."""
    for n in range(12):
        failures.call(subject=f"subject-{n % 3}")
        if n % 2:
            failures.watch.run()
        if n % 3:
            failures.restarted()
    failures.watch.run()

    assert len(failures.alerts()) == 3
    assert all(dict(one.counts) == {"entries": 4} for one in failures.alerts())


def test_two_watches_of_one_vault_raise_an_alert_once(failures: House) -> None:
    """Two processes beside each other find the same, and the second one sees that it is there."""
    other = LedgerWatch(failures.desk)
    for _ in range(4):
        failures.call()
        failures.watch.run()
        other.run()

    assert failures.events().count("alert.raised") == 1


def test_an_older_ledger_is_learnt_from_and_not_told_of(tmp_path: Path) -> None:
    """Where alerts are switched on late, last year's failures wake nobody; they count."""
    with house(tmp_path, one_rule("failures-subject", threshold=4)) as made:
        for _ in range(40):
            made.call(subject="old")
        for _ in range(3):
            made.call(subject="new")
        with made.vault.begin() as change:
            change.put_alert_memory({}, anew=True)
        made.restarted()
        made.watch.run()
        assert made.alerts() == []
        made.call(subject="new")
        made.watch.run()

        assert [one.pseudonym for one in made.alerts()] == [somebody("new")]


def test_many_entries_are_read_in_parts(failures: House) -> None:
    """More than one batch is one look."""
    with failures.vault.begin() as change:
        for _ in range(1200):
            change.append(at=failures.clock.now(), tenant=BANK, event="x", body={})
    for _ in range(4):
        failures.call()
    failures.watch.run()

    assert len(failures.alerts()) == 1


def test_a_quiet_ledger_costs_no_writing(failures: House) -> None:
    """A look without new entries leaves the disk alone."""
    failures.call()
    failures.watch.run()
    disk = FullDisk(failures.vault)
    failures.restarted(vault=disk)
    failures.watch.run()

    assert disk.writes == 0


def test_trouble_becomes_entries_and_alerts(failures: House) -> None:
    """What a chore or a call noticed is in the ledger, counted, and raises what it has to."""
    for _ in range(3):
        failures.desk.troubles.tell("checkpoint", "chain_broken")
    failures.desk.troubles.tell("rpc", "internal")
    failures.watch.run()

    bodies = [json.loads(one.body) for one in failures.vault.ledger() if one.event[:6] == "engine"]
    assert bodies == [
        {"place": "checkpoint", "code": "chain_broken", "count": 3},
        {"place": "rpc", "code": "internal", "count": 1},
    ]
    assert [one.rule for one in failures.alerts(TenantId(""))] == ["ledger-trouble"]


def test_trouble_that_cannot_be_written_stays(failures: House) -> None:
    """It is written when the disk has room again."""
    disk = FullDisk(failures.vault)
    failures.restarted(vault=disk)
    failures.desk.troubles.tell("rpc", "storage_down", 7)
    disk.full = True
    with pytest.raises(StorageError):
        failures.watch.run()
    disk.full = False
    failures.watch.run()

    assert [one.rule for one in failures.alerts(TenantId(""))] == ["storage-trouble"]
    assert '"count":7' in failures.vault.ledger()[0].body


def test_kinds_of_trouble_are_bounded() -> None:
    """Whatever goes wrong, the book stays small."""
    book = TroubleBook()
    for n in range(3 * MOST_KINDS):
        book.tell("place", f"code-{n}")
    taken = book.take()

    assert len(taken) == MOST_KINDS + 1
    assert sum(taken.values()) == 3 * MOST_KINDS
    assert book.take() == {}


def three_alerts(made: House) -> None:
    """Raise three alerts, the oldest about ``a``."""
    for name in ("a", "b", "c"):
        for _ in range(4):
            made.call(subject=name)
    made.watch.run()


def test_a_dead_sink_loses_nothing(failures: House) -> None:
    """However long it is down, it gets everything afterwards, in order, once."""
    three_alerts(failures)
    post = AlertPost(failures.desk)
    failures.sink.failure = SinkError()
    for _ in range(50):
        post.run()
        failures.clock.advance(600)
    failures.sink.failure = None
    for _ in range(10):
        failures.clock.advance(3600)
        post.run()

    assert failures.sink.taken == failures.alerts()


def test_a_dead_sink_is_asked_seldom(failures: House) -> None:
    """One attempt per pause, however much waits, and the pauses grow."""
    three_alerts(failures)
    failures.sink.failure = SinkError()
    post = AlertPost(failures.desk)
    for _ in range(720):
        post.run()
        failures.clock.advance(5)

    assert failures.sink.tries < 15


def test_a_dead_sink_does_not_keep_from_others(failures: House) -> None:
    """Each sink has an outbox of its own."""
    dead = NotingSink()
    dead.failure = SinkError()
    failures.restarted(outlets={"dead": Outlet(dead), "sink": Outlet(failures.sink)})
    three_alerts(failures)

    assert AlertPost(failures.desk).deliver() == Round(delivered=3, failed=1)


def test_a_refused_alert_waits_behind_the_others(failures: House) -> None:
    """One that a receiver does not take holds up nothing, and is tried again later."""
    three_alerts(failures)
    first, second, third = failures.alerts()
    failures.sink.refused = {first.alert}
    post = AlertPost(failures.desk)
    post.run()
    assert failures.sink.taken == [second, third]

    failures.sink.refused = set()
    post.run()
    assert len(failures.sink.taken) == 2
    failures.clock.advance(10)
    post.run()
    assert failures.sink.taken == [second, third, first]


def test_a_restart_forgets_no_delivery(failures: House) -> None:
    """The outbox is in the vault."""
    three_alerts(failures)
    failures.sink.failure = SinkError()
    AlertPost(failures.desk).run()
    failures.sink.failure = None
    failures.clock.advance(10)

    assert AlertPost(failures.desk).deliver() == Round(delivered=3)


def test_a_delivery_that_a_wrong_clock_put_off_is_made(failures: House) -> None:
    """A due time a year ahead was made while the clock stood there."""
    three_alerts(failures)
    failures.clock.jump(365 * 86_400)
    failures.sink.failure = SinkError()
    AlertPost(failures.desk).run()
    failures.clock.jump(-365 * 86_400)
    failures.sink.failure = None
    AlertPost(failures.desk).run()

    assert len(failures.sink.taken) == 3


def test_a_crash_between_sending_and_noting_sends_again(failures: House) -> None:
    """At least once: the receiver tells by the id."""
    disk = FullDisk(failures.vault)
    three_alerts(failures)
    failures.restarted(vault=disk)
    disk.full = True
    with pytest.raises(StorageError):
        AlertPost(failures.desk).run()
    disk.full = False
    AlertPost(failures.desk).run()

    assert [one.pseudonym for one in failures.sink.taken] == [
        somebody(name) for name in ("a", "a", "b", "c")
    ]


def test_a_sink_gets_what_is_grave_enough_for_it(failures: House) -> None:
    """A pager is not woken by what can wait."""
    failures.restarted(outlets={"pager": Outlet(failures.sink, Severity.CRITICAL)})
    three_alerts(failures)
    failures.desk.troubles.tell("x", "chain_broken")
    failures.watch.run()
    AlertPost(failures.desk).run()

    assert [one.rule for one in failures.sink.taken] == ["ledger-trouble"]
