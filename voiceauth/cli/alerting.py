# SPDX-License-Identifier: Apache-2.0
"""``voiceauth alerts …``: what the rules over the ledger have found."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from voiceauth.cli import options
from voiceauth.cli.options import settings_of, with_data_dir
from voiceauth.cli.reach import ask
from voiceauth.cli.render import output, print_json
from voiceauth.client import Client
from voiceauth.types import Alert, Assessment, Severity
from voiceauth.usecases.alert_setup import send_test_alert
from voiceauth.usecases.replay_alerts import replay_file, replay_vault

alerts = typer.Typer(help="List, follow, answer and try out alerts.", no_args_is_help=True)

Whose = Annotated[
    str,
    typer.Option("--tenant", help="Tenant; an empty one means the installation's own alerts."),
]
_STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "dim",
}


@alerts.command("list", epilog="Example: voiceauth alerts list --tenant bank --unseen")
def list_(
    context: typer.Context,
    *,
    subject: Annotated[str, typer.Option("--subject", help="Only alerts about this subject.")] = "",
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Only alerts that nobody has answered.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="At most so many.")] = 50,
    tenant: Whose = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Print the newest alerts, newest first."""

    async def question(client: Client) -> tuple[Alert, ...]:
        return await client.alerts.list(tenant, subject=subject, unseen=unseen, page_size=limit)

    _print(ask(context, server, data_dir, question), as_json=as_json)


@alerts.command(epilog="Example: voiceauth alerts watch --tenant bank")
def watch(
    context: typer.Context,
    *,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="Record of the last alert you know.")
    ] = None,
    tenant: Whose = "default",
    server: options.Server = None,
    as_json: options.Json = False,
) -> None:
    """Print alerts as they come, until the server ends the stream or Ctrl-C."""

    async def question(client: Client) -> None:
        async for one in client.alerts.watch(tenant, after):
            _print((one,), as_json=as_json)

    ask(context, server, None, question)


@alerts.command(epilog="Example: voiceauth alerts ack 0123abcd --as false_alarm --tenant bank")
def ack(
    context: typer.Context,
    *,
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="The alert's id.")],
    assessment: Annotated[Assessment, typer.Option("--as", help="What it was.")],
    tenant: Whose = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Say what an alert was. A later answer replaces an earlier one; the ledger has both."""

    async def question(client: Client) -> Alert:
        return await client.alerts.acknowledge(tenant, alert, assessment)

    _print((ask(context, server, data_dir, question),), as_json=as_json)


@alerts.command("test", epilog="Example: voiceauth alerts test --json")
def try_sinks(context: typer.Context, *, as_json: options.Json = False) -> None:
    """Send one alert of the rule `test` to every sink of the settings, now and without a record.

    Exit codes: 0 every sink took it, 1 one did not.
    """
    results = send_test_alert(settings_of(context).alerts, datetime.now(UTC))
    if as_json:
        print_json(results)
    for name, problem in results.items() if not as_json else ():
        output().print(f"{name}: {problem or 'taken'}", soft_wrap=True, markup=False)
    if not results and not as_json:
        output().print("The settings have no sinks: see [alerts.sinks.NAME].", markup=False)
    raise typer.Exit(1 if any(results.values()) else 0)


@alerts.command(epilog="Example: voiceauth alerts replay entries.json --rules my-rules.toml")
def replay(
    context: typer.Context,
    *,
    ledger: Annotated[
        Path,
        typer.Argument(
            metavar="LEDGER",
            help="A data directory, or a file with what `voiceauth ledger show --json` prints.",
        ),
    ],
    rules: Annotated[
        Path | None, typer.Option("--rules", metavar="FILE", help="Default: alerts.rules.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Print what the rules would have raised over a ledger of the past. Nothing is written."""
    settings = settings_of(context)
    if rules is not None:
        chosen = settings.alerts.model_copy(update={"rules": rules})
        settings = settings.model_copy(update={"alerts": chosen})
    found = (
        replay_vault(with_data_dir(settings, ledger))
        if ledger.is_dir()
        else replay_file(settings, ledger)
    )
    _print(list(found), as_json=as_json)


def _print(found: Iterable[Alert], *, as_json: bool) -> None:
    if as_json:
        print_json(list(found))
        return
    for one in found:
        counts = ", ".join(f"{name} {number:g}" for name, number in one.counts)
        answer = "" if one.acknowledged is None else f"  [{one.acknowledged.assessment.value}]"
        line = Text.assemble(
            f"{one.at.isoformat(timespec='seconds')}  ",
            (one.severity.value.ljust(8), _STYLES[one.severity]),
            f"  {one.rule}  {one.tenant or '-'}  {one.about} {one.pseudonym or '-'}  {counts}",
            f"  {one.alert}  {one.runbook}{answer}",
        )
        output().print(line, soft_wrap=True)
