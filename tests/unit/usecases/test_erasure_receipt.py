# SPDX-License-Identifier: Apache-2.0
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from voiceauth.errors import IntegrityError, NotFoundError, PolicyError
from voiceauth.keys.keyring import FileKeyring
from voiceauth.keys.signing import SigningKey
from voiceauth.ledger.checkpoint import verifier
from voiceauth.ledger.pseudonym import commitment
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeRandom
from voiceauth.testing.records import made_up_voiceprint
from voiceauth.types import SubjectId, TenantId
from voiceauth.usecases.erasure_receipt import (
    BackupState,
    backup_state,
    check_receipt,
    issue_receipt,
)
from voiceauth.usecases.keep_checkpoints import CheckpointDesk, signing_key
from voiceauth.usecases.keep_keys import KeyDesk, destroy, rotate
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK, ALICE = TenantId("bank"), SubjectId("alice")


class House:
    """A vault with one subject, its keys, and a backup from before the erasure."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.random = FakeClock(), FakeRandom(3)
        self.keys = FileKeyring.create(folder / "k.json", clock=self.clock, random=self.random)
        path = folder / "vault.db"
        self.vault: SqliteVault = self.opened(path)
        with self.vault.begin() as change:
            change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())
            change.add_voiceprint(BANK, made_up_voiceprint("v", "alice"))
        self.vault.close()
        self.backup = folder / "backup.db"
        shutil.copyfile(path, self.backup)
        self.vault = self.opened(path)
        self.desk = CheckpointDesk(self.vault, signing_key(self.keys), self.clock)

    def opened(self, path: Path) -> SqliteVault:
        """Open a vault."""
        return open_vault(path, self.keys, clock=self.clock, random=self.random)

    def erase(self) -> None:
        """Erase the subject as the use case does."""
        with self.vault.begin() as change:
            change.erase_subject(BANK, ALICE)
            body = {"subject": "pseudonym", "voiceprints": 1}
            change.append(at=EPOCH, tenant=BANK, event="subject.erased", body=body)

    def receipt(self) -> dict[str, object]:
        """Issue a receipt."""
        return issue_receipt(self.vault, self.desk, BANK, ALICE, "pseudonym")

    def left(self) -> BackupState:
        """Look into the backup."""
        clock, random = self.clock, self.random
        return backup_state(self.backup, self.keys, BANK, ALICE, clock=clock, random=random)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Return the vault before the erasure."""
    made = House(tmp_path)
    yield made
    made.vault.close()


def test_nothing_is_attested_while_the_vault_knows_the_subject(house: House) -> None:
    """Neither before the erasure nor after the person was created again."""
    with pytest.raises(PolicyError):
        house.receipt()
    house.erase()
    with house.vault.begin() as change:
        change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())

    with pytest.raises(PolicyError):
        house.receipt()


def test_nothing_is_attested_that_the_ledger_does_not_hold(house: House) -> None:
    """A subject that was never there was not erased."""
    with pytest.raises(NotFoundError):
        issue_receipt(house.vault, house.desk, BANK, SubjectId("nobody"), "other")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("statement", "{}"),
        ("signature", "AAAA"),
        ("signature", "!"),
        ("inclusion", None),
        ("inclusion", {}),
        ("verifier", verifier(SigningKey(bytes(32)).public)),
    ],
)
def test_a_changed_receipt_is_refused(house: House, field: str, value: object) -> None:
    """Statement, signature, proof and key belong together."""
    house.erase()

    with pytest.raises(IntegrityError):
        check_receipt({**house.receipt(), field: value})


def test_a_receipt_with_the_proof_of_another_erasure_is_refused(house: House) -> None:
    """The proof must be of the entry that the statement names."""
    house.erase()
    first = house.receipt()
    with house.vault.begin() as change:
        body = {"subject": "pseudonym", "voiceprints": 0}
        change.append(at=EPOCH, tenant=BANK, event="subject.erased", body=body)

    with pytest.raises(IntegrityError, match="not the one"):
        check_receipt({**first, "inclusion": house.receipt()["inclusion"]})


def test_an_erasure_with_a_token_is_attested_to_its_holder_only(house: House) -> None:
    """Neither the pseudonym nor another token, subject or tenant finds the entry."""
    with house.vault.begin() as change:
        change.erase_subject(BANK, ALICE)
        body = {
            "subject": "pseudonym",
            "voiceprints": 1,
            "commitment": commitment("right", BANK, ALICE),
        }
        change.append(at=EPOCH, tenant=BANK, event="subject.erased", body=body)
    bob, shop = SubjectId("bob"), TenantId("shop")
    wrong = [
        (BANK, ALICE, ""),
        (BANK, ALICE, "wrong"),
        (BANK, bob, "right"),
        (shop, ALICE, "right"),
    ]
    for tenant, subject, token in wrong:
        with pytest.raises(NotFoundError):
            issue_receipt(house.vault, house.desk, tenant, subject, "pseudonym", token=token)

    given = issue_receipt(house.vault, house.desk, BANK, ALICE, "pseudonym", token="right")  # noqa: S106 - made up

    assert check_receipt(given)["subject"] == "alice"


def test_a_receipt_says_who_when_and_what_and_holds_alone(house: House) -> None:
    """Whoever has the public key can check it."""
    house.erase()

    found = check_receipt(house.receipt(), verifier(house.desk.key.public))

    assert (found["subject"], found["tenant"], found["voiceprints"]) == ("alice", "bank", 1)
    assert found["erased_at"] == EPOCH.isoformat()


def test_a_backup_is_readable_until_the_key_of_its_time_is_destroyed(house: House) -> None:
    """The restored backup gives the person up only with that key."""
    house.erase()
    assert house.left() is BackupState.READABLE
    desk = KeyDesk(house.vault, house.keys, house.clock)
    old = house.keys.current(BANK)
    rotate(desk, scopes=(BANK,))
    assert house.left() is BackupState.READABLE

    destroy(desk, old)

    assert house.left() is BackupState.UNREADABLE


def test_a_backup_from_after_the_erasure_does_not_know_the_person(
    house: House, tmp_path: Path
) -> None:
    """Nothing of the subject is in it."""
    house.erase()
    house.vault.close()
    shutil.copyfile(tmp_path / "vault.db", house.backup)

    assert house.left() is BackupState.ABSENT
    house.backup.unlink()
    with pytest.raises(NotFoundError):
        house.left()
