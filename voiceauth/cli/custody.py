# SPDX-License-Identifier: Apache-2.0
"""``voiceauth keys …`` and ``models …``: what the operator of a vault looks after.

These commands work on the files of this machine, not through a server; only ``rekey-voiceprints``
asks one, because the server's searches move with it.
"""

from typing import Annotated

import typer
from rich.progress import Progress

from voiceauth.cli import options
from voiceauth.cli.options import local_settings, settings_of
from voiceauth.cli.reach import ask
from voiceauth.cli.render import output, print_json, progress_output
from voiceauth.client import Client, Rekeying
from voiceauth.config import Settings
from voiceauth.usecases.check_models import list_models, verify_models
from voiceauth.usecases.identifiers import approval_id, key_id, tenant_id
from voiceauth.usecases.keep_keys import destroy_key, init_keys, list_keys, rotate_keys

keys = typer.Typer(help="Make, rotate and list the key-encryption keys.", no_args_is_help=True)
models = typer.Typer(help="List, verify, adapt and import models.", no_args_is_help=True)


@keys.command(epilog="Example: voiceauth keys init --data-dir /var/lib/voiceauth")
def init(
    context: typer.Context, *, data_dir: options.DataDir = None, as_json: options.Json = False
) -> None:
    """Create the key file of a new vault.

    Back it up apart from the vault: without it every voiceprint is lost, and whoever has both can
    read everything. An existing file is never replaced.
    """
    settings = local_settings(context, data_dir)
    ids = init_keys(settings)
    if as_json:
        print_json({"file": settings.storage.keys, "keys": ids, "current": ids[-1]})
        return
    output().print(f"Key file {settings.storage.keys}", soft_wrap=True)
    for one in ids:
        output().print(f"{one}{'  current' if one == ids[-1] else ''}")


@keys.command("show", epilog="Example: voiceauth keys show --json")
def show_keys(
    context: typer.Context, *, data_dir: options.DataDir = None, as_json: options.Json = False
) -> None:
    """List the key-encryption keys, oldest first. Keys themselves are never shown."""
    found = list_keys(local_settings(context, data_dir))
    if as_json:
        ids = [one.key_id for one in found]
        print_json({"keys": ids, "current": ids[-1], "inventory": found})
        return
    for one in found:
        made = one.created_at.isoformat(timespec="seconds")
        state = "current" if one.current else "replaced"
        output().print(f"{one.key_id}  {made}  {state}  {one.scope or '-'}", soft_wrap=True)


@keys.command(epilog="Example: voiceauth keys rotate --tenant bank")
def rotate(
    context: typer.Context,
    *,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Whose key to replace. Default: all keys.")
    ] = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Replace the current keys and wrap every data key of the vault under the new ones.

    Safe beside a running server: calls go on meanwhile. Back a key file up again afterwards.
    """
    settings = local_settings(context, data_dir)
    with Progress(console=progress_output(), transient=True) as bar:
        task = bar.add_task("wrapping data keys", total=None)
        rotation = rotate_keys(
            settings,
            tenant=None if tenant is None else tenant_id(tenant),
            progress=lambda done, all_: bar.update(task, completed=done, total=all_),
        )
    if as_json:
        print_json(rotation)
        return
    output().print(
        f"New current key {', '.join(rotation.keys)}; {rotation.rewrapped} data key(s) wrapped "
        f"anew. {_reminder(settings)}",
        soft_wrap=True,
    )


@keys.command(epilog="Example: voiceauth keys destroy kek-0123456789abcdef --yes")
def destroy(
    context: typer.Context,
    *,
    key: Annotated[str, typer.Argument(metavar="KEY", help="A replaced key's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed in scripts.")] = False,
    approval: options.ApprovalName = "",
    tenant: Annotated[
        str,
        typer.Option(
            "--tenant", help="With --server: whose key; empty for the installation's own."
        ),
    ] = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
) -> None:
    """Destroy a replaced key: backups from its time become unreadable, erased people included.

    Works on the files of this machine, or through --server. Both need an approval that two persons
    gave through a server (`voiceauth approvals`), unless the settings do not demand one.

    Refused for a current key, and while the vault needs it. This cannot be undone; copies of the
    key file keep the key until they are destroyed, too.
    """
    settings = local_settings(context, data_dir)
    if not yes:
        typer.confirm("Destroy this key, and with it every backup from its time?", abort=True)
    if server is not None:
        ask(
            context,
            server,
            data_dir,
            lambda client: client.approvals.destroy_key(tenant, key, approval),
        )
        output().print(f"{key}: destroyed.", soft_wrap=True)
        return
    destroy_key(settings, key_id(key), approval_id(approval))
    output().print(f"{key}: destroyed. {_reminder(settings)}", soft_wrap=True)


@keys.command("rekey-voiceprints", epilog="Example: voiceauth keys rekey-voiceprints --tenant bank")
def rekey_voiceprints(
    context: typer.Context,
    *,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Give a tenant's voiceprints a new secret: what leaked of the old ones matches nothing.

    Nobody enrols again, and calls go on meanwhile. It may be interrupted; the next run, or the
    server by itself, goes on where it broke off.
    """

    async def question(client: Client) -> Rekeying:
        with Progress(console=progress_output(), transient=True) as bar:
            task = bar.add_task("re-keying voiceprints", total=None)
            async for step in client.rekey_voiceprints(tenant):
                bar.update(task, completed=step.subjects, total=step.subjects_total)
        return step

    done = ask(context, server, data_dir, question)
    if as_json:
        print_json(done)
        return
    output().print(
        f"{tenant}: generation {done.generation}; the voiceprints of {done.subjects_total} "
        "subject(s) are under it, and the secret before it is destroyed.",
        soft_wrap=True,
    )


def _reminder(settings: Settings) -> str:
    if settings.keyring.service == "pkcs11":
        return "Back up the token again."
    return f"Back up {settings.storage.keys} again."


@models.command("list", epilog="Example: voiceauth models list --json")
def list_command(context: typer.Context, *, as_json: options.Json = False) -> None:
    """List the models of the manifest; the default one is marked."""
    found = list_models(settings_of(context))
    if as_json:
        print_json(found)
        return
    for one in found:
        output().print(
            f"{one.card.name}{' (default)' if one.default else ''}: {one.card.role}, "
            f"{one.card.rate_hz} Hz, {one.card.dimension} dimensions, {one.card.licence}, "
            f"sha256 {one.card.sha256}",
            soft_wrap=True,
        )


@models.command("verify", epilog="Example: voiceauth models verify")
def verify_command(context: typer.Context, *, as_json: options.Json = False) -> None:
    """Hash every file of the manifest, load every model and run it once.

    Exit codes: 0 all files are what the manifest says, 1 one is not, and the message names it.
    """
    names = verify_models(settings_of(context))
    if as_json:
        print_json({"verified": names})
    else:
        output().print(f"Verified: {', '.join(names)}.", soft_wrap=True)
