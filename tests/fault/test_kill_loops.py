# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_engine import TENANT, consent, make_engine
from killed_checks import ENROLLED, ERASED, Book, Broken, check
from killed_worker import Works, enrol, erase, opened, voice_of

from voiceauth.types import SubjectId
from voiceauth.usecases import manage_subjects

LOOPS = Path(__file__).with_name("kill_loops.py")
ROUNDS = 15


def enrolled(home: Path, name: str) -> Works:
    """Enrol somebody in a new installation."""
    works = opened(home, 1)
    who = SubjectId(name)
    manage_subjects.create_subject(works.engine, TENANT, who, frozenset())
    manage_subjects.record_consent(works.engine, TENANT, who, consent(works.engine))
    enrol(works, who)
    return works


def test_the_loop_would_find_a_lost_enrolment(tmp_path: Path) -> None:
    """An acknowledged enrolment that is gone is a broken invariant, not a state like another."""
    works = enrolled(tmp_path, "s-1")
    book = Book({"s-1": frozenset({ENROLLED})})
    check(tmp_path, book, ["s-1"], deep=True)
    with works.vault.begin() as change:
        change.delete_voiceprints(TENANT, SubjectId("s-1"))
    works.vault.close()

    with pytest.raises(Broken, match="s-1"):
        check(tmp_path, book, ["s-1"], deep=False)


def test_the_loop_would_find_somebody_who_came_back(tmp_path: Path) -> None:
    """An acknowledged erasure that did not last is found, in the vault and in a backup."""
    works = enrolled(tmp_path, "s-1")
    works.vault.close()

    with pytest.raises(Broken, match="enrolled and should be erased"):
        check(tmp_path, Book({"s-1": frozenset({ERASED})}), ["s-1"], deep=False)


def test_the_loop_would_find_an_impostor_who_was_accepted() -> None:
    """One line of a worker is enough."""
    with pytest.raises(Broken, match="accepted"):
        Book().take(["begin impersonate s-1", "wrong impersonate s-1"])


def test_the_loop_would_find_a_counter_that_went_down() -> None:
    """Failures are only forgotten with the person."""
    book = Book()
    book.take(["begin impersonate s-1", "count failures s-1 3", "done impersonate s-1"])
    book.hold_failures("s-1", 4)
    with pytest.raises(Broken, match="had 4 failures"):
        book.hold_failures("s-1", 3)
    book.take(["begin erase s-1"])
    book.hold_failures("s-1", 0)


def test_the_loop_would_find_a_shorter_ledger(tmp_path: Path) -> None:
    """The second place tells of entries that the vault has lost."""
    works = enrolled(tmp_path, "s-1")
    works.checkpoints.run()
    works.vault.close()
    hashes = tmp_path / "second" / "entry-hashes"
    hashes.write_bytes(hashes.read_bytes() + bytes(32))

    with pytest.raises(Exception, match="broken"):
        check(tmp_path, Book(), [], deep=False)


def test_what_was_under_way_may_have_happened_or_not() -> None:
    """Both are right until one was seen; from then on it has to stay."""
    book = Book()
    book.take(["begin create s-1", "done create s-1", "begin enrol s-1"])
    book.hold("s-1", "partial")
    with pytest.raises(Broken):
        book.hold("s-1", ENROLLED)


def test_two_people_of_a_loop_have_two_voices(tmp_path: Path) -> None:
    """An impersonation is one: the worker's voices differ, and its engine tells them apart."""
    assert voice_of(SubjectId("s-1")) != voice_of(SubjectId("s-2"))
    works = enrolled(tmp_path, "s-1")
    erase(works, SubjectId("s-1"))
    works.vault.close()
    engine = make_engine(tmp_path / "live")
    with engine.vault.read() as view:
        assert view.subject(TENANT, SubjectId("s-1")) is None
    engine.vault.close()


@pytest.mark.slow
def test_every_invariant_holds_over_random_kills(tmp_path: Path) -> None:
    """The short form of the long run: enrol, verify, erase, rotate, back up, and kill."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(  # noqa: S603 - our own loop, in a process without threads to fork from
        [sys.executable, str(LOOPS), "--rounds", str(ROUNDS), "--directory", str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    assert report["held"]
    assert report["people"] >= ROUNDS
