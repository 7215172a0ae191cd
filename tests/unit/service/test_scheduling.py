# SPDX-License-Identifier: Apache-2.0
"""Threads of a server do not interrupt one another."""

import os
import subprocess
import sys

import pytest

from voiceauth.service.scheduling import run_in_batches

LOOK = """
import os, threading
from voiceauth.service.scheduling import run_in_batches
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
found = [os.sched_getscheduler(0)]
run_in_batches()
later = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
later.start()
later.join()
print(found == [os.SCHED_OTHER, os.SCHED_BATCH])
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux alone has batches")
def test_threads_that_start_later_run_in_batches() -> None:
    """The threads of gRPC and of the engine begin after the call and are under it."""
    told = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", LOOK], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert told.strip() == "True"


def test_a_kernel_that_forbids_it_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox that refuses the call leaves the server as it was."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    run_in_batches()


def test_a_system_without_batches_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such thing, nothing is called."""
    monkeypatch.delattr(os, "SCHED_BATCH", raising=False)
    monkeypatch.delattr(os, "sched_setscheduler", raising=False)
    run_in_batches()
