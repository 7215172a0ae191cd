# SPDX-License-Identifier: Apache-2.0
"""Alerts as lines of JSON in a file, for whatever collects files.

The file is opened for every alert, so that it may be moved away at any time, and an alert is on the
disk when it counts as delivered. Half a line that a crash or a full disk left is cut off first.
"""

import fcntl
import os
from pathlib import Path

from voiceauth.alerts.payload import line
from voiceauth.errors import SinkError
from voiceauth.types import Alert

_LONGEST_LINE = 65_536


class FileSink:
    """Appends alerts to a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, alert: Alert) -> None:
        """Append one alert. Raises SinkError; the file then ends with a whole line."""
        data = line(alert).encode("ascii") + b"\n"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                _append(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SinkError(detail=f"file: {error.strerror}") from error


def _append(descriptor: int, data: bytes) -> None:
    end = _whole(descriptor)
    try:
        rest = data
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def _whole(descriptor: int) -> int:
    """Cut off half a line at the end; return the length of what is left."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - _LONGEST_LINE)
    end = start + os.pread(descriptor, _LONGEST_LINE, start).rfind(b"\n") + 1
    if end < size:
        os.ftruncate(descriptor, end)
    return end
