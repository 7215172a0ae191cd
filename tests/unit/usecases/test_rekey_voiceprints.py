# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voiceauth.errors import InputError, KeyServiceError, NotFoundError, TagMismatchError
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.gallery.protected import ProtectedGallery
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.testing.records import (
    MODEL,
    OTHER_MODEL,
    made_up_embedding,
    made_up_segment,
    made_up_voiceprint,
)
from voiceauth.types import SubjectId, TenantId
from voiceauth.usecases.filling_gallery import FillingGallery
from voiceauth.usecases.keep_gallery import GalleryKeeper
from voiceauth.usecases.rekey_voiceprints import RekeyDesk, Rekeying
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK, SHOP = TenantId("bank"), TenantId("shop")
PEOPLE = [SubjectId(f"s{number}") for number in range(5)]


class TickingClock(FakeClock):
    """A clock on which every look at it takes a while."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def monotonic(self) -> float:
        """Let time pass, and return it."""
        self.advance(self._seconds)
        return super().monotonic()


@dataclass
class Installation:
    """A vault with people, and one process with a gallery over it."""

    path: Path
    keys: FakeKeyService
    vault: SqliteVault
    gallery: ProtectedGallery
    desk: RekeyDesk

    def process(self, clock: FakeClock | None = None, batch: int = 2) -> "Installation":
        """Start a process, as a server would."""
        clock = clock or FakeClock()
        vault = open_vault(self.path, self.keys, clock=clock, random=FakeRandom(7))
        gallery = ProtectedGallery(partial(FaissGallery, 192), vault.voice_transform)
        GalleryKeeper(vault, FillingGallery(gallery), MODEL).start()
        desk = RekeyDesk(vault, gallery, MODEL, clock, batch=batch)
        return Installation(self.path, self.keys, vault, gallery, desk)

    def events(self) -> list[str]:
        """Return what the ledger says of re-keyings."""
        entries = self.vault.ledger()
        return [f"{one.event} {one.tenant}" for one in entries if "rekey" in one.event]

    def all_is_there(self) -> bool:
        """Read everyone and search for everyone."""
        with self.vault.read() as view:
            for seed, subject in enumerate(PEOPLE):
                (print_,) = view.voiceprints(BANK, subject, MODEL)
                if not np.allclose(print_.embedding, made_up_embedding(seed), atol=1e-5):
                    return False
                found = self.gallery.search(BANK, made_up_embedding(seed), group=None, limit=1)
                if [one for one, score in found if score > 0.999] != [subject]:
                    return False
        return self.gallery.subjects(BANK, None) == len(PEOPLE)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    """A server over five people at the bank; the shop has one who never enrolled."""
    path, keys = tmp_path / "vault.db", FakeKeyService()
    vault = open_vault(path, keys, clock=FakeClock(), random=FakeRandom(1))
    with vault.begin() as change:
        for seed, subject in enumerate(PEOPLE):
            change.create_subject(BANK, subject, at=EPOCH, groups=frozenset())
            change.add_voiceprint(BANK, made_up_voiceprint(f"v-{seed}", subject, seed=seed))
            change.put_pending_segments(BANK, subject, OTHER_MODEL, [made_up_segment(seed)])
        change.create_subject(SHOP, PEOPLE[0], at=EPOCH, groups=frozenset())
    vault.close()
    unopened = Installation(path, keys, vault, None, None)  # type: ignore[arg-type]
    running = unopened.process()
    yield running
    running.vault.close()


def finished(desk: RekeyDesk, tenant: TenantId = BANK) -> list[Rekeying]:
    """Step until the end, as a client does."""
    steps = [desk.step(tenant)]
    while not steps[-1].finished:
        steps.append(desk.step(tenant, steps[-1].generation))
    return steps


def test_a_tenant_that_nobody_is_of_has_nothing_to_re_key(here: Installation) -> None:
    """No secret is made for a name that was mistyped."""
    with pytest.raises(NotFoundError):
        here.desk.step(TenantId("bnak"))
    assert here.events() == []


def test_a_generation_that_never_was_is_refused(here: Installation) -> None:
    """A client cannot invent a re-keying that it wants to go on with."""
    with pytest.raises(InputError):
        here.desk.step(BANK, 2)
    assert here.events() == []


def test_a_key_service_that_is_down_changes_nothing(here: Installation) -> None:
    """Without it no new secret is made, and the old one goes on serving."""
    here.keys.go_down()
    with pytest.raises(KeyServiceError):
        here.desk.step(BANK)
    here.keys.come_up()

    assert here.events() == []
    assert here.vault.voice_transform(BANK).generation == 1
    assert here.all_is_there()


def test_a_damaged_row_is_an_error_and_the_old_secret_stays(here: Installation) -> None:
    """Nothing is lost by it; when the subject is erased, the next step goes on."""
    with here.vault.begin() as change:
        change._write("UPDATE voiceprints SET sealed = zeroblob(99) WHERE voiceprint = 'v-3'")
    with pytest.raises(TagMismatchError):
        finished(here.desk)
    with here.vault.begin() as change:
        change.erase_subject(BANK, PEOPLE[3])
    here.gallery.remove_subject(BANK, PEOPLE[3])

    assert finished(here.desk)[-1] == Rekeying(2, 5, 5, finished=True)
    assert here.gallery.subjects(BANK, None) == 4


def test_one_tenants_damage_holds_up_no_other(here: Installation) -> None:
    """The chore brings every tenant forward that it can, and then reports what it could not."""
    with here.vault.begin() as change:
        change.add_voiceprint(SHOP, made_up_voiceprint("v-shop", PEOPLE[0]))
        for tenant in (BANK, SHOP):
            change.rekeying().start(tenant)
        change._write("UPDATE voiceprints SET sealed = zeroblob(99) WHERE voiceprint = 'v-3'")

    with pytest.raises(TagMismatchError):
        here.desk.run()
    with here.vault.read() as view:
        assert view.rekeying().due(BANK)
        assert not view.rekeying().due(SHOP)


def test_a_re_keying_moves_vault_and_gallery(here: Installation) -> None:
    """Afterwards everybody is found and read as before, under a new secret, and it is recorded."""
    old = here.vault.voice_transform(BANK)
    done = finished(here.desk)[-1]

    assert done == Rekeying(2, 5, 5, finished=True)
    assert here.events() == ["voiceprints.rekeying bank", "voiceprints.rekeyed bank"]
    assert here.vault.voice_transform(BANK).generation == 2
    assert here.gallery.generation_of(BANK) == 2
    assert here.all_is_there()
    with here.vault.read() as view:
        rows = view._select("SELECT DISTINCT generation FROM voiceprints")
        secrets = view._select("SELECT generation FROM voice_transforms WHERE tenant = 'bank'")
    assert rows == secrets == [(2,)]
    space = here.gallery._serving[BANK]
    leaked = old.protect(made_up_embedding(0))
    ((_, score),) = space.index.search(BANK, leaked, group=None, limit=1)
    assert score < 0.4  # a vector that leaked before finds nobody


def test_it_is_worked_off_in_steps_that_show_how_far_it_came(here: Installation) -> None:
    """Each step takes its time and no more; the numbers only grow, up to all of them."""
    slow = here.process(TickingClock(0.6), batch=1)
    steps = finished(slow.desk)
    slow.vault.close()

    assert len(steps) > 5
    counts = [one.subjects for one in steps]
    assert counts == sorted(counts)
    assert {one.generation for one in steps} == {2}
    assert [one.finished for one in steps] == [False] * (len(steps) - 1) + [True]
    assert steps[-1] == Rekeying(2, 5, 5, finished=True)


def test_a_step_that_was_lost_is_asked_for_again_without_harm(here: Installation) -> None:
    """Going on with a finished generation says that it is finished, and starts nothing."""
    finished(here.desk)

    assert here.desk.step(BANK, 2) == Rekeying(2, 5, 5, finished=True)
    assert here.desk.step(BANK, 1) == Rekeying(2, 5, 5, finished=True)
    assert len(here.events()) == 2


def test_beginning_again_goes_on_with_what_is_unfinished(here: Installation) -> None:
    """Two operators who begin at once do one re-keying, not two."""
    slow = here.process(TickingClock(0.6), batch=1)
    assert slow.desk.step(BANK).generation == 2
    assert slow.desk.step(BANK).generation == 2
    assert slow.events() == ["voiceprints.rekeying bank"]

    other = here.process()
    assert finished(other.desk)[-1] == Rekeying(2, 5, 5, finished=True)
    assert other.all_is_there()
    other.vault.close()
    assert finished(slow.desk)[-1] == Rekeying(2, 5, 5, finished=True)
    assert slow.gallery.generation_of(BANK) == 2
    assert slow.all_is_there()
    slow.vault.close()


def test_what_broke_off_is_finished_by_the_server_itself(here: Installation) -> None:
    """A process that died in the middle leaves nothing for an operator to do."""
    dead = here.process(TickingClock(0.6), batch=1)
    dead.desk.step(BANK)
    dead.vault.close()

    again = here.process()
    assert again.all_is_there()
    again.desk.run()
    assert again.events() == ["voiceprints.rekeying bank", "voiceprints.rekeyed bank"]
    assert again.gallery.generation_of(BANK) == 2
    assert again.all_is_there()
    again.vault.close()


def test_a_server_follows_what_another_process_re_keyed(here: Installation) -> None:
    """Its searches stay whole on the old space, and move to the new one by themselves."""
    other = here.process()
    finished(other.desk)
    other.vault.close()

    assert here.gallery.generation_of(BANK) == 1
    assert here.all_is_there()
    here.desk.run()
    assert here.gallery.generation_of(BANK) == 2
    assert here.all_is_there()
    assert here.desk.step(BANK, 2).finished


def test_going_on_shows_the_new_space_to_a_process_that_is_behind(here: Installation) -> None:
    """A client that goes on at another server than it began at moves that one's searches, too."""
    other = here.process()
    finished(other.desk)
    other.vault.close()

    assert here.desk.step(BANK, 2) == Rekeying(2, 5, 5, finished=True)
    assert here.gallery.generation_of(BANK) == 2


