# SPDX-License-Identifier: Apache-2.0
"""Kill a writing process at random moments; nothing that it acknowledged may be lost."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from voiceauth.keys.keyring import FileKeyring
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeRandom
from voiceauth.testing.records import (
    MODEL,
    made_up_consent,
    made_up_recording,
    made_up_segment,
    made_up_voiceprint,
)
from voiceauth.types import SubjectId, TenantId
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK = TenantId("bank")
ROUNDS = 20
SEED = 20260101
STEPS = ("created", "consented", "pending", "enrolled", "erased")


def opened(home: Path, seed: int) -> SqliteVault:
    """Open the vault of ``home`` under its key file."""
    clock, chance = FakeClock(), FakeRandom(seed)
    keys = FileKeyring.load(home / "keys.json", clock=clock, random=chance)
    return open_vault(home / "vault.db", keys, clock=clock, random=chance)


def write_until_killed(home: Path, number: int) -> None:
    """Enrol and erase people for ever; print each step once it is durable."""
    vault = opened(home, seed=number)
    count = 0
    while True:
        count += 1
        name = SubjectId(f"s{number}-{count}")
        for step in STEPS[: 5 if count % 3 == 0 else 4]:
            with vault.begin() as change:
                entry = change.append(at=EPOCH, tenant=BANK, event=step, body={"n": count})
                if step == "created":
                    change.create_subject(BANK, name, at=EPOCH, groups=frozenset())
                elif step == "consented":
                    change.put_consent(BANK, name, made_up_consent())
                elif step == "pending":
                    change.put_pending_segments(BANK, name, MODEL, [made_up_segment(count)])
                elif step == "enrolled":
                    change.add_voiceprint(BANK, made_up_voiceprint(f"v-{name}", name))
                    change.put_pending_segments(BANK, name, MODEL, ())
                    change.put_recordings(BANK, name, [made_up_recording(count)])
                else:
                    change.erase_subject(BANK, name)
            os.write(1, f"{step} {name} {entry.sequence}\n".encode())


def killed_writer(home: Path, number: int, delay_seconds: float) -> list[tuple[str, str, int]]:
    """Run a writer, kill it after its first acknowledgement plus a delay; return its word."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(  # noqa: S603 - this very file
        [sys.executable, __file__, str(home), str(number)],
        stdout=subprocess.PIPE,
        env=environment,
    )
    if child.stdout is None:
        raise RuntimeError
    with child, child.stdout as output:
        first = output.readline()
        time.sleep(delay_seconds)
        child.send_signal(signal.SIGKILL)
        text = first + output.read()
    said = [line.split() for line in text.decode().splitlines(keepends=False)]
    return [(step, name, int(sequence)) for step, name, sequence in said]


def check(vault: SqliteVault, last_step: dict[str, str], last_sequence: int) -> None:
    """Hold the vault against what was acknowledged; one more step may have been durable."""
    assert vault.verify_ledger() - last_sequence in {0, 1}
    with vault.read() as view:
        for name, step in last_step.items():
            found = view.subject(BANK, SubjectId(name))
            prints = view.voiceprints(BANK, SubjectId(name), MODEL)
            pending = view.pending_segments(BANK, SubjectId(name), MODEL)
            reached = STEPS.index(step)
            if found is None:  # erased, perhaps without the writer living to say so
                assert step in {"erased", "enrolled"}
                assert (prints, pending) == ((), ())
                continue
            assert step != "erased"
            assert (found.consent is not None) or reached < STEPS.index("consented")
            assert len(prints) + len(pending) == 1 or reached < STEPS.index("pending")
            assert len(prints) == 1 or reached < STEPS.index("enrolled")
            assert not (prints and pending)
            assert len(view.recordings(BANK, SubjectId(name))) == len(prints)
            assert all(len(one.segments) == 2 for one in prints)


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """Over twenty kills: no acknowledged write lost, no half voiceprint, the ledger verifies."""
    FileKeyring.create(tmp_path / "keys.json", clock=FakeClock(), random=FakeRandom(SEED))
    moments = random.Random(SEED)
    steps: dict[str, str] = {}
    acknowledged = 0
    for number in range(ROUNDS):
        said = killed_writer(tmp_path, number, moments.uniform(0.0, 0.15))
        for step, name, sequence in said:
            steps[name] = step
            acknowledged = max(acknowledged, sequence)
        vault = opened(tmp_path, seed=1000 + number)
        check(vault, steps, acknowledged)
        acknowledged = vault.verify_ledger()
        vault.close()

    assert acknowledged > 2 * ROUNDS  # the writers really worked between the kills


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]), int(sys.argv[2]))
