# SPDX-License-Identifier: Apache-2.0
"""``voiceauth train …``: the command surface of the training room."""

import dataclasses
import datetime
from pathlib import Path
from typing import Annotated

import typer

from voiceauth.errors import SettingsError
from voiceauth.units import Seconds

app = typer.Typer(help="Train, export and document the speaker model.", no_args_is_help=True)

Data = Annotated[Path, typer.Option("--data", help="Root of the speech pack (manifest.csv).")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
Cache = Annotated[Path | None, typer.Option("--cache", help="Decoded audio; default OUT/cache.")]


def seconds_until(clock: str, now: datetime.datetime) -> Seconds:
    """Seconds from ``now`` to the next local time of the form HH:MM.

    Raises:
        SettingsError: not of that form.
    """
    try:
        time = datetime.time.fromisoformat(clock)
    except ValueError as error:
        raise SettingsError("--until takes a time such as 23:00.", detail=clock) from error
    end = datetime.datetime.combine(now.date(), time, tzinfo=now.tzinfo)
    if end <= now:
        end += datetime.timedelta(days=1)
    return (end - now).total_seconds()


@app.command()
def teacher(data: Data, out: Out, cache: Cache = None, processes: int = 2) -> None:
    """Compute the teacher's embeddings: recordings first, then speed variants."""
    from voiceauth.training.teacher import build_store

    cache = cache or out / "cache"
    for variants, name in ((False, "teacher.npz"), (True, "teacher-speeds.npz")):
        count = build_store(data, cache, cache / name, variants=variants, processes=processes)
        typer.echo(f"{name}: {count} embeddings")


@app.command()
def speaker(
    data: Data,
    out: Out,
    cache: Cache = None,
    minutes: Annotated[float, typer.Option(help="Budget of the whole run.")] = 120.0,
    until: Annotated[str, typer.Option(help="Local time HH:MM to end at, instead.")] = "",
    batch: int = 48,
    threads: int = 2,
    seed: int = 1,
    rate: float = 1e-3,
    init: Annotated[Path | None, typer.Option(help="Weights to start from (.npz, .pt).")] = None,
    evaluate_minutes: float = 20.0,
) -> None:
    """Train the speaker model, or go on with the run in OUT."""
    import torch

    from voiceauth.training.crops import CropPlan
    from voiceauth.training.run import RunPlan, train

    plan = RunPlan(data, cache or out / "cache", out, minutes * 60.0)
    if until:
        now = datetime.datetime.now().astimezone()
        spent = 0.0
        if (out / "last.pt").exists():
            spent = torch.load(out / "last.pt", weights_only=True)["progress"]["elapsed"]
        plan = dataclasses.replace(plan, budget=spent + seconds_until(until, now))
    plan = dataclasses.replace(
        plan,
        crops=CropPlan(batch=batch),
        threads=threads,
        seed=seed,
        rate=rate,
        init=init,
        evaluate_every=evaluate_minutes * 60.0,
    )
    typer.echo(f"checkpoint: {train(plan)}")
