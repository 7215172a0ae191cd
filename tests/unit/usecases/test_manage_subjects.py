# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_engine import MODEL, TENANT, consent, consenting, make_engine, span

from voiceauth.errors import (
    ConsentMissingError,
    InputError,
    NotFoundError,
    OptedOutError,
    PolicyError,
    SubjectExistsError,
)
from voiceauth.types import (
    AudioFormat,
    CallId,
    Encoding,
    GroupName,
    SubjectId,
    SubjectState,
    TenantId,
)
from voiceauth.usecases import identifiers, manage_subjects
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.erase_subject import erase_subject

GHOST = SubjectId("ghost")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an engine with an empty vault."""
    built = make_engine(tmp_path)
    yield built
    built.vault.close()


def enrolled(engine: Engine, name: str) -> SubjectId:
    """Create, consent and enrol a subject."""
    subject = consenting(engine, name)
    request = EnrolmentRequest(CallId("c"), TENANT, subject, AudioFormat(Encoding.MULAW))
    call = EnrolCall(engine, request)
    call.load()
    for _ in range(3):
        call.weigh(span(7), engine.embedder.embed(span(7).samples))
    call.conclude()
    return subject


def voiceprints(engine: Engine, subject: SubjectId) -> int:
    """Count what is stored of a subject."""
    with engine.vault.read() as view:
        return len(view.voiceprints(TENANT, subject, MODEL))


def events(engine: Engine) -> list[str]:
    """Return the ledger's event names."""
    return [entry.event for entry in engine.vault.ledger()]


def test_a_subject_is_created_once(engine: Engine) -> None:
    """A second subject of the same id is refused, and leaves no entry."""
    manage_subjects.create_subject(engine, TENANT, GHOST, frozenset({GroupName("vip")}))

    with pytest.raises(SubjectExistsError):
        manage_subjects.create_subject(engine, TENANT, GHOST, frozenset())

    found = manage_subjects.get_subject(engine, TENANT, GHOST)
    assert found.groups == {"vip"}
    assert events(engine) == ["subject.created", "subject.read"]


def test_reading_is_recorded(engine: Engine) -> None:
    """Looking at a subject or at the list leaves an entry, without the id."""
    consenting(engine, "anna")
    manage_subjects.get_subject(engine, TENANT, SubjectId("anna"))
    manage_subjects.list_subjects(engine, TENANT, after=None, limit=10)

    assert events(engine)[-2:] == ["subject.read", "subject.listed"]
    assert all("anna" not in entry.body for entry in engine.vault.ledger())


def test_pages_cover_everybody_once(engine: Engine) -> None:
    """Paging through the list meets every subject of the tenant exactly once."""
    names = {f"caller-{number}" for number in range(7)}
    for name in names:
        consenting(engine, name)
    manage_subjects.create_subject(engine, TenantId("other"), GHOST, frozenset())

    met: list[str] = []
    after: SubjectId | None = None
    while True:
        page = manage_subjects.list_subjects(engine, TENANT, after=after, limit=3)
        met += [one.subject for one in page.subjects]
        after = page.after
        if after is None:
            break

    assert sorted(met) == sorted(names)


@pytest.mark.parametrize("limit", [0, 1001])
def test_an_absurd_page_size_is_refused(engine: Engine, limit: int) -> None:
    """Pages hold 1 to 1000 subjects."""
    with pytest.raises(InputError):
        manage_subjects.list_subjects(engine, TENANT, after=None, limit=limit)


def test_what_is_not_there_cannot_be_managed(engine: Engine) -> None:
    """Every operation on an unknown subject says so and records nothing."""
    for operation in (
        manage_subjects.get_subject,
        manage_subjects.withdraw_consent,
        manage_subjects.undo_opt_out,
        erase_subject,
    ):
        with pytest.raises(NotFoundError):
            operation(engine, TENANT, GHOST)
    with pytest.raises(NotFoundError):
        manage_subjects.record_consent(engine, TENANT, GHOST, consent(engine))
    with pytest.raises(NotFoundError):
        manage_subjects.set_groups(engine, TENANT, GHOST, frozenset())

    assert events(engine) == []


