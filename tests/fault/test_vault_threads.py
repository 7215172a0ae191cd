# SPDX-License-Identifier: Apache-2.0
"""Many threads and two openings of one file: changes queue up, and none is lost or doubled."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from voiceauth.errors import StorageError, SubjectExistsError
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.testing.records import MODEL, made_up_voiceprint
from voiceauth.types import SubjectId, TenantId
from voiceauth.vault.open import VaultOptions, open_vault
from voiceauth.vault.store import SqliteVault

BANK, ALICE = TenantId("bank"), SubjectId("alice")
THREADS = 8
T = TypeVar("T")


def opened(home: Path, seed: int = 1, busy_seconds: float = 20.0) -> SqliteVault:
    """Open the vault of ``home``."""
    return open_vault(
        home / "vault.db",
        FakeKeyService(),
        clock=FakeClock(),
        random=FakeRandom(seed),
        options=VaultOptions(busy_seconds=busy_seconds, idle_readers=2),
    )


def in_threads(work: Callable[[int], T]) -> list[T]:
    """Run ``work`` in all threads at once."""
    gate = threading.Barrier(THREADS)

    def wait_and_work(number: int) -> T:
        gate.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(wait_and_work, range(THREADS)))


def test_writers_of_two_openings_make_one_chain(tmp_path: Path) -> None:
    """Threads and processes share one ledger without a gap, a fork or a lost effect."""
    vaults = [opened(tmp_path, seed=1), opened(tmp_path, seed=2)]

    def write(number: int) -> None:
        for count in range(5):
            with vaults[number % 2].begin() as change:
                name = SubjectId(f"s{number}-{count}")
                change.create_subject(BANK, name, at=EPOCH, groups=frozenset())
                change.append(at=EPOCH, tenant=BANK, event="created", body={"n": number})

    in_threads(write)

    assert vaults[0].verify_ledger() == THREADS * 5
    with vaults[1].read() as view:
        assert len(view.subjects(BANK, after=None, limit=100)) == THREADS * 5
    for vault in vaults:
        vault.close()


def test_of_many_creations_one_succeeds(tmp_path: Path) -> None:
    """Two callers that create the same subject at once cannot both have done it."""
    vault = opened(tmp_path)

    def create(number: int) -> bool:
        try:
            with vault.begin() as change:
                change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())
        except SubjectExistsError:
            return False
        return True

    assert sum(in_threads(create)) == 1
    vault.close()


def test_readers_beside_erasures_see_all_or_nothing(tmp_path: Path) -> None:
    """A reader finds the subject whole or not at all, whatever writers do meanwhile."""
    vault = opened(tmp_path)

    def work(number: int) -> set[tuple[bool, int]]:
        seen = set()
        for _ in range(6):
            if number == 0:
                with vault.begin() as change:
                    change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())
                    change.add_voiceprint(BANK, made_up_voiceprint("v", ALICE))
                with vault.begin() as change:
                    change.erase_subject(BANK, ALICE)
            else:
                for _ in range(10):
                    with vault.read() as view:
                        there = view.subject(BANK, ALICE) is not None
                        seen.add((there, len(view.voiceprints(BANK, ALICE, MODEL))))
        return seen

    assert set().union(*in_threads(work)) <= {(False, 0), (True, 1)}
    vault.close()


def test_a_writer_that_holds_on_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """A second thread gives up after the stated time, and gets its turn afterwards."""
    vault = opened(tmp_path, busy_seconds=0.05)

    def try_to_write() -> bool:
        try:
            with vault.begin() as change:
                change.append(at=EPOCH, tenant=BANK, event="x", body={})
        except StorageError:
            return False
        return True

    with ThreadPoolExecutor(1) as pool:
        with vault.begin():
            assert pool.submit(try_to_write).result() is False
        assert pool.submit(try_to_write).result() is True
    vault.close()


def test_keys_can_be_rotated_while_calls_go_on(tmp_path: Path) -> None:
    """Wrapping every data key anew fails no reader."""
    keys = FakeKeyService()
    vault = open_vault(tmp_path / "vault.db", keys, clock=FakeClock(), random=FakeRandom(1))
    names = [SubjectId(f"s{n}") for n in range(20)]
    with vault.begin() as change:
        for name in names:
            change.create_subject(BANK, name, at=EPOCH, groups=frozenset())
            change.add_voiceprint(BANK, made_up_voiceprint(f"v-{name}", name))

    def work(number: int) -> int:
        if number == 0:
            keys.rotate()
            return vault.rewrap_keys()
        found = 0
        for name in names * 2:
            with vault.read() as view:
                found += len(view.voiceprints(BANK, name, MODEL))
        return found

    rewrapped, *read = in_threads(work)

    assert rewrapped == len(names)
    assert read == [len(names) * 2] * (THREADS - 1)
    vault.close()


def test_a_failing_thread_frees_the_lock(tmp_path: Path) -> None:
    """An exception in one thread's change does not lock the others out."""
    vault = opened(tmp_path, busy_seconds=0.5)

    def work(number: int) -> None:
        with pytest.raises(KeyError), vault.begin():
            raise KeyError

    in_threads(work)
    with vault.begin() as change:
        change.append(at=EPOCH, tenant=BANK, event="x", body={})
    vault.close()
