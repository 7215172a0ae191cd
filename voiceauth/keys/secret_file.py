# SPDX-License-Identifier: Apache-2.0
"""Read a passphrase or PIN from a file that only its owner can read."""

import os
import stat
from pathlib import Path

from voiceauth.errors import KeyServiceError

_MOST_BYTES = 4096


def read_secret(path: Path) -> bytes:
    """Return the first line of a file, without its end.

    Raises:
        KeyServiceError: it cannot be read, is empty, or is open to others.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            line = file.readline(_MOST_BYTES).rstrip(b"\r\n")
    except OSError as error:
        raise KeyServiceError(f"{path} cannot be read.", detail=str(error.strerror)) from error
    if mode & 0o077:
        raise KeyServiceError(f"{path} is open to others (mode {mode:04o}); chmod it to 0600.")
    if not line:
        raise KeyServiceError(f"{path} holds no secret in its first line.")
    return line
