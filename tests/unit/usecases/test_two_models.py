# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_engine import MODEL, TENANT, consenting, span
from two_worlds import (
    ANNA,
    MULAW,
    OLD,
    STRANGER,
    called,
    carried,
    enrol_again,
    enrolled,
    two_worlds,
)

from voiceauth.errors import PolicyError, SettingsError
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.types import (
    CallId,
    Counter,
    Decision,
    EnrolmentOutcome,
    EnrolmentResult,
    MigrationAction,
    Reason,
    SubjectId,
)
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.migrate_models import migrate_models
from voiceauth.usecases.two_models import previous_world, world_of

STATUS, FINISH, ROLL_BACK = MigrationAction


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    """The engine before and in a migration."""
    before, now = two_worlds(tmp_path)
    yield before, now
    now.vault.close()


@pytest.fixture
def before(worlds: tuple[Engine, Engine]) -> Engine:
    """The engine before."""
    return worlds[0]


@pytest.fixture
def now(worlds: tuple[Engine, Engine]) -> Engine:
    """The engine in the migration."""
    return worlds[1]


def prints(engine: Engine, subject: SubjectId, model: Any) -> int:
    """Count a subject's voiceprints of a model."""
    with engine.vault.read() as view:
        return len(view.voiceprints(TENANT, subject, model))


def foreign(*engines: Engine) -> int:
    """Count embeddings that came to another model's scorer."""
    return sum(one.scorer.foreign for one in engines)  # type: ignore[attr-defined]


def test_an_impostor_is_not_accepted_in_either_world(before: Engine, now: Engine) -> None:
    """Neither before a person moved nor afterwards, and their call moves nobody."""
    anna = enrolled(before, "anna", ANNA)
    verdict, over = called(now, anna, STRANGER)
    assert verdict.decision is Decision.REJECT
    assert over is None
    while not carried(now, called(now, anna, ANNA)[1]):
        pass
    assert called(now, anna, STRANGER)[0].decision is Decision.REJECT
    assert foreign(before, now) == 0


def test_without_the_previous_model_old_voiceprints_are_not_compared(
    before: Engine, now: Engine
) -> None:
    """An engine that knows one model takes nobody for somebody by another model's voiceprint."""
    anna = enrolled(before, "anna", ANNA)

    verdict, _ = called(replace(now, previous=None), anna, ANNA)

    assert verdict.decision is not Decision.ACCEPT


def test_who_waits_is_verified_by_the_model_of_the_voiceprint(before: Engine, now: Engine) -> None:
    """The verdict and its record name that model, and no score mixes the two."""
    anna = enrolled(before, "anna", ANNA)

    verdict, over = called(now, anna, ANNA)

    assert (verdict.decision, verdict.model) == (Decision.ACCEPT, OLD)
    last = [one for one in now.vault.ledger() if one.event == "verify.verdict"][-1]
    assert json.loads(last.body)["model"] == OLD
    assert over is not None
    assert foreign(before, now) == 0


def test_who_was_accepted_often_enough_moves(before: Engine, now: Engine) -> None:
    """The speech of several calls is collected; then the new model serves, and the old is kept."""
    anna = enrolled(before, "anna", ANNA)
    calls = 0
    while not carried(now, called(now, anna, ANNA)[1]):
        calls += 1
        assert migrate_models(now, STATUS).begun == 1

    assert calls >= 1  # one call has less speech than an enrolment needs
    assert (prints(now, anna, MODEL), prints(now, anna, OLD)) == (1, 1)
    verdict, over = called(now, anna, ANNA)
    assert (verdict.decision, verdict.model, over) == (Decision.ACCEPT, MODEL, None)
    assert now.gallery.subjects(TENANT, None) == 1
    assert [one.event for one in now.vault.ledger()].count("models.moved") == 1
    assert foreign(before, now) == 0


def test_speech_that_does_not_hold_together_moves_nobody(before: Engine, now: Engine) -> None:
    """The new model finds two voices in what the old one accepted: it starts anew."""
    anna = enrolled(before, "anna", ANNA)
    over = called(now, anna, ANNA)[1]
    assert over is not None
    several = replace(over, spans=tuple(span(ANNA) for _ in range(4)))
    voices = [now.embedder.embed(span(voice).samples) for voice in (1, 2, 3, 4)]

    assert not several.store(voices)

    assert prints(now, anna, MODEL) == 0
    assert migrate_models(now, STATUS).begun == 0


def test_a_consent_that_ended_during_the_call_moves_nobody(before: Engine, now: Engine) -> None:
    """Nor does an erasure, an opt-out, or a migration that is over."""
    anna = enrolled(before, "anna", ANNA)
    over = called(now, anna, ANNA)[1]
    manage_subjects.withdraw_consent(now, TENANT, anna)
    assert not carried(now, over)
    bert = enrolled(before, "bert", ANNA + 1)
    over = called(now, bert, ANNA + 1)[1]
    assert not carried(replace(now, previous=None), over)
    assert over is not None
    assert not replace(over, engine=replace(now, previous=None)).store([None])
    with now.vault.begin() as change:
        change.erase_subject(TENANT, bert)
    assert not carried(now, over)


