# SPDX-License-Identifier: Apache-2.0
"""How long a start takes with many encrypted voiceprints: to 1:1 service, and to 1:N service.

    python benchmarks/startup.py [--voiceprints 100000] [--segments 7] [--directory DIR] [--beside]

It fills a vault with made-up people (a consent, a voiceprint with its segments, all sealed as in
production), unless DIR has one of that size already, and then starts an engine on it in a new
process:

* to 1:1: from the start of the process, imports included, until the engine could serve;
* to 1:N: until every voiceprint was opened and is in the gallery, and searches are taken;
* to lists: until large tenants have their inverted lists; searches are exact and slower before.

The new process does nothing else meanwhile. With ``--beside`` it does: a thread of its own embeds a
second of audio, the largest piece of work of a 1:1 call, twenty times a second while the gallery is
filled, and again when all is over. Seconds are given by the clock and as processor time: on a
shared machine the second is what carries over. Reading is warm: the file was just written or just
read; what a cold disk adds is the vault's size over its speed.
Progress goes to standard error. A filling that was interrupted is gone on with, given the same DIR.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from latency import machine
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import Settings, StorageSettings
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest
from voiceauth.ports import Random, Transaction
from voiceauth.testing.fakes import EPOCH
from voiceauth.testing.records import made_up_consent
from voiceauth.types import (
    Bandwidth,
    CallId,
    EnrolmentSegment,
    ModelHash,
    SubjectId,
    TenantId,
    Voiceprint,
    VoiceprintId,
)
from voiceauth.usecases.assemble import assemble
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.key_services import VAULT_FILE, open_keys
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

TENANT = TenantId("default")
BATCH = 500
AFTERWARDS_SECONDS = 5.0
PROGRESS = Console(stderr=True)


def main() -> int:
    """Run the benchmark and print its table; with ``--child``, be the process that starts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voiceprints", type=int, default=100_000)
    parser.add_argument("--segments", type=int, default=7, help="pieces of speech of a voiceprint")
    parser.add_argument("--directory", type=Path, help="of the vault; default a temporary one")
    parser.add_argument("--beside", action="store_true", help="embed while the gallery is filled")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        return child(options.child, beside=options.beside)
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.directory or Path(temporary)
        made = fill(directory, options.voiceprints, options.segments)
        report = {"machine": machine(), **made, **started(directory, beside=options.beside)}
    print(render(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def settings(directory: Path) -> Settings:
    """Return the settings of an installation in a directory, all else as it comes."""
    return Settings(storage=StorageSettings(data_dir=directory))


def fill(directory: Path, count: int, segments: int) -> dict[str, Any]:
    """Make a vault of that many enrolled people, or go on with one that has fewer."""
    here, clock, random = settings(directory), SystemClock(), SystemRandom()
    manifest = read_manifest(default_model_directory())
    entry = manifest.entry(None)
    rng = np.random.default_rng(3)
    vault = open_vault(
        directory / VAULT_FILE,
        open_keys(here, clock=clock, random=random),
        clock=clock,
        random=random,
    )
    began = time.process_time()
    first = there(vault, entry.sha256)
    with Progress(console=PROGRESS, refresh_per_second=1) as bar:
        task = bar.add_task("filling the vault", total=count, completed=first)
        for start in range(first, count, BATCH):
            with vault.begin() as transaction:
                for number in range(start, min(count, start + BATCH)):
                    rows = rng.standard_normal((segments + 1, entry.dimension), dtype=np.float32)
                    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
                    enter(
                        transaction, SubjectId(f"person-{number:08d}"), rows, entry.sha256, random
                    )
            bar.update(task, completed=min(count, start + BATCH))
    vault.close()
    size = (directory / VAULT_FILE).stat().st_size
    return {
        "voiceprints": count,
        "segments": segments,
        "vault_mib": round(size / 2**20),
        "made_seconds": round(time.process_time() - began, 1),
    }


def there(vault: SqliteVault, model: ModelHash) -> int:
    """Count the voiceprints of a model, a page at a time: a million at once are gigabytes."""
    found, after = 0, 0
    with vault.read() as view:
        while page := view.voice_page(model, after=after, limit=BATCH):
            found, after = found + len(page), page.last
    return found


def enter(
    transaction: Transaction,
    name: SubjectId,
    rows: NDArray[np.float32],
    model: ModelHash,
    random: Random,
) -> None:
    """Enrol one made-up person: a voiceprint, rows[0], of the segments behind it, unit rows."""
    transaction.create_subject(TENANT, name, at=EPOCH, groups=frozenset())
    transaction.put_consent(TENANT, name, made_up_consent())
    parts = [
        EnrolmentSegment(row, 3.0, CallId("enrol"), 0.0, 3.0, 20.0, Bandwidth.NARROWBAND)
        for row in rows[1:]
    ]
    transaction.add_voiceprint(
        TENANT,
        Voiceprint(
            voiceprint=VoiceprintId(random.token(16).hex()),
            subject=name,
            model=model,
            embedding=rows[0],
            net_seconds=3.0 * len(parts),
            created_at=EPOCH,
            segments=tuple(parts),
        ),
    )


def started(directory: Path, *, beside: bool) -> dict[str, Any]:
    """Start an engine in a new process and return what it measured."""
    began = time.time()
    with PROGRESS.status("an engine starts on it ..."):
        output = subprocess.run(  # noqa: S603 - this file, with this interpreter
            [sys.executable, __file__, "--child", str(directory), *["--beside"] * beside],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    for name in [one for one in found if one.endswith("_at")]:
        found[name.replace("_at", "_clock")] = round(found.pop(name) - began, 2)
    return found


def child(directory: Path, *, beside: bool) -> int:
    """Start, fill, build; print when each was done."""
    engine = assemble(settings(directory))
    found: dict[str, Any] = {"one_to_one_at": time.time(), "one_to_one": time.process_time()}
    chore = next(one for one in engine.chores if one.name == "gallery")
    tend, engine.gallery.tend = engine.gallery.tend, lambda _: 0  # type: ignore[assignment,method-assign]
    if beside:
        with embedding(engine, found, "filling"):
            chore.run()
    else:
        chore.run()
    found |= {"one_to_many_at": time.time(), "one_to_many": time.process_time()}
    found["ready"] = engine.gallery.ready
    tend(lambda: False)
    found |= {"lists_at": time.time(), "lists": time.process_time()}
    if beside:
        with embedding(engine, found, "afterwards"):
            time.sleep(AFTERWARDS_SECONDS)
    found["held"] = len(engine.gallery)
    found["resident_mib"] = round(
        int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
    )
    engine.vault.close()
    print(json.dumps(found))
    return 0


@contextmanager
def embedding(engine: Engine, found: dict[str, Any], name: str) -> Iterator[None]:
    """Embed a second of noise twenty times a second meanwhile; note p50 and p99 in ms."""
    second = int(engine.embedder.rate_hz)
    samples = np.random.default_rng(1).standard_normal(second, dtype=np.float32) * np.float32(0.01)
    took: list[float] = []
    over = threading.Event()

    def work() -> None:
        while not over.wait(1 / 20):
            began = time.perf_counter()
            engine.embedder.embed(samples)
            took.append(1000 * (time.perf_counter() - began))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    found[f"embedding_{name}_ms"] = np.percentile(took, (50, 99)).round(1).tolist()


def render(report: dict[str, Any]) -> str:
    """Write the report as a table."""
    where = report["machine"]
    lines = [
        (
            f"{where.get('processor', 'unknown processor')}, load {where['load'][0]}; "
            f"{report['voiceprints']:,} voiceprints of {report['segments']} segments, "
            f"{report['vault_mib']} MiB"
        ),
        f"{'seconds from the start of the process':40} {'processor':>10} {'clock':>10}",
    ]
    lines += [
        f"{text:40} {report[name]:10.2f} {report[f'{name}_clock']:10.2f}"
        for name, text in (
            ("one_to_one", "to 1:1 service"),
            ("one_to_many", "to 1:N service"),
            ("lists", "to lists"),
        )
    ]
    lines.append(f"held {report['held']:,}; resident {report['resident_mib']} MiB")
    lines += [
        "embedding a second, {}: p50 {} ms, p99 {} ms".format(name, *report[f"embedding_{name}_ms"])
        for name in ("filling", "afterwards")
        if f"embedding_{name}_ms" in report
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
