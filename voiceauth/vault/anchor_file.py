# SPDX-License-Identifier: Apache-2.0
"""The ledger's anchor as a file beside the vault, replaced whole after each commit.

It may lag behind the vault after a crash; if it is ahead, entries are missing from the vault.
"""

import os
from contextlib import suppress
from pathlib import Path

from voiceauth.errors import ChainBrokenError, StorageError
from voiceauth.ledger import anchor
from voiceauth.ledger.chain import Head


class AnchorFile:
    """Reads and replaces the anchor. Not thread-safe: the vault's writer lock guards it."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key

    def read(self) -> Head | None:
        """Return the anchored head, or None if there is no file.

        Raises:
            IntegrityError: the file was changed, or made under another key.
            StorageError: it cannot be read.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(detail=f"ledger anchor: {error.strerror}") from error
        return anchor.decode(self._key, data)

    def replace(self, head: Head) -> None:
        """Anchor a new head.

        Raises:
            StorageError: the file cannot be written; the old anchor is still whole.
        """
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            try:
                _write(draft, anchor.encode(self._key, head))
                draft.replace(self._path)
            finally:
                with suppress(FileNotFoundError):
                    draft.unlink()
        except OSError as error:
            raise StorageError(detail=f"ledger anchor: {error.strerror}") from error


def require_not_behind(stored: Head | None, anchored: Head | None, last: Head) -> None:
    """Check the vault's chain against the anchor, without walking it.

    Args:
        stored: the vault's entry at the anchored sequence number, if there is one.
        anchored: what the anchor says.
        last: the end of the vault's chain.

    Raises:
        ChainBrokenError: the anchor is ahead, tells of another entry, or is missing.
    """
    if anchored is None:
        raise ChainBrokenError(last.sequence, detail="the ledger's anchor is missing")
    if stored is None:
        raise ChainBrokenError(
            last.sequence + 1, detail=f"the tail is missing: {anchored.sequence} was the last"
        )
    if stored != anchored:
        raise ChainBrokenError(anchored.sequence, detail="the chain was rewritten")


def _write(path: Path, data: bytes) -> None:
    # A draft of the same process that a crash left behind may be overwritten.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
