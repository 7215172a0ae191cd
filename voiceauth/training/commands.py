# SPDX-License-Identifier: Apache-2.0
"""``voiceauth train …``: the command surface of the training room."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Annotated

import typer

from voiceauth.errors import SettingsError
from voiceauth.training import spoof_commands
from voiceauth.units import Seconds

app = typer.Typer(help="Train, export and document the speaker model.", no_args_is_help=True)
spoof_commands.register(app)

Data = Annotated[Path, typer.Option("--data", help="Root of the speech pack (manifest.csv).")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
Cache = Annotated[Path | None, typer.Option("--cache", help="Decoded audio; default OUT/cache.")]
Also = Annotated[
    list[Path] | None, typer.Option("--also", help="Root of a further pack; may be repeated.")
]


def seconds_until(clock: str, now: dt.datetime) -> Seconds:
    """Seconds from ``now`` to the next local time of the form HH:MM.

    Raises:
        SettingsError: not of that form.
    """
    try:
        time = dt.time.fromisoformat(clock)
    except ValueError as error:
        raise SettingsError("--until takes a time such as 23:00.", detail=clock) from error
    end = dt.datetime.combine(now.date(), time, tzinfo=now.tzinfo)
    if end <= now:
        end += dt.timedelta(days=1)
    return (end - now).total_seconds()


@app.command()
def teacher(
    data: Data, out: Out, cache: Cache = None, also: Also = None, processes: int = 2
) -> None:
    """Compute the teacher's embeddings: recordings first, then changed voices."""
    from voiceauth.training.corpus import load_voices  # noqa: PLC0415 - soundfile is an extra
    from voiceauth.training.teacher import build_store  # noqa: PLC0415 - torch is heavy

    cache = cache or out / "cache"
    corpus = load_voices(data, cache, *(also or ()))
    for variants, name in ((False, "teacher.npz"), (True, "teacher-variants.npz")):
        count = build_store(corpus, cache / name, variants=variants, processes=processes)
        typer.echo(f"{name}: {count} embeddings")


