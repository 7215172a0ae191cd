# SPDX-License-Identifier: Apache-2.0
"""What 1:N search costs at 10 thousand, a million and ten million voiceprints, and what it misses.

    python benchmarks/gallery.py [--sizes 10000 100000 1000000] [--probes 400] [--json FILE]
    python benchmarks/gallery.py --kinds --sizes 1000000      # every kind of FAISS index, beside it

The engine's own gallery is filled through its port, lets its rule choose, and is searched by probes
of people that are enrolled and of strangers. Recall is against the exact result over the same
vectors. Voiceprints are synthetic (``voiceauth.testing.population``): scattered like the cohort's
people, and disturbed like pieces of the demo's calls over simulated lines.

Times of searches and changes are the processor time of the thread, one at a time; building and
filling are processor time too. Memory is what the process grew by; the peak is the most it ever
held, which is while lists are built. Progress goes to standard error.
"""

import argparse
import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from gallery_kinds import compare_kinds, render_kinds
from latency import machine
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from voiceauth.gallery.building import BATCH
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.gallery.plan import PROBED_SHARE, PlanRule
from voiceauth.models.bundle import ModelBundle, load_bundle
from voiceauth.testing.channel import apply, draw_channel
from voiceauth.testing.population import Population, population
from voiceauth.types import SubjectId, TenantId, VoiceprintId

Array = NDArray[np.float32]
TENANT = TenantId("default")
CHUNK = 100_000
PIECE = 3 * 8000
CALLS_PER_VOICEPRINT = 7
"""Twenty seconds of net speech are about seven spans."""
CHANGES = 300
NOBODY: frozenset[Any] = frozenset()


