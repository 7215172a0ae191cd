# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_engine import MODEL, TENANT, consenting, make_engine, span

from voiceauth.errors import ConsentMissingError, NotFoundError, OptedOutError
from voiceauth.testing.fakes import FakeClock
from voiceauth.types import (
    AudioFormat,
    CallId,
    Encoding,
    EnrolmentOutcome,
    EnrolmentProgress,
    EnrolmentResult,
    Reason,
    SubjectId,
    TenantId,
    Voiceprint,
)
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest

MULAW = AudioFormat(Encoding.MULAW)
ANNA, STRANGER = 7, 8


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an engine that needs nine seconds for a voiceprint."""
    built = make_engine(tmp_path)
    yield built
    built.vault.close()


def opened(engine: Engine, subject: SubjectId, call: str = "call-1") -> EnrolCall:
    """Return a loaded enrolment call."""
    enrolment = EnrolCall(engine, EnrolmentRequest(CallId(call), TENANT, subject, MULAW))
    enrolment.load()
    return enrolment


def speak(engine: Engine, call: EnrolCall, *voices: int) -> list[EnrolmentProgress]:
    """Let voices speak three seconds each and return the progress after each."""
    return [call.weigh(span(one), engine.embedder.embed(span(one).samples)) for one in voices]


def enrol(engine: Engine, subject: SubjectId, *voices: int) -> EnrolmentResult:
    """Run one enrolment call."""
    call = opened(engine, subject)
    speak(engine, call, *voices)
    return call.conclude()


def prints(engine: Engine, subject: SubjectId) -> list[Voiceprint]:
    """Return a subject's stored voiceprints."""
    with engine.vault.read() as view:
        return list(view.voiceprints(TENANT, subject, MODEL))


def test_enough_coherent_speech_makes_a_voiceprint(engine: Engine) -> None:
    """Nine seconds of one voice are stored as a voiceprint with its provenance, and searchable."""
    anna = consenting(engine, "anna")

    result = enrol(engine, anna, ANNA, ANNA, ANNA)

    stored = prints(engine, anna)
    assert result.outcome is EnrolmentOutcome.ENROLLED
    assert result.voiceprints == len(stored) == len(engine.gallery) == 1
    assert [one.call for one in stored[0].segments] == ["call-1"] * 3
    assert stored[0].net_seconds == pytest.approx(9.0)
    assert engine.vault.ledger()[-1].sequence == result.record_id


def test_without_consent_no_audio_is_looked_at(engine: Engine) -> None:
    """Enrolment is refused on opening: no consent, withdrawn, or for another purpose."""
    nobody = SubjectId("no-consent")
    manage_subjects.create_subject(engine, TENANT, nobody, frozenset())
    with pytest.raises(ConsentMissingError):
        opened(engine, nobody)

    anna = consenting(engine, "anna")
    manage_subjects.withdraw_consent(engine, TENANT, anna)
    with pytest.raises(ConsentMissingError):
        opened(engine, anna)

    other = replace(engine, enrolment=replace(engine.enrolment, purpose="training"))
    with pytest.raises(ConsentMissingError):
        opened(other, consenting(engine, "berta"))


def test_an_expired_consent_is_none(tmp_path: Path) -> None:
    """A consent whose time is over permits nothing."""
    clock = FakeClock()
    engine = make_engine(tmp_path, clock=clock)
    anna = consenting(engine, "anna")
    with engine.vault.begin() as transaction:
        found = transaction.subject(TENANT, anna)
        if found is None or found.consent is None:
            pytest.fail("the consent is not there")
        until = clock.now().replace(year=clock.now().year + 1)
        transaction.put_consent(TENANT, anna, replace(found.consent, expires_at=until))
    opened(engine, anna)

    clock.advance(366 * 86_400)

    with pytest.raises(ConsentMissingError):
        opened(engine, anna)
    engine.vault.close()


def test_unknown_and_opted_out_subjects_are_refused(engine: Engine) -> None:
    """Only an existing subject who has not opted out can be enrolled."""
    with pytest.raises(NotFoundError):
        opened(engine, SubjectId("ghost"))
    anna = consenting(engine, "anna")
    manage_subjects.opt_out(engine, TENANT, anna)
    with pytest.raises(OptedOutError):
        opened(engine, anna)


def test_consent_withdrawn_during_the_call_stores_nothing(engine: Engine) -> None:
    """What was heard is dropped when the permission ends before the call does."""
    anna = consenting(engine, "anna")
    call = opened(engine, anna)
    speak(engine, call, ANNA, ANNA, ANNA)
    manage_subjects.withdraw_consent(engine, TENANT, anna)

    with pytest.raises(ConsentMissingError):
        call.conclude()

    assert prints(engine, anna) == []
    assert len(engine.gallery) == 0


def test_an_unfinished_enrolment_goes_on_in_the_next_call(engine: Engine) -> None:
    """Speech of a call that ended early counts in the next one."""
    anna = consenting(engine, "anna")

    first = enrol(engine, anna, ANNA, ANNA)
    second = opened(engine, anna, "call-2")
    carried = second.progress()
    speak(engine, second, ANNA)
    result = second.conclude()

    assert first.outcome is EnrolmentOutcome.PARTIAL
    assert carried.carried_over_seconds == pytest.approx(6.0)
    assert carried.needed_seconds == pytest.approx(3.0)
    assert result.outcome is EnrolmentOutcome.ENROLLED
    assert [one.call for one in prints(engine, anna)[0].segments] == ["call-1", "call-1", "call-2"]
    with engine.vault.read() as view:
        assert not view.pending_segments(TENANT, anna, MODEL)


