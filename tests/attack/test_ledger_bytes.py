# SPDX-License-Identifier: Apache-2.0
"""Somebody with the disk in hands flips single bytes of the ledger's rows in the file itself."""

from pathlib import Path

from voiceauth.errors import ChainBrokenError, IntegrityError
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.types import TenantId
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

MARK = "marked-event"


def opened(path: Path) -> SqliteVault:
    """Open the vault under its keys."""
    return open_vault(path, FakeKeyService(), clock=FakeClock(), random=FakeRandom(1))


def named(path: Path) -> int | None:
    """Return the entry that verification names; None if the file does not even open."""
    try:
        vault = opened(path)
    except ChainBrokenError as error:
        return error.index
    except IntegrityError:
        return None
    try:
        vault.verify_ledger()
    except ChainBrokenError as error:
        return error.index
    finally:
        vault.close()
    return 0


def test_every_flipped_byte_of_an_entry_is_named_or_the_file_is_refused(tmp_path: Path) -> None:
    """From the row's tenant to the last byte of its hash no change goes unnoticed."""
    path = tmp_path / "vault.db"
    vault = opened(path)
    for number in range(5):
        event = MARK if number == 2 else "event"
        with vault.begin() as change:
            change.append(at=EPOCH, tenant=TenantId("bank"), event=event, body={"n": number})
    vault.close()
    whole = path.read_bytes()
    start = whole.rindex(b"bank" + MARK.encode())
    end = start + len("bank" + MARK + '{"n":2}') + 32 + 32

    unnoticed, misnamed = [], []
    for place in range(start, end):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        index = named(path)
        unnoticed += [place - start] if index == 0 else []
        misnamed += [place - start] if index not in {0, 3, None} else []
    path.write_bytes(whole)

    assert unnoticed == []
    assert misnamed == []
    assert named(path) == 0
