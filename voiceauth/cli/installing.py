# SPDX-License-Identifier: Apache-2.0
"""``voiceauth models install`` and ``import-speechbrain``: models that have no tables yet.

Both make calls of labelled recordings over simulated lines; ``voiceauth calibrate`` then refits on
real ones.
"""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from voiceauth.cli import options
from voiceauth.cli.adapting import (
    ANY_RATE_HZ,
    Seed,
    To,
    Where,
    folders_of,
    say,
    selection_of,
    shown_progress,
    tell,
)
from voiceauth.cli.options import settings_of
from voiceauth.cli.render import print_json
from voiceauth.config import Settings
from voiceauth.errors import MissingExtraError
from voiceauth.evaluation.adapting import Labelled, cohort_of_new_model, install_with_tables
from voiceauth.evaluation.calibrate import DEFAULT_TOP, CalibrationChoices, summary
from voiceauth.evaluation.own_cohort import CohortChoices, nearest_of
from voiceauth.evaluation.sessions import SessionChoices
from voiceauth.usecases.instruments import speech_options

Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes that hear the calls.")]
Licence = Annotated[
    str, typer.Option("--licence", metavar="SPDX", help="Licence that the model's owner states.")
]
Recordings = Annotated[
    Path,
    typer.Option(
        "--recordings",
        metavar="CSV",
        help="Labelled recordings to calibrate with: columns path and speaker.",
    ),
]


def install(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Of NAME.onnx, NAME-cohort.npz and NAME.md.")],
    *,
    recordings: Recordings,
    licence: Licence,
    where: Where = "",
    to: To = None,
    nearest: Annotated[
        int,
        typer.Option(
            "--nearest", min=0, help="Cohort members that a score is normalised by; 0 for none."
        ),
    ] = DEFAULT_TOP,
    seed: Seed = 20_26,
    workers: Workers = 2,
    as_json: options.Json = False,
) -> None:
    """Fit the first tables of a model and enter it in the manifest of its folder.

    Calls are made of the labelled recordings, over simulated lines: at least 10 people with 4
    recordings each, nobody of the cohort among them.
    """
    settings = settings_of(context)
    choices = _first_tables(settings, nearest, seed, workers)
    with shown_progress("people", quiet=as_json) as told:
        calibration, written = install_with_tables(
            folders_of(settings, None, to).destination(),
            name,
            Labelled(recordings, selection_of(where)),
            licence=licence,
            choices=choices,
            progress=told,
        )
    if as_json:
        print_json({"version": calibration.version, "file": written.folder / written.file})
        return
    say(summary(calibration))
    tell(settings, written)


def import_speechbrain(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(help="Id of a model on the hub, or a folder with its files.")
    ],
    *,
    recordings: Recordings,
    licence: Licence,
    where: Where = "",
    cohort: Annotated[
        Path | None,
        typer.Option(
            "--cohort", metavar="CSV", help="Recordings of other people. Default: --recordings."
        ),
    ] = None,
    cohort_where: Annotated[
        str,
        typer.Option(
            "--cohort-where", metavar="COLUMN=VALUE,...", help="Rows of the cohort. Default: all."
        ),
    ] = "",
    to: To = None,
    name: Annotated[
        str, typer.Option("--name", help="Of the model. Default: the last part of SOURCE.")
    ] = "",
    revision: Annotated[
        str, typer.Option("--revision", help="Commit on the hub. Default: its newest.")
    ] = "",
    seed: Seed = 20_26,
    workers: Workers = 2,
    as_json: options.Json = False,
) -> None:
    """Turn an official speechbrain ECAPA checkpoint into a model of this engine. Needs train.

    Writes one graph, front end included, and proves it against speechbrain's own encode_batch;
    then a cohort and the first tables are made of your recordings, over simulated lines. Nothing
    of the checkpoint is run: settings that this version does not reproduce are refused.
    """
    settings = settings_of(context)
    folder = folders_of(settings, None, to).destination()
    room = _importer()
    name = name or Path(source).name
    labelled = Labelled(recordings, selection_of(where))
    others = Labelled(cohort or recordings, selection_of(cohort_where))
    imported = room.import_model(source, folder, name, licence, revision or None)
    if not as_json:
        say(f"{imported.file}: cosine to speechbrain at least {imported.parity.worst:.7f}")
    hearing = CohortChoices(by_line=True, seed=seed, speech=speech_options(settings, ANY_RATE_HZ))
    with shown_progress("cohort", quiet=as_json) as told:
        people = cohort_of_new_model(
            folder, name, others, apart=labelled, choices=hearing, progress=told
        )
    choices = _first_tables(settings, nearest_of(people, DEFAULT_TOP), seed, workers)
    with shown_progress("people", quiet=as_json) as told:
        calibration, written = install_with_tables(
            folder, name, labelled, licence=licence, choices=choices, progress=told
        )
    if as_json:
        told_parity = {str(key): value for key, value in imported.parity.least_cosine.items()}
        print_json(
            {
                "model": imported.file,
                "parity": told_parity,
                "cohort_people": people,
                "version": calibration.version,
                "calibration": written.folder / written.file,
            }
        )
        return
    say(summary(calibration))
    tell(settings, written)


def _importer() -> Any:
    try:
        return importlib.import_module("voiceauth.training.speechbrain_import")
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error


def _first_tables(settings: Settings, nearest: int, seed: int, workers: int) -> CalibrationChoices:
    sessions = SessionChoices(
        seed=seed, workers=workers, speech=speech_options(settings, ANY_RATE_HZ)
    )
    return replace(CalibrationChoices(), top=nearest, sessions=sessions)