def test_two_calls_at_once_lose_nothing(engine: Engine) -> None:
    """Segments that another call stored meanwhile are kept beside one's own."""
    anna = consenting(engine, "anna")
    first, second = opened(engine, anna, "call-1"), opened(engine, anna, "call-2")
    speak(engine, first, ANNA)
    speak(engine, second, ANNA)
    first.conclude()

    result = second.conclude()

    assert result.outcome is EnrolmentOutcome.PARTIAL
    assert result.net_seconds == pytest.approx(6.0)


def test_a_strange_segment_is_not_counted(engine: Engine) -> None:
    """A segment that does not sound like the rest is reported and left out."""
    anna = consenting(engine, "anna")
    call = opened(engine, anna)

    progress = speak(engine, call, ANNA, ANNA, STRANGER, ANNA)
    result = call.conclude()

    strange = progress[2].segment
    if strange is None:
        pytest.fail("no report")
    assert not strange.counted
    assert strange.reasons == (Reason.INCOHERENT,)
    assert progress[2].net_seconds == pytest.approx(6.0)
    assert result.outcome is EnrolmentOutcome.ENROLLED
    assert prints(engine, anna)[0].net_seconds == pytest.approx(9.0)


def test_mostly_strange_speech_discards_the_enrolment(engine: Engine) -> None:
    """When more is strange than fits, nothing is kept: nobody knows whose voice it was."""
    anna = consenting(engine, "anna")

    result = enrol(engine, anna, ANNA, STRANGER, STRANGER)

    assert result.outcome is EnrolmentOutcome.INCOHERENT
    with engine.vault.read() as view:
        assert not view.pending_segments(TENANT, anna, MODEL)


def test_a_second_voiceprint_must_fit_the_first(engine: Engine) -> None:
    """Another person cannot add a sample to an enrolled subject."""
    anna = consenting(engine, "anna")
    enrol(engine, anna, ANNA, ANNA, ANNA)

    result = enrol(engine, anna, STRANGER, STRANGER, STRANGER)

    assert result.outcome is EnrolmentOutcome.INCOHERENT
    assert len(prints(engine, anna)) == 1


def test_several_voiceprints_are_kept_up_to_the_limit(engine: Engine) -> None:
    """Later samples of the same voice are added; the oldest makes room."""
    small = replace(engine, enrolment=replace(engine.enrolment, max_voiceprints=2))
    anna = consenting(small, "anna")

    results = [enrol(small, anna, ANNA, ANNA, ANNA) for _ in range(3)]

    assert [one.voiceprints for one in results] == [1, 2, 2]
    assert [one.voiceprint for one in prints(small, anna)] == [
        results[1].voiceprint,
        results[2].voiceprint,
    ]
    assert len(small.gallery) == 2


def test_a_voice_enrolled_under_another_subject_is_reported(engine: Engine) -> None:
    """The same voice under a second name is a duplicate: named, and not stored."""
    enrol(engine, consenting(engine, "anna"), ANNA, ANNA, ANNA)
    berta = consenting(engine, "berta")

    result = enrol(engine, berta, ANNA, ANNA, ANNA)

    assert result.outcome is EnrolmentOutcome.DUPLICATE
    assert result.duplicate == "anna"
    assert prints(engine, berta) == []
    assert "anna" not in engine.vault.ledger()[-1].body


def test_a_duplicate_in_another_tenant_is_nobodys_business(engine: Engine) -> None:
    """Tenants do not see each other's voices."""
    enrol(engine, consenting(engine, "anna"), ANNA, ANNA, ANNA)
    other = TenantId("insurer")
    anna = SubjectId("anna")
    manage_subjects.create_subject(engine, other, anna, frozenset())
    with engine.vault.read() as view:
        known = view.subject(TENANT, anna)
    if known is None or known.consent is None:
        pytest.fail("the consent is not there")
    manage_subjects.record_consent(engine, other, anna, known.consent)
    call = EnrolCall(engine, EnrolmentRequest(CallId("c"), other, anna, MULAW))
    call.load()
    speak(engine, call, ANNA, ANNA, ANNA)

    assert call.conclude().outcome is EnrolmentOutcome.ENROLLED


def test_a_span_that_does_not_count_is_reported_with_its_reason(engine: Engine) -> None:
    """A noisy span appears in the progress, uncounted, and adds nothing."""
    call = opened(engine, consenting(engine, "anna"))
    noisy = span(ANNA)
    noisy = replace(noisy, counted=False, quality=replace(noisy.quality, issues=(Reason.LOW_SNR,)))

    progress = call.refuse(noisy)

    if progress.segment is None:
        pytest.fail("no report")
    assert not progress.segment.counted
    assert progress.segment.reasons == (Reason.LOW_SNR,)
    assert progress.net_seconds == 0.0


def test_a_segment_too_short_to_be_judged_is_left_out_without_blame(engine: Engine) -> None:
    """A second of speech that calibration does not cover is neither counted nor called strange."""
    anna = consenting(engine, "anna")
    call = opened(engine, anna)
    first = call.weigh(span(ANNA, 1.0), engine.embedder.embed(span(ANNA).samples))
    speak(engine, call, ANNA)

    short = [
        call.weigh(span(ANNA, 1.0), engine.embedder.embed(span(ANNA).samples)) for _ in range(4)
    ]
    result = call.conclude()

    if short[0].segment is None:
        pytest.fail("no report")
    assert first.net_seconds == 0.0
    assert short[0].segment.reasons == (Reason.NO_CALIBRATION_SUPPORT,)
    assert result.outcome is EnrolmentOutcome.PARTIAL
    assert result.net_seconds == pytest.approx(3.0)
