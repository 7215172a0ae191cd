# SPDX-License-Identifier: Apache-2.0
"""``voiceauth factors …``: enrol factors beside the voice, and run a step-up with them.

A PIN or a code never stands on the command line, where other users of the machine could read it: it
is asked for, or read from standard input.
"""

import sys
from typing import Annotated

import typer

from voiceauth.cli import options
from voiceauth.cli.options import local_settings
from voiceauth.cli.people import SubjectName
from voiceauth.cli.reach import ask
from voiceauth.cli.render import output, print_json
from voiceauth.client import Client
from voiceauth.types import (
    Decision,
    EnrolledFactor,
    FactorInformation,
    FactorKind,
    NewFactor,
    StepUp,
)
from voiceauth.usecases.check_step_ups import explain_step_ups
from voiceauth.usecases.identifiers import call_id, tenant_id

factors = typer.Typer(
    help="Enrol factors beside the voice, and run step-ups.", no_args_is_help=True
)
STEP_UP_CODES = {
    Decision.ACCEPT: 0,
    Decision.STEP_UP: 10,
    Decision.REJECT: 11,
    Decision.INCONCLUSIVE: 12,
}

Kind = Annotated[FactorKind, typer.Option("--kind", help="Kind of factor.")]
Call = Annotated[str, typer.Argument(metavar="CALL", help="The call's id.")]
Name = Annotated[str, typer.Argument(metavar="STEP_UP", help="As `begin` has printed it.")]