def test_withdrawing_deletes_the_voice_and_keeps_the_record(engine: Engine) -> None:
    """After withdrawal no voiceprint is left anywhere, and the consent shows when it ended."""
    anna = enrolled(engine, "anna")

    changed = manage_subjects.withdraw_consent(engine, TENANT, anna)

    assert changed.consent is not None
    assert changed.consent.withdrawn_at == engine.clock.now()
    assert voiceprints(engine, anna) == 0
    assert len(engine.gallery) == 0
    with pytest.raises(ConsentMissingError):
        manage_subjects.withdraw_consent(engine, TENANT, anna)


def test_opting_out_works_before_the_subject_exists_and_can_be_undone(engine: Engine) -> None:
    """Anybody can be excluded in advance; undoing it needs a fresh consent to enrol."""
    out = manage_subjects.opt_out(engine, TENANT, GHOST)
    with pytest.raises(OptedOutError):
        manage_subjects.record_consent(engine, TENANT, GHOST, consent(engine))
    back = manage_subjects.undo_opt_out(engine, TENANT, GHOST)

    assert out.state is SubjectState.OPTED_OUT
    assert back.state is SubjectState.ACTIVE
    assert back.consent is None


def test_opting_out_deletes_the_voice(engine: Engine) -> None:
    """An enrolled subject who opts out leaves no voiceprint behind."""
    anna = enrolled(engine, "anna")

    manage_subjects.opt_out(engine, TENANT, anna)

    assert voiceprints(engine, anna) == 0
    assert len(engine.gallery) == 0


def test_erasure_leaves_no_subject(engine: Engine) -> None:
    """An erased subject is unknown in the vault and in the gallery; the entry names nobody."""
    anna = enrolled(engine, "anna")

    erasure = erase_subject(engine, TENANT, anna)

    assert erasure.voiceprints == 1
    assert len(engine.gallery) == 0
    with engine.vault.read() as view:
        assert view.subject(TENANT, anna) is None
    last = engine.vault.ledger()[-1]
    assert (last.event, last.sequence) == ("subject.erased", erasure.record_id)
    assert "anna" not in last.body


def test_groups_reach_the_gallery(engine: Engine) -> None:
    """A changed group is searched under its new name at once."""
    anna = enrolled(engine, "anna")

    manage_subjects.set_groups(engine, TENANT, anna, frozenset({GroupName("watchlist")}))

    assert engine.gallery.subjects(TENANT, GroupName("watchlist")) == 1


def test_a_bad_consent_is_refused_and_changes_nothing(engine: Engine) -> None:
    """A malformed consent record is an error, and the subject keeps the one it had."""
    anna = consenting(engine, "anna")
    bad = replace(consent(engine), text_sha256="not a hash")

    with pytest.raises(InputError):
        manage_subjects.record_consent(engine, TENANT, anna, bad)

    kept = manage_subjects.get_subject(engine, TENANT, anna).consent
    assert kept is not None
    assert kept.text_sha256 == "ab" * 32


def test_a_consent_for_another_purpose_does_not_end_one_unseen(engine: Engine) -> None:
    """What permits the voiceprint is withdrawn in sight, not replaced by something else."""
    anna = enrolled(engine, "anna")
    other = replace(consent(engine), purpose="training")

    with pytest.raises(PolicyError, match="another purpose"):
        manage_subjects.record_consent(engine, TENANT, anna, other)
    assert voiceprints(engine, anna) == 1

    manage_subjects.withdraw_consent(engine, TENANT, anna)
    changed = manage_subjects.record_consent(engine, TENANT, anna, other)
    assert changed.consent == other


@pytest.mark.parametrize("text", ["", "a" * 129, "two words", "semi;colon", "néw", "a\n", "a\0b"])
def test_odd_identifiers_are_refused(text: str) -> None:
    """Ids hold 1 to 128 harmless characters, so that nothing odd reaches a log or a key."""
    for check in (
        identifiers.tenant_id,
        identifiers.subject_id,
        identifiers.call_id,
        identifiers.group_name,
    ):
        with pytest.raises(InputError):
            check(text)


def test_ordinary_identifiers_pass() -> None:
    """Phone numbers, mail addresses, UUIDs and paths with dots are fine."""
    for text in ("+41791234567", "a.b@c-d.example", "5f0c:1_2", "x"):
        assert identifiers.subject_id(text) == text


def test_too_many_groups_are_refused() -> None:
    """A subject is in at most 32 groups."""
    with pytest.raises(InputError):
        identifiers.group_names(f"g{number}" for number in range(33))
