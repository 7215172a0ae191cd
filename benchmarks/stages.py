# SPDX-License-Identifier: Apache-2.0
"""Where the time goes: processor time of each stage for a second of one call's audio.

    python benchmarks/stages.py [--calls 20] [--seconds 20] [--json FILE]

A server in this process hears calls from the load generator of ``throughput.py``, which is another
process: 20-ms mu-law frames at the pace of speech, everything on. Each stage is measured where it
runs, by the processor time of its thread and without the stages inside it; the rest of what the
process takes is gRPC, the event loop and the hand-over between threads. A second server, which
reads the same frames and does nothing with them, tells how much of that is gRPC alone.

Processor time, not wall clock: a busy machine slows everything, but not the shares.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

# As the command line does, before numpy and gRPC are loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parent))

from latency import machine
from throughput import CALLERS
from throughput_parts.callers import METHOD, Load
from throughput_parts.calls import FRAME_SECONDS, demo_cast
from throughput_parts.server import LOAD_SETTINGS, enrol

from voiceauth.cli.reach import own_server
from voiceauth.config import ServerSettings, Settings, StorageSettings
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.models.spoof import OnnxSpoof
from voiceauth.service import guard, looping, verification
from voiceauth.service.scheduling import run_in_batches
from voiceauth.signal import cutter, net_speech
from voiceauth.signal.gather import Gatherer
from voiceauth.signal.resample import Resampler
from voiceauth.usecases.verify_call import VerifyCall

STAGES: tuple[tuple[str, Any, str], ...] = (
    ("decode", net_speech, "decode_together"),
    ("look for a wrongly declared format", net_speech, "weigh_formats"),
    ("offset, clipping, cutting", net_speech, "take_together"),
    ("resample", Resampler, "push"),
    ("voice activity", cutter, "detect"),
    ("gather spans, quality", Gatherer, "take"),
    ("features and embedding", OnnxSpeaker, "embed"),
    ("spoof model", OnnxSpoof, "score"),
    ("replay fingerprint and comparison", VerifyCall, "compare"),
    ("scoring and decision", VerifyCall, "weigh"),
    ("evidence", VerifyCall, "evidence"),
    ("load voiceprints and memory", VerifyCall, "load"),
    ("ledger write, per call", VerifyCall, "conclude"),
    ("message of evidence", verification, "evidence_to_wire"),
    ("message of verdict", verification, "verdict_to_wire"),
    ("masking", guard, "masked"),
)


class Stopwatch:
    """Adds up the processor time of stages, each without those inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inside = threading.local()

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a stage."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            outer = getattr(self._inside, "seconds", 0.0)
            self._inside.seconds = 0.0
            began = time.thread_time()
            try:
                return work(*arguments, **named)
            finally:
                whole = time.thread_time() - began
                self.seconds[name] += whole - self._inside.seconds
                self.calls[name] += 1
                self._inside.seconds = outer + whole

        return wrapped

    @contextmanager
    def on(self) -> Iterator[None]:
        """Measure all stages for the time of the block."""
        patches = [
            mock.patch.object(place, name, self.timed(stage, getattr(place, name)))
            for stage, place, name in STAGES
        ]
        for one in patches:
            one.start()
        try:
            yield
        finally:
            for one in patches:
                one.stop()


async def loaded(folder: Path, load: Load) -> dict[str, Any]:
    """Run the load generator."""
    plan, result = folder / "plan.json", folder / "result.json"
    plan.write_text(json.dumps(asdict(load)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CALLERS), str(plan), str(result)
    )
    await process.wait()
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def spoken_seconds(found: dict[str, Any]) -> float:
    """Audio that was sent, in seconds."""
    return FRAME_SECONDS * float(sum(one["frames"] for one in found["fates"]))


async def bare(folder: Path, load: Load) -> float:
    """Processor seconds per second of audio of a server that only reads."""

    async def read(request_iterator: Any, context: Any) -> None:
        del request_iterator
        while await context.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
            pass

    server = grpc.aio.server()
    service, method = METHOD.strip("/").split("/")
    handler = grpc.stream_stream_rpc_method_handler(read)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    load.target = f"127.0.0.1:{port}"
    before = time.process_time()
    found = await loaded(folder, load)
    used = time.process_time() - before
    await server.stop(1.0)
    return used / spoken_seconds(found)


async def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all stages."""
    with tempfile.TemporaryDirectory(prefix="voiceauth-stages-") as name:
        folder = Path(name)
        cast = demo_cast(folder, options.people, 1)
        cast.write(folder / "cast.json")
        settings = Settings(
            storage=StorageSettings(data_dir=folder / "vault"),
            server=ServerSettings(port=0, inference_threads=1, max_concurrent_calls=1000),
            **tomllib.loads(LOAD_SETTINGS),
        )
        watch = Stopwatch()
        rate = options.calls / 9.0
        load = Load("", str(folder / "cast.json"), rate, options.seconds)
        async with own_server(settings) as client:
            load.target = client._target  # noqa: SLF001 - it is ours
            await enrol(load.target, cast)
            await loaded(folder, Load(load.target, load.cast, rate, 3.0))
            with watch.on():
                before = time.process_time()
                found = await loaded(folder, load)
                used = time.process_time() - before
        floor = await bare(folder, load)
    seconds = spoken_seconds(found)
    rows = {stage: 1e6 * watch.seconds[stage] / seconds for stage, _, _ in STAGES}
    rest = 1e6 * used / seconds - sum(rows.values())
    return {
        "machine": machine(),
        "audio_seconds": seconds,
        "calls": len(found["fates"]),
        "verdicts": sum(one["outcome"] == "verdict" for one in found["fates"]),
        "microseconds_per_second": {**rows, "gRPC, event loop, threads": rest},
        "of_which_grpc_alone": 1e6 * floor,
        "total": 1e6 * used / seconds,
    }


def render(report: dict[str, Any]) -> str:
    """Write the report as a table."""
    where, total = report["machine"], report["total"]
    head = f"{where.get('processor', 'unknown processor')}, load {where['load'][0]}"
    lines = [
        f"{head}; {report['calls']} calls, {report['audio_seconds']:.0f} s of audio",
        f"{'processor time per second of audio':42}{'us':>8}{'share':>8}",
    ]
    for name, value in report["microseconds_per_second"].items():
        lines.append(f"{name:42}{value:8.0f}{value / total:8.1%}")
    lines.append(f"{'all':42}{total:8.0f}")
    lines.append(f"{'a server that only reads the frames':42}{report['of_which_grpc_alone']:8.0f}")
    return "\n".join(lines)


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=float, default=20, help="open at once")
    parser.add_argument("--seconds", type=float, default=20, help="for which calls are opened")
    parser.add_argument("--people", type=int, default=10, help="of the demo")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    run_in_batches()  # as ``voiceauth serve`` does
    report = looping.run(measured(options))
    print(render(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
