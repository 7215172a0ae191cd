# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from pathlib import Path

import pytest

from voiceauth.backup.journal import ErasureJournal
from voiceauth.errors import IntegrityError, StorageError
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import Burial, Tombstone

KEY = bytes(range(32))
STONES = tuple(
    Tombstone(number, bytes([number]) * 32, kind, EPOCH if kind is Burial.WITHDRAWN else None)
    for number, kind in enumerate((*Burial, *Burial), start=1)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies; its directory is made by writing."""
    return tmp_path / "backups" / "erasures.jsonl"


@pytest.fixture
def journal(path: Path) -> ErasureJournal:
    """A journal of eight lines."""
    made = ErasureJournal(path, KEY)
    made.extend(STONES)
    return made


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[1:],
        lambda lines: [*lines[:3], *lines[4:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines[:2], lines[2].replace(b"withdrawn", b"erased"), *lines[3:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [b"{}", *lines[1:]],
        lambda lines: [b"no json", *lines[1:]],
    ],
)
def test_a_journal_that_was_changed_is_refused(
    journal: ErasureJournal, path: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    """No line can be left out, moved, changed or doubled."""
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"".join(line + b"\n" for line in change(lines)))

    with pytest.raises(IntegrityError):
        journal.read()


def test_a_journal_is_of_one_installation(journal: ErasureJournal, path: Path) -> None:
    """Under another key nothing of it is believed."""
    with pytest.raises(IntegrityError):
        ErasureJournal(path, bytes(32)).read()


def test_a_journal_that_is_shorter_than_a_backup_knows_is_refused(
    journal: ErasureJournal, path: Path
) -> None:
    """Lines that a backup knows cannot be cut off, and a missing journal is not an empty one."""
    code = journal.code_at(5)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]))
    with pytest.raises(IntegrityError):
        journal.since(5, code)
    path.unlink()
    with pytest.raises(IntegrityError):
        journal.since(5, code)


def test_a_journal_of_another_history_is_refused(journal: ErasureJournal, tmp_path: Path) -> None:
    """As many lines are not the same lines."""
    other = ErasureJournal(tmp_path / "other", KEY)
    other.extend([Tombstone(1, bytes(32), Burial.ERASED), *STONES[1:]])

    with pytest.raises(IntegrityError):
        journal.since(3, other.code_at(3))


def test_what_came_after_a_backup_is_known(journal: ErasureJournal) -> None:
    """From the first line, from the middle and from the end."""
    assert journal.since(0, "") == STONES
    assert journal.since(3, journal.code_at(3)) == STONES[3:]
    assert journal.since(8, journal.code_at(8)) == ()
    with pytest.raises(IntegrityError):
        journal.code_at(9)


def test_a_line_that_a_crash_cut_off_is_written_again(journal: ErasureJournal, path: Path) -> None:
    """Half a line is passed over by reading and replaced by writing."""
    whole = path.read_bytes()
    for length in range(len(whole) - 150, len(whole)):
        path.write_bytes(whole[:length])
        assert journal.read() == STONES[:7]
        journal.extend(STONES)
        assert path.read_bytes() == whole


def test_a_gap_is_refused(journal: ErasureJournal) -> None:
    """An erasure that was never written must not be passed over."""
    with pytest.raises(IntegrityError):
        journal.extend([Tombstone(10, bytes(32), Burial.ERASED)])
    assert journal.last_stone() == (8, STONES[-1])


def test_what_is_there_is_not_written_twice(journal: ErasureJournal, path: Path) -> None:
    """Two writers with the same erasures leave one line each."""
    before = path.read_bytes()
    journal.extend(STONES[2:])

    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o077 == 0


def test_a_journal_without_a_line_end_is_damaged(tmp_path: Path) -> None:
    """Something long that is no line is not taken for a crash."""
    path = tmp_path / "erasures.jsonl"
    path.write_bytes(b"x" * 5000)

    with pytest.raises(IntegrityError):
        ErasureJournal(path, KEY).extend(STONES)


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    """Also one that cannot be read."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        ErasureJournal(tmp_path / "file" / "erasures.jsonl", KEY).extend(STONES)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError):
        ErasureJournal(tmp_path / "folder", KEY).read()
