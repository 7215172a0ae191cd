# SPDX-License-Identifier: Apache-2.0
"""``voiceauth doctor``: look an installation over, here or through a server."""

import asyncio
from typing import Annotated

import typer
from rich.text import Text

from voiceauth.cli import options
from voiceauth.cli.options import local_settings, settings_of
from voiceauth.cli.reach import reached
from voiceauth.cli.render import output, print_json
from voiceauth.types import Finding, Level
from voiceauth.usecases.doctor import diagnose, worst

EXIT_CODES = {Level.GOOD: 0, Level.WARNING: 10, Level.PROBLEM: 11}
_STYLES = {Level.GOOD: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


def doctor(
    context: typer.Context,
    *,
    server: options.Server = None,
    data_dir: options.DataDir = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show what is good, too; --json always does.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Look the installation over: versions, weak settings, ends, ages, migrations, disks, clock.

    It reads the files of this machine and changes nothing; with --server it asks that server about
    itself. Exit codes: 0 all is good, 10 there are warnings, 11 there are problems.
    """
    if server is None:
        found = diagnose(local_settings(context, data_dir))
    else:
        found = _asked(context, server)
    if as_json:
        print_json({"worst": worst(found), "findings": found})
    else:
        _print(found, everything=everything)
    raise typer.Exit(EXIT_CODES[worst(found)])


def _asked(context: typer.Context, server: str) -> tuple[Finding, ...]:
    settings = settings_of(context)

    async def run() -> tuple[Finding, ...]:
        async with reached(settings, server, None) as client:
            return await client.maintenance.diagnose()

    return asyncio.run(run())


def _print(found: tuple[Finding, ...], *, everything: bool) -> None:
    shown = [one for one in found if everything or one.level is not Level.GOOD]
    for one in shown:
        line = Text(f"{one.level.value:<8}", _STYLES[one.level])
        line.append(f" {one.check}: {one.text}", "default")
        if one.advice:
            line.append(f" {one.advice}", "dim")
        output().print(line, soft_wrap=True)
    if not shown:
        output().print(f"{len(found)} checks, all good.")
