# SPDX-License-Identifier: Apache-2.0
"""``voiceauth calibrate`` and the ``models`` commands that write: tables and cohorts of one's own.

All of them write into a folder of the operator, which ``models.directory`` then names; a running
server reads it at its next start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress as Bar

from voiceauth.cli import options
from voiceauth.cli.options import settings_of
from voiceauth.cli.render import output, print_json, progress_output
from voiceauth.config import Settings
from voiceauth.errors import InputError, SettingsError
from voiceauth.evaluation.adapting import (
    Folders,
    RefitRequest,
    Written,
    cohort_from_recordings,
    refit_on_trials,
)
from voiceauth.evaluation.calibrate import (
    Progress,
    described,
    summary,
)
from voiceauth.evaluation.own_cohort import CohortChoices
from voiceauth.evaluation.refitting import Refit
from voiceauth.evaluation.sessions import Selection
from voiceauth.usecases.instruments import speech_options

ANY_RATE_HZ = 8000
"""The model's own rate takes its place where the model is known."""

To = Annotated[
    Path | None,
    typer.Option(
        "--to",
        metavar="DIR",
        help="Your folder of models; made if it is not there. Default: models.directory.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", help="Default: the model of the settings.", show_default=False
    ),
]
Nearest = Annotated[
    int | None,
    typer.Option(
        "--nearest",
        min=2,
        help="Cohort members that a score is normalised by. Default: 50, at most half of them.",
        show_default=False,
    ),
]
Where = Annotated[
    str,
    typer.Option("--where", metavar="COLUMN=VALUE,...", help="Rows to use. Default: all."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")]


def calibrate(
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
    to: To = None,
    model: Model = None,
    cohort: Annotated[
        Path | None,
        typer.Option("--cohort", metavar="FILE", help="Change to this cohort as well."),
    ] = None,
    nearest: Nearest = None,
    as_json: options.Json = False,
) -> None:
    """Refit the calibration on recordings of your own lines and callers.

    The list is that of `voiceauth evaluate`. Writes a new version of the tables beside the old
    ones, enters it in the manifest of your folder, and says what it supports and what it is worth
    on people that it was not fitted on, before and after. Needs 10 people, and 50 target and 1000
    impostor comparisons of one length; error rates rest on people, so a hundred are better.
    """
    if not trials.is_file():
        raise InputError(f"There is no trial list {trials}.")
    settings = settings_of(context)
    request = RefitRequest(
        trials, root, cohort, nearest, speech=speech_options(settings, ANY_RATE_HZ)
    )
    with shown_progress("recordings", quiet=as_json) as told:
        found, written = refit_on_trials(folders_of(settings, model, to), request, told)
    if as_json:
        print_json(_refit_json(found, written))
        return
    say(summary(found.calibration))
    for words, bandwidths in (("kept as it was", found.kept), ("no table now", found.dropped)):
        for one in bandwidths:
            say(f"{one.value}: {words}, because no trials of it are enough")
    for table in found.calibration.tables:
        worth = table.worth
        if worth is not None and worth.before is not None and worth.cllr > worth.before:
            say(f"Caution: {table.bandwidth.value} costs more than with the tables before.")
    tell(settings, written)


def cohort(
    context: typer.Context,
    recordings: Annotated[
        Path, typer.Argument(help="CSV file with the columns path and speaker.", metavar="CSV")
    ],
    *,
    where: Where = "",
    to: To = None,
    model: Model = None,
    by_line: Annotated[
        bool,
        typer.Option("--by-line", help="Send recordings through simulated telephone lines."),
    ] = False,
    seed: Seed = 20_26,
    as_json: options.Json = False,
) -> None:
    """Build a cohort for score normalisation from callers of your own.

    One voiceprint per person, without names, bound to the model by hash. People of the cohort must
    not be among those that you calibrate or evaluate with, and they must have agreed: a cohort
    identifies people as voiceprints do. The tables in use do not fit another cohort; it comes into
    use with `voiceauth calibrate TRIALS.csv --cohort FILE`. Needs 20 people, better 200.
    """
    settings = settings_of(context)
    choices = CohortChoices(
        by_line=by_line, seed=seed, speech=speech_options(settings, ANY_RATE_HZ)
    )
    with shown_progress("people", quiet=as_json) as told:
        people, left_out, written = cohort_from_recordings(
            folders_of(settings, model, to), recordings, selection_of(where), choices, told
        )
    path = written.folder / written.file
    if as_json:
        print_json({"people": people, "left_out": left_out, "file": path, "model": written.model})
        return
    say(f"{people} people, {left_out} left out for too little speech: {path}")
    say(f"Calibration must be refitted: voiceauth calibrate TRIALS.csv --cohort {path}")


def folders_of(settings: Settings, model: str | None, to: Path | None) -> Folders:
    """Say whose model is meant and where results go."""
    chosen = settings.models
    return Folders(chosen.directory, model or chosen.speaker, to)


def selection_of(text: str) -> Selection:
    """Parse ``column=value,column=value``. Raises SettingsError."""
    parts = [part.partition("=") for part in text.split(",") if part]
    if not all(equals for _, equals, _ in parts):
        raise SettingsError("--where takes column=value,column=value")
    return Selection({name.strip(): value.strip() for name, _, value in parts})


@contextmanager
def shown_progress(what: str, *, quiet: bool) -> Iterator[Progress]:
    """Show a bar while something is heard."""
    console = progress_output()
    with Bar(console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _refit_json(found: Refit, written: Written) -> dict[str, Any]:
    return {
        "version": found.calibration.version,
        "file": written.folder / written.file,
        "refitted": found.refitted,
        "kept": found.kept,
        "dropped": found.dropped,
        "tables": [
            {
                "bandwidth": table.bandwidth,
                "support": asdict(table.support),
                "worth": None if table.worth is None else asdict(table.worth),
                "least_false_match_rate": min(node.false_match_floor for node in table.nodes),
                "described": described(table),
            }
            for table in found.calibration.tables
        ],
    }


def tell(settings: Settings, written: Written) -> None:
    """Say which file was written, and what makes it count."""
    say(f"Written: {written.folder / written.file}")
    here = settings.models.directory
    if here is None or here.resolve() != written.folder.resolve():
        say(f"Set models.directory to {written.folder} to use it.")


def say(text: str) -> None:
    """Print a line as it is."""
    output().print(text, soft_wrap=True, markup=False, highlight=False)
