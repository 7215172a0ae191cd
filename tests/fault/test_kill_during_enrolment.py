# SPDX-License-Identifier: Apache-2.0
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_engine import MODEL, TENANT, make_engine

from voiceauth.types import SubjectId

KILLS = 50
WORKER = Path(__file__).parents[1] / "support" / "enrolment_worker.py"


def run_and_kill(data_dir: Path, first: int, delay: float) -> list[str]:
    """Let the worker enrol, kill it after a while, and return its complete lines of output."""
    child = subprocess.Popen(  # noqa: S603 - our own worker
        [sys.executable, str(WORKER), str(data_dir), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(WORKER.parent)},
    )
    stream = child.stdout
    if stream is None:
        pytest.fail("the worker has no output")
    if stream.readline() != "ready\n":
        pytest.fail("the worker did not start on the vault that its predecessor left")
    time.sleep(delay)
    os.kill(child.pid, signal.SIGKILL)
    rest = stream.read()
    child.wait()
    return [line for line in rest.split("\n")[:-1] if line]


def check(data_dir: Path, acknowledged: Sequence[str]) -> None:
    """Open the vault as a restarted server would and hold it against the acknowledgements."""
    engine = make_engine(data_dir)
    try:
        engine.vault.verify_ledger()  # type: ignore[attr-defined]  # beyond the port
        with engine.vault.read() as view:
            for line in acknowledged:
                event, name = line.split(" ", 1)
                subject = view.subject(TENANT, SubjectId(name))
                if subject is None:
                    pytest.fail(f"{line}: the subject was acknowledged and is lost")
                prints = view.voiceprints(TENANT, subject.subject, MODEL)
                pending = view.pending_segments(TENANT, subject.subject, MODEL)
                if event == "consented":
                    assert subject.consent is not None, line
                if event == "partial":
                    assert prints or len(pending) == 2, line
                if event == "enrolled":
                    assert len(prints) == 1, line
                    assert not pending, line
                for one in prints:
                    assert len(one.segments) == 4, "half a voiceprint"
                    assert one.net_seconds == pytest.approx(12.0)
    finally:
        engine.vault.close()


@pytest.mark.slow
def test_no_acknowledged_enrolment_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    """After 50 SIGKILLs at random moments nothing acknowledged is lost.

    No voiceprint is half stored either, and the ledger verifies.
    """
    moments = random.Random(20261123)
    acknowledged: list[str] = []

    for kill in range(KILLS):
        acknowledged += run_and_kill(tmp_path, kill * 1000, moments.uniform(0.0, 0.15))
        check(tmp_path, acknowledged[-40:])

    check(tmp_path, acknowledged)
    assert any(line.startswith("enrolled") for line in acknowledged)
