# SPDX-License-Identifier: Apache-2.0
"""Reach an engine: a running server, or one of the command's own on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import typer

from voiceauth.cli.options import settings_of, with_data_dir
from voiceauth.client import Client
from voiceauth.client.credentials import ClientFiles, credentials_from
from voiceauth.config import ClientSettings, LogSettings, Settings
from voiceauth.errors import DependencyError
from voiceauth.service.address import local_host
from voiceauth.service.logging import configure_logging
from voiceauth.service.server import running_server
from voiceauth.usecases.assemble import assembled

Answer = TypeVar("Answer")
_PATIENCE_SECONDS = 5.0


def ask(
    context: typer.Context,
    server: str | None,
    data_dir: Path | None,
    question: Callable[[Client], Awaitable[Answer]],
) -> Answer:
    """Connect, ask, disconnect.

    Args:
        context: of the command, for the settings.
        server: HOST:PORT; None for the server of the settings.
        data_dir: run without a server on this vault.
        question: what to do with the client.

    Returns:
        What ``question`` returned.

    Raises:
        DependencyError: no server answers.
        BadParameter: both ways at once.
    """
    if server is not None and data_dir is not None:
        raise typer.BadParameter("Give --server or --data-dir, not both.")
    settings = settings_of(context)

    async def run() -> Answer:
        async with reached(settings, server, data_dir) as client:
            return await question(client)

    return asyncio.run(run())


def address_of(settings: Settings) -> str:
    """Return where the server of the settings can be reached from this machine."""
    return f"{local_host(settings.server.host)}:{settings.server.port}"


def client_of(settings: Settings, address: str) -> Client:
    """Return a client that shows what the settings' ``[client]`` has; plain text if that is empty.

    Raises:
        InputError: a file cannot be read.
    """
    given = settings.client
    if given == ClientSettings():
        return Client(address)
    files = ClientFiles(given.ca, given.certificate, given.key, given.token_file)
    return Client(address, credentials=credentials_from(files))


@asynccontextmanager
async def own_server(settings: Settings) -> AsyncIterator[Client]:
    """Open an engine, serve it and speak to it, all for the time of the block; log only errors."""
    configure_logging(LogSettings(level="error", format="console"))
    with assembled(settings) as engine:
        async with running_server(engine, settings) as server, Client(server.target) as client:
            yield client


@asynccontextmanager
async def reached(
    settings: Settings, server: str | None, data_dir: Path | None
) -> AsyncIterator[Client]:
    """Open a client towards a server, or towards an engine that lives as long as it does."""
    if data_dir is not None:
        own = with_data_dir(settings, data_dir)
        async with own_server(own) as client:
            yield client
        return
    address = server or address_of(settings)
    async with client_of(settings, address) as client:
        try:
            await client.wait_ready(_PATIENCE_SECONDS)
        except (TimeoutError, DependencyError):
            raise DependencyError(
                f"No server answers at {address}: start one with `voiceauth serve`, name another "
                "with --server, or use --data-dir to run without one."
            ) from None
        yield client
