# SPDX-License-Identifier: Apache-2.0
"""What each protection costs a verification: ledger, decryption, transform, TLS, tokens, masks.

    python benchmarks/protection.py [--repeats 15] [--json FILE] [--directory DIR]

Two tables from one run:

* **Whole calls.** One engine with the shipped model serves one demo call (11 s in 100-ms mu-law
  chunks, run to its end) through four doors in turn: plain text, TLS 1.3 with a bearer token,
  mutual TLS, and mutual TLS with a revocation list and a token. Doors are interleaved call by call,
  in another order each time, so that a busy machine slows all alike; what counts is the processor
  time of the process, in which client and server both run. A new connection is timed besides.
* **Parts.** Each protection alone, interleaved in the same way, with its share of the processor
  time of a whole call in plain text. How often a call reads and commits is counted in the first
  part.

Waiting for the disk is no processor time: the ledger's row has the time of the clock beside it.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from protection_calls import (
    DOORS,
    PLAIN,
    Cost,
    base_settings,
    call_of,
    connection,
    doors,
    enrol,
    verification,
)
from protection_parts import Part, parts

from voiceauth.config import LogSettings
from voiceauth.service.logging import configure_logging
from voiceauth.usecases.assemble import assembled

SEED = 7
MILLI = 1000.0


def main() -> int:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--directory", type=Path, help="on the disk to measure; default temporary")
    options = parser.parse_args()
    configure_logging(LogSettings(level="error", format="console"))
    with tempfile.TemporaryDirectory(dir=options.directory) as place:
        calls = asyncio.run(whole_calls(Path(place), options.repeats))
        alone = every_part(Path(place) / "parts", options.repeats, calls)
    report = summarise(calls, alone, options.repeats)
    print(render(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


async def whole_calls(place: Path, repeats: int) -> dict[str, Any]:
    """Verify through every door in turn; also return a verdict's ledger body and the commits."""
    settings, call = base_settings(place), call_of("caller-01-genuine")
    order = random.Random(SEED)
    found: dict[str, list[Cost]] = {door: [] for door in DOORS}
    opened: dict[str, list[Cost]] = {door: [] for door in DOORS}
    with assembled(settings) as assembly:
        engine = replace(assembly, chores=())  # what a server repeats is no call's cost
        async with doors(engine, settings, place) as clients:
            await enrol(clients[PLAIN])
            before = engine.vault.ledger(limit=100_000)[-1].sequence
            counts = counted(engine.vault)
            for repeat in range(repeats + 1):
                for door in order.sample(DOORS, len(DOORS)):
                    opened[door].append(await connection(clients[door]))
                    number = repeat * len(DOORS) + DOORS.index(door)
                    found[door].append(await verification(clients[door], call, number))
            entries = engine.vault.ledger(after=before, limit=100_000)
    verdicts = [one for one in entries if one.event == "verify.verdict"]
    return {
        "verification": {door: costs[1:] for door, costs in found.items()},
        "connection": {door: costs[1:] for door, costs in opened.items()},
        "body": json.loads(verdicts[-1].body),
        "per_call": {name: count / len(verdicts) for name, count in counts.items()},
        "seconds": sum(map(len, call)) / 8000.0,
    }


def counted(vault: Any) -> Counter[str]:
    """Count the transactions of a vault from now on."""
    counts: Counter[str] = Counter(begin=0, read=0)

    def counting(name: str) -> None:
        original = getattr(vault, name)

        def call() -> Any:
            counts[name] += 1
            return original()

        setattr(vault, name, call)

    for name in tuple(counts):
        counting(name)
    return counts


def every_part(
    place: Path, repeats: int, calls: dict[str, Any]
) -> dict[str, tuple[Part, list[Cost]]]:
    """Do every protection alone, in another order at each repeat."""
    place.mkdir()
    order = random.Random(SEED)
    with parts(place, calls["body"], calls["per_call"]) as found:
        costs: dict[str, list[Cost]] = {name: [] for name in found}
        for _ in range(repeats + 1):
            for name in order.sample(sorted(found), len(found)):
                one = found[name]
                processor, clock = time.process_time(), time.perf_counter()
                for _ in range(one.times):
                    one.run()
                costs[name].append(
                    Cost(
                        (time.process_time() - processor) / one.times,
                        (time.perf_counter() - clock) / one.times,
                    )
                )
    return {name: (one, costs[name][1:]) for name, one in found.items()}


