# SPDX-License-Identifier: Apache-2.0
"""``voiceauth approvals …`` and what needs one: exports and erasures of many subjects."""

from pathlib import Path
from typing import Annotated

import typer

from voiceauth.cli import options
from voiceauth.cli.reach import ask
from voiceauth.cli.render import output, print_json
from voiceauth.errors import InputError
from voiceauth.types import ApprovalNotice, KeyId, Operation, Plan, SubjectId, TenantId

approvals = typer.Typer(
    help="Ask for a second person's approval, see who asks, approve or refuse.",
    no_args_is_help=True,
)

Export = Annotated[
    str, typer.Option("--export", metavar="SUBJECT", help="Hand out all that is kept of a subject.")
]
EraseList = Annotated[
    Path | None,
    typer.Option("--erase-list", metavar="FILE", help="Erase the subjects of a file, one a line."),
]
DestroyKey = Annotated[
    str, typer.Option("--destroy-key", metavar="KEY", help="Destroy a replaced key.")
]
ApprovalArgument = Annotated[str, typer.Argument(metavar="ID", help="The approval's id.")]
Tenant = Annotated[
    str,
    typer.Option("--tenant", help="Whose data; empty for the installation's own key."),
]


@approvals.command("list", epilog="Example: voiceauth approvals list --tenant bank")
def list_(
    context: typer.Context,
    *,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    as_json: options.Json = False,
) -> None:
    """List the approvals of a tenant, oldest first.

    What exactly is asked for is not kept: learn it from the one who asks, and name it to approve.
    """
    found = ask(context, server, None, lambda client: client.approvals.list(tenant))
    if as_json:
        print_json(found)
        return
    for one in found:
        _print(one, as_json=False)


@approvals.command(epilog="Example: voiceauth approvals request --export 4711 --tenant bank")
def request(
    context: typer.Context,
    *,
    export: Export = "",
    erase_list: EraseList = None,
    destroy_key: DestroyKey = "",
    tenant: Tenant = "default",
    server: options.Server = None,
    as_json: options.Json = False,
) -> None:
    """Ask for a second person's approval of one operation with exactly these arguments."""
    plan = plan_of(tenant, export, erase_list, destroy_key)
    _print(
        ask(context, server, None, lambda client: client.approvals.request(plan)), as_json=as_json
    )


@approvals.command(epilog="Example: voiceauth approvals approve 0123abcd --export 4711")
def approve(
    context: typer.Context,
    *,
    approval: ApprovalArgument,
    export: Export = "",
    erase_list: EraseList = None,
    destroy_key: DestroyKey = "",
    tenant: Tenant = "default",
    server: options.Server = None,
    as_json: options.Json = False,
) -> None:
    """Approve what another person asked for, by naming the same operation and arguments."""
    plan = plan_of(tenant, export, erase_list, destroy_key)
    done = ask(context, server, None, lambda client: client.approvals.approve(approval, plan))
    _print(done, as_json=as_json)


@approvals.command(epilog="Example: voiceauth approvals refuse 0123abcd --tenant bank")
def refuse(
    context: typer.Context,
    *,
    approval: ApprovalArgument,
    tenant: Tenant = "default",
    server: options.Server = None,
    as_json: options.Json = False,
) -> None:
    """Refuse what was asked for, or take one's own request back."""
    done = ask(context, server, None, lambda client: client.approvals.refuse(tenant, approval))
    _print(done, as_json=as_json)


def export(
    context: typer.Context,
    *,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The subject's id.")],
    approval: options.ApprovalName = "",
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
) -> None:
    """Print all that is kept about a subject as one signed JSON document; it names the person.

    Voiceprints, scores and other people are left out. `voiceauth ledger check-proof` checks it.
    """
    work = lambda client: client.approvals.export_subject(tenant, subject, approval)  # noqa: E731
    print(ask(context, server, data_dir, work))


def erase_list(
    context: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ids of subjects, one a line.")],
    approval: options.ApprovalName = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed in scripts.")] = False,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Erase all subjects of a file in one step, at most 500. This cannot be undone."""
    names = lines_of(file)
    if not yes:
        typer.confirm(f"Erase {len(names)} subject(s) for good?", abort=True, err=True)
    work = lambda client: client.approvals.erase_subjects(tenant, names, approval)  # noqa: E731
    erased, voiceprints, unknown = ask(context, server, data_dir, work)
    if as_json:
        print_json({"erased": erased, "voiceprints": voiceprints, "unknown": unknown})
        return
    output().print(
        f"{erased} subject(s) erased, {voiceprints} voiceprint(s) destroyed, {unknown} not there"
    )


def plan_of(tenant: str, export: str, erase_list: Path | None, destroy_key: str) -> Plan:
    """Return the one operation that the options name.

    Raises:
        BadParameter: they name none, or several.
        InputError: the file cannot be read.
    """
    if sum((bool(export), erase_list is not None, bool(destroy_key))) != 1:
        raise typer.BadParameter("Give one of --export, --erase-list and --destroy-key.")
    if export:
        return Plan(Operation.SUBJECT_EXPORT, TenantId(tenant), (SubjectId(export),))
    if erase_list is not None:
        names = tuple(SubjectId(one) for one in lines_of(erase_list))
        return Plan(Operation.BULK_ERASURE, TenantId(tenant), names)
    return Plan(Operation.KEY_DESTRUCTION, TenantId(tenant), key=KeyId(destroy_key))


def lines_of(file: Path) -> list[str]:
    """Read the ids in a file; empty lines are none. Raises InputError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{file} cannot be read.") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _print(one: ApprovalNotice, *, as_json: bool) -> None:
    if as_json:
        print_json(one)
        return
    decided = f", by {one.decided_by}" if one.decided_by else ""
    until = one.expires_at.isoformat(timespec="seconds")
    about = f" ({one.people} subject(s))" if one.people else ""
    output().print(
        f"{one.approval}  {one.operation.value}{about}  {one.state.value}{decided}  "
        f"asked by {one.requested_by}, until {until}",
        soft_wrap=True,
        markup=False,
    )