def test_spans_that_are_too_short_for_the_new_model_do_not_count(
    before: Engine, now: Engine
) -> None:
    """Nothing is stored of them."""
    anna = enrolled(before, "anna", ANNA)
    over = called(now, anna, ANNA)[1]
    assert over is not None

    assert not over.store([None] * len(over.spans))

    assert migrate_models(now, STATUS).begun == 0


def test_another_enrolment_of_who_waits_is_held_against_the_old_voiceprint(
    before: Engine, now: Engine
) -> None:
    """A stranger cannot enrol over somebody by waiting for a new model."""
    anna = enrolled(before, "anna", ANNA)

    enrol_again(now, anna, STRANGER)
    assert (prints(now, anna, MODEL), prints(now, anna, OLD)) == (0, 1)
    enrol_again(now, anna, ANNA)
    assert (prints(now, anna, MODEL), prints(now, anna, OLD)) == (0, 2)
    assert foreign(before, now) == 0


def test_new_people_are_enrolled_by_the_new_model(now: Engine) -> None:
    """Who was not there before has nothing to move."""
    bert = enrolled(now, "bert", ANNA)

    assert (prints(now, bert, MODEL), prints(now, bert, OLD)) == (1, 0)
    assert called(now, bert, ANNA)[0].model == MODEL


def test_unknown_people_are_answered_by_the_new_model(now: Engine) -> None:
    """As they will be when the migration is over."""
    with now.vault.read() as view:
        assert world_of(now, view, TENANT, SubjectId("nobody")) is now


def test_a_migration_is_not_finished_while_people_wait(before: Engine, now: Engine) -> None:
    """Unless they are dropped on purpose; then they have to enrol again."""
    anna = enrolled(before, "anna", ANNA)
    with pytest.raises(PolicyError, match="1 subjects wait"):
        migrate_models(now, FINISH)
    assert prints(now, anna, OLD) == 1

    after = migrate_models(now, FINISH, drop_waiting=True)

    assert (after.moved, after.waiting) == (0, 0)
    assert prints(now, anna, OLD) == 0


def test_a_finished_migration_leaves_the_new_voiceprints_alone(before: Engine, now: Engine) -> None:
    """Only what is of the model before goes."""
    anna = enrolled(before, "anna", ANNA)
    while not carried(now, called(now, anna, ANNA)[1]):
        pass

    after = migrate_models(now, FINISH)

    assert (after.moved, after.waiting) == (1, 0)
    assert (prints(now, anna, MODEL), prints(now, anna, OLD)) == (1, 0)
    last = list(now.vault.ledger())[-1]
    assert (last.event, json.loads(last.body)["action"]) == ("models.migration", "finish")


def test_a_rollback_loses_nobody(before: Engine, now: Engine) -> None:
    """The old voiceprints serve again; who has only the new one keeps it."""
    anna, bert = enrolled(before, "anna", ANNA), enrolled(now, "bert", ANNA + 1)
    while not carried(now, called(now, anna, ANNA)[1]):
        pass

    after = migrate_models(now, ROLL_BACK)

    assert (after.moved, after.waiting, after.begun) == (1, 1, 0)
    assert prints(now, bert, MODEL) == 1
    assert called(before, anna, ANNA)[0].decision is Decision.ACCEPT
    assert called(now, anna, ANNA)[0].model == OLD
    assert now.gallery.subjects(TENANT, None) == 1


def test_without_a_previous_model_there_is_no_migration(now: Engine) -> None:
    """Nothing is deleted because somebody asked at the wrong time."""
    for action in MigrationAction:
        with pytest.raises(PolicyError, match="previous"):
            migrate_models(replace(now, previous=None), action)


def _bundle(**model: Any) -> Any:
    speaker = SimpleNamespace(**{"model": OLD, "rate_hz": 8000, "dimension": 192, **model})
    return SimpleNamespace(speaker=speaker, calibration="", cohort=[], continuity=None)


@pytest.mark.parametrize("model", [{"model": MODEL}, {"rate_hz": 16_000}])
def test_two_models_that_cannot_be_side_by_side_are_refused(
    now: Engine, model: dict[str, Any]
) -> None:
    """One model twice, or another rate: the start says so."""
    with pytest.raises(SettingsError):
        previous_world(now, _bundle(**model), FaissGallery(192))


def test_voices_of_failed_attempts_are_remembered_in_one_space(now: Engine, before: Engine) -> None:
    """The world before counts attempts and compares no remembered voices."""
    anna = enrolled(before, "anna", ANNA)
    called(now, anna, STRANGER)
    with now.vault.read() as view:
        assert view.attempts(TENANT, Counter.VOICE, anna).total == 1


