# SPDX-License-Identifier: Apache-2.0
"""``voiceauth serve`` and ``voiceauth health``."""

import asyncio
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Annotated

import typer

from voiceauth.cli import options
from voiceauth.cli.options import settings_of
from voiceauth.cli.reach import address_of, client_of
from voiceauth.cli.render import output, print_json
from voiceauth.config import Settings
from voiceauth.errors import DependencyError, EngineError, IntegrityError
from voiceauth.service import looping
from voiceauth.service.server import serve as serve_engine
from voiceauth.service.supervisor import Supervisor, end_with
from voiceauth.usecases.alert_setup import tell_of_failed_start
from voiceauth.usecases.assemble import assembled


def serve(
    context: typer.Context,
    *,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            max=64,
            help="Processes that serve, one per core at most. Default: server.workers.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the server until SIGTERM or Ctrl-C; running calls are finished first.

    Works without a settings file: it listens on 127.0.0.1:50051 and makes a vault and its key in
    the user's data directory. Logs go to standard error, one JSON object per line.
    """
    settings = settings_of(context)
    if workers is not None:
        limits = settings.server.model_copy(update={"workers": workers})
        settings = settings.model_copy(update={"server": limits})
    if settings.server.workers > 1:
        Supervisor(settings, work, time.monotonic).run()
        return
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(assembled(settings))
        except (DependencyError, IntegrityError) as error:
            tell_of_failed_start(settings.alerts, error.code, datetime.now(UTC))
            raise
        looping.run(serve_engine(engine, settings))


def work(settings: Settings, number: int, supervisor: Connection) -> None:
    """Serve as one of several workers; for the supervisor alone."""
    end_with(supervisor)
    try:
        with assembled(settings, worker=number) as engine:
            looping.run(serve_engine(engine, settings, ready=supervisor.send))
    except EngineError as error:
        if number == 0 and isinstance(error, DependencyError | IntegrityError):
            tell_of_failed_start(settings.alerts, error.code, datetime.now(UTC))
        typer.echo(f"Error: worker {number}: {error.public}", err=True)
        raise SystemExit(1) from error


def health(
    context: typer.Context,
    *,
    server: options.Server = None,
    as_json: options.Json = False,
) -> None:
    """Ask a server whether it serves; for container health checks.

    Exit codes: 0 it serves, 1 it does not.
    """
    settings = settings_of(context)
    address = server or address_of(settings)

    async def serving() -> bool:
        async with client_of(settings, address) as client:
            return await client.healthy()

    try:
        answer = asyncio.run(serving())
    except DependencyError:
        answer = False
    if as_json:
        print_json({"server": address, "serving": answer})
    else:
        output().print(f"{address}: {'serving' if answer else 'not serving'}")
    raise typer.Exit(0 if answer else 1)
