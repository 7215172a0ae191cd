# SPDX-License-Identifier: Apache-2.0
"""``voiceauth retention …``: what may be kept no longer, and by which rule."""

from typing import Annotated

import typer

from voiceauth.cli import options
from voiceauth.cli.options import settings_of
from voiceauth.cli.reach import ask
from voiceauth.cli.render import output, print_json
from voiceauth.client import Client
from voiceauth.errors import PolicyError
from voiceauth.types import Sweep

retention = typer.Typer(help="Erase what may be kept no longer.", no_args_is_help=True)


@retention.command(epilog="Example: voiceauth retention sweep --dry-run")
def sweep(
    context: typer.Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what is due and erase nothing.")
    ] = False,
    confirm_clock: Annotated[
        bool,
        typer.Option(
            "--confirm-clock",
            help="The clock is right, however far it has moved since the last sweep.",
        ),
    ] = False,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Erase what the retention rules keep no longer. A running server does it by itself.

    Exit codes: 0 done, 1 nothing was erased because the clock is not to be trusted.
    """

    async def question(client: Client) -> list[Sweep]:
        done = [await client.sweep_retention(tenant, dry_run=dry_run, confirm_clock=confirm_clock)]
        while done[-1].more and not (dry_run or done[-1].held):
            done.append(await client.sweep_retention(tenant, confirm_clock=confirm_clock))
        return done

    done = ask(context, server, data_dir, question)
    found = [one for part in done for one in part.due]
    last = done[-1]
    if as_json:
        print_json({"due": found, "more": last.more, "held": last.held, "dry_run": dry_run})
    else:
        for one in found:
            what = "everything" if one.whole else "the voice"
            day = one.due_at.date().isoformat()
            output().print(f"{one.subject}: {what}, due {day} by {one.rule}", soft_wrap=True)
        erased = "due" if dry_run or last.held else "erased"
        output().print(f"{len(found)} {erased}{', and more are due' if last.more else ''}.")
    if last.held:
        raise PolicyError(f"Nothing was erased. {last.held}")


@retention.command(epilog="Example: voiceauth retention rules --json")
def rules(context: typer.Context, *, as_json: options.Json = False) -> None:
    """Print the rules in effect. Of all that bind a person the shortest wins."""
    chosen = settings_of(context).retention
    if as_json:
        print_json(chosen.model_dump(mode="json"))
        return
    for name, rule in chosen.rules.items():
        where = ", ".join(rule.jurisdictions) or "everywhere"
        purposes = f" for {', '.join(rule.purposes)}" if rule.purposes else ""
        since = rule.since.replace("_", " ")
        output().print(
            f"{name}: {rule.days:g} days after {since}, {where}{purposes}: erases {rule.erases}",
            soft_wrap=True,
        )
    law = chosen.jurisdiction or "not known, so every rule binds"
    output().print(f"Law of people whose consent names none: {law}.", soft_wrap=True)
