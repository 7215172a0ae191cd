# SPDX-License-Identifier: Apache-2.0
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from voiceauth.errors import ChainBrokenError, IntegrityError, NotFoundError, StorageError
from voiceauth.keys.signing import SigningKey
from voiceauth.ledger.chain import GENESIS, head_of, next_entry
from voiceauth.ledger.checkpoint import opened, verifier
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.types import LedgerEntry, StoredCheckpoint, TenantId
from voiceauth.usecases.check_ledger import audit
from voiceauth.usecases.keep_checkpoints import (
    CheckpointDesk,
    copy_out,
    make_checkpoint,
    signing_key,
)
from voiceauth.usecases.prove_ledger import check_proof, prove_growth, prove_inclusion
from voiceauth.vault.open import open_vault
from voiceauth.vault.second_place import HASHES_FILE, NOTES_FILE, SecondPlace
from voiceauth.vault.store import SqliteVault

BANK = TenantId("bank")


class Desk:
    """A vault on disk with a desk over it, which can be closed, tampered with and opened again."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "vault.db"
        self.place = folder / "elsewhere"
        self.open()

    def open(self, *, accept: bool = False) -> None:
        """Open the vault."""
        keys, clock = FakeKeyService(), FakeClock()
        self.vault: SqliteVault = open_vault(
            self.file, keys, clock=clock, random=FakeRandom(1), accept_ledger_head=accept
        )
        self.desk = CheckpointDesk(self.vault, signing_key(keys), clock, self.place)

    def write(self, count: int) -> None:
        """Append entries."""
        for number in range(count):
            with self.vault.begin() as change:
                change.append(at=EPOCH, tenant=BANK, event="test", body={"n": number})

    def tamper(self, *statements: str) -> None:
        """Change the closed file, and open it as an operator would who believes it."""
        self.vault.close()
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("DROP TRIGGER ledger_keeps_entries")
            connection.execute("DROP TRIGGER ledger_keeps_content")
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        self.open(accept=True)

    def rewrite(self, first: int) -> None:
        """Forge entries from one on and chain everything anew, the anchor included."""
        entries = list(self.vault.ledger())
        self.vault.close()
        forged: list[LedgerEntry] = []
        head = GENESIS
        for one in entries:
            event = "forged" if one.sequence == first else one.event
            entry = next_entry(head, at=one.at, tenant=BANK, event=event, body={"n": one.sequence})
            kept = one if one.sequence < first else entry
            forged.append(kept)
            head = head_of(kept)
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("DROP TRIGGER ledger_keeps_content")
            for one in forged:
                connection.execute(
                    "UPDATE ledger SET event=?, body=?, previous_hash=?, entry_hash=? "
                    "WHERE sequence=?",
                    (one.event, one.body, one.previous_hash, one.entry_hash, one.sequence),
                )
            connection.commit()
        self.open(accept=True)

    def bad(self) -> int:
        """Return the first bad entry that an audit against the second place names."""
        with pytest.raises(ChainBrokenError) as caught:
            audit(self.vault, self.desk, self.place)
        return caught.value.index


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Desk]:
    """A vault with ten entries, all stated and copied."""
    made = Desk(tmp_path)
    made.write(10)
    made.desk.run()
    yield made
    made.vault.close()


def test_a_rewritten_and_rechained_history_is_named_although_the_anchor_fits(one: Desk) -> None:
    """Whoever can write database and anchor still cannot write the second place."""
    one.rewrite(4)

    assert one.vault.verify_ledger() == 10
    assert one.bad() == 4


def test_a_cut_off_tail_is_named_although_the_anchor_fits(one: Desk) -> None:
    """An operator who accepted a shorter ledger is told what was there before."""
    one.tamper("DELETE FROM ledger WHERE sequence > 6", "DELETE FROM checkpoint")

    assert one.vault.verify_ledger() == 6
    assert one.bad() == 7


def test_nothing_is_signed_or_copied_behind_a_rewritten_history(one: Desk) -> None:
    """A forged history never gets a checkpoint, and the attempt names the entry."""
    one.write(2)
    one.rewrite(9)
    before = one.vault.checkpoint()

    with pytest.raises(ChainBrokenError) as caught:
        make_checkpoint(one.desk)

    assert caught.value.index == 10
    assert one.vault.checkpoint() == before


def test_a_change_since_the_last_checkpoint_is_not_signed(one: Desk) -> None:
    """New entries are walked before they are signed."""
    one.write(3)
    one.tamper("UPDATE ledger SET body = '{}' WHERE sequence = 12")

    with pytest.raises(ChainBrokenError) as caught:
        make_checkpoint(one.desk)

    assert caught.value.index == 12


def test_a_missing_signed_entry_is_named(one: Desk) -> None:
    """The last signed entry must still be there."""
    one.tamper("DELETE FROM ledger WHERE sequence = 10")

    with pytest.raises(ChainBrokenError) as caught:
        make_checkpoint(one.desk)

    assert caught.value.index == 10


@pytest.mark.parametrize("peaks", [b"", bytes(64), bytes(96), bytes(63)])
def test_a_changed_tree_is_refused(one: Desk, peaks: bytes) -> None:
    """The stored tree must be the signed one, or the next root would hide a rewriting."""
    stored = one.vault.checkpoint()
    assert stored is not None
    one.vault.put_checkpoint(StoredCheckpoint(stored.note, peaks))

    with pytest.raises(IntegrityError):
        make_checkpoint(one.desk)


def test_another_installations_checkpoint_is_refused(one: Desk) -> None:
    """A checkpoint signed elsewhere proves nothing here."""
    other = replace(one.desk, key=SigningKey(bytes(32)))

    with pytest.raises(IntegrityError):
        make_checkpoint(other)


def test_a_second_place_that_is_ahead_or_different_is_reported(one: Desk, tmp_path: Path) -> None:
    """The copy knows more, or something else: the vault was cut or exchanged."""
    made = make_checkpoint(one.desk)
    assert made is not None
    ahead = SecondPlace(one.place)
    ahead.extend(10, bytes(32), "note")
    with pytest.raises(ChainBrokenError) as caught:
        copy_out(one.desk, made, one.place)
    assert caught.value.index == 11

    SecondPlace(tmp_path / "other").extend(0, bytes(64), "note")
    with pytest.raises(ChainBrokenError) as caught:
        copy_out(one.desk, made, tmp_path / "other")
    assert caught.value.index == 2


def test_a_second_place_that_is_away_costs_no_checkpoint(one: Desk, tmp_path: Path) -> None:
    """The error tells of the place; the vault's own checkpoint is made all the same."""
    (tmp_path / "file").write_text("in the way")
    one.write(1)

    with pytest.raises(StorageError):
        replace(one.desk, export=tmp_path / "file" / "below").run()

    stored = one.vault.checkpoint()
    assert stored is not None
    assert opened(stored.note, one.desk.key.public).size == 11