@app.command()
def speaker(  # noqa: PLR0917 - options, all named on the command line
    data: Data,
    out: Out,
    cache: Cache = None,
    also: Also = None,
    minutes: Annotated[float, typer.Option(help="Budget of the whole run.")] = 120.0,
    until: Annotated[str, typer.Option(help="Local time HH:MM to end at, instead.")] = "",
    batch: int = 48,
    threads: int = 2,
    processes: Annotated[int, typer.Option(help="That share every step, on a busy machine.")] = 1,
    workers: Annotated[int, typer.Option(help="That make crops, for each process.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    views: Annotated[
        int, typer.Option(help="Crops of one utterance that the teacher hears live; 0: stored.")
    ] = 0,
    seed: int = 1,
    rate: float = 2e-3,
    init: Annotated[Path | None, typer.Option(help="Weights to start from (.npz, .pt).")] = None,
    evaluate_minutes: float = 20.0,
    channels: Annotated[int, typer.Option(help="Width of the network.")] = 256,
    stem: Annotated[int, typer.Option(help="Channels of its two-dimensional stem.")] = 16,
    shortest: Annotated[float, typer.Option(help="Seconds of the shortest crop.")] = 1.0,
    longest: Annotated[float, typer.Option(help="Seconds of the longest crop.")] = 3.0,
    margin: Annotated[float, typer.Option(help="Of the softmax, in radians.")] = 0.1,
) -> None:
    """Train the speaker model, or go on with the run in OUT."""
    from voiceauth.training.run import RunPlan, elapsed, train  # noqa: PLC0415 - torch is heavy

    plan = RunPlan(data, cache or out / "cache", out, minutes * 60.0, also=tuple(also or ()))
    if until:
        now = dt.datetime.now().astimezone()
        plan = dataclasses.replace(plan, budget=elapsed(out) + seconds_until(until, now))
    plan = dataclasses.replace(
        plan,
        crops=dataclasses.replace(
            plan.crops, batch=batch, shortest=shortest, longest=longest, views=views
        ),
        weights=dataclasses.replace(plan.weights, margin=margin),
        shape=dataclasses.replace(plan.shape, channels=channels, stem=stem),
        threads=threads,
        processes=processes,
        workers=workers,
        device=device,
        seed=seed,
        rate=rate,
        init=init,
        evaluate_every=evaluate_minutes * 60.0,
    )
    typer.echo(f"checkpoint: {train(plan)}")


@app.command()
def export(
    out: Out,
    to: Annotated[Path, typer.Option("--to", help="ONNX file to write.")],
    weights: Annotated[Path | None, typer.Option(help="Instead of OUT/last.pt.")] = None,
) -> None:
    """Write the run's last checkpoint as ONNX."""
    from voiceauth.training.checkpoint import load_student  # noqa: PLC0415 - torch is heavy
    from voiceauth.training.export import export as write  # noqa: PLC0415 - torch is heavy
    from voiceauth.training.publish import shape_of  # noqa: PLC0415 - torch is heavy
    from voiceauth.training.student import Student  # noqa: PLC0415 - torch is heavy

    record = out / "run.json"
    student = Student(shape_of(json.loads(record.read_text()) if record.exists() else {}))
    load_student(weights or out / "last.pt", student)
    typer.echo(f"{to}: parity cosine {write(student, to):.6f}")


@app.command()
def quantise(
    model: Annotated[Path, typer.Option("--model", help="fp32 ONNX file of `train export`.")],
    to: Annotated[Path, typer.Option("--to", help="int8 ONNX file to write.")],
    data: Data,
    cache: Annotated[Path, typer.Option("--cache", help="Decoded audio.")],
) -> None:
    """Write the int8 form of a model, calibrated on train speech and checked on dev speakers."""
    from voiceauth.training.corpus import load_corpus  # noqa: PLC0415 - soundfile is an extra
    from voiceauth.training.evaluation import prepare  # noqa: PLC0415 - torch is heavy
    from voiceauth.training.publish import SET  # noqa: PLC0415 - torch is heavy
    from voiceauth.training.quantise import quantise as run  # noqa: PLC0415 - onnx is heavy

    train = load_corpus(data, cache, "speech", "train")
    found = run(model, to, train, prepare(load_corpus(data, cache, "speech", "dev", SET)))
    typer.echo(json.dumps(dataclasses.asdict(found), indent=1))


@app.command()
def publish(
    data: Data,
    out: Out,
    models: Annotated[Path, typer.Option("--models", help="Folder of the shipped models.")],
    cache: Cache = None,
) -> None:
    """Export the last checkpoint, measure it on dev and test, write cohort, weights and card."""
    from voiceauth.training.publish import Places  # noqa: PLC0415 - torch is heavy
    from voiceauth.training.publish import publish as run  # noqa: PLC0415 - torch is heavy

    record = run(Places(data, cache or out / "cache", out, models))
    typer.echo(f"{record['name']} {record['sha256']}")
    typer.echo(f"dev {record['dev_eer']}")


@app.command()
def measure(
    data: Data,
    model: Annotated[Path, typer.Option("--model", help="ONNX file.")],
    cache: Annotated[Path, typer.Option("--cache", help="Decoded audio.")],
) -> None:
    """Print the figures of any 8 kHz speaker model on the same dev and test trials."""
    from voiceauth.models.speaker import OnnxSpeaker  # noqa: PLC0415 - onnxruntime is heavy
    from voiceauth.training.publish import Places  # noqa: PLC0415 - torch is heavy
    from voiceauth.training.publish import measure as run  # noqa: PLC0415 - torch is heavy

    found = run(OnnxSpeaker.of_file(model), Places(data, cache, cache, cache))
    typer.echo(json.dumps(found, indent=1))
