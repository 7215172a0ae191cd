# SPDX-License-Identifier: Apache-2.0
"""``voiceauth models migrate …``: from one speaker model to the next, person by person."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from voiceauth.cli import options
from voiceauth.cli.converse import enrolment
from voiceauth.cli.kept_recordings import KeptRecording, kept_recordings
from voiceauth.cli.reach import ask
from voiceauth.cli.render import output, print_json, progress_output
from voiceauth.cli.sound import RawAudio, open_sound
from voiceauth.client import Client, EnrolOptions
from voiceauth.errors import DependencyError, EngineError, PolicyError
from voiceauth.types import MigrationAction, ModelMigration


def migrate(
    context: typer.Context,
    *,
    action: Annotated[
        MigrationAction, typer.Argument(help="Look at it, finish it, or take it back.")
    ] = MigrationAction.STATUS,
    drop_waiting: Annotated[
        bool,
        typer.Option("--drop-waiting", help="Finish although people wait; they must enrol again."),
    ] = False,
    recordings: Annotated[
        Path | None,
        typer.Option(
            "--recordings",
            metavar="FILE.csv",
            help="Move people with recordings that you kept: columns subject, path, maybe tenant.",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder that its paths are relative to. Default: its own."),
    ] = None,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Move from one speaker model to another without enrolling everybody again.

    Set models.speaker to the new model and models.previous to the one before, and restart: people
    move with the calls in which their voice matches, and with recordings that you kept of them, as
    far as those match the old voiceprints. `finish` deletes the old voiceprints once nobody waits,
    `rollback` the new ones; then change the settings.
    """
    kept = () if recordings is None else kept_recordings(recordings, root, tenant)

    async def question(client: Client) -> tuple[Counter[str], ModelMigration]:
        if kept:
            await client.maintenance.migrate_models()  # refuses where no migration runs
        heard = await _heard(client, kept)
        moved = await client.maintenance.migrate_models(action, drop_waiting=drop_waiting)
        return heard, moved

    heard, found = ask(context, server, data_dir, question)
    if as_json:
        print_json({**asdict(found), "recordings": dict(heard)})
        return
    if heard:
        counts = ", ".join(f"{count} {fate}" for fate, count in heard.most_common())
        output().print(f"{heard.total()} recordings: {counts}.", soft_wrap=True)
    everybody = found.moved + found.waiting
    output().print(
        f"{found.moved} of {everybody} moved, {found.waiting} wait; {found.begun} of these have "
        "some speech for the new model.",
        soft_wrap=True,
    )


async def _heard(client: Client, kept: Sequence[KeptRecording]) -> Counter[str]:
    """Send recordings, and count what became of them.

    One that cannot be used is counted by its error, and the next one follows; a server that is away
    ends it. Everything that was stored stays, so the same list can be sent again.
    """
    fates: Counter[str] = Counter()
    with Progress(console=progress_output(), transient=True) as bar:
        for one in bar.track(kept, description="recordings"):
            try:
                fates[await _fate(client, one)] += 1
            except PolicyError:
                fates["of people who do not wait"] += 1
            except DependencyError:
                raise
            except EngineError as error:
                fates[error.code] += 1
    return fates


async def _fate(client: Client, kept: KeptRecording) -> str:
    sound = open_sound(str(kept.path), RawAudio(), realtime=False)
    opening = EnrolOptions(
        call_id=f"kept-{uuid.uuid4()}",
        tenant=kept.tenant,
        subject=kept.subject,
        audio_format=sound.audio_format,
        kept_recording=True,
    )
    result = await enrolment(client, opening, sound, lambda _: None, pace=None)
    return result.outcome.value