def summarise(
    calls: dict[str, Any], alone: dict[str, tuple[Part, list[Cost]]], repeats: int
) -> dict[str, Any]:
    """Reduce the repeats to medians, spreads, differences and shares."""
    plain = np.array([one.processor for one in calls["verification"][PLAIN]])
    whole: dict[str, Any] = {}
    for door in DOORS:
        mine = np.array([one.processor for one in calls["verification"][door]])
        whole[door] = {
            "processor_ms": spread(mine),
            "more_than_plain_ms": spread(mine - plain),
            "share_percent": round(100.0 * float(np.median(mine - plain) / np.median(plain)), 1),
            "connection_processor_ms": spread([one.processor for one in calls["connection"][door]]),
            "connection_clock_ms": spread([one.clock for one in calls["connection"][door]]),
        }
    rows = {}
    for name, (one, costs) in alone.items():
        processor = [cost.processor for cost in costs]
        share = 100.0 * one.per_call * float(np.median(processor) / np.median(plain))
        rows[name] = {
            "processor_ms": spread(processor),
            "clock_ms": spread([cost.clock for cost in costs]),
            "per_call": one.per_call,
            "share_percent": round(share, 3),
        }
    return {
        "machine": machine(),
        "repeats": repeats,
        "audio_seconds": round(calls["seconds"], 1),
        "per_call": calls["per_call"],
        "calls": whole,
        "parts": rows,
    }


def spread(values: Any) -> dict[str, float]:
    """Median and central 80 % of repeats given in seconds, in milliseconds."""
    low, middle, high = MILLI * np.quantile(np.asarray(values), [0.1, 0.5, 0.9])
    return {"median": round(middle, 4), "low": round(low, 4), "high": round(high, 4)}


def machine() -> dict[str, Any]:
    """Describe where the figures come from."""
    cpus = Path("/proc/cpuinfo")
    names = [
        line.split(":")[1].strip()
        for line in (cpus.read_text().splitlines() if cpus.exists() else ())
        if "model name" in line
    ]
    return {
        "processor": names[0] if names else "unknown",
        "cores": os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "cryptography": version("cryptography"),
        "grpcio": version("grpcio"),
    }


def render(report: dict[str, Any]) -> str:
    """Write the report as two tables."""
    where = report["machine"]
    machine_line = f"{where['processor']}, {where['cores']} cores, load {where['load'][0]}; "
    machine_line += f"{report['repeats']} repeats of {report['audio_seconds']} s of audio, "
    counts = report["per_call"]
    machine_line += f"{counts['begin']:g} commits and {counts['read']:g} reads per call"
    head = f"{'median':>9} {'10 %':>9} {'90 %':>9}"
    lines = [machine_line, ""]
    lines.append(f"{'a whole call, processor ms':42} {head}     more    share   connect")
    for door, row in report["calls"].items():
        more, opened = row["more_than_plain_ms"]["median"], row["connection_clock_ms"]["median"]
        share = f"{row['share_percent']:6.1f} %"
        lines.append(f"{door:42} {_cells(row, 1)} {more:8.1f} {share} {opened:9.1f}")
    lines.append("")
    lines.append(f"{'a part, processor ms':42} {head}    clock   a call     share")
    for name, row in report["parts"].items():
        clock, share = row["clock_ms"]["median"], f"{row['share_percent']:7.3f} %"
        lines.append(f"{name:42} {_cells(row, 4)} {clock:8.3f} {row['per_call']:8g} {share}")
    return "\n".join(lines)


def _cells(row: dict[str, Any], places: int) -> str:
    cost = row["processor_ms"]
    return " ".join(f"{cost[one]:9.{places}f}" for one in ("median", "low", "high"))


if __name__ == "__main__":
    sys.exit(main())
