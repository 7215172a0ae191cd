# SPDX-License-Identifier: Apache-2.0
"""``voiceauth certs …``: certificates for trying out."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from voiceauth.cli import options
from voiceauth.cli.render import output, print_json
from voiceauth.usecases.dev_certificates import make_dev_certificates

certs = typer.Typer(help="Make certificates for trying out TLS and roles.", no_args_is_help=True)


@certs.callback()
def _group() -> None:
    """Keep `dev` a command of its own, although it is the only one."""


@certs.command(epilog="Example: voiceauth certs dev certs")
def dev(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write them.")],
    host: Annotated[
        list[str] | None,
        typer.Option("--host", help="Name or address of the server; may be repeated."),
    ] = None,
    tenant: Annotated[
        str, typer.Option("--tenant", help="Tenant of every certificate; * for all of them.")
    ] = "default",
    as_json: options.Json = False,
) -> None:
    """Make an authority, a server's certificate, one for each role, and settings that use them.

    They are valid for 90 days. The authority's key is not kept. Then:

    `voiceauth --config DIR/voiceauth.toml serve`, and
    `voiceauth --config DIR/voiceauth.toml --identity DIR/enrolment subjects create 4711`.
    """
    hosts = host or ["localhost", "127.0.0.1", "::1"]
    made = make_dev_certificates(directory, hosts=hosts, tenant=tenant, now=datetime.now(UTC))
    if as_json:
        print_json({"files": [str(path) for path in made], "settings": str(made[-1])})
        return
    output().print(f"Made {len(made)} files in {directory}; settings: {made[-1]}", soft_wrap=True)