def test_a_torn_record_in_the_second_place_is_mended(one: Desk) -> None:
    """A crash in the middle of copying leaves half a record, which the next copy overwrites."""
    for name in (HASHES_FILE, NOTES_FILE):
        with (one.place / name).open("ab") as file:
            file.write(b'"half')
    assert audit(one.vault, one.desk, one.place).copied == 10

    one.write(5)
    one.desk.run()

    assert audit(one.vault, one.desk, one.place).copied == 15
    assert len(SecondPlace(one.place).notes()) == 2


def test_a_damaged_second_place_is_no_testimony(one: Desk) -> None:
    """Lines that are no JSON strings are damage, never an empty list."""
    for rubbish in ("{rubbish\n", "5\n"):
        (one.place / NOTES_FILE).write_text(rubbish)
        with pytest.raises(IntegrityError):
            SecondPlace(one.place).notes()
    (one.place / NOTES_FILE).unlink()
    (one.place / NOTES_FILE).mkdir()
    with pytest.raises(StorageError):
        SecondPlace(one.place).notes()


def test_two_writers_do_not_write_the_same_entries_twice(one: Desk) -> None:
    """The later one is told, and its entries are there already."""
    with pytest.raises(StorageError, match="another writer"):
        SecondPlace(one.place).extend(9, bytes(32), "note")

    assert SecondPlace(one.place).count() == 10


def test_a_checkpoint_without_news_is_the_last_one(one: Desk) -> None:
    """Nothing new, nothing signed; and nothing at all for an empty ledger."""
    first = make_checkpoint(one.desk)

    assert first == make_checkpoint(one.desk)
    assert copy_out(one.desk, first, one.place) == 0  # type: ignore[arg-type]
    assert len(SecondPlace(one.place).notes()) == 1