def test_the_chore_does_nothing_where_nothing_is_due(here: Installation) -> None:
    """A quiet server writes nothing."""
    before = len(here.vault.ledger())
    here.desk.run()

    assert len(here.vault.ledger()) == before
    assert here.vault.voice_transform(BANK).generation == 1


def test_the_chore_ends_after_a_while(here: Installation) -> None:
    """A server that stops does not wait for a whole re-keying."""
    slow = here.process(TickingClock(3.0), batch=1)
    slow.desk.step(BANK)
    slow.desk.run()

    assert slow.events() == ["voiceprints.rekeying bank"]
    slow.vault.close()


def test_a_re_keying_that_is_overtaken_goes_round_again(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process began the next one just before the end: nothing is destroyed too early."""
    original = RekeyDesk._finish
    begun: list[int] = []

    def overtaken(desk: RekeyDesk, tenant: TenantId, run: Any) -> None:
        if not begun:
            with here.vault.begin() as change:
                begun.append(change.rekeying().start(tenant))
        original(desk, tenant, run)

    monkeypatch.setattr(RekeyDesk, "_finish", overtaken)

    assert finished(here.desk)[-1] == Rekeying(3, 5, 5, finished=True)
    assert begun == [3]
    assert here.gallery.generation_of(BANK) == 3
    assert here.all_is_there()


def test_people_who_come_and_go_meanwhile_are_where_they_should_be(here: Installation) -> None:
    """Enrolled between two steps: found. Erased between two steps: not found again."""
    slow = here.process(TickingClock(0.6), batch=1)
    new = SubjectId("new")
    step = slow.desk.step(BANK)
    with slow.vault.begin() as change:
        change.create_subject(BANK, new, at=EPOCH, groups=frozenset())
        change.add_voiceprint(BANK, made_up_voiceprint("v-new", new, seed=99))
    with slow.vault.read() as view:
        (stored,) = view.voiceprints(BANK, new, MODEL)
    slow.gallery.add(BANK, new, stored.voiceprint, stored.embedding, frozenset())
    while not step.finished:
        if step.subjects == step.of and PEOPLE[0] is not None:
            with slow.vault.begin() as change:
                gone = change.subject(BANK, PEOPLE[0]) is not None
                if gone:
                    change.erase_subject(BANK, PEOPLE[0])
            slow.gallery.remove_subject(BANK, PEOPLE[0])
        step = slow.desk.step(BANK, step.generation)

    found = slow.gallery.search(BANK, made_up_embedding(99), group=None, limit=9)
    assert found[0][0] == new
    assert PEOPLE[0] not in [one for one, _ in found]
    assert slow.gallery.subjects(BANK, None) == len(PEOPLE)
    slow.vault.close()
