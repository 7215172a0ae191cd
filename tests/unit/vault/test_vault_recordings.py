# SPDX-License-Identifier: Apache-2.0
import sqlite3
from pathlib import Path

import pytest

from voiceauth.errors import IntegrityError, NotFoundError, TagMismatchError
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.testing.records import made_up_recording
from voiceauth.types import SubjectId, TenantId
from voiceauth.vault import schema
from voiceauth.vault.open import open_vault
from voiceauth.vault.recording_codec import decode_recordings, encode_recordings
from voiceauth.vault.store import SqliteVault

BANK, SHOP = TenantId("bank"), TenantId("shop")
ALICE, BOB = SubjectId("alice"), SubjectId("bob")
HEARD = (made_up_recording(1), made_up_recording(2, call="call-2", frames=7))


def remember(vault: SqliteVault) -> None:
    """Create Alice and Bob; remember two recordings of Alice and one of Bob."""
    with vault.begin() as change:
        for name in (ALICE, BOB):
            change.create_subject(BANK, name, at=EPOCH, groups=frozenset())
        change.put_recordings(BANK, ALICE, HEARD)
        change.put_recordings(BANK, BOB, [made_up_recording(3)])


def tamper(home: Path, statement: str) -> int:
    """Change the file behind the vault's back; return the number of rows."""
    with sqlite3.connect(home / "vault.db") as connection:
        return connection.execute(statement).rowcount


def test_recordings_come_back_as_they_were(vault: SqliteVault) -> None:
    """What was heard is read back whole and in order, and of that subject only."""
    remember(vault)
    with vault.read() as view:
        assert view.recordings(BANK, ALICE) == HEARD
        assert view.recordings(BANK, BOB) == (made_up_recording(3),)
        assert view.recordings(SHOP, ALICE) == ()


def test_recordings_are_replaced_whole(vault: SqliteVault) -> None:
    """A new set takes the place of the old one, and an empty one removes it."""
    remember(vault)
    with vault.begin() as change:
        change.put_recordings(BANK, ALICE, HEARD[1:])
        change.put_recordings(BANK, BOB, ())
    with vault.read() as view:
        assert view.recordings(BANK, ALICE) == HEARD[1:]
        assert view.recordings(BANK, BOB) == ()


def test_nobody_is_remembered_without_a_subject(vault: SqliteVault) -> None:
    """Remembering does not make a subject appear."""
    with pytest.raises(NotFoundError), vault.begin() as change:
        change.put_recordings(BANK, BOB, HEARD)


@pytest.mark.parametrize("forget", ["erase_subject", "delete_voiceprints"])
def test_recordings_go_with_the_voice(vault: SqliteVault, tmp_path: Path, forget: str) -> None:
    """Erasing a subject, or its voice alone, leaves no row of what was heard of it."""
    remember(vault)
    with vault.begin() as change:
        getattr(change, forget)(BANK, ALICE)
    with vault.read() as view:
        assert view.recordings(BANK, ALICE) == ()
        assert view.recordings(BANK, BOB) != ()
    with sqlite3.connect(tmp_path / "vault.db") as connection:
        assert connection.execute("SELECT count(*) FROM recordings").fetchone() == (1,)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE recordings SET sealed = substr(sealed, 1, length(sealed) - 1)",
        "UPDATE recordings SET sealed = x'01'",
        # Each other's rows: the key is the subject's, so neither opens.
        (
            "UPDATE recordings SET sealed = (SELECT sealed FROM recordings AS other "
            "WHERE other.row_key <> recordings.row_key)"
        ),
        # Another sealed row of the same subject, under the same key.
        (
            "UPDATE recordings SET sealed = (SELECT record FROM subjects "
            "WHERE subjects.row_key = recordings.row_key)"
        ),
    ],
)
def test_tampering_is_an_error_and_never_nothing_heard(
    vault: SqliteVault, tmp_path: Path, statement: str
) -> None:
    """A changed, moved or exchanged row raises instead of reading as no replay."""
    remember(vault)
    assert tamper(tmp_path, statement) == 2
    with pytest.raises(TagMismatchError), vault.read() as view:
        view.recordings(BANK, ALICE)


def test_call_ids_do_not_stand_in_the_file(vault: SqliteVault, tmp_path: Path) -> None:
    """Neither the call nor the fingerprint can be read from the file."""
    remember(vault)
    vault.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert b"call-2" not in content
    assert HEARD[0].fingerprint.bits not in content


@pytest.mark.parametrize("cut", [0, 3, 4, 20, 30, -1])
def test_a_malformed_payload_is_an_integrity_error(cut: int) -> None:
    """A payload cut anywhere is refused, not half read."""
    payload = encode_recordings(HEARD)
    with pytest.raises(IntegrityError):
        decode_recordings(payload[:cut])


def test_a_payload_with_more_behind_it_is_an_integrity_error() -> None:
    """Bytes that belong to no recording are refused."""
    with pytest.raises(IntegrityError):
        decode_recordings(encode_recordings(HEARD) + b"\0")


def test_a_vault_without_recordings_gets_their_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vault of the version before opens, keeps its subjects, and remembers from then on."""
    keys = FakeKeyService()
    with monkeypatch.context() as before:
        before.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        old = open_vault(tmp_path / "vault.db", keys, clock=FakeClock(), random=FakeRandom(1))
        with old.begin() as change:
            change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())
        old.close()
    new = open_vault(tmp_path / "vault.db", keys, clock=FakeClock(), random=FakeRandom(2))
    with new.begin() as change:
        change.put_recordings(BANK, ALICE, HEARD)
    with new.read() as view:
        assert view.recordings(BANK, ALICE) == HEARD
    new.close()
