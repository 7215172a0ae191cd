# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fake_engine import TENANT, consent, consenting, make_engine, span

from voiceauth.config import Settings
from voiceauth.errors import PolicyError
from voiceauth.testing.fakes import FakeClock
from voiceauth.testing.records import made_up_recording
from voiceauth.types import AudioFormat, CallId, Encoding, SubjectId, Sweep, TenantId
from voiceauth.usecases import manage_subjects, sweep_retention
from voiceauth.usecases.assemble import retention_rules
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.sweep_retention import sweep, sweep_everybody

ANNA, BERT = SubjectId("anna"), SubjectId("bert")
DAY = 86_400.0
SHOP = TenantId("shop")


class House:
    """An engine with the built-in rules, in which anna under Illinois law is enrolled."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        plain = make_engine(folder, clock=self.clock)
        self.engine = replace(plain, retention=retention_rules(Settings()))
        self.enrol("anna", 7, "US-IL")

    def enrol(self, name: str, voice: int, law: str, *, days: float | None = None) -> SubjectId:
        """Create and enrol somebody under a law and, if given, for some days."""
        subject = consenting(self.engine, name)
        given = consent(self.engine)
        ends = None if days is None else given.given_at + timedelta(days=days)
        manage_subjects.record_consent(
            self.engine, TENANT, subject, replace(given, jurisdiction=law, expires_at=ends)
        )
        request = EnrolmentRequest(CallId("c"), TENANT, subject, AudioFormat(Encoding.MULAW))
        call = EnrolCall(self.engine, request)
        call.load()
        for _ in range(3):
            call.weigh(span(voice), self.engine.embedder.embed(span(voice).samples))
        call.conclude()
        return subject

    def advance(self, days: float, *, sweeping: bool = True) -> None:
        """Let days pass, as on a server that sweeps every ten of them."""
        while days > 0:
            step = min(days, 10)
            days -= step
            self.clock.advance(step * DAY)
            if sweeping:
                sweep_everybody(self.engine)

    def knows(self, subject: SubjectId) -> bool:
        """Whether the vault knows somebody."""
        with self.engine.vault.read() as view:
            return view.subject(TENANT, subject) is not None

    def voiceprints(self, subject: SubjectId) -> int:
        """Count somebody's voiceprints."""
        with self.engine.vault.read() as view:
            found = view.subject(TENANT, subject)
        assert found is not None
        return found.voiceprints

    def events(self) -> list[str]:
        """Return the names of all entries."""
        return [entry.event for entry in self.engine.vault.ledger(limit=100_000)]

    def last(self, event: str) -> dict[str, object]:
        """Return the newest entry of a name."""
        found = [one for one in self.engine.vault.ledger(limit=100_000) if one.event == event]
        body: dict[str, object] = json.loads(found[-1].body)
        return body


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Return a house of its own."""
    made = House(tmp_path)
    yield made
    made.engine.vault.close()


def test_nothing_is_erased_before_its_time(house: House) -> None:
    """A day before three years anna is there, and the sweeps left no entry."""
    house.advance(1094)

    assert house.knows(ANNA)
    assert "retention.swept" not in house.events()


def test_three_years_after_the_last_interaction_everything_is_gone(house: House) -> None:
    """Key, rows and vectors; the entry names the rule and nobody."""
    house.advance(1095)

    assert not house.knows(ANNA)
    assert len(house.engine.gallery) == 0
    body = house.last("subject.erased")
    assert body["rule"] in {"bipa", "inactive"}
    assert "anna" not in json.dumps(body)
    assert house.last("retention.swept")["subjects"] == 1


def test_the_shortest_law_decides(house: House) -> None:
    """Colorado keeps two years, and whoever's law nobody knows is kept no longer than that."""
    house.enrol("carl", 20, "US-CO")
    house.enrol("dora", 40, "")
    house.enrol("emil", 60, "DE")

    house.advance(730)

    known = {one for one in ("anna", "carl", "dora", "emil") if house.knows(SubjectId(one))}
    assert known == {"anna", "emil"}


def test_an_interaction_renews_the_time(house: House) -> None:
    """A renewed consent is the person's own doing; three years count from then."""
    house.advance(1000)
    given = replace(consent(house.engine), jurisdiction="US-IL")
    manage_subjects.record_consent(house.engine, TENANT, ANNA, given)
    house.advance(1094)

    assert house.knows(ANNA)
    house.advance(1)
    assert not house.knows(ANNA)


def test_when_a_term_is_over_the_voice_goes_and_the_record_stays(house: House) -> None:
    """The consent with its end can still be shown; nothing of the voice can."""
    bert = house.enrol("bert", 20, "DE", days=30)
    house.advance(29)
    assert house.voiceprints(bert) == 1

    house.advance(1)

    assert house.knows(bert)
    assert house.voiceprints(bert) == 0
    assert house.last("retention.voice_erased")["rule"] == "consent-ended"
    assert len(house.engine.gallery) == 1
    assert sweep(house.engine, TENANT, dry_run=True).due == ()