def kept(engine: Engine, subject: SubjectId) -> EnrolCall:
    """Open an enrolment with a recording that was kept."""
    request = EnrolmentRequest(CallId("kept"), TENANT, subject, MULAW, kept_recording=True)
    call = EnrolCall(engine, request)
    call.load()
    return call


def played(call: EnrolCall, *voices: int) -> tuple[list[Reason], EnrolmentResult]:
    """Play voices, three seconds each, as the service does; return what was objected to."""
    objections: list[Reason] = []
    assert call.embedder_before is not None
    for voice in voices:
        said = span(voice)
        doubt = call.doubt(said, call.embedder_before.embed(said.samples))
        if doubt is None:
            call.weigh(said, call.embedder.embed(said.samples))
        elif doubt.segment is not None:
            objections += doubt.segment.reasons
    return objections, call.conclude()


def test_a_kept_recording_moves_whom_it_is_of(before: Engine, now: Engine) -> None:
    """Without a call: a voiceprint of the new model stands beside the old one, and is searched."""
    anna = enrolled(before, "anna", ANNA)

    objections, result = played(kept(now, anna), ANNA, ANNA, ANNA)

    assert (objections, result.outcome) == ([], EnrolmentOutcome.ENROLLED)
    assert (prints(now, anna, MODEL), prints(now, anna, OLD)) == (1, 1)
    assert now.gallery.subjects(TENANT, None) == 1
    verdict, over = called(now, anna, ANNA)
    assert (verdict.decision, verdict.model, over) == (Decision.ACCEPT, MODEL, None)
    assert called(now, anna, STRANGER)[0].decision is Decision.REJECT
    assert foreign(before, now) == 0


def test_a_strangers_recording_moves_nobody(before: Engine, now: Engine) -> None:
    """A list with a wrong name in it gives nobody another person's voice."""
    anna = enrolled(before, "anna", ANNA)

    objections, result = played(kept(now, anna), STRANGER, STRANGER, STRANGER)

    assert objections == [Reason.INCOHERENT] * 3
    assert result.outcome is EnrolmentOutcome.INCOHERENT
    assert (prints(now, anna, MODEL), prints(now, anna, OLD)) == (0, 1)


def test_a_stranger_in_a_kept_recording_is_left_out(before: Engine, now: Engine) -> None:
    """What an agent says in a recording of both sides does not count."""
    anna = enrolled(before, "anna", ANNA)

    objections, result = played(kept(now, anna), ANNA, STRANGER, ANNA, ANNA)

    assert objections == [Reason.INCOHERENT]
    assert result.outcome is EnrolmentOutcome.ENROLLED
    assert result.net_seconds == pytest.approx(9.0)


def test_short_recordings_add_up_with_each_other(before: Engine, now: Engine) -> None:
    """Too little speech waits for the next recording, as in any enrolment."""
    anna = enrolled(before, "anna", ANNA)

    assert played(kept(now, anna), ANNA)[1].outcome is EnrolmentOutcome.PARTIAL
    assert migrate_models(now, STATUS).begun == 1
    assert played(kept(now, anna), ANNA, ANNA)[1].outcome is EnrolmentOutcome.ENROLLED


def test_a_kept_recording_is_no_interaction(before: Engine, now: Engine) -> None:
    """Periods of retention run from the person's own calls; the ledger tells the two apart."""
    anna = enrolled(before, "anna", ANNA)
    with now.vault.read() as view:
        was = view.subject(TENANT, anna)
    now.clock.advance(86400.0)  # type: ignore[attr-defined]

    played(kept(now, anna), ANNA, ANNA, ANNA)

    with now.vault.read() as view:
        found = view.subject(TENANT, anna)
    assert was is not None
    assert found is not None
    assert found.last_interaction_at == was.last_interaction_at
    records = [json.loads(one.body) for one in now.vault.ledger() if one.event == "enrol.result"]
    assert [one["kept_recording"] for one in records] == [False, True]


def test_only_who_waits_is_moved_by_a_recording(before: Engine, now: Engine) -> None:
    """Not who has moved, has never enrolled, or lives where no migration runs."""
    anna = enrolled(before, "anna", ANNA)
    nobody = consenting(now, "nobody")
    with pytest.raises(PolicyError):
        kept(replace(now, previous=None), anna)
    with pytest.raises(PolicyError):
        kept(now, nobody)
    played(kept(now, anna), ANNA, ANNA, ANNA)
    with pytest.raises(PolicyError):
        kept(now, anna)


def test_a_call_is_held_against_no_model_before(before: Engine, now: Engine) -> None:
    """An ordinary enrolment costs one model, and is not doubted by another one."""
    anna = enrolled(before, "anna", ANNA)
    call = EnrolCall(now, EnrolmentRequest(CallId("c"), TENANT, anna, MULAW))
    call.load()

    assert call.embedder_before is None
    assert call.doubt(span(STRANGER), now.embedder.embed(span(STRANGER).samples)) is None
