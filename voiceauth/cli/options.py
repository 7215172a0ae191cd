# SPDX-License-Identifier: Apache-2.0
"""The options that several commands share, so that they are named and explained once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from voiceauth.config import (
    AccessSettings,
    ClientSettings,
    Settings,
    TlsSettings,
    TokenSettings,
    load,
)
from voiceauth.types import Encoding

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        help="A running server. Default: the one of the settings.",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Run without a server, on this vault. The directory is made if it is not there.",
        show_default=False,
    ),
]
Tenant = Annotated[str, typer.Option("--tenant", help="Tenant that the subject belongs to.")]
ApprovalName = Annotated[
    str, typer.Option("--approval", metavar="ID", help="Approval of a second person.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of text.")]
CallName = Annotated[
    str, typer.Option("--call", help="Your id of this call. Default: a random one.")
]
RealTime = Annotated[
    bool, typer.Option("--realtime", help="Send at the pace of speech instead of at once.")
]
Sound = Annotated[
    str, typer.Argument(metavar="AUDIO", help="Audio file, or - for raw audio from standard input.")
]
RawEncoding = Annotated[
    Encoding | None,
    typer.Option(
        "--encoding",
        help="The audio is raw, in this encoding. Default for -: mulaw.",
        show_default=False,
    ),
]
RawRate = Annotated[
    int, typer.Option("--rate", min=1, help="Samples per second of raw audio, in hertz.")
]
RawChannels = Annotated[int, typer.Option("--channels", min=1, help="Channels of raw audio.")]
CallerChannel = Annotated[
    int, typer.Option("--channel", min=0, help="The caller's channel, counted from 0.")
]


@dataclass(frozen=True, slots=True)
class Session:
    """What stands before the command: the options of ``voiceauth`` itself."""

    config: Path | None = None
    ca: Path | None = None
    identity: Path | None = None
    token_file: Path | None = None


def settings_of(context: typer.Context) -> Settings:
    """Read the settings that ``--config``, the environment and the options before the command give.

    Raises:
        SettingsError: they cannot be used; the message names the key.
    """
    session = context.find_object(Session)
    if session is None:
        return load(None)
    settings = load(session.config)
    given: dict[str, Path | None] = {"ca": session.ca, "token_file": session.token_file}
    if session.identity is not None:
        given["certificate"] = session.identity.with_name(f"{session.identity.name}.pem")
        given["key"] = session.identity.with_name(f"{session.identity.name}.key")
    update = {name: path for name, path in given.items() if path is not None}
    return settings.model_copy(update={"client": settings.client.model_copy(update=update)})


def with_data_dir(settings: Settings, data_dir: Path) -> Settings:
    """Return settings for an engine of this command's own: quiet, on loopback, on any free port.

    Whoever runs the command can read the files that the engine reads, so it asks for no proof.
    """
    return settings.model_copy(
        update={
            "tls": TlsSettings(),
            "access": AccessSettings(),
            "tokens": TokenSettings(),
            "client": ClientSettings(),
            # A server delivers; a command that a receiver keeps waiting would be a nuisance.
            "alerts": settings.alerts.model_copy(update={"deliver": False}),
            "storage": settings.storage.model_copy(update={"data_dir": data_dir.resolve()}),
            "server": settings.server.model_copy(update={"host": "127.0.0.1", "port": 0}),
        }
    )


def local_settings(context: typer.Context, data_dir: Path | None) -> Settings:
    """Read the settings of a command that works on the files of this machine."""
    settings = settings_of(context)
    return settings if data_dir is None else with_data_dir(settings, data_dir)
