# SPDX-License-Identifier: Apache-2.0
"""``voiceauth train spoof-data``, ``spoof`` and ``spoof-publish``."""

from pathlib import Path
from typing import Annotated

import typer

from voiceauth.units import Seconds

Data = Annotated[Path, typer.Option("--data", help="Root of the speech pack (manifest.csv).")]
Attacks = Annotated[Path, typer.Option("--attacks", help="Root of the pack of spoof-data.")]
Cache = Annotated[Path | None, typer.Option("--cache", help="Decoded audio; default OUT/cache.")]
_MINUTE: Seconds = 60.0


def register(app: typer.Typer) -> None:
    """Add the commands to ``voiceauth train``."""
    app.command("spoof-data")(spoof_data)
    app.command("spoof")(spoof)
    app.command("spoof-publish")(spoof_publish)


def spoof_data(  # noqa: PLR0917 - options, all named on the command line
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Root of the new pack.")],
    cache: Cache = None,
    split: str = "train",
    source: Annotated[str, typer.Option(help="Only this set's recordings.")] = "",
    originals: Annotated[int, typer.Option(help="Recordings that are copied.")] = 1000,
    each: Annotated[int, typer.Option(help="Vocoders per recording; 0 takes all.")] = 4,
    readings: Annotated[int, typer.Option(help="Texts per voice.")] = 6,
    neural: Annotated[int, typer.Option(help="Texts per neural voice of a package.")] = 40,
    always: Annotated[
        list[str] | None,
        typer.Option(help="Vocoder of every recording, or of every N-th: SYSTEM:N."),
    ] = None,
) -> None:
    """Make synthetic speech from one split's speakers and from the system's reading voices."""
    from voiceauth.training.attacks import AttackPlan, make  # noqa: PLC0415 - extras

    plan = AttackPlan(
        data,
        cache or out / "cache",
        out,
        split,
        source,
        originals,
        each,
        readings,
        neural,
        always=tuple(always or ()),
    )
    for system, count in make(plan).items():
        typer.echo(f"{system}: {count or 'not installed'}")


def spoof(  # noqa: PLR0917 - options, all named on the command line
    data: Data,
    attacks: Attacks,
    out: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    cache: Cache = None,
    minutes: Annotated[float, typer.Option(help="Budget of the whole run.")] = 60.0,
    leave_out: Annotated[list[str] | None, typer.Option(help="System never heard.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that simulate calls.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: int = 1,
) -> None:
    """Train the spoof detector, or go on with the run in OUT."""
    from voiceauth.training.spoof_run import SpoofRunPlan, train_spoof  # noqa: PLC0415 - torch

    plan = SpoofRunPlan(
        data,
        attacks,
        cache or out / "cache",
        out,
        minutes * _MINUTE,
        leave_out=tuple(leave_out or ()),
        workers=workers,
        device=device,
        seed=seed,
    )
    typer.echo(f"checkpoint: {train_spoof(plan)}")


def spoof_publish(
    data: Data,
    attacks: Attacks,
    out: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    models: Annotated[Path, typer.Option("--models", help="Folder of the shipped models.")],
    cache: Cache = None,
) -> None:
    """Export the last checkpoint, calibrate it on dev and unheard systems, measure it on test."""
    from voiceauth.training.spoof_publish import (  # noqa: PLC0415 - torch is heavy
        SpoofPlaces,
        publish_spoof,
    )

    record = publish_spoof(SpoofPlaces(data, attacks, cache or out / "cache", out, models))
    typer.echo(f"{record['name']} {record['sha256']}")
