# SPDX-License-Identifier: Apache-2.0
"""Keep a server's memory off the disk: it holds the audio of running calls, and keys.

A limit of zero for core files does not stop a kernel that pipes cores into a collector, so on Linux
the process says besides that it must not be dumped at all. Then other processes of the same user
cannot attach to it or read its memory, either.
"""

import ctypes
import resource
import sys

_GET_DUMPABLE, _SET_DUMPABLE = 3, 4
"""Options of ``prctl(2)``."""


def leave_no_core() -> None:
    """Have a crash write no memory anywhere. Cannot be undone by what runs afterwards."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def is_dumpable() -> bool:
    """Whether the kernel may dump this process; always True where it cannot be said."""
    if sys.platform != "linux":
        return True
    return bool(ctypes.CDLL(None).prctl(_GET_DUMPABLE, 0, 0, 0, 0))
