# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_engine import TENANT, make_engine
from spoken import part

from voiceauth.liveness.replay import Comparison
from voiceauth.liveness.timeline import Timeline
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.waveform import spans_of
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService
from voiceauth.types import CallId, Span, SubjectId
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.replay_guard import ReplayGuard, ReplayRules, forget_expired

ANNA, BERT = SubjectId("anna"), SubjectId("bert")
ONE, TWO, THREE = CallId("one"), CallId("two"), CallId("three")


@pytest.fixture
def clock() -> FakeClock:
    """Return the time of recordings."""
    return FakeClock()


@pytest.fixture
def guard(clock: FakeClock) -> ReplayGuard:
    """Return a guard that keeps two recordings for an hour."""
    return ReplayGuard(FakeKeyService().derive, clock, ReplayRules(3600.0, 2, 20.0))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an engine with two subjects."""
    built = make_engine(tmp_path)
    with built.vault.begin() as transaction:
        for subject in (ANNA, BERT):
            transaction.create_subject(TENANT, subject, at=EPOCH, groups=frozenset())
    yield built
    built.vault.close()


def spans(who: str = "first") -> list[Span]:
    """Return the spans of a call."""
    return [span for span in spans_of(part(who, 0.0, 9.0), 8000, SpeechOptions()) if span.counted]


def remember(guard: ReplayGuard, engine: Engine, *calls: CallId, who: SubjectId = ANNA) -> None:
    """Remember calls of somebody."""
    heard = guard.recording(TENANT, who, spans(), 8000)
    for call in calls:
        with engine.vault.begin() as transaction:
            guard.remember(transaction, TENANT, who, call, heard)


def kept(engine: Engine, who: SubjectId = ANNA) -> list[CallId]:
    """Return the remembered calls."""
    with engine.vault.read() as view:
        return [one.call for one in view.recordings(TENANT, who)]


def searched(guard: ReplayGuard, engine: Engine, call: CallId = THREE) -> int:
    """Return how much a call is compared with."""
    with engine.vault.read() as view:
        return guard.load(view, TENANT, ANNA, call).searched


def test_the_oldest_recording_makes_room(guard: ReplayGuard, engine: Engine) -> None:
    """No more than the chosen number is kept."""
    remember(guard, engine, ONE, TWO, THREE)
    assert kept(engine) == [TWO, THREE]


def test_a_recording_past_its_time_is_not_used(
    guard: ReplayGuard, engine: Engine, clock: FakeClock
) -> None:
    """Retention is enforced on reading, before anything is purged."""
    remember(guard, engine, ONE)
    clock.advance(3600.0)
    assert searched(guard, engine) > 0
    clock.advance(1.0)
    assert searched(guard, engine) == 0
    assert kept(engine) == [ONE]


def test_what_is_past_its_time_goes_with_the_next_recording(
    guard: ReplayGuard, engine: Engine, clock: FakeClock
) -> None:
    """Remembering purges."""
    remember(guard, engine, ONE)
    clock.advance(3601.0)
    remember(guard, engine, TWO)
    assert kept(engine) == [TWO]


def test_everybodys_expired_recordings_are_forgotten_at_once(
    guard: ReplayGuard, engine: Engine, clock: FakeClock
) -> None:
    """A purge reaches subjects that never call again, and leaves what is fresh."""
    remember(guard, engine, ONE)
    clock.advance(3601.0)
    remember(guard, engine, TWO, who=BERT)

    forget_expired(guard, engine.vault)
    assert kept(engine) == []
    assert kept(engine, BERT) == [TWO]


def test_a_call_is_not_compared_with_itself(guard: ReplayGuard, engine: Engine) -> None:
    """A stream that is opened again in one call is not its own replay."""
    remember(guard, engine, ONE)
    assert searched(guard, engine, ONE) == 0
    assert searched(guard, engine, TWO) > 0


def test_chosen_calls_are_forgotten(guard: ReplayGuard, engine: Engine) -> None:
    """What an enrolment discards is not remembered either."""
    remember(guard, engine, ONE, TWO)
    with engine.vault.begin() as transaction:
        assert guard.forget(transaction, TENANT, ANNA, {ONE}) == 1
    assert kept(engine) == [TWO]


def test_too_short_a_call_is_not_remembered(guard: ReplayGuard, engine: Engine) -> None:
    """What could never be compared takes no room."""
    heard = guard.recording(TENANT, ANNA, spans()[:0], 8000)
    with engine.vault.begin() as transaction:
        guard.remember(transaction, TENANT, ANNA, ONE, heard)
    assert kept(engine) == []


def test_a_recording_is_no_longer_than_the_rules_say(guard: ReplayGuard) -> None:
    """A long call does not grow the memory without end."""
    rules = replace(guard.rules, longest_seconds=3.2)
    short = ReplayGuard(FakeKeyService().derive, FakeClock(), rules)
    assert short.recording(TENANT, ANNA, spans(), 8000).frames == 100


def test_every_subject_and_installation_has_its_own_key(guard: ReplayGuard) -> None:
    """Fingerprints of two people, tenants or installations cannot be joined."""
    other = ReplayGuard(FakeKeyService(1).derive, FakeClock())
    keys = {guard.key(TENANT, ANNA), guard.key(TENANT, BERT), other.key(TENANT, ANNA)}
    assert len(keys) == 3


def test_another_subjects_memory_does_not_match(guard: ReplayGuard, engine: Engine) -> None:
    """The very same audio under another subject's key is no replay."""
    remember(guard, engine, ONE)
    with engine.vault.read() as view:
        memory = guard.load(view, TENANT, ANNA, TWO)
    ratios = []
    for who in (ANNA, BERT):
        comparison, timeline = Comparison(guard.key(TENANT, who), memory), Timeline()
        for span in spans():
            comparison.push(*timeline.lay_out(span.samples, span.hops))
        found = comparison.evidence()
        assert found is not None
        ratios.append(found.llr)

    assert ratios[0] < 0.0 < ratios[1]
