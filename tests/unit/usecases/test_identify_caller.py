# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_engine import TENANT, consenting, make_engine, span

from voiceauth.errors import InputError
from voiceauth.types import (
    AudioFormat,
    CallId,
    Encoding,
    GroupName,
    Progress,
    Ranking,
    SubjectId,
)
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.identify_caller import IdentificationRequest, IdentifyCall

MULAW = AudioFormat(Encoding.MULAW)
VOICES = {"anna": 7, "berta": 8, "carl": 9}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an engine with three enrolled subjects, two of them on the watchlist."""
    built = make_engine(tmp_path)
    for name, voice in VOICES.items():
        groups = ("watchlist",) if name != "carl" else ()
        subject = consenting(built, name, *groups)
        call = EnrolCall(built, EnrolmentRequest(CallId("enrol"), TENANT, subject, MULAW))
        call.load()
        for _ in range(3):
            call.weigh(span(voice), built.embedder.embed(span(voice).samples))
        call.conclude()
    yield built
    built.vault.close()


def identify(engine: Engine, voice: int, group: str | None = None, most: int = 5) -> Ranking:
    """Let a voice speak five seconds and return the final ranking."""
    name = None if group is None else GroupName(group)
    call = IdentifyCall(engine, IdentificationRequest(CallId("c"), TENANT, name, MULAW, most))
    for seconds in (2.0, 3.0):
        call.weigh(span(voice, seconds), engine.embedder.embed(span(voice).samples))
    return call.conclude()


def test_the_caller_is_ranked_first(engine: Engine) -> None:
    """The enrolled voice leads the ranking, with the search's own false-positive rate."""
    ranking = identify(engine, VOICES["berta"])

    assert ranking.candidates[0].subject == "berta"
    assert ranking.searched == 3
    assert ranking.false_positive_identification_rate == pytest.approx(3e-6, rel=0.01)
    assert ranking.final


def test_only_the_named_group_is_searched(engine: Engine) -> None:
    """A voice outside the watchlist is no candidate of it."""
    ranking = identify(engine, VOICES["carl"], "watchlist")

    assert {one.subject for one in ranking.candidates} == {"anna", "berta"}
    assert ranking.searched == 2
    assert ranking.candidates[0].score.llr == -9.0


def test_no_more_candidates_than_asked_for(engine: Engine) -> None:
    """The ranking is cut to the requested length."""
    assert len(identify(engine, VOICES["anna"], most=1).candidates) == 1


@pytest.mark.parametrize("most", [0, 51])
def test_an_absurd_number_of_candidates_is_refused(engine: Engine, most: int) -> None:
    """Between 1 and 50 candidates can be asked for."""
    with pytest.raises(InputError):
        identify(engine, VOICES["anna"], most=most)


def test_below_the_floor_nobody_is_named(engine: Engine) -> None:
    """Without enough speech there is no candidate, and the evidence says what is missing."""
    call = IdentifyCall(engine, IdentificationRequest(CallId("c"), TENANT, None, MULAW))
    ranking = call.weigh(span(7, 1.5), engine.embedder.embed(span(7).samples))

    assert ranking.candidates == ()
    assert ranking.evidence.progress is Progress.LISTENING
    assert ranking.false_positive_identification_rate is None


def test_a_subject_who_withdrew_is_no_candidate(engine: Engine) -> None:
    """Withdrawing the consent removes a subject from every search at once."""
    manage_subjects.withdraw_consent(engine, TENANT, consenting_again(engine, "anna"))

    names = {one.subject for one in identify(engine, VOICES["anna"]).candidates}

    assert "anna" not in names


def consenting_again(engine: Engine, name: str) -> SubjectId:
    """Return an existing subject's id."""
    return manage_subjects.get_subject(engine, TENANT, SubjectId(name)).subject


def test_the_record_names_nobody(engine: Engine) -> None:
    """The ledger keeps the ranking under pseudonyms only."""
    identify(engine, VOICES["anna"])

    entry = engine.vault.ledger(after=0, limit=1000)[-1]

    assert entry.event == "identify.ranking"
    assert "anna" not in entry.body
    with engine.vault.read() as view:
        assert engine.subject_pseudonym(view, TENANT, SubjectId("anna")) in entry.body
    assert engine.pseudonym(TENANT, "anna") not in entry.body
