# SPDX-License-Identifier: Apache-2.0
"""How many calls a core carries: everything on, 20-ms mu-law frames at the pace of speech.

    python benchmarks/throughput.py [--cores 1] [--workers 1] [--calls N] [--pack DIR] [--json FILE]

A server in a process of its own, kept to its cores, hears real speech (the recordings of the demo,
or a pack with a folder per person) from a load generator in another process. The load is open:
calls are opened at a fixed rate and frames sent when they are due, whatever the server does. Each
call claims an enrolled person and lasts until its verdict; then the next one is due.

A number of calls is held if, over the measured time, the 99th percentile from when the last needed
frame was due to the answer that rests on it (evidence after a span, the verdict) is at most
``--bound``, and every opened call had a verdict. Without
``--calls`` the largest such number is found by bisection. Processor time of the server and of the
generator are told apart: the first is what a call costs on any machine of this kind, the second is
what the generator took away from it.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from latency import machine
from throughput_parts.callers import Load
from throughput_parts.calls import FRAME_SECONDS, demo_cast, pack_cast
from throughput_parts.server import ServerUnderTest, enrol, server_under_test

from voiceauth.v1 import evidence_pb2

CALLERS = Path(__file__).resolve().parent / "throughput_parts" / "callers.py"
ACCEPT = evidence_pb2.DECISION_ACCEPT
RAMP_SECONDS = 12.0
"""Longer than most calls: then as many are open as there will be."""
PRECISION = 0.06
"""Bisection ends where the bounds lie so close."""
MOST_LATE_SECONDS = 0.02
"""A generator that is later than this tells nothing about the server."""


@dataclass(frozen=True)
class Level:
    """What was seen at one load.

    Attributes:
        wanted: calls that were to be open at once.
        calls: that were, on average over the measured time.
        opened, answered, refused, failed: fates of all calls that were opened.
        p50, p95, p99: milliseconds from when the last needed frame was due to the answer.
        verdict_p99: of verdicts alone.
        answers: evidence after a span and verdicts, which those rest on.
        accepted: of the verdicts: all calls are genuine, so a server that cuts calls short shows.
        cores_used: by the server for so many calls.
        ms_per_second: processor time of the server for a second of one call, everything in.
        generator_ms_per_second: of the generator.
        generator_late_ms: 99th percentile of how late calls' frames were sent, worst of each call.
        held: within the bound, and nobody refused or lost.
    """

    wanted: float
    calls: float
    opened: int
    answered: int
    refused: int
    failed: int
    p50: float
    p95: float
    p99: float
    verdict_p99: float
    answers: int
    accepted: int
    cores_used: float
    ms_per_second: float
    generator_ms_per_second: float
    generator_late_ms: float
    held: bool


class Bench:
    """Measures levels on one server.

    Args:
        options: of the command line.
        folder: for files.
        server: with everybody enrolled.
        cast: the calls.
    """

    def __init__(
        self, options: argparse.Namespace, folder: Path, server: ServerUnderTest, cast: Path
    ) -> None:
        self._options = options
        self._folder = folder
        self._server = server
        self._cast = cast
        self._call_seconds = 6.0

    async def settle(self) -> None:
        """Find out how long a call lasts, at a load that nobody feels; also warms everything up."""
        found = await self._run(2.0, 10.0)
        lasted = [one["closed"] - one["opened"] for one in found["fates"]]
        self._call_seconds = float(np.mean(lasted))
        decisions = [one["decision"] for one in found["fates"]]
        print(f"a call lasts {self._call_seconds:.1f} s; decisions {sorted(set(decisions))}")

    async def level(self, calls: float) -> Level:
        """Hold a number of calls for a while."""
        rate = calls / self._call_seconds
        seconds = RAMP_SECONDS + self._options.seconds
        before = self._server.cpu_seconds()
        found = await self._run(rate, seconds)
        used = self._server.cpu_seconds() - before
        level = summarised(calls, found, self._options, RAMP_SECONDS, seconds, used)
        print(line(level), flush=True)
        print(f"    {reasons(found)}", flush=True)
        return level

    async def most(self) -> list[Level]:
        """Find the most calls that are held, by bisection."""
        low, high, levels = 0.0, 0.0, []
        calls = float(self._options.start)
        while not high or high - low > PRECISION * high:
            levels.append(await self.level(calls))
            if levels[-1].held:
                low = calls
            else:
                high = calls
            calls = (low + high) / 2 if high else 1.5 * calls
            if high and calls < 1.0:
                break
        return levels

    async def _run(self, rate: float, seconds: float, *, idle: bool = False) -> dict[str, Any]:
        plan, result = self._folder / "plan.json", self._folder / "result.json"
        load = Load(
            self._server.target,
            str(self._cast),
            rate,
            seconds,
            connections=self._options.connections,
            idle=idle,
            frames_per_message=self._options.frames,
        )
        plan.write_text(json.dumps(asdict(load)))
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(CALLERS), str(plan), str(result)
        )
        if await process.wait():
            message = "the load generator failed"
            raise RuntimeError(message)
        found: dict[str, Any] = json.loads(result.read_text())
        return found

    async def memory(self) -> dict[str, float]:
        """Measure what calls hold, in KiB: some that are open and silent, some that speak."""
        # The speaking ones first: what is freed stays with the process, and would hide them.
        before = self._server.memory_bytes()
        calls = 60
        run = asyncio.create_task(self._run(calls / self._call_seconds, 2 * self._call_seconds))
        active = await self._highest(1.8 * self._call_seconds) - before
        await run
        many, open_seconds = 800, 8.0
        empty = self._server.memory_bytes()
        run = asyncio.create_task(self._run(many / open_seconds, open_seconds, idle=True))
        idle = await self._highest(2 * open_seconds) - empty
        await run
        return {"idle_kib": idle / many / 1024, "active_kib": active / calls / 1024}

    async def _highest(self, seconds: float) -> int:
        """Watch the memory for a while."""
        found = []
        for _ in range(16):
            await asyncio.sleep(seconds / 16)
            found.append(self._server.memory_bytes())
        return max(found)


def summarised(  # noqa: PLR0917 - one level's numbers
    wanted: float,
    found: dict[str, Any],
    options: argparse.Namespace,
    ramp: float,
    seconds: float,
    used: float,
) -> Level:
    """Reduce the fates of the calls to a level."""
    fates = found["fates"]
    measured = [one for one in fates if ramp <= one["closed"] <= seconds]
    verdicts = [1000 * one["verdict_seconds"] for one in measured if one["outcome"] == "verdict"]
    answers = [*verdicts, *(1000 * seconds for one in measured for seconds in one["answers"])]
    p50, p95, p99 = np.percentile(answers, [50, 95, 99]) if answers else [float("inf")] * 3
    span = seconds - ramp
    overlaps = [max(0.0, min(one["closed"], seconds) - max(one["opened"], ramp)) for one in fates]
    calls = sum(overlaps) / span
    spoken = sum(one["frames"] for one in fates) * FRAME_SECONDS
    late = [1000 * one["late_seconds"] for one in measured] or [0.0]
    count = {
        kind: sum(one["outcome"] == kind for one in fates)
        for kind in ("verdict", "refused", "failed")
    }
    nobody_lost = count["refused"] == 0 and count["failed"] == 0
    return Level(
        wanted=wanted,
        calls=calls,
        opened=len(fates),
        answered=count["verdict"],
        refused=count["refused"],
        failed=count["failed"],
        p50=float(p50),
        p95=float(p95),
        p99=float(p99),
        verdict_p99=float(np.percentile(verdicts, 99)) if verdicts else float("inf"),
        answers=len(answers),
        accepted=sum(one["decision"] == ACCEPT for one in fates),
        cores_used=calls * used / max(spoken, 1e-9),
        ms_per_second=1000 * used / max(spoken, 1e-9),
        generator_ms_per_second=1000 * found["cpu_seconds"] / max(spoken, 1e-9),
        generator_late_ms=float(np.percentile(late, 99)),
        held=bool(p99 <= options.bound and nobody_lost and len(answers) > 0),
    )


def reasons(found: dict[str, Any]) -> str:
    """Count why calls were not accepted."""
    others = [one for one in found["fates"] if one["decision"] != ACCEPT]
    counts = Counter(", ".join(sorted(one["reasons"])) or one["code"] for one in others)
    return "; ".join(f"{count} x {why}" for why, count in counts.most_common(4))


def line(level: Level) -> str:
    """Write a level as a line of the table."""
    doubt = "  generator late" if level.generator_late_ms > 1000 * MOST_LATE_SECONDS else ""
    return "  ".join(
        [
            f"{level.calls:7.1f} calls",
            f"p50 {level.p50:5.0f}  p95 {level.p95:5.0f}  p99 {level.p99:5.0f} ms",
            f"(verdicts {level.verdict_p99:.0f})",
            f"{level.cores_used:5.2f} cores  {level.ms_per_second:5.2f} ms/s",
            f"opened {level.opened} accepted {level.accepted} answered {level.answered}",
            f"refused {level.refused} failed {level.failed}",
            "held" if level.held else "not held",
            f"(generator {level.generator_ms_per_second:.2f} ms/s,"
            f" late {level.generator_late_ms:.0f} ms)" + doubt,
        ]
    )


def arguments() -> argparse.ArgumentParser:
    """Define the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=1, help="that the server may use")
    parser.add_argument("--workers", type=int, default=1, help="processes that serve")
    parser.add_argument("--calls", type=float, nargs="*", help="levels instead of bisection")
    parser.add_argument("--start", type=float, default=60, help="first level of the bisection")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured, per level")
    parser.add_argument("--bound", type=float, default=150.0, help="milliseconds at p99")
    parser.add_argument("--connections", type=int, default=4, help="that bring the calls")
    parser.add_argument("--frames", type=int, default=1, help="20-ms frames per message")
    parser.add_argument("--pack", type=Path, help="recordings, a folder per person")
    parser.add_argument("--call-seconds", type=float, default=12.0, help="of calls of a pack")
    parser.add_argument("--people", type=int, default=10, help="of the demo")
    parser.add_argument("--seed", type=int, default=1, help="of the simulated lines")
    parser.add_argument("--settings", type=Path, help="TOML to add to the server's settings")
    parser.add_argument("--memory", action="store_true", help="measure memory per call, too")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser


