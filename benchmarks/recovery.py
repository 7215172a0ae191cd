# SPDX-License-Identifier: Apache-2.0
"""How long a backup, a drill and a restore take, how large they are, and what a failure costs.

    python benchmarks/recovery.py [--subjects 2000] [--directory DIR] [--json FILE]

It fills a vault with made-up subjects (one voiceprint of three segments each, 192 dimensions, one
consent, one ledger entry), makes a backup while a writer goes on committing, erases a hundredth of
the subjects, and then restores into an empty directory and opens an engine on it:

* RTO: from the archive to an engine that has opened the vault and filled its gallery.
* RPO: what was committed after the snapshot and is not in the restored vault, by construction all
  of it; the figure is how long a snapshot takes to become an archive, which adds to
  ``backup.every_hours``. Erasures have their own figure: how many of those that were committed
  after the snapshot are missing from the restored vault's effect, which must be none.

The model is not loaded; its start is in ``benchmarks/latency.py``'s world. People are made up.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import BackupSettings, Settings, StorageSettings
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.ports import Random
from voiceauth.testing.fakes import EPOCH
from voiceauth.testing.records import made_up_consent, made_up_segment
from voiceauth.types import (
    Bandwidth,
    Embedding,
    ModelHash,
    Samples,
    Score,
    SubjectId,
    TenantId,
    Voiceprint,
    VoiceprintId,
)
from voiceauth.usecases.back_up import BackupDesk, check_backup, create_backup
from voiceauth.usecases.backup_keys import backup_key_path, open_backup_keys
from voiceauth.usecases.canary import Hearing
from voiceauth.usecases.drill_backup import drill_backup
from voiceauth.usecases.keep_gallery import fill_gallery
from voiceauth.usecases.key_services import VAULT_FILE, existing_keys, open_keys
from voiceauth.usecases.restore_backup import restore_backup
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

MODEL = ModelHash("a1" * 32)
DIMENSION = 192
BANK = TenantId("bank")
BATCH = 500
LISTED_CPU = "model name"


class Spectrum:
    """Stands in for the model: a drill needs one, and its speed is not what is measured."""

    model, rate_hz, dimension = MODEL, 8000, DIMENSION

    def embed(self, samples: Samples) -> Embedding:
        """Return the spectrum in bands, unit norm."""
        power = np.abs(np.fft.rfft(samples)) ** 2
        bands = np.log([part.sum() + 1e-9 for part in np.array_split(power, DIMENSION)])
        bands -= bands.mean()
        return np.asarray(bands / np.linalg.norm(bands), dtype=np.float32)


class Cosine:
    """Stands in for the calibration."""

    version = "made-up"

    def score(
        self,
        probe: Embedding,
        enrolled: Embedding,
        *,
        net_seconds: float,
        bandwidth: Bandwidth,
        enrolled_seconds: float | None = None,
        snr_db: float | None = None,
    ) -> Score:
        """Return the cosine and a ratio of its sign."""
        del net_seconds, bandwidth, enrolled_seconds, snr_db
        cosine = float(probe @ enrolled)
        return Score(cosine, 10 * (cosine - 0.9), 0.1, 0.1)


@dataclass
class Figures:
    """Everything in seconds and bytes."""

    subjects: int
    fill_seconds: float = 0.0
    vault_bytes: int = 0
    backup_seconds: float = 0.0
    archive_bytes: int = 0
    commits_meanwhile: int = 0
    longest_commit_seconds: float = 0.0
    verify_seconds: float = 0.0
    drill_seconds: float = 0.0
    erased_after: int = 0
    erased_readable_after_restore: int = 0
    restore_seconds: float = 0.0
    open_seconds: float = 0.0
    gallery_seconds: float = 0.0
    rto_seconds: float = 0.0
    lost_entries: int = 0
    machine: str = ""


def timed(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def fill(vault: SqliteVault, subjects: int) -> None:
    """Enrol made-up people, many per transaction."""
    rng = np.random.default_rng(7)
    segments = tuple(made_up_segment(number) for number in range(3))
    for start in range(0, subjects, BATCH):
        with vault.begin() as change:
            for number in range(start, min(start + BATCH, subjects)):
                name = SubjectId(f"s{number}")
                vector = rng.standard_normal(DIMENSION).astype(np.float32)
                change.create_subject(BANK, name, at=EPOCH, groups=frozenset())
                change.put_consent(BANK, name, made_up_consent())
                change.add_voiceprint(
                    BANK,
                    Voiceprint(
                        voiceprint=VoiceprintId(f"v{number}"),
                        subject=name,
                        model=MODEL,
                        embedding=vector / np.float32(np.linalg.norm(vector)),
                        net_seconds=20.0,
                        created_at=EPOCH,
                        segments=segments,
                    ),
                )
                change.append(at=EPOCH, tenant=BANK, event="enrol.result", body={"n": number})


class Writer(threading.Thread):
    """Commits one entry after the other beside a backup, as calls do, and times each."""

    def __init__(self, vault: SqliteVault) -> None:
        super().__init__()
        self._vault = vault
        self.over = threading.Event()
        self.times: list[float] = []

    def run(self) -> None:
        """Write until told to stop."""

        def commit() -> None:
            with self._vault.begin() as change:
                change.append(at=EPOCH, tenant=BANK, event="verify.verdict", body={})

        while not self.over.is_set():
            self.times.append(timed(commit))
            self.over.wait(0.01)


def measure(folder: Path, subjects: int) -> Figures:
    """Do everything once."""
    figures = Figures(subjects, machine=machine())
    settings = Settings(
        storage=StorageSettings(data_dir=folder / "live"),
        backup=BackupSettings(directory=folder / "backups"),
    )
    clock, random = SystemClock(), SystemRandom()
    keys = open_keys(settings, clock=clock, random=random)
    path = folder / "live" / VAULT_FILE
    vault = open_vault(path, keys, clock=clock, random=random)
    desk = BackupDesk(
        vault=vault,
        keys=keys,
        sealing=open_backup_keys(settings, keys, clock=clock, random=random, create=True),
        hearing=Hearing(Spectrum(), Cosine()),
        clock=clock,
        random=random,
        directory=folder / "backups",
    )
    vault.after_burial = desk.journal.run
    figures.fill_seconds = timed(lambda: fill(vault, subjects))
    figures.vault_bytes = path.stat().st_size
    say(f"{subjects} subjects in {figures.fill_seconds:.0f} s")

    writer = Writer(vault)
    writer.start()
    start = time.perf_counter()
    made = create_backup(desk)
    figures.backup_seconds = time.perf_counter() - start
    writer.over.set()
    writer.join()
    figures.archive_bytes = made.size
    figures.commits_meanwhile = len(writer.times)
    figures.longest_commit_seconds = max(writer.times, default=0.0)
    say(f"backup in {figures.backup_seconds:.1f} s")
    figures.verify_seconds = timed(lambda: check_backup(made.path, desk.sealing))
    gone = [SubjectId(f"s{number}") for number in range(0, subjects, 100)]
    for start_at in range(0, len(gone), BATCH):
        with vault.begin() as change:
            for who in gone[start_at : start_at + BATCH]:
                change.erase_subject(BANK, who)
    figures.erased_after = len(gone)
    figures.drill_seconds = timed(lambda: drill_backup(desk, made.path, scratch=folder))
    entries = vault.verify_ledger()
    vault.close()
    say(f"drill in {figures.drill_seconds:.1f} s")
    restored(folder, settings, made.path, figures, random)
    figures.lost_entries = entries - made.manifest.entries
    return figures


def restored(folder: Path, live: Settings, archive: Path, figures: Figures, random: Random) -> None:
    """Restore into an empty directory and open it as a server does."""
    settings = live.model_copy(
        update={
            "storage": StorageSettings(data_dir=folder / "new", key_file=live.storage.keys),
            "backup": BackupSettings(key_file=backup_key_path(live)),
        }
    )
    clock = SystemClock()
    start = time.perf_counter()
    restore_backup(settings, archive)
    figures.restore_seconds = time.perf_counter() - start
    keys = existing_keys(settings, clock=clock, random=random)
    opened = time.perf_counter()
    vault = open_vault(folder / "new" / VAULT_FILE, keys, clock=clock, random=random)
    figures.open_seconds = time.perf_counter() - opened
    gallery = FaissGallery(DIMENSION)
    figures.gallery_seconds = timed(lambda: fill_gallery(vault, gallery, MODEL))
    figures.rto_seconds = time.perf_counter() - start
    with vault.read() as view:
        back = [view.subject(BANK, SubjectId(f"s{n}")) for n in range(0, figures.subjects, 100)]
    figures.erased_readable_after_restore = sum(one is not None for one in back)
    vault.close()
    say(f"restored, open and searchable in {figures.rto_seconds:.1f} s")


def machine() -> str:
    """Say what it ran on."""
    name = platform.processor() or platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - Linux alone has it
        for line in file:
            if line.startswith(LISTED_CPU):
                name = line.split(":")[1].strip()
                break
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=2000)
    parser.add_argument("--directory", type=Path, help="default: a temporary one")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory) as folder:
        figures = measure(Path(folder), given.subjects)
    text = json.dumps(asdict(figures), indent=1)
    sys.stdout.write(f"{text}\n")
    if given.json is not None:
        given.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
