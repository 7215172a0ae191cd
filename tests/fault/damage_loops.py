# SPDX-License-Identifier: Apache-2.0
"""Damage files of an installation and fill its disk, again and again; nobody may be deceived.

    python -m tests.fault.damage_loops --rounds 500
    python -m tests.fault.damage_loops --rounds 50 --small-disk /mnt/three-megabytes

Each round damages one file at random (a flipped bit, a torn block, an early end), out of vault,
anchor, keys, second place, journal, backup, model, calibration, cohort and manifest, and uses the
installation. With ``--small-disk``, a directory on a file system of a few megabytes, it also fills
that disk to the last byte, works on, makes room, and looks that nothing is lost. It prints a JSON
report; exit code 1 tells of a deceit.
"""

import argparse
import errno
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from damaged import PEOPLE, Deceived, damage, damage_models, good_installation
from fake_engine import MODEL, TENANT
from killed_worker import Works, enrol, erase, opened, verify

from voiceauth.errors import EngineError
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest

FILES = (
    "live/vault.db",
    "live/vault.db.anchor",
    "live/keys.json",
    "live/backup-keys.json",
    "second/entry-hashes",
    "second/checkpoints.jsonl",
    "backups/erasures.jsonl",
)


def damage_loop(home: Path, rounds: int, chance: random.Random) -> Counter[str]:
    """Run the rounds; count outcomes by file. Raises Deceived."""
    good = good_installation(home / "good")
    entry = read_manifest(default_model_directory()).entry(None)
    models = ("manifest.json", entry.file, entry.calibration.file, entry.cohort.file)
    found: Counter[str] = Counter()
    for _ in range(rounds):
        name = chance.choice((*FILES, f"backups/{good.archive}", *models))
        if name in models:
            outcome = damage_models(home / "models", name, chance)
        else:
            outcome = damage(good, home / "copy", name, chance)
        label = "backups/*.vab" if name.endswith(".vab") else name
        found[f"{label}: {outcome}"] += 1
    return found


def full_disk_loop(disk: Path, rounds: int, chance: random.Random) -> Counter[str]:
    """Fill the disk, work on, make room; count outcomes. Raises Deceived."""
    home, ballast = disk / "home", disk / "ballast"
    shutil.rmtree(home, ignore_errors=True)
    works = opened(home, 1)
    works.vault.close()
    found: Counter[str] = Counter()
    for number in range(rounds):
        shutil.rmtree(home, ignore_errors=True)
        good_installation(home)
        works = opened(home, number)
        _fill(ballast, leave=chance.choice((0, 0, 4096, 20_000)))
        for step in (enrol, verify, erase, enrol, verify):
            who = chance.choice(PEOPLE)
            try:
                step(works, who)
                found[f"{step.__name__}: done"] += 1
            except EngineError as error:
                found[f"{step.__name__}: {error.code}"] += 1
        before = _seen(works)
        ballast.unlink()
        works.vault.close()
        works = opened(home, number)
        if _seen(works) != before:
            raise Deceived("what was there on the full disk is not there any more")
        works.vault.verify_ledger()
        for who in PEOPLE:
            with works.vault.read() as view:
                there = view.subject(TENANT, who) is not None
            if there:
                enrol(works, who)
        works.vault.close()
    return found


def _seen(works: Works) -> list[tuple[bool, int]]:
    with works.vault.read() as view:
        return [
            (view.subject(TENANT, who) is not None, len(view.voiceprints(TENANT, who, MODEL)))
            for who in PEOPLE
        ]


def _fill(path: Path, leave: int) -> None:
    """Write until the disk is full, then give so many bytes back."""
    size = 0
    with path.open("wb", buffering=0) as file:
        for block in (65_536, 4096, 1):
            try:
                while written := file.write(bytes(block)):
                    size += written
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        file.truncate(max(0, size - leave))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--small-disk", type=Path)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    report: dict[str, object] = {"rounds": given.rounds, "seed": given.seed}
    try:
        if given.small_disk is not None:
            found = full_disk_loop(given.small_disk, given.rounds, chance)
        else:
            with tempfile.TemporaryDirectory() as folder:
                found = damage_loop(Path(folder), given.rounds, chance)
        report |= {"outcomes": dict(sorted(found.items())), "held": True}
    except Deceived as error:
        report |= {"broken": str(error), "held": False}
    sys.stdout.write(f"{json.dumps(report, indent=1)}\n")
    return 0 if report["held"] else 1


if __name__ == "__main__":
    sys.exit(main())