async def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Start a server, load it, and return all figures."""
    with tempfile.TemporaryDirectory(prefix="voiceauth-throughput-") as name:
        folder = Path(name)
        if options.pack:
            cast = pack_cast(folder, options.pack, options.call_seconds)
        else:
            cast = demo_cast(folder, options.people, options.seed)
        cast.write(folder / "cast.json")
        cores = list(range(options.cores))
        extra = options.settings.read_text() if options.settings else ""
        async with server_under_test(folder, cores, options.workers, extra) as server:
            await enrol(server.target, cast)
            bench = Bench(options, folder, server, folder / "cast.json")
            await bench.settle()
            memory = await bench.memory() if options.memory else {}
            if memory:
                print({name: round(value) for name, value in memory.items()}, flush=True)
            if options.calls is not None:
                levels = [await bench.level(calls) for calls in options.calls]
            else:
                levels = await bench.most()
    held = max((one.calls for one in levels if one.held), default=0.0)
    return {
        "machine": machine(),
        "cores": options.cores,
        "workers": options.workers,
        "frame_ms": 20 * options.frames,
        "bound_ms": options.bound,
        "calls_held": held,
        "calls_held_per_core": held / options.cores,
        "memory": memory,
        "levels": [asdict(one) for one in levels],
    }


def main() -> int:
    """Run the benchmark and print its table."""
    options = arguments().parse_args()
    if options.cores > (os.cpu_count() or 1):
        print(f"this machine has {os.cpu_count()} cores", file=sys.stderr)
        return 2
    report = asyncio.run(measured(options))
    where = report["machine"]
    print(
        f"{where.get('processor', 'unknown processor')}, load {where['load'][0]}; "
        f"{report['calls_held']:.0f} calls held on {options.cores} core(s) with {options.workers} "
        f"worker(s), {report['calls_held_per_core']:.0f} per core"
    )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
