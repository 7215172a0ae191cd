# SPDX-License-Identifier: Apache-2.0
"""What was taken away, one line each, in a file beside the backups.

A backup from before an erasure brings the person back; this file says whom to take away again. Its
lines are chained under a key of the installation, so none can be changed, left out or moved; a
backup knows how many there were and the last one's code, so none of these can be cut off, either.
Later lines can be: keep the file where its last lines are safe.

A crash may leave half a line at the end; it is cut off by the next writing.
"""

import fcntl
import hmac
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from voiceauth.errors import IntegrityError, StorageError
from voiceauth.keys.canonical import bind
from voiceauth.types import Burial, Tombstone

_LONGEST_LINE = 512
_START = bytes(32)


class ErasureJournal:
    """Reads and extends the file. One writer at a time.

    Args:
        path: of the file; its directory is made when it is first written.
        key: 32 bytes, of the installation.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key

    def last_stone(self) -> tuple[int, Tombstone | None]:
        """Return how many lines there are, and the last one; nothing else is read, or checked.

        Raises:
            IntegrityError: the last line is malformed.
            StorageError: the file cannot be read.
        """
        stone = self._end()[0]
        return (0 if stone is None else stone.number), stone

    def code_at(self, count: int) -> str:
        """Return the code of a line, hex; empty for none. Checks all lines up to it.

        Raises:
            IntegrityError: the file was changed, or is shorter.
            StorageError: it cannot be read.
        """
        if count == 0:
            return ""
        for stone, code in self._walked():
            if stone.number == count:
                return code.hex()
        raise IntegrityError("The erasure journal is too short.", detail=f"no line {count}")

    def read(self) -> tuple[Tombstone, ...]:
        """Return all there is, checked from the first line on.

        Raises:
            IntegrityError: a line was changed, left out or moved.
            StorageError: the file cannot be read.
        """
        return tuple(one for one, _ in self._walked())

    def since(self, count: int, code: str) -> tuple[Tombstone, ...]:
        """Return what came after a known line.

        Args:
            count: how many lines there were.
            code: of the last of them, hex; empty for none.

        Raises:
            IntegrityError: the file does not hold these lines, or was changed.
            StorageError: the file cannot be read.
        """
        found = list(self._walked())
        at = found[count - 1][1].hex() if 0 < count <= len(found) else ""
        if len(found) < count or not hmac.compare_digest(at, code):
            raise IntegrityError(
                "The erasure journal is not the one that this backup knows.",
                detail=f"{count} lines are known, {len(found)} are there",
            )
        return tuple(one for one, _ in found[count:])

    def extend(self, stones: Sequence[Tombstone]) -> None:
        """Append what is not there yet; it is on the disk afterwards.

        Raises:
            IntegrityError: they do not continue the file.
            StorageError: the file cannot be written; what was there is still whole.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(self._path.parent):
                last, code, size = self._end()
                count = 0 if last is None else last.number
                lines = []
                for one in stones:
                    if one.number <= count:
                        continue
                    if one.number != count + 1:
                        raise IntegrityError(detail="an erasure is missing before the next one")
                    count, code = one.number, self._code(code, one)
                    lines.append(_line(one, code))
                if lines:
                    self._append(size, b"".join(lines))
        except OSError as error:
            raise _down(error) from error

    def _append(self, size: int, data: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            if file.tell() > size:
                file.truncate(size)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _end(self) -> tuple[Tombstone | None, bytes, int]:
        """Return the last whole line and its code, and where it ends."""
        try:
            size = self._path.stat().st_size
            with self._path.open("rb") as file:
                start = max(0, size - 2 * _LONGEST_LINE)
                file.seek(start)
                tail = file.read(size - start)
        except FileNotFoundError:
            return None, _START, 0
        except OSError as error:
            raise _down(error) from error
        whole = tail[: tail.rfind(b"\n") + 1]
        if not whole:
            if start or len(tail) > _LONGEST_LINE:
                raise IntegrityError(detail="the erasure journal's last line is damaged")
            return None, _START, 0
        stone, code = _parsed(whole[:-1].rpartition(b"\n")[2])
        return stone, code, start + len(whole)

    def _walked(self) -> Iterator[tuple[Tombstone, bytes]]:
        code = _START
        for number, line in enumerate(self._lines(), start=1):
            stone, stated = _parsed(line)
            code = self._code(code, stone)
            if stone.number != number or not hmac.compare_digest(code, stated):
                raise IntegrityError(
                    "The erasure journal was changed.", detail=f"line {number} does not fit"
                )
            yield stone, code

    def _lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _down(error) from error

    def _code(self, before: bytes, one: Tombstone) -> bytes:
        message = bind(
            "tombstone",
            before=before,
            number=one.number,
            row_key=one.row_key,
            kind=one.kind.value,
            at="" if one.at is None else one.at.isoformat(),
        )
        return hmac.digest(self._key, message, "sha256")


def _line(one: Tombstone, code: bytes) -> bytes:
    fields = {
        "n": one.number,
        "row": one.row_key.hex(),
        "kind": one.kind.value,
        "at": None if one.at is None else one.at.isoformat(),
        "code": code.hex(),
    }
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def _parsed(line: bytes) -> tuple[Tombstone, bytes]:
    try:
        found = json.loads(line)
        at = None if found["at"] is None else datetime.fromisoformat(found["at"])
        row = bytes.fromhex(found["row"])
        stone = Tombstone(int(found["n"]), row, Burial(found["kind"]), at)
        return stone, bytes.fromhex(found["code"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise IntegrityError("A line of the erasure journal is damaged.") from None


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _down(error: OSError) -> StorageError:
    return StorageError(
        "The erasure journal is not available.", detail=f"erasure journal: {error.strerror}"
    )
