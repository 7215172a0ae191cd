# SPDX-License-Identifier: Apache-2.0
"""``voiceauth lockout …``: how often a voice was tried, and how a closed path is opened."""

from typing import Annotated

import typer

from voiceauth.cli import options
from voiceauth.cli.people import SubjectName
from voiceauth.cli.reach import ask
from voiceauth.cli.render import output, print_json
from voiceauth.client import Client
from voiceauth.types import LockoutStanding

lockout = typer.Typer(help="See and open closed voice paths.", no_args_is_help=True)

Number = Annotated[
    str, typer.Option("--number", help="A calling number to look at besides. Default: none.")
]


@lockout.command(epilog="Example: voiceauth lockout show 4711 --number +49301234567")
def show(
    context: typer.Context,
    *,
    subject: SubjectName,
    number: Number = "",
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Show failed attempts on a subject's voice path, and whether it is closed."""

    async def question(client: Client) -> LockoutStanding:
        return await client.get_lockout(tenant, subject, number)

    _print(ask(context, server, data_dir, question), as_json=as_json)


@lockout.command(epilog="Example: voiceauth lockout unlock 4711 --yes")
def unlock(
    context: typer.Context,
    *,
    subject: SubjectName,
    number: Number = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed in scripts.")] = False,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Open a subject's voice path, and give a named number its budget back.

    Do it only once the person is known by other means: it gives whoever calls further attempts.
    """
    if not yes:
        typer.confirm("Open this subject's voice path?", abort=True, err=True)

    async def question(client: Client) -> LockoutStanding:
        return await client.unlock(tenant, subject, number)

    _print(ask(context, server, data_dir, question), as_json=as_json)


def _print(standing: LockoutStanding, *, as_json: bool) -> None:
    if as_json:
        print_json(standing)
        return
    if standing.disabled:
        state = "closed until staff open it"
    elif standing.remaining_seconds > 0:
        state = f"closed for {standing.remaining_seconds:.0f} s"
    else:
        state = "open"
    line = (
        f"{standing.subject}: voice path {state}; {standing.failures} failed and "
        f"{standing.undecided} undecided attempts in a row, {standing.total} failed ever"
    )
    if standing.number_failures:
        over = " (over its budget)" if standing.number_over_budget else ""
        line += f"; {standing.number_failures} from this number{over}"
    output().print(line, soft_wrap=True, markup=False)
