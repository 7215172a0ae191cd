# SPDX-License-Identifier: Apache-2.0
"""``voiceauth embed`` and ``voiceauth evaluate``: the model on recordings, without a vault."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from voiceauth.cli import options
from voiceauth.cli.options import settings_of
from voiceauth.cli.render import output, print_json, progress_output
from voiceauth.errors import InputError, TooShortError
from voiceauth.evaluation.plots import plot_det
from voiceauth.evaluation.recordings import listen, read_recording
from voiceauth.evaluation.report import render, summarise
from voiceauth.evaluation.run import EvaluationChoices
from voiceauth.evaluation.run import evaluate as score_trials
from voiceauth.evaluation.trials import read_trials
from voiceauth.types import Bandwidth
from voiceauth.units import Seconds
from voiceauth.usecases.instruments import Instruments, open_instruments

_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Embedded:
    """One recording's embedding; ``bandwidth`` is what its source really carried."""

    file: str
    net_seconds: Seconds
    bandwidth: Bandwidth | None
    embedding: tuple[float, ...]


def embed(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Audio files.")],
    *,
    as_json: options.Json = False,
) -> None:
    """Print the speaker embedding of each recording's net speech.

    An embedding identifies a person as a fingerprint does: treat the output accordingly.
    """
    instruments = open_instruments(settings_of(context))
    told = [_embedded(path, instruments) for path in files]
    if as_json:
        print_json({"model": instruments.embedder.model, "recordings": told})
        return
    for one in told:
        start = " ".join(f"{number:+.3f}" for number in one.embedding[:_SHOWN])
        output().print(
            f"{one.file}: {one.net_seconds:.1f} s of net speech, "
            f"{len(one.embedding)} numbers: {start} ... (--json prints all)",
            soft_wrap=True,
            markup=False,
        )


def _embedded(path: Path, instruments: Instruments) -> Embedded:
    if not path.is_file():
        raise InputError(f"There is no audio file {path}.")
    samples, rate_hz = read_recording(path)
    voice = listen(samples, rate_hz, instruments.embedder, instruments.speech)
    if not voice.pieces:
        raise TooShortError(f"{path} has not enough usable speech.")
    return Embedded(
        file=str(path),
        net_seconds=round(voice.net_seconds, 3),
        bandwidth=voice.bandwidth,
        embedding=tuple(voice.mean().tolist()),
    )


def evaluate(
    context: typer.Context,
    trials: Annotated[
        Path,
        typer.Argument(help="CSV file with the columns enrol_id, enrol_paths, test_path, target."),
    ],
    *,
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder that its paths are relative to. Default: its own."),
    ] = None,
    det: Annotated[
        Path | None, typer.Option("--det", help="Save the detection error trade-off as PNG.")
    ] = None,
    enrol_by_line: Annotated[
        bool,
        typer.Option("--enrol-by-line", help="Send enrolments through simulated telephone lines."),
    ] = False,
    test_by_line: Annotated[
        bool,
        typer.Option("--test-by-line", help="Send tests through simulated telephone lines."),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the simulated lines.")] = 1,
    as_json: options.Json = False,
) -> None:
    """Measure error rates on recordings of your own.

    In the CSV file, several enrolment recordings are joined by |, and target is 1 for the same
    speaker, 0 for another. Prints the equal error rate and the false-non-match rates at
    false-match rates of 1 % and 0.1 %, with 90 % bootstrap intervals over people.
    """
    if not trials.is_file():
        raise InputError(f"There is no trial list {trials}.")
    instruments = open_instruments(settings_of(context))
    choices = EvaluationChoices(
        enrol_by_line=enrol_by_line, test_by_line=test_by_line, seed=seed, speech=instruments.speech
    )
    listing = read_trials(trials, root)
    with Progress(console=progress_output(), transient=True, disable=as_json) as progress:
        task = progress.add_task("recordings", total=None)
        scored = score_trials(
            listing,
            instruments.embedder,
            instruments.scorer,
            choices,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    report = summarise(scored, _condition(choices))
    if det is not None:
        plot_det(det, {"all trials": scored.trials})
    if as_json:
        print_json(report)
    else:
        output().print(render(report), soft_wrap=True, markup=False)


def _condition(choices: EvaluationChoices) -> str:
    lines = {
        (False, False): "recordings as they are",
        (True, False): "enrolment over simulated telephone lines, tests as they are",
        (False, True): "tests over simulated telephone lines, enrolment as it is",
        (True, True): "enrolment and tests over different simulated telephone lines",
    }
    return lines[choices.enrol_by_line, choices.test_by_line]
