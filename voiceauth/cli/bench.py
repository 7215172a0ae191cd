# SPDX-License-Identifier: Apache-2.0
"""``voiceauth bench``: what this machine can carry, measured here in some minutes."""

import asyncio
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from voiceauth.cli import options
from voiceauth.cli.converse import converse
from voiceauth.cli.demo import TENANT, demo_settings, enrol_caller
from voiceauth.cli.demo_callers import DemoCall, callers, script
from voiceauth.cli.reach import own_server
from voiceauth.cli.render import output, print_json
from voiceauth.client import Client, VerifyOptions
from voiceauth.config import Settings
from voiceauth.errors import InternalError
from voiceauth.service import looping
from voiceauth.service.scheduling import run_in_batches
from voiceauth.types import Verdict
from voiceauth.units import Seconds
from voiceauth.usecases.measure_machine import (
    HEADROOM,
    Capacity,
    Cost,
    capacity,
    model_costs,
    search_cost,
)

_PEOPLE = 4
_SEED = 1


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What was measured.

    Attributes:
        machine: in words.
        load: of the machine when it began; above the number of cores the figures are too high.
        model: a span of three seconds, by form of the model.
        search: comparing all voiceprints, by their number.
        audio_seconds: heard over gRPC for ``capacity``.
        capacity: the estimate.
    """

    machine: str
    load: float
    model: dict[str, Cost]
    search: dict[str, Cost]
    audio_seconds: Seconds
    capacity: Capacity


def bench(
    context: typer.Context,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="A minute instead of five; the spread is larger.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Measure this machine: the model, 1:N search, and whole calls over gRPC; estimate calls.

    Calls of the demo's people are sent as fast as they are taken, to a server in this process with
    a temporary vault. Their processor time, the client's share included, per second of audio makes
    the estimate. Latency under load is not measured here.
    """
    session = context.find_object(options.Session) or options.Session()
    console = output()
    rounds, repeats = (1, 30) if quick else (8, 200)
    if not as_json:
        console.print("Measuring; other work on this machine makes the figures worse ...")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="voiceauth-bench-") as folder:
        settings = demo_settings(Path(folder), session.config)
        models = dict(model_costs(settings, repeats))
        sizes = (10_000,) if quick else (10_000, 100_000)
        search = {f"{size}": search_cost(size, repeats) for size in sizes}
        calls = script(callers(), _SEED)
        spent, heard = looping.run(_calls(settings, calls.enrolments, calls.calls, rounds))
    cores = len(os.sched_getaffinity(0))
    report = BenchReport(
        machine=f"{platform.machine()}, {cores} cores, {platform.system()}",
        load=round(load, 2),
        model=models,
        search=search,
        audio_seconds=round(heard, 1),
        capacity=capacity(spent / heard, cores),
    )
    if as_json:
        print_json(report)
    else:
        _print(report)


async def _calls(
    settings: Settings,
    enrolments: tuple[DemoCall, ...],
    calls: tuple[DemoCall, ...],
    rounds: int,
) -> tuple[Seconds, Seconds]:
    """Let some people call again and again; return processor and audio seconds of their calls."""
    people = enrolments[:_PEOPLE]
    names = {one.claims for one in people}
    theirs = [one for one in calls if one.caller in names and one.claims in names]
    heard = 0.0
    run_in_batches()  # as a server that calls come to
    async with own_server(settings) as client:
        for place, call in enumerate(people):
            await enrol_caller(client, call, f"enrol-{place}")
        began = time.process_time()
        for turn in range(rounds):
            verdicts = await asyncio.gather(
                *(_verify(client, call, f"{turn}-{place}") for place, call in enumerate(theirs))
            )
            heard += sum(one.evidence.heard_seconds for one in verdicts)
        return time.process_time() - began, heard


async def _verify(client: Client, call: DemoCall, name: str) -> Verdict:
    sound = call.sound()
    opening = VerifyOptions(f"bench-{name}", TENANT, call.claims, sound.audio_format)
    async with client.verify(opening) as stream:
        last = await converse(stream, sound, lambda _: None, pace=None)
    if not isinstance(last, Verdict):
        raise InternalError(detail="a call of the bench ended without a verdict")
    return last


def _print(report: BenchReport) -> None:
    console, found = output(), report.capacity
    table = Table(title=f"{report.machine}; load {report.load:.1f} at the start")
    table.add_column("processor milliseconds")
    table.add_column("median", justify="right")
    table.add_column("99 %", justify="right")
    for form, cost in report.model.items():
        table.add_row(
            f"model, {form}: 3 s of speech", f"{cost.median_ms:.2f}", f"{cost.high_ms:.2f}"
        )
    for size, cost in report.search.items():
        name = f"1:N search, {int(size):,} voiceprints"
        table.add_row(name, f"{cost.median_ms:.2f}", f"{cost.high_ms:.2f}")
    each = 1000.0 * found.processor_seconds
    table.add_row("a second of a call, all of it", f"{each:.2f}", "")
    console.print(table)
    console.print(
        f"Estimate: {found.calls_per_core} concurrent live calls per core, {found.calls} on "
        f"{found.cores} cores."
    )
    console.print(
        f"Assumed: calls may fill {HEADROOM:.0%} of a core; every call is speech throughout, as "
        f"these {report.audio_seconds:.0f} s were, with every layer that is installed here; the "
        "client's work is charged to the server; nothing else runs; memory and disk suffice. "
        "The time to a verdict under that load is not measured: see benchmarks/throughput.py."
    )
