# SPDX-License-Identifier: Apache-2.0
import errno
import os
from pathlib import Path

import pytest
from noted import made_up_alert

from voiceauth.alerts.jsonl import FileSink
from voiceauth.alerts.payload import line
from voiceauth.errors import SinkError

FIRST, SECOND = made_up_alert("a"), made_up_alert("b")


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fitted of an alert is taken back, and the next one follows the last whole one."""
    path = tmp_path / "alerts.jsonl"
    FileSink(path).send(FIRST)
    write, room = os.write, [40]

    def full(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "no space left on device")
        part = write(descriptor, data[: room[0]])
        room[0] -= part
        return part

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(SinkError):
            FileSink(path).send(SECOND)
    assert path.read_text() == line(FIRST) + "\n"

    FileSink(path).send(SECOND)
    assert path.read_text() == f"{line(FIRST)}\n{line(SECOND)}\n"


def test_half_a_line_of_a_crash_is_cut_off(tmp_path: Path) -> None:
    """A reader never meets two alerts on one line."""
    path = tmp_path / "alerts.jsonl"
    path.write_text(line(FIRST) + "\n" + line(SECOND)[:50])
    FileSink(path).send(SECOND)

    assert path.read_text() == f"{line(FIRST)}\n{line(SECOND)}\n"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """No directory, or a link somewhere else: it stays in the outbox."""
    with pytest.raises(SinkError):
        FileSink(tmp_path / "none" / "alerts.jsonl").send(FIRST)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(SinkError):
        FileSink(tmp_path / "link").send(FIRST)

    assert not (tmp_path / "target").exists()


def test_only_the_owner_reads_the_file(tmp_path: Path) -> None:
    """Alerts are for those whom the owner lets read them."""
    FileSink(tmp_path / "alerts.jsonl").send(FIRST)

    assert (tmp_path / "alerts.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    """So it can be rotated at any time."""
    path = tmp_path / "alerts.jsonl"
    sink = FileSink(path)
    sink.send(FIRST)
    path.rename(tmp_path / "alerts.1")
    sink.send(SECOND)

    assert path.read_text() == line(SECOND) + "\n"
