# SPDX-License-Identifier: Apache-2.0
"""Consent that ends, before a call or during it: no score counts, and nobody is turned away."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fake_engine import MODEL, TENANT, consent, consenting, make_engine, span

from voiceauth.liveness.continuity import ChangeLine, ContinuityCalibration
from voiceauth.testing.fakes import FakeClock
from voiceauth.types import (
    AudioFormat,
    CallId,
    Decision,
    Encoding,
    EnrolmentOutcome,
    LivenessState,
    Progress,
    Reason,
    SubjectId,
    Verdict,
)
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.erase_subject import erase_subject
from voiceauth.usecases.explain_verdict import explain
from voiceauth.usecases.verify_call import VerifyCall
from voiceauth.usecases.watch_call import WatchCall

MULAW = AudioFormat(Encoding.MULAW)
LINE = ChangeLine((20.0,), -15.0, -6.0, 6.0, 1.0, 7.0)
BOTH = replace(LINE, weights=(10.0, 10.0))
RULE = ContinuityCalibration(MODEL, 2.0, 1.0, 4.0, 0.01, replace(LINE, alarm=2.0), LINE, BOTH)
ANNA, STRANGER = SubjectId("anna"), 8
VOICE = 7
DAY, HOUR = 86_400.0, 3_600.0


class House:
    """An engine in which anna is enrolled under a consent of one year."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.engine = make_engine(folder, clock=self.clock)
        consenting(self.engine, "anna")
        given = consent(self.engine)
        agreed = replace(given, expires_at=given.given_at + timedelta(days=365))
        manage_subjects.record_consent(self.engine, TENANT, ANNA, agreed)
        assert self.enrol(ANNA) is EnrolmentOutcome.ENROLLED

    def enrol(self, subject: SubjectId, voice: int = VOICE) -> EnrolmentOutcome:
        """Run an enrolment call of nine seconds."""
        request = EnrolmentRequest(CallId("enrol"), TENANT, subject, MULAW)
        call = EnrolCall(self.engine, request)
        call.load()
        for _ in range(3):
            call.weigh(span(voice), self.engine.embedder.embed(span(voice).samples))
        return call.conclude().outcome

    def opened(self) -> VerifyCall:
        """Open a verification of anna."""
        call = VerifyCall(self.engine, Claim(CallId("call-1"), TENANT, ANNA, MULAW))
        call.load()
        return call

    def speak(self, call: VerifyCall, voice: int = VOICE) -> None:
        """Let somebody speak for three seconds."""
        call.weigh(span(voice), self.engine.embedder.embed(span(voice).samples))

    def record(self) -> dict[str, object]:
        """Return the newest record."""
        body: dict[str, object] = json.loads(self.engine.vault.ledger()[-1].body)
        return body

    def explained(self) -> bool:
        """Whether the newest verdict follows from its record."""
        return explain(self.engine.vault.ledger()[-1]).agrees


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Return a house of its own."""
    made = House(tmp_path)
    yield made
    made.engine.vault.close()


Change = Callable[[House], object]
ENDINGS: list[tuple[Change, Reason]] = [
    (
        lambda house: manage_subjects.withdraw_consent(house.engine, TENANT, ANNA),
        Reason.CONSENT_ENDED,
    ),
    (lambda house: house.clock.advance(365 * DAY), Reason.CONSENT_ENDED),
    (lambda house: house.clock.jump(400 * DAY), Reason.CONSENT_ENDED),
    (lambda house: house.clock.jump(-HOUR), Reason.CONSENT_ENDED),
    (lambda house: manage_subjects.opt_out(house.engine, TENANT, ANNA), Reason.OPTED_OUT),
]
NAMES = ["withdrawn", "expired", "clock forward", "clock back before it was given", "opted out"]


@pytest.mark.parametrize(("end", "reason"), ENDINGS, ids=NAMES)
def test_after_the_end_of_permission_no_voice_is_looked_at(
    house: House, end: Change, reason: Reason
) -> None:
    """The call is decided when it opens: STEP_UP with the reason, and no score."""
    end(house)

    call = house.opened()
    evidence = call.evidence()
    verdict = call.conclude()

    assert call.decided
    assert (evidence.progress, evidence.score) == (Progress.DECIDED, None)
    assert (verdict.decision, verdict.evidence.reasons) == (Decision.STEP_UP, (reason,))
    assert house.record()["looks"] == []
    assert house.explained()


@pytest.mark.parametrize("voice", [VOICE, STRANGER])
@pytest.mark.parametrize(("end", "reason"), ENDINGS, ids=NAMES)
def test_a_permission_that_ends_during_the_call_counts(
    house: House, end: Change, reason: Reason, voice: int
) -> None:
    """What was found before is neither an acceptance nor a rejection; the record follows."""
    call = house.opened()
    house.speak(call, voice)
    assert call.decided
    end(house)

    verdict = call.conclude()

    assert (verdict.decision, verdict.evidence.reasons) == (Decision.STEP_UP, (reason,))
    assert house.record()["standing"] == "enrolled"
    assert house.explained()


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize(("end", "reason"), ENDINGS, ids=NAMES)
def test_a_permission_that_ends_during_the_watch_counts(
    house: House, end: Change, reason: Reason, over: bool
) -> None:
    """Afterwards nothing is said about the voice, but a hand-over that was heard before."""
    watch = watched(house, STRANGER if over else VOICE)
    assert watch.over is over
    end(house)

    last = watch.conclude()

    told = LivenessState.SUSPECT if over else LivenessState.NOT_MEASURED
    assert (last.state, last.reasons) == (told, (Reason.SPEAKER_CHANGED if over else reason,))
    assert (last.llr is None) is not over
    assert house.record()["state"] == told.value


def test_a_watch_over_somebody_who_was_erased_says_nothing(house: House) -> None:
    """There is no voiceprint any more that the rest of the call could have been held against."""
    watch = watched(house, VOICE)
    erase_subject(house.engine, TENANT, ANNA)

    assert watch.conclude().state is LivenessState.NOT_MEASURED


def test_a_watch_under_a_permission_that_holds_is_told(house: House) -> None:
    """Nothing else changes."""
    assert watched(house, VOICE).conclude().state is LivenessState.LIVE


def watched(house: House, voice: int) -> WatchCall:
    """Accept anna and let somebody speak on for ten seconds."""
    house.engine = replace(house.engine, continuity=RULE)
    call = house.opened()
    house.speak(call)
    watch = call.watch()
    assert watch is not None
    for _ in range(10):
        part = span(voice, 1.0)
        heard = watch.window(part)
        if heard is not None:
            watch.weigh(part, house.engine.embedder.embed(heard))
    return watch


def test_somebody_who_was_erased_during_the_call_is_not_accepted(house: House) -> None:
    """The verdict is that of a claim on nobody, and so is the pseudonym in its record."""
    call = house.opened()
    house.speak(call)
    erase_subject(house.engine, TENANT, ANNA)

    verdict = call.conclude()

    assert (verdict.decision, verdict.evidence.reasons) == (Decision.STEP_UP, (Reason.UNCERTAIN,))
    assert house.record()["subject"] == house.engine.pseudonym(TENANT, "anna")
    assert house.explained()


def test_a_permission_that_begins_during_the_call_does_not_count(house: House) -> None:
    """Only what was permitted when the call opened may be used in it."""
    manage_subjects.withdraw_consent(house.engine, TENANT, ANNA)
    call = house.opened()
    manage_subjects.record_consent(house.engine, TENANT, ANNA, consent(house.engine))

    assert call.conclude().evidence.reasons == (Reason.CONSENT_ENDED,)


def test_the_last_moment_of_a_consent_still_counts(house: House) -> None:
    """A second before its end the subject is accepted."""
    house.clock.advance(365 * DAY - 1)
    call = house.opened()
    house.speak(call)

    assert call.conclude().decision is Decision.ACCEPT


def test_an_ended_consent_does_not_hinder_the_enrolment_of_others(house: House) -> None:
    """Whose permission ended is not compared with new voices any more."""
    bob, carol = consenting(house.engine, "bob"), consenting(house.engine, "carol")
    assert house.enrol(bob) is EnrolmentOutcome.DUPLICATE

    house.clock.advance(365 * DAY)

    assert house.enrol(carol) is EnrolmentOutcome.ENROLLED


def test_only_the_subjects_own_doing_counts_as_an_interaction(house: House) -> None:
    """A match renews the day; a stranger's call and a lost one do not, nor does a set-back clock.

    Otherwise an impostor's calls would keep a voiceprint for ever.
    """
    first = house.engine.clock.now().date()
    house.clock.advance(3 * DAY)
    for voice in (STRANGER, None):
        call = house.opened()
        if voice:
            house.speak(call, voice)
            call.conclude()
        else:
            call.abandon()
    assert _seen(house) == first

    call = house.opened()
    house.speak(call)
    verdict: Verdict = call.conclude()

    assert verdict.decision is Decision.ACCEPT
    assert _seen(house) == first + timedelta(days=3)
    house.clock.jump(-DAY)
    call = house.opened()
    house.speak(call)
    call.conclude()
    assert _seen(house) == first + timedelta(days=3)


def _seen(house: House) -> object:
    with house.engine.vault.read() as view:
        found = view.subject(TENANT, ANNA)
    assert found is not None
    assert found.last_interaction_at is not None
    return found.last_interaction_at.date()
