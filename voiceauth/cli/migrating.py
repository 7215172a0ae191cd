# SPDX-License-Identifier: Apache-2.0
"""``voiceauth models migrate …``: from one speaker model to the next, person by person."""

from typing import Annotated

import typer

from voiceauth.cli import options
from voiceauth.cli.reach import ask
from voiceauth.cli.render import output, print_json
from voiceauth.client import Client
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
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Move from one speaker model to another without enrolling everybody again.

    Set models.speaker to the new model and models.previous to the one before, and restart: people
    move with the calls in which their voice matches. `finish` deletes the old voiceprints once
    nobody waits, `rollback` the new ones; then change the settings.
    """

    async def question(client: Client) -> ModelMigration:
        return await client.maintenance.migrate_models(action, drop_waiting=drop_waiting)

    found = ask(context, server, data_dir, question)
    if as_json:
        print_json(found)
        return
    everybody = found.moved + found.waiting
    output().print(
        f"{found.moved} of {everybody} moved, {found.waiting} wait; {found.begun} of these have "
        "some speech for the new model.",
        soft_wrap=True,
    )