@factors.command(epilog="Example: voiceauth factors enrol 4711 --kind totp")
def enrol(
    context: typer.Context,
    *,
    subject: SubjectName,
    kind: Kind,
    destination: Annotated[
        str, typer.Option("--destination", help="With codes: where they go.")
    ] = "",
    label: Annotated[
        str, typer.Option("--label", help="With TOTP: what the authenticator shows.")
    ] = "telephone",
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Enrol a factor of a subject, in place of the one of its kind.

    A PIN is asked for, or read from standard input. For TOTP an otpauth address is printed, once:
    show it to its owner as a QR code.
    """
    pin = _secret("PIN") if kind is FactorKind.PIN else ""
    new = NewFactor(kind, pin=pin, destination=destination, label=label)

    async def question(client: Client) -> EnrolledFactor:
        return await client.step_ups.enrol(tenant, subject, new)

    made = ask(context, server, data_dir, question)
    if as_json:
        print_json(made)
        return
    output().print(f"{subject}: {made.factor.kind.value} enrolled", markup=False)
    if made.provisioning_uri:
        output().print(made.provisioning_uri, soft_wrap=True, markup=False)


@factors.command("list", epilog="Example: voiceauth factors list 4711")
def list_(
    context: typer.Context,
    *,
    subject: SubjectName,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """List a subject's factors; what they are checked against is never shown."""

    async def question(client: Client) -> tuple[FactorInformation, ...]:
        return await client.step_ups.list(tenant, subject)

    _print_factors(ask(context, server, data_dir, question), as_json=as_json)


@factors.command(epilog="Example: voiceauth factors remove 4711 --kind pin")
def remove(
    context: typer.Context,
    *,
    subject: SubjectName,
    kind: Kind,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Remove a factor of a subject and list what is left."""

    async def question(client: Client) -> tuple[FactorInformation, ...]:
        return await client.step_ups.remove(tenant, subject, kind)

    _print_factors(ask(context, server, data_dir, question), as_json=as_json)


@factors.command(epilog="Example: voiceauth factors begin call-1 --subject 4711")
def begin(
    context: typer.Context,
    *,
    call: Call,
    subject: Annotated[str, typer.Option("--subject", help="Who the caller claims to be.")],
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Open the step-up of a call, on what its verification found.

    Exit codes: 10 open, as no answer was given yet; 1 error.
    """

    async def question(client: Client) -> StepUp:
        return await client.step_ups.begin(tenant, call, subject)

    _print_step_up(ask(context, server, data_dir, question), as_json=as_json)


@factors.command("send-code", epilog="Example: voiceauth factors send-code call-1 STEP_UP")
def send_code(
    context: typer.Context,
    *,
    call: Call,
    step_up: Name,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Send a one-time code to where the subject's codes go. Exit codes as `factors answer`."""

    async def question(client: Client) -> StepUp:
        return await client.step_ups.send_code(tenant, call, step_up)

    _print_step_up(ask(context, server, data_dir, question), as_json=as_json)


@factors.command(epilog="Example: voiceauth factors answer call-1 STEP_UP --kind totp")
def answer(
    context: typer.Context,
    *,
    call: Call,
    step_up: Name,
    kind: Kind,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Give one answer of the caller; it is asked for, or read from standard input.

    Exit codes: 0 ACCEPT, 10 still open, 11 all answers used up, 12 the time is over, 1 error.
    """
    shown = _secret(kind.value)

    async def question(client: Client) -> StepUp:
        return await client.step_ups.answer(tenant, call, step_up, kind, shown)

    _print_step_up(ask(context, server, data_dir, question), as_json=as_json)


@factors.command(epilog="Example: voiceauth factors outcome call-1 STEP_UP --json")
def outcome(
    context: typer.Context,
    *,
    call: Call,
    step_up: Name,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Show how a step-up stands. Exit codes as `factors answer`."""

    async def question(client: Client) -> StepUp:
        return await client.step_ups.outcome(tenant, call, step_up)

    _print_step_up(ask(context, server, data_dir, question), as_json=as_json)


@factors.command(epilog="Example: voiceauth factors explain call-1 --tenant bank")
def explain(
    context: typer.Context,
    *,
    call: Call,
    tenant: options.Tenant = "default",
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Audit the ledger and derive the outcomes of a call's step-ups again, from their records.

    Exit codes: 0 every outcome follows from its records, 1 one does not.
    """
    found = explain_step_ups(local_settings(context, data_dir), tenant_id(tenant), call_id(call))
    if as_json:
        print_json(found)
    else:
        for one in found:
            shown = ", ".join(kind.value for kind in one.passed) or "no factor"
            rates = ", ".join(f"{rate:g}" for rate in one.reached) or "no rate"
            agrees = "as recorded" if one.agrees else "NOT as recorded"
            output().print(
                f"Entry {one.record_id}, {one.at.isoformat(timespec='seconds')}: "
                f"{one.recorded.value}; shown: {shown}; the voice reached {rates} "
                f"(entry {one.verdict_record}); derived: {one.derived.value}, {agrees}",
                soft_wrap=True,
                markup=False,
            )
    if not all(one.agrees and one.voice_agrees is not False for one in found):
        raise typer.Exit(1)


def _secret(what: str) -> str:
    """Ask for something that must not be seen, or read it from standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, err=True))
    return sys.stdin.readline().strip()


def _print_factors(found: tuple[FactorInformation, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for one in found:
        when = one.enrolled_at.isoformat(timespec="seconds")
        output().print(f"{one.kind.value}: enrolled {when}", markup=False)


def _print_step_up(step_up: StepUp, *, as_json: bool) -> None:
    if as_json:
        print_json(step_up)
    else:
        ways = " or ".join(" + ".join(sorted(way)) for way in step_up.ways)
        parts = [f"{step_up.step_up}: {step_up.decision.name.replace('_', ' ')}"]
        parts += [] if step_up.last is None else [f"that was {step_up.last.value}"]
        parts += [f"wait {step_up.wait_seconds:.0f} s"] if step_up.wait_seconds else []
        parts += [f"still to be shown: {ways}"] if ways else []
        parts += [f"wrong answers left: {step_up.answers_left}"] if ways else []
        parts += [f"ledger entry {step_up.record_id}"] if step_up.record_id else []
        output().print("; ".join(parts), soft_wrap=True, markup=False)
    raise typer.Exit(STEP_UP_CODES[step_up.decision])