def test_an_empty_ledger_has_no_checkpoint(tmp_path: Path) -> None:
    """There is nothing to state."""
    empty = Desk(tmp_path)

    empty.desk.run()

    assert empty.vault.checkpoint() is None
    with pytest.raises(NotFoundError):
        prove_inclusion(empty.desk, 1)
    empty.vault.close()


def test_many_small_steps_lead_to_the_root_of_one_large_step(one: Desk) -> None:
    """A tree that grew by checkpoints is the tree over all entries."""
    for count in (1, 2, 5, 600):
        one.write(count)
        one.desk.run()

    found = audit(one.vault, one.desk, one.place)

    assert (found.entries, found.covered, found.copied) == (618, 618, 618)
    assert found.checkpoints == 6


@pytest.mark.parametrize("sequence", [1, 7, 13])
def test_a_proof_of_inclusion_holds_alone(one: Desk, sequence: int) -> None:
    """Any entry can be proved, also one that is newer than the last checkpoint."""
    one.write(3)
    trusted = verifier(one.desk.key.public)

    proof = prove_inclusion(one.desk, sequence)

    assert check_proof(proof, trusted).size == 13
    assert check_proof(proof).size == 13


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("body", '{"n":99}'),
        ("sequence", 3),
        ("event", "other"),
        ("at", "2026-01-01T12:00:01+00:00"),
        ("entry_hash", "00" * 32),
        ("previous_hash", "zz"),
    ],
)
def test_a_changed_entry_is_not_proved(one: Desk, field: str, value: object) -> None:
    """Every field of the entry is bound."""
    proof = prove_inclusion(one.desk, 5)
    entry = proof["entry"]
    assert isinstance(entry, dict)
    entry[field] = value

    with pytest.raises(IntegrityError):
        check_proof(proof)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("proof", []),
        ("proof", "none"),
        ("entry", []),
        ("checkpoint", "none"),
        ("verifier", "none"),
        ("kind", "growth"),
    ],
)
def test_a_changed_proof_is_refused(one: Desk, field: str, value: object) -> None:
    """A proof with a part missing, exchanged or malformed shows nothing."""
    with pytest.raises(IntegrityError):
        check_proof({**prove_inclusion(one.desk, 5), field: value})


def test_an_entry_of_another_history_with_its_own_hash_is_not_proved(one: Desk) -> None:
    """An entry that is consistent in itself must still be in the signed tree."""
    proof = prove_inclusion(one.desk, 1)
    stranger = next_entry(GENESIS, at=EPOCH, tenant=BANK, event="stranger", body={})
    document = {
        "sequence": 1,
        "at": stranger.at.isoformat(),
        "tenant": BANK,
        "event": "stranger",
        "body": "{}",
        "previous_hash": stranger.previous_hash.hex(),
        "entry_hash": stranger.entry_hash.hex(),
    }

    with pytest.raises(IntegrityError, match="not in the ledger"):
        check_proof({**proof, "entry": document})


def test_growth_is_proved_from_an_earlier_checkpoint(one: Desk) -> None:
    """Nothing of the earlier ledger was rewritten."""
    stored = one.vault.checkpoint()
    assert stored is not None
    one.write(4)

    proof = prove_growth(one.desk, stored.note)

    assert check_proof(proof, verifier(one.desk.key.public)).size == 14
    with pytest.raises(IntegrityError, match="does not continue"):
        check_proof({**proof, "proof": []})
    with pytest.raises(IntegrityError):
        check_proof(proof, verifier(SigningKey(bytes(32)).public))


def test_growth_of_a_shortened_ledger_is_not_proved(one: Desk) -> None:
    """A ledger that is shorter than an earlier checkpoint cannot have grown from it."""
    stored = one.vault.checkpoint()
    assert stored is not None
    one.tamper("DELETE FROM ledger WHERE sequence > 6", "DELETE FROM checkpoint")

    with pytest.raises(NotFoundError, match="shorter"):
        prove_growth(one.desk, stored.note)


def test_an_entry_that_is_not_there_is_not_proved(one: Desk) -> None:
    """There is no proof of absence."""
    with pytest.raises(NotFoundError):
        prove_inclusion(one.desk, 11)
