# SPDX-License-Identifier: Apache-2.0
"""Kill a working process again and again; after every kill everything it told must hold.

    python -m tests.fault.kill_loops --rounds 1000

Each round forks a process that creates, enrols, verifies, impersonates, erases, withdraws, opts
out, rotates and destroys keys, signs checkpoints and makes backups, now and then on a full disk,
and kills it with SIGKILL at a random moment. Then the installation is opened as a restarted server
would, and held against what the killed process had told as done. ``killed_checks`` has the
invariants. It prints a JSON report; exit code 1 and the seed tell of a broken one.

Run it from the root of a checkout. One seed gives the same steps, not the same moments.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from killed_checks import Book, Broken, check
from killed_worker import work_until_killed

LONGEST_SECONDS = 0.8
DEEP_EVERY = 25
KNOWN = 40
"""People of earlier rounds that a process works on."""


def killed(home: Path, seed: int, known: Sequence[str], seconds: float) -> list[str]:
    """Fork a worker, kill it so many seconds after it is ready, and return what it told."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            os.dup2(write, 1)
            work_until_killed(home, seed, tuple(known))
        except BaseException as error:  # noqa: BLE001 - told to the parent, who is the judge
            os.write(1, f"crashed {type(error).__name__} {str(error)!r}\n".encode())
        finally:
            os._exit(3)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        first = pipe.readline()
        if first == b"ready\n":
            time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        rest = pipe.read()
    os.waitpid(child, 0)
    lines = [line for line in (first + rest).decode().split("\n")[:-1] if line != "ready"]
    if first != b"ready\n" or any(line.startswith("crashed") for line in lines):
        raise Broken(f"a worker crashed: {lines[-1:]}")
    return lines


def loop(home: Path, rounds: int, seed: int) -> dict[str, object]:
    """Run the rounds in a directory; return the report. Raises Broken."""
    chance = random.Random(seed)
    book, entries, started = Book(), 0, time.monotonic()
    for number in range(1, rounds + 1):
        everybody = sorted(book.state)
        known = chance.sample(everybody, min(KNOWN, len(everybody)))
        lines = killed(home, seed * 10_000 + number, known, chance.uniform(0, LONGEST_SECONDS))
        touched = book.take(lines)
        deep = number % DEEP_EVERY == 0 or number == rounds
        found = check(home, book, {*touched, *known}, deep=deep)
        if found < entries:
            raise Broken(f"the ledger had {entries} entries and has {found}")
        entries = found
        if number % 100 == 0:
            sys.stderr.write(f"{number} rounds, {entries} ledger entries\n")
    return {
        "rounds": rounds,
        "seed": seed,
        "people": len(book.state),
        "ledger_entries": entries,
        "failures_counted": sum(book.failures.values()),
        "steps": dict(sorted(book.steps.items())),
        "seconds": round(time.monotonic() - started, 1),
        "held": True,
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="default: a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory) as folder:
        try:
            report = loop(Path(folder), given.rounds, given.seed)
        except Broken as error:
            report = {"held": False, "seed": given.seed, "broken": str(error)}
    sys.stdout.write(f"{json.dumps(report, indent=1)}\n")
    return 0 if report["held"] else 1


if __name__ == "__main__":
    sys.exit(main())
