# SPDX-License-Identifier: Apache-2.0
"""Spans in shared runs: clips per second by batch size, and how long a thousand calls wait.

    python benchmarks/gpu.py --device cuda [--calls 1000] [--seconds 30] [--json FILE]
    python benchmarks/gpu.py --device cpu --calls 60 --sizes 1 2 4 8

Two tables, speaker and spoof model both:

* Clips of 2 s, waveform in host memory to checked embedding or score, by the clock: each alone, in
  runs of so many equal clips, and in runs of clips from 1.33 to 2.67 s, of which 2 s count as one.
  All of them take turns, in another order in each repeat.
* Calls by simulation of arrivals. Each speaks 3 s of net speech every ``--period`` s on average, so
  spans come as a Poisson process of ``calls / period`` a second, whatever the models do. The spans
  are those that the engine cuts from the demo's calls; they go through the service's own
  ``Inference``, with shared runs and, in turns with them, each alone in one thread. What counts is
  the time from when a span was due to its embedding and score. Signal room and gRPC are not in it.

Anchor for a GPU: 2,647 two-second clips per second, end to end, on a T4 with Triton.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from latency import demo_recording, machine, mulaw_call, spread
from numpy.typing import NDArray

from voiceauth.errors import EngineError
from voiceauth.models.batching import BatchingSpeaker, BatchingSpoof
from voiceauth.models.bundle import load_bundle
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest
from voiceauth.models.padded import Shapes
from voiceauth.models.session import SessionChoices
from voiceauth.service.batching import BatchRules
from voiceauth.service.inference import Inference
from voiceauth.signal.net_speech import NetSpeech, SpeechOptions
from voiceauth.types import AudioFormat, Encoding, Samples

CLIP_SECONDS = 2.0
ANCHOR = "2,647 two-second clips per second end to end on a T4 with Triton"
SEED = 17
WARM_UP = 2
DRAIN_SECONDS = 30.0
"""How long after the last arrival answers are waited for."""


@dataclass(frozen=True)
class Models:
    """Both models, ready for shared runs."""

    speaker: BatchingSpeaker
    spoof: BatchingSpoof


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--models", type=Path, help="model directory; default the packaged one")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--calls", type=int, nargs="+", default=[1000])
    parser.add_argument("--period", type=float, default=4.5, help="seconds between spans of a call")
    parser.add_argument("--seconds", type=float, default=30.0, help="of arrivals, each time")
    parser.add_argument("--turns", type=int, default=3, help="of the simulation")
    parser.add_argument("--most", type=int, default=32, help="models.batch_spans")
    parser.add_argument("--wait", type=float, default=4.0, help="models.batch_wait_milliseconds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    models = load(options.models, options.device, options.most)
    report = {
        "machine": {**machine(), "device": options.device, "gpu": graphics()},
        "options": {name: str(value) for name, value in vars(options).items()},
        "anchor": ANCHOR,
        "clips_per_second": clips(
            by_size(options.models, options.device, options.sizes), options.sizes, options.repeats
        ),
        "calls": {
            str(count): asyncio.run(simulated(models, count, options)) for count in options.calls
        },
    }
    print(render(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def by_size(directory: Path | None, device: Any, sizes: list[int]) -> Models:
    """Load the models for runs of exactly these sizes, not of those that a server has."""
    manifest = read_manifest(directory or default_model_directory())
    entry, spoof, choices = manifest.entry(None), manifest.spoof, SessionChoices(device=device)
    if spoof is None:
        raise SystemExit("needs a spoof model, too")

    def shapes(rate_hz: int) -> Shapes | None:
        return None if device == "cpu" else Shapes(tuple(sorted(sizes)), rate_hz, sessions=99)

    folder = manifest.directory
    return Models(
        BatchingSpeaker.of_manifest(folder, entry, choices, shapes(entry.sample_rate_hz)),
        BatchingSpoof.of_manifest(folder, spoof, choices, shapes(spoof.sample_rate_hz)),
    )


def load(directory: Path | None, device: Any, most: int) -> Models:
    """Load the models as a server does."""
    bundle = load_bundle(directory, device=device, batches=most)
    spoof = None if bundle.spoof is None else bundle.spoof.detector
    if not isinstance(bundle.speaker, BatchingSpeaker) or not isinstance(spoof, BatchingSpoof):
        raise SystemExit("needs a speaker and a spoof model that can share runs")
    return Models(bundle.speaker, spoof)


def graphics() -> str | None:
    """Name the GPU; None without one."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip() or None


def clips(models: Models, sizes: list[int], repeats: int) -> dict[str, dict[str, dict[str, float]]]:
    """Measure clips per second of each model, alone and by the size of a run."""
    rng = np.random.default_rng(SEED)
    most = max(sizes)
    equal = [_clip(rng, CLIP_SECONDS, models) for _ in range(most)]
    unlike = [_clip(rng, CLIP_SECONDS * rng.uniform(2 / 3, 4 / 3), models) for _ in range(most)]
    tasks: dict[tuple[str, str], tuple[float, Callable[[], object]]] = {}
    for name, alone, together in (
        ("speaker", models.speaker.embed, models.speaker.embed_many),
        ("spoof", models.spoof.score, models.spoof.score_many),
    ):
        tasks[name, "alone"] = (8, partial(_each_alone, alone, equal[:1] * 8))
        for size in sizes:
            tasks[name, f"{size} equal"] = (size, partial(together, equal[:size]))
            if size > 1:
                several = unlike[:size]
                counted = sum(map(len, several)) / len(equal[0])
                tasks[name, f"{size} unequal"] = (counted, partial(together, several))
    rates: dict[tuple[str, str], list[float]] = {key: [] for key in tasks}
    keys = list(tasks)
    for repeat in range(WARM_UP + repeats):
        for place in rng.permutation(len(keys)):
            count, task = tasks[keys[place]]
            began = time.perf_counter()
            task()
            if repeat >= WARM_UP:
                rates[keys[place]].append(count / (time.perf_counter() - began))
    found: dict[str, dict[str, dict[str, float]]] = {"speaker": {}, "spoof": {}}
    for (name, kind), values in rates.items():
        found[name][kind] = spread(np.array(values))
    return found


