# SPDX-License-Identifier: Apache-2.0
"""The ledger's hashes and checkpoints in a directory elsewhere: another disk, machine or vendor.

Two files, both only ever appended to, so that the directory may lie on storage that forbids more:

* ``entry-hashes``: 32 bytes per entry, from the first on.
* ``checkpoints.jsonl``: one signed checkpoint per line, as a JSON string.

A crash may leave half a record at the end of either; it is cut off by the next writing and passed
over by reading. There is nothing personal in them.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from voiceauth.errors import IntegrityError, StorageError
from voiceauth.ledger.chain import HASH_BYTES

HASHES_FILE = "entry-hashes"
NOTES_FILE = "checkpoints.jsonl"
_LONGEST_LINE = 4096


class SecondPlace:
    """Reads and extends the copy. One writer at a time."""

    def __init__(self, directory: Path) -> None:
        self._hashes = directory / HASHES_FILE
        self._notes = directory / NOTES_FILE

    def count(self) -> int:
        """Return how many entries' hashes are there. Raises StorageError."""
        try:
            return self._hashes.stat().st_size // HASH_BYTES
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise _down(error) from error

    def hashes(self) -> bytes:
        """Return all hashes, 32 bytes each. Raises StorageError."""
        whole = _content(self._hashes)
        return whole[: len(whole) // HASH_BYTES * HASH_BYTES]

    def last_hash(self) -> bytes:
        """Return the newest entry's hash, empty if there is none. Raises StorageError."""
        return _content(self._hashes, (self.count() - 1) * HASH_BYTES)[:HASH_BYTES]

    def notes(self) -> Sequence[str]:
        """Return all signed checkpoints, oldest first, unchecked.

        Raises:
            IntegrityError: a line is no JSON string.
            StorageError: the file cannot be read.
        """
        *lines, _ = _content(self._notes).split(b"\n")
        try:
            found = [json.loads(line) for line in lines]
        except ValueError:
            raise IntegrityError(detail=f"{self._notes.name} is damaged") from None
        if not all(isinstance(one, str) for one in found):
            raise IntegrityError(detail=f"{self._notes.name} is damaged")
        return found

    def extend(self, after: int, hashes: bytes, note: str) -> None:
        """Append hashes, then the checkpoint that covers them; both are on the disk afterwards.

        Args:
            after: how many are there already; another writer may have come first.
            hashes: of the entries that follow, 32 bytes each.
            note: the signed checkpoint.

        Raises:
            StorageError: the directory cannot be written, or another writer came first; what was
                there is still whole.
        """
        line = json.dumps(note).encode("ascii") + b"\n"
        try:
            self._hashes.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(self._hashes.parent):
                if self.count() != after:
                    raise StorageError(detail="second place: another writer came first")
                _append(self._hashes, after * HASH_BYTES, hashes)
                _append(self._notes, _whole_lines(self._notes), line)
        except OSError as error:
            raise _down(error) from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _content(path: Path, start: int = 0) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, start))
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise _down(error) from error


def _whole_lines(path: Path) -> int:
    """Return the length of a file up to its last line end."""
    size = path.stat().st_size if path.exists() else 0
    start = max(0, size - _LONGEST_LINE)
    return start + _content(path, start).rfind(b"\n") + 1


def _append(path: Path, place: int, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        if file.tell() > place:
            file.truncate(place)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _down(error: OSError) -> StorageError:
    detail = f"second place: {error.strerror}"
    return StorageError("The ledger's second place is not available.", detail=detail)