def test_a_remembered_call_alone_is_voice_enough(house: House) -> None:
    """Recordings without a voiceprint go with the consent, too."""
    bert = consenting(house.engine, "bert")
    given = consent(house.engine)
    ends = given.given_at + timedelta(days=1)
    manage_subjects.record_consent(house.engine, TENANT, bert, replace(given, expires_at=ends))
    with house.engine.vault.begin() as change:
        change.put_recordings(TENANT, bert, [made_up_recording(1)])

    house.advance(1)

    with house.engine.vault.read() as view:
        assert view.recordings(TENANT, bert) == ()


def test_a_dry_run_tells_and_erases_nothing(house: House) -> None:
    """It lists who is due by which rule, and is recorded as what it was."""
    house.advance(1095, sweeping=False)

    told = sweep(house.engine, TENANT, dry_run=True)

    assert [(one.subject, one.whole) for one in told.due] == [("anna", True)]
    assert told.held == ""
    assert house.knows(ANNA)
    assert house.last("retention.swept")["dry_run"] is True


def test_a_clock_that_jumped_forward_erases_nobody(house: House) -> None:
    """After four years in a day the sweep is held, again and again, until somebody confirms."""
    sweep_everybody(house.engine)
    house.clock.jump(1500 * DAY)

    for _ in range(3):
        with pytest.raises(PolicyError, match="confirm-clock"):
            sweep_everybody(house.engine)
        house.clock.advance(DAY)
    held = sweep(house.engine, TENANT)
    assert house.knows(ANNA)
    assert [one.subject for one in held.due] == ["anna"]
    assert "1503 days" in held.held
    assert house.events().count("retention.held") == 4

    done = sweep(house.engine, TENANT, confirm_clock=True)

    assert (done.held, [one.subject for one in done.due]) == ("", ["anna"])
    assert not house.knows(ANNA)
    assert house.last("retention.swept")["clock_confirmed"] is True


def test_a_jump_that_is_taken_back_leaves_nothing_behind(house: House) -> None:
    """Once the clock is right again sweeping goes on by itself."""
    sweep_everybody(house.engine)
    house.clock.jump(1500 * DAY)
    with pytest.raises(PolicyError):
        sweep_everybody(house.engine)
    house.clock.jump(-1500 * DAY)

    house.advance(1095)

    assert not house.knows(ANNA)


def test_a_clock_that_was_set_back_erases_nothing_and_holds_nothing(house: House) -> None:
    """Too early a clock only keeps longer; set right again it is no jump."""
    house.advance(10)
    house.clock.jump(-400 * DAY)
    sweep_everybody(house.engine)
    house.clock.jump(400 * DAY)

    house.advance(1085)

    assert not house.knows(ANNA)


def test_a_held_sweep_with_nothing_due_is_no_fault(house: House) -> None:
    """A server that was off for a month starts as any other."""
    sweep_everybody(house.engine)
    house.clock.advance(30 * DAY)

    sweep_everybody(house.engine)

    assert house.knows(ANNA)
    assert "retention.held" not in house.events()


def test_whoever_comes_back_while_the_list_is_worked_off_is_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each deadline is computed again in the transaction that erases."""
    house.enrol("bert", 20, "US-IL")
    house.advance(1095, sweeping=False)
    erase = sweep_retention._erased

    def interrupted(*arguments: object) -> bool:
        with house.engine.vault.begin() as change:
            if change.subject(TENANT, BERT) is not None:
                change.note_interaction(TENANT, BERT, house.clock.now())
            if change.subject(TENANT, ANNA) is not None:
                change.erase_subject(TENANT, ANNA)
        return erase(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sweep_retention, "_erased", interrupted)

    done = sweep(house.engine, TENANT)

    assert done.due == ()
    assert house.knows(BERT)
    assert not house.knows(ANNA)


def test_more_than_one_sweep_takes_is_told_and_worked_off(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep stops at its size; a server goes on until nothing is due."""
    monkeypatch.setattr(sweep_retention, "MOST", 2)
    for number in range(4):
        consenting(house.engine, f"idle-{number}")
    house.advance(1095, sweeping=False)

    first: Sweep = sweep(house.engine, TENANT)
    sweep_everybody(house.engine)

    assert (len(first.due), first.more) == (2, True)
    assert not any(house.knows(SubjectId(f"idle-{number}")) for number in range(4))


def test_tenants_are_swept_apart(house: House) -> None:
    """One tenant's sweep touches nobody of another, and confirms no clock for it."""
    manage_subjects.create_subject(house.engine, SHOP, ANNA, frozenset())
    sweep_everybody(house.engine)
    house.clock.jump(1500 * DAY)

    sweep(house.engine, TENANT, confirm_clock=True)

    with house.engine.vault.read() as view:
        assert view.subject(SHOP, ANNA) is not None
    assert sweep(house.engine, SHOP).held


def test_an_opt_out_outlives_every_rule(house: House) -> None:
    """What says that somebody wants no voice biometrics is not forgotten."""
    manage_subjects.opt_out(house.engine, TENANT, BERT)

    house.advance(1200)

    assert house.knows(BERT)