def _clip(rng: np.random.Generator, seconds: float, models: Models) -> Samples:
    samples = round(seconds * models.speaker.rate_hz)
    return (0.05 * rng.standard_normal(samples)).astype(np.float32)


def _each_alone(run: Callable[[Samples], object], spans: list[Samples]) -> None:
    for span in spans:
        run(span)


async def simulated(models: Models, calls: int, options: argparse.Namespace) -> dict[str, Any]:
    """Let spans of so many calls arrive, with shared runs and each alone, in turns."""
    spans = spans_of_the_demo(models.speaker.rate_hz)
    rules = BatchRules(options.most, options.wait / 1000.0)
    kinds: dict[str, BatchRules | None] = {"shared runs": rules, "each alone": None}
    waits: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    lost = dict.fromkeys(kinds, 0)
    for turn in range(options.turns):
        due = arrivals(SEED + turn, calls / options.period, options.seconds)
        for kind, batches in kinds.items():
            times, missing = await _turn(models, batches, due, spans)
            waits[kind].append(times)
            lost[kind] += missing
    report: dict[str, Any] = {
        "spans_per_second": round(calls / options.period, 1),
        "span_seconds": spread(np.array([len(one) for one in spans]) / models.speaker.rate_hz),
    }
    for kind, turns in waits.items():
        report[kind] = {
            "spans": sum(len(times) for times in turns),
            "not_answered": lost[kind],
            **{
                f"p{rank}_ms": spread(
                    np.array([1000.0 * np.percentile(times, rank) for times in turns if times])
                )
                for rank in (50, 95, 99)
                if any(turns)
            },
        }
    return report


def spans_of_the_demo(rate_hz: int) -> list[Samples]:
    """Cut demo calls as the engine does."""
    found = []
    for path in sorted(demo_recording().parent.glob("*-genuine.opus")):
        call, _ = mulaw_call(path)
        speech = NetSpeech(AudioFormat(Encoding.MULAW), SpeechOptions(rate_hz=rate_hz))
        spans = [*speech.push(call), *speech.finish()]
        found += [span.samples for span in spans if span.counted and len(span.samples) >= rate_hz]
    return found


def arrivals(seed: int, rate: float, seconds: float) -> NDArray[np.float64]:
    """Return when spans are due: a Poisson process."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1.0 / rate, size=max(1, round(rate * seconds)))
    return np.asarray(np.cumsum(gaps), dtype=np.float64)


async def _turn(
    models: Models,
    batches: BatchRules | None,
    due: NDArray[np.float64],
    spans: list[Samples],
) -> tuple[list[float], int]:
    """Return seconds from due to answered, and how many were not in time."""
    inference = Inference(
        models.speaker, threads=1, queue=len(due), spoof=models.spoof, batches=batches
    )
    rng, loop = np.random.default_rng(SEED), asyncio.get_running_loop()
    times: list[float] = []

    async def ask(at: float, span: Samples) -> None:
        await inference.read(span)
        times.append(loop.time() - at)

    begun, waiting = loop.time() + 0.1, []
    for at in due:
        await asyncio.sleep(max(0.0, begun + at - loop.time()))
        waiting.append(loop.create_task(ask(begun + at, spans[rng.integers(len(spans))])))
    done, late = await asyncio.wait(waiting, timeout=DRAIN_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    inference.close()
    failed = [one for one in done if isinstance(one.exception(), EngineError)]
    return times, len(late) + len(failed)


def render(report: dict[str, Any]) -> str:
    """Write the report as tables."""
    where = report["machine"]
    lines = [
        (
            f"{where['gpu'] or where.get('processor', 'unknown processor')}, device "
            f"{where['device']}, load {where['load'][0]}"
        ),
        f"{'2-s clips per second':28} {'speaker':>30} {'spoof':>30}",
    ]
    found = report["clips_per_second"]
    lines += [
        f"{kind:28} {_cell(found['speaker'][kind]):>30} {_cell(found['spoof'][kind]):>30}"
        for kind in found["speaker"]
    ]
    lines.append(f"{'milliseconds from due to answered':38} {'p50':>24} {'p95':>24} {'p99':>24}")
    for calls, row in report["calls"].items():
        for kind in ("shared runs", "each alone"):
            cells = " ".join(
                f"{_cell(row[kind][rank]) if rank in row[kind] else '-':>24}"
                for rank in ("p50_ms", "p95_ms", "p99_ms")
            )
            missing = row[kind]["not_answered"]
            lines.append(f"{calls + ' calls, ' + kind:38} {cells}  {missing} not answered")
    return "\n".join(lines)


def _cell(row: dict[str, float]) -> str:
    return f"{row['median']:.1f} ({row['low']:.1f} to {row['high']:.1f})"


if __name__ == "__main__":
    sys.exit(main())
