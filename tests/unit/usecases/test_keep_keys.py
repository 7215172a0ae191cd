# SPDX-License-Identifier: Apache-2.0
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from voiceauth.errors import EngineError, InputError, KeyServiceError, PolicyError
from voiceauth.keys.keyring import FileKeyring
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeRandom
from voiceauth.testing.records import MODEL, made_up_voiceprint
from voiceauth.types import KeyId, SubjectId, TenantId
from voiceauth.usecases.keep_keys import KeyDesk, destroy, replaced_before, rotate
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK, SHOP = TenantId("bank"), TenantId("shop")
DAY = timedelta(days=1)


def opened(path: Path, keys: FileKeyring) -> SqliteVault:
    """Open a vault."""
    return open_vault(path, keys, clock=FakeClock(), random=FakeRandom(4), accept_ledger_head=True)


def enrolled(vault: SqliteVault, tenant: TenantId, name: str) -> SubjectId:
    """Store a subject with a voiceprint."""
    with vault.begin() as change:
        change.create_subject(tenant, SubjectId(name), at=EPOCH, groups=frozenset())
        change.add_voiceprint(tenant, made_up_voiceprint(f"{tenant}-{name}", name))
    return SubjectId(name)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[KeyDesk]:
    """A vault with a subject of each of two tenants."""
    clock = FakeClock()
    keys = FileKeyring.create(tmp_path / "keys.json", clock=clock, random=FakeRandom(1))
    vault = opened(tmp_path / "vault.db", keys)
    enrolled(vault, BANK, "alice")
    enrolled(vault, SHOP, "bob")
    yield KeyDesk(vault, keys, clock)
    vault.close()


def events(desk: KeyDesk) -> list[str]:
    """Return the names of all ledger entries."""
    return [one.event for one in desk.vault.ledger()]


def current(desk: KeyDesk, scope: str) -> KeyId:
    """Return a scope's current key."""
    return next(one.key_id for one in desk.keys.inventory() if one.current and one.scope == scope)


def test_a_key_that_the_vault_needs_is_not_destroyed(desk: KeyDesk) -> None:
    """Not while it is current, and not while one data key is wrapped under it."""
    old = current(desk, BANK)
    with pytest.raises(PolicyError):
        destroy(desk, old)
    desk.keys.rotate(BANK)

    with pytest.raises(PolicyError, match="still wrapped"):
        destroy(desk, old)

    assert "keys.destroyed" not in events(desk)
    with desk.vault.read() as view:
        assert view.voiceprints(BANK, SubjectId("alice"), MODEL)


def test_a_destruction_that_fails_is_not_recorded(desk: KeyDesk) -> None:
    """Effect and entry are there together, or neither."""
    with pytest.raises(KeyServiceError):
        destroy(desk, KeyId("kek-none"))

    assert "keys.destroyed" not in events(desk)


def test_an_erased_person_in_an_old_backup_is_gone_with_the_key_of_its_time(
    desk: KeyDesk, tmp_path: Path
) -> None:
    """Before the destruction the restored backup still scores; afterwards it cannot be opened."""
    desk.vault.close()
    backup = tmp_path / "backup.db"
    shutil.copyfile(tmp_path / "vault.db", backup)
    desk = replace(desk, vault=opened(tmp_path / "vault.db", desk.keys))  # type: ignore[arg-type]
    with desk.vault.begin() as change:
        change.erase_subject(BANK, SubjectId("alice"))
    old = current(desk, BANK)
    rotate(desk, scopes=(BANK,))

    def restored() -> int:
        vault = opened(backup, desk.keys)  # type: ignore[arg-type]
        try:
            with vault.read() as view:
                return len(view.voiceprints(BANK, SubjectId("alice"), MODEL))
        finally:
            vault.close()

    assert restored() == 1
    destroy(desk, old)
    with pytest.raises(KeyServiceError):
        restored()
    desk.vault.close()


def test_rotating_one_tenant_leaves_the_others_keys(desk: KeyDesk) -> None:
    """Only that tenant's data keys are wrapped anew, and the ledger says which key."""
    before = current(desk, SHOP)

    rotation = rotate(desk, scopes=(BANK,))

    assert rotation.rewrapped == 1
    assert rotation.keys == (current(desk, BANK),)
    assert current(desk, SHOP) == before
    assert events(desk)[-1] == "keys.rotated"


def test_no_call_fails_while_keys_are_rotated_and_destroyed(desk: KeyDesk) -> None:
    """Threads verify, enrol and erase throughout three rotations, and none meets an error."""
    failures: list[EngineError] = []
    rotated = threading.Event()

    def read() -> None:
        with desk.vault.read() as view:
            failures.extend(
                [] if view.voiceprints(BANK, SubjectId("alice"), MODEL) else [KeyServiceError()]
            )

    def write() -> None:
        name = enrolled(desk.vault, BANK, "coming-and-going")
        with desk.vault.begin() as change:
            change.erase_subject(BANK, name)

    def repeat(work: Callable[[], None]) -> None:
        try:
            work()
            while not rotated.wait(0.001):
                work()
        except EngineError as error:
            failures.append(error)

    threads = [threading.Thread(target=repeat, args=(work,)) for work in (read, write)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        old = current(desk, BANK)
        rotate(desk, scopes=(BANK,))
        destroy(desk, old)
    rotated.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(desk.keys.inventory()) == 3


def test_progress_counts_up_to_all_data_keys(desk: KeyDesk) -> None:
    """Whoever watches sees how far the wrapping has come."""
    for number in range(60):
        enrolled(desk.vault, BANK, f"s{number}")
    seen: list[tuple[int, int]] = []

    rotation = rotate(
        desk, scopes=(BANK, SHOP), progress=lambda done, all_: seen.append((done, all_))
    )

    assert seen == [(50, 62), (62, 62)]
    assert rotation.rewrapped == 62


def test_keys_grow_old_and_are_replaced_and_destroyed_by_themselves(desk: KeyDesk) -> None:
    """After the age for rotation a new key; after the life of backups the old one is gone."""
    clock = desk.clock
    assert isinstance(clock, FakeClock)
    cared = replace(desk, rotate_after=30 * DAY, backups_kept=10 * DAY)
    first = {one.key_id for one in desk.keys.inventory()}

    clock.advance(29 * 86400)
    cared.run()
    assert {one.key_id for one in desk.keys.inventory()} == first
    clock.advance(86400)
    cared.run()
    assert len(desk.keys.inventory()) == 6
    clock.advance(9 * 86400)
    cared.run()
    assert len(desk.keys.inventory()) == 6
    clock.advance(86400)
    cared.run()

    assert {one.key_id for one in desk.keys.inventory()} & first == set()
    assert len(desk.keys.inventory()) == 3
    assert events(desk).count("keys.destroyed") == 3


def test_without_settings_no_key_is_touched(desk: KeyDesk) -> None:
    """Rotation and destruction by itself are the operator's choice."""
    clock = desk.clock
    assert isinstance(clock, FakeClock)
    clock.advance(10**9)
    before = desk.keys.inventory()

    desk.run()

    assert desk.keys.inventory() == before


def test_an_impossible_age_of_backups_is_refused(desk: KeyDesk) -> None:
    """A negative age would destroy keys too early."""
    with pytest.raises(InputError):
        replaced_before(desk.keys.inventory(), -DAY, desk.clock)