def main() -> int:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--probes", type=int, default=400, help="of enrolled people; as many more")
    parser.add_argument("--kinds", action="store_true", help="compare kinds of FAISS indexes")
    parser.add_argument("--probed-share", type=float, default=PROBED_SHARE)
    parser.add_argument("--models", type=Path, help="model directory; default the packaged one")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    people = fitted(load_bundle(options.models))
    rule = PlanRule(probed_share=options.probed_share)
    report: dict[str, Any] = {"machine": machine(), "sizes": {}, "kinds": {}}
    for size in options.sizes:
        if options.kinds:
            vectors = np.concatenate([chunk for _, chunk in voiceprints(people, size)])
            probes = probes_of(people, size, options.probes)
            report["kinds"][size] = compare_kinds(vectors, probes[: options.probes])
            print(render_kinds(size, report["kinds"][size]), flush=True)
        else:
            report["sizes"][size] = measure(people, size, options.probes, rule)
            print(render(size, report["sizes"][size]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def fitted(bundle: ModelBundle) -> Population:
    """Fit a population to the cohort and to pieces of the demo's calls over simulated lines."""
    rng, differences = np.random.default_rng(1), []
    for caller in range(1, 11):
        heard = []
        for call in ("enrol", "genuine"):
            path = files("voiceauth") / "_demo" / f"caller-{caller:02d}-{call}.opus"
            samples, rate = soundfile.read(str(path), dtype="float32")
            samples = soxr.resample(samples, rate, 8000)
            for start in range(0, len(samples) - PIECE, PIECE):
                for _ in range(2):
                    piece = apply(draw_channel(rng), samples[start : start + PIECE])
                    heard.append(bundle.speaker.embed(piece.astype(np.float32)))
        rows = np.stack(heard)
        # The mean is of the same rows: their spread around it is that much too small.
        differences.append((rows - rows.mean(axis=0)) * np.sqrt(len(rows) / (len(rows) - 1)))
    return population(bundle.cohort, np.concatenate(differences).astype(np.float32))


def voiceprints(people: Population, size: int) -> Any:
    """Draw voiceprints in chunks: (number of the first, unit rows)."""
    for number, start in enumerate(range(0, size, CHUNK)):
        drawn = people.people(min(CHUNK, size - start), 1000 + number)
        yield start, people.heard(drawn, 500_000 + number, CALLS_PER_VOICEPRINT)


def probes_of(people: Population, size: int, count: int) -> Array:
    """Draw probes: first of enrolled people (numbers 0 to count - 1), then of as many strangers."""
    enrolled = people.people(min(CHUNK, size), 1000)[:count]
    strangers = people.people(count, 77)
    return people.heard(np.concatenate([enrolled, strangers]), 78)


def measure(people: Population, size: int, count: int, rule: PlanRule) -> dict[str, Any]:
    """Fill a gallery, let it build, search it, change it."""
    probes = probes_of(people, size, count)
    gc.collect()
    before = resident()
    gallery = FaissGallery(probes.shape[1], rule)
    best, nearest = np.full(len(probes), -2.0, np.float32), np.zeros(len(probes), np.int64)
    filling = 0.0
    bar = progress()
    drawn = bar.add_task("filling", total=size)
    for start, chunk in voiceprints(people, size):
        likeness = probes @ chunk.T
        mine = likeness.max(axis=1)
        better = mine > best
        best[better], nearest[better] = mine[better], start + likeness.argmax(axis=1)[better]
        del likeness
        began = time.thread_time()
        for number, row in enumerate(chunk, start):
            gallery.add(
                TENANT, SubjectId(f"s{number}"), VoiceprintId(f"{number:032x}"), row, NOBODY
            )
        filling += time.thread_time() - began
        bar.update(drawn, completed=start + len(chunk))
    exact = searched(gallery, probes[:: max(1, len(probes) // 50)])[0]
    began, wall = time.process_time(), time.perf_counter()
    gallery.tend(watched(bar, size))
    building, wall = time.process_time() - began, time.perf_counter() - wall
    gc.collect()
    memory = resident() - before
    bar.stop()
    times, names = searched(gallery, probes)
    hit = np.array([name == f"s{one}" for name, one in zip(names, nearest, strict=True)])
    plan = gallery.plan(TENANT)
    return {
        "searched": "all compared" if plan is None else f"{plan.lists} lists, {plan.probes} probed",
        "fill_seconds": round(filling, 1),
        "build_seconds": round(building, 1),
        "build_wall_seconds": round(wall, 1),
        "memory_mib": round(memory / 2**20),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "recall_enrolled": float(hit[:count].mean()),
        "recall_strangers": float(hit[count:].mean()),
        "exact_scan_ms": quantiles(exact),
        "search_ms": quantiles(times),
        **changes(gallery, people, size),
    }


def progress() -> Progress:
    """Start a bar per stage on standard error: ten million take the better part of an hour."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), refresh_per_second=1)
    bar.start()
    return bar


def watched(bar: Progress, size: int) -> Callable[[], bool]:
    """Show how building goes; it asks before every batch whether it is to stop, and never is."""
    task = bar.add_task("finding the lists' centres", total=None)

    def stopped() -> bool:
        bar.update(task, description="entering into lists", total=size, advance=BATCH)
        return False

    return stopped


def searched(gallery: FaissGallery, probes: Array) -> tuple[list[float], list[SubjectId]]:
    """Search one probe after the other: seconds of each, and who came first."""
    times, names = [], []
    for probe in probes:
        began = time.thread_time()
        found = gallery.search(TENANT, probe, group=None, limit=15)
        times.append(time.thread_time() - began)
        names.append(found[0][0])
    return times, names


def changes(gallery: FaissGallery, people: Population, size: int) -> dict[str, Any]:
    """Enrol new people and erase others, one at a time."""
    added = []
    fresh = people.heard(people.people(CHANGES, 81), 82, CALLS_PER_VOICEPRINT)
    gone = np.random.default_rng(83).choice(size, CHANGES, replace=False)
    for number, row in enumerate(fresh):
        name = SubjectId(f"new{number}")
        added.append(
            timed(partial(gallery.add, TENANT, name, VoiceprintId(f"v-{name}"), row, NOBODY))
        )
    removed = [
        timed(partial(gallery.remove_subject, TENANT, SubjectId(f"s{number}"))) for number in gone
    ]
    return {"add_ms": quantiles(added), "remove_ms": quantiles(removed)}


def timed(act: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    began = time.thread_time()
    act()
    return time.thread_time() - began


def quantiles(times: list[float]) -> dict[str, float]:
    """Median and 99 % in milliseconds."""
    middle, high = 1000.0 * np.quantile(times, [0.5, 0.99])
    return {"p50": round(float(middle), 3), "p99": round(float(high), 3)}


def resident() -> int:
    """Bytes of this process that are in memory."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def render(size: int, found: dict[str, Any]) -> str:
    """Write one size's figures."""
    rows = [f"{size:,} voiceprints: {found['searched']}"]
    rows += [
        f"  {name:24} {found[name]}"
        for name in (
            "recall_enrolled",
            "recall_strangers",
            "fill_seconds",
            "build_seconds",
            "build_wall_seconds",
            "memory_mib",
            "peak_mib",
        )
    ]
    rows += [
        f"  {name:24} p50 {found[name]['p50']:8.3f}   p99 {found[name]['p99']:8.3f}"
        for name in ("exact_scan_ms", "search_ms", "add_ms", "remove_ms")
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
