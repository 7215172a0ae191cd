# SPDX-License-Identifier: Apache-2.0
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fake_engine import DIMENSION, TENANT, consenting, make_engine, span

from voiceauth.errors import GalleryLoadingError, StorageError, TagMismatchError
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.ports import Transaction, Vault
from voiceauth.types import AudioFormat, CallId, Encoding, GroupName, SubjectId
from voiceauth.usecases import keep_gallery, manage_subjects
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.erase_subject import erase_subject
from voiceauth.usecases.filling_gallery import FillingGallery
from voiceauth.usecases.identify_caller import IdentificationRequest, IdentifyCall
from voiceauth.usecases.keep_gallery import GalleryKeeper

MULAW = AudioFormat(Encoding.MULAW)
PEOPLE = {"anna": 7, "berta": 8, "carl": 9, "dora": 10, "emil": 11}


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read two voiceprints at a time, so that few people make several pages."""
    monkeypatch.setattr(keep_gallery, "PAGE", 2)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with five enrolled people, whose gallery a start would have to fill."""
    built = make_engine(tmp_path)
    for name, voice in PEOPLE.items():
        enrol(built, consenting(built, name), voice)
    yield replace(built, gallery=FillingGallery(FaissGallery(DIMENSION)))
    built.vault.close()


def enrol(engine: Engine, subject: SubjectId, voice: int) -> None:
    """Enrol a voice in one call."""
    call = EnrolCall(engine, EnrolmentRequest(CallId("enrol"), TENANT, subject, MULAW))
    call.load()
    for _ in range(3):
        call.weigh(span(voice), engine.embedder.embed(span(voice).samples))
    call.conclude()


def keeper(engine: Engine, vault: Vault | None = None) -> GalleryKeeper:
    """Return what fills the engine's gallery."""
    assert isinstance(engine.gallery, FillingGallery)
    return GalleryKeeper(vault or engine.vault, engine.gallery, engine.embedder.model)


def found(engine: Engine, voice: int, group: str | None = None) -> set[str]:
    """Return everybody whom a search for a voice proposes with a cosine of 1."""
    probe = engine.embedder.embed(span(voice).samples)
    name = None if group is None else GroupName(group)
    near = engine.gallery.search(TENANT, probe, group=name, limit=10)
    return {subject for subject, cosine in near if cosine > 0.99}


class Interrupted:
    """A vault in which something happens between the reading of a page and its use."""

    def __init__(self, vault: Vault, act: Callable[[], None], at_page: int = 1) -> None:
        self._vault = vault
        self._act = act
        self._left = at_page

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a view; the change comes when it has been left."""
        with self._vault.read() as view:
            yield view
        self._left -= 1
        if self._left == 0:
            self._act()

    def __getattr__(self, name: str) -> object:
        """As the vault."""
        return getattr(self._vault, name)


def fill_with(engine: Engine, act: Callable[[], None], at_page: int = 1) -> None:
    """Fill the gallery while something else happens."""
    keeper(engine, Interrupted(engine.vault, act, at_page)).run()  # type: ignore[arg-type]


def test_everything_in_the_vault_is_found_once_it_is_filled(engine: Engine) -> None:
    """All pages are read, and the gallery says that it is ready."""
    keeper(engine).run()

    assert engine.gallery.ready
    assert len(engine.gallery) == len(PEOPLE)
    assert [found(engine, voice) for voice in PEOPLE.values()] == [{name} for name in PEOPLE]


def test_a_start_waits_for_a_small_vault_only(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few voiceprints are in when the start is over; of many, a first part."""
    monkeypatch.setattr(keep_gallery, "FILLED_AT_START", 4)
    filling = keeper(engine)
    filling.start()
    assert (engine.gallery.ready, len(engine.gallery)) == (False, 4)

    filling.run()
    assert (engine.gallery.ready, len(engine.gallery)) == (True, 5)


def test_half_a_gallery_answers_nothing(engine: Engine) -> None:
    """Before it is whole, searches and counts are refused, and so is the opening of calls."""
    probe = engine.embedder.embed(span(7).samples)
    with pytest.raises(GalleryLoadingError):
        engine.gallery.search(TENANT, probe, group=None, limit=1)
    with pytest.raises(GalleryLoadingError):
        engine.gallery.subjects(TENANT, None)
    with pytest.raises(GalleryLoadingError):
        IdentifyCall(engine, IdentificationRequest(CallId("c"), TENANT, None, MULAW))
    with pytest.raises(GalleryLoadingError):
        EnrolCall(engine, EnrolmentRequest(CallId("e"), TENANT, SubjectId("anna"), MULAW)).load()


@pytest.mark.parametrize("page", [1, 2, 3])
def test_whoever_is_erased_while_it_is_filled_leaves_no_ghost(engine: Engine, page: int) -> None:
    """An erasure holds, whether its page was read before, is in hand, or is to come."""
    fill_with(engine, lambda: _ignore(erase_subject(engine, TENANT, SubjectId("berta"))), page)

    assert engine.gallery.ready
    assert found(engine, PEOPLE["berta"]) == set()
    assert len(engine.gallery) == len(PEOPLE) - 1


@pytest.mark.parametrize("page", [1, 3])
def test_groups_that_change_while_it_is_filled_are_the_new_ones(engine: Engine, page: int) -> None:
    """A search of the new group finds the subject, whenever its page was read."""

    def regroup() -> None:
        groups = frozenset({GroupName("vip")})
        manage_subjects.set_groups(engine, TENANT, SubjectId("anna"), groups)

    fill_with(engine, regroup, page)

    assert found(engine, PEOPLE["anna"], "vip") == {"anna"}


def test_withdrawn_voiceprints_are_not_filled_in(engine: Engine) -> None:
    """The end of a consent counts like an erasure."""
    fill_with(
        engine, lambda: _ignore(manage_subjects.withdraw_consent(engine, TENANT, SubjectId("carl")))
    )

    assert found(engine, PEOPLE["carl"]) == set()


def test_a_vault_that_fails_keeps_searches_closed_until_it_works(engine: Engine) -> None:
    """Filling goes on where it was; meanwhile the answer is an error, not a part of the list."""

    def fail() -> None:
        raise StorageError

    filling = keeper(engine, Interrupted(engine.vault, fail, at_page=2))  # type: ignore[arg-type]
    with pytest.raises(StorageError):
        filling.run()
    assert not engine.gallery.ready

    filling.run()
    assert engine.gallery.ready
    assert len(engine.gallery) == len(PEOPLE)


def test_one_changed_row_keeps_searches_closed(engine: Engine, tmp_path: Path) -> None:
    """Nothing of its page comes in, and no later try passes it over."""
    with closing(sqlite3.connect(tmp_path / "vault.db", isolation_level=None)) as attacker:
        (blob,) = attacker.execute("SELECT sealed FROM voiceprints WHERE id = 4").fetchone()
        changed = (blob[:-1] + bytes([blob[-1] ^ 1]),)
        attacker.execute("UPDATE voiceprints SET sealed = ? WHERE id = 4", changed)
    filling = keeper(engine)

    for _ in range(2):
        with pytest.raises(TagMismatchError):
            filling.run()
        assert (engine.gallery.ready, len(engine.gallery)) == (False, 2)


def test_a_stopped_keeper_reads_no_further(engine: Engine) -> None:
    """A server that stops does not wait for a large vault."""
    filling = keeper(engine)
    filling.stop()
    filling.run()

    assert (engine.gallery.ready, len(engine.gallery)) == (False, 0)


def _ignore(_: object) -> None:
    """Make a statement of an expression."""
