# SPDX-License-Identifier: Apache-2.0
"""What an embedding costs, waveform in, vector out, beside other engines: one core, 3 s of speech.

    python benchmarks/peers.py [--repeats 40] [--seconds 3] [--json FILE]

Every system hears the same real speech in the same process, one after the other in each repeat and
in another order each time; what counts is the processor time of the process. Ratios are paired per
repeat. Systems whose packages are missing are left out (extra `train`, and `pip install
sherpa-onnx`); ``peer_systems`` says what each one is.

The fraction of the processor's peak is the arithmetic of the graph's convolutions and matrix
products over the median time, over what the same core reaches in a large matrix product of its own
in the same run: no data sheet is trusted with the clock of a shared machine.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from latency import demo_recording, machine, spread
from numpy.typing import NDArray
from peak import int8_peak, operations, single_peak
from peer_systems import RATE_HZ, systems

WARM_UP = 5
SEED = 11


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--models", type=Path, help="model directory; default the packaged one")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    speech = spoken(options.seconds)
    built, left_out = systems(options.models)
    times = interleaved(
        {name: partial(run, speech) for name, run in built.items()}, options.repeats
    )
    report = {
        "machine": machine(),
        "seconds": options.seconds,
        "repeats": options.repeats,
        "left_out": left_out,
        "milliseconds": {name: spread(1000.0 * rows) for name, rows in times.items()},
        "ratios": {
            ours: {
                peer: spread(rows / times[ours])
                for peer, rows in times.items()
                if not peer.startswith("voiceauth")
            }
            for ours in times
            if ours.startswith("voiceauth")
        },
        "peak": peak(times, options),
    }
    print(render(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def spoken(seconds: float) -> NDArray[np.float32]:
    """Read that much of a demo call, 8 kHz."""
    samples, rate = soundfile.read(str(demo_recording()), dtype="float32")
    narrow = soxr.resample(samples, rate, RATE_HZ).astype(np.float32)
    middle, wanted = len(narrow) // 2, round(seconds * RATE_HZ)
    cut: NDArray[np.float32] = narrow[max(0, middle - wanted // 2) :][:wanted].copy()
    return cut


def interleaved(
    tasks: dict[str, Callable[[], object]], repeats: int
) -> dict[str, NDArray[np.float64]]:
    """Run all tasks in each repeat, in another order each time: processor seconds of each."""
    rng, names = np.random.default_rng(SEED), list(tasks)
    times: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(WARM_UP + repeats):
        for place in rng.permutation(len(names)):
            name = names[place]
            began = time.process_time()
            tasks[name]()
            if repeat >= WARM_UP:
                times[name].append(time.process_time() - began)
    return {name: np.array(found) for name, found in times.items()}


def peak(times: dict[str, NDArray[np.float64]], options: argparse.Namespace) -> dict[str, Any]:
    """Say how much of the core's arithmetic each form of ours uses."""
    work = operations(options.models, round(options.seconds * RATE_HZ))
    if work is None:
        return {}
    roofs = {"fp32": single_peak(), "int8": int8_peak()}
    found: dict[str, Any] = {
        "graph_mops": round(work / 1e6, 1),
        "core_gops": {name: round(one / 1e9, 1) for name, one in roofs.items()},
    }
    for form, roof in roofs.items():
        rows = times.get(f"voiceauth {form}")
        if rows is not None:
            reached = work / float(np.median(rows))
            found[form] = {"gops": round(reached / 1e9, 1), "of_peak": round(reached / roof, 3)}
    return found


def render(report: dict[str, Any]) -> str:
    """Write the report as tables."""
    where = report["machine"]
    lines = [
        (
            f"{where.get('processor', 'unknown processor')}, {where['cores']} cores, load "
            f"{where['load'][0]}, one thread; {report['repeats']} repeats of "
            f"{report['seconds']:.1f} s"
        ),
        f"{'milliseconds of processor time':58} {'median':>8} {'10 %':>8} {'90 %':>8}",
    ]
    lines += [
        f"{name:58} {row['median']:8.2f} {row['low']:8.2f} {row['high']:8.2f}"
        for name, row in report["milliseconds"].items()
    ]
    for ours, peers in report["ratios"].items():
        lines += [
            f"{peer} / {ours}: {row['median']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
            for peer, row in peers.items()
        ]
    lines += [f"peak: {json.dumps(report['peak'])}"] if report["peak"] else []
    lines += [f"left out: {name}: {why}" for name, why in report["left_out"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
