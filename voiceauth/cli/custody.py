# SPDX-License-Identifier: Apache-2.0
"""``voiceauth keys …``, ``ledger …`` and ``models …``: what the operator of a vault looks after.

These commands work on the files of this machine, not through a server.
"""

from typing import Annotated

import typer

from voiceauth.cli import options
from voiceauth.cli.options import settings_of, with_data_dir
from voiceauth.cli.render import output, print_json
from voiceauth.config import Settings
from voiceauth.types import KeyId
from voiceauth.usecases.check_ledger import read_ledger, verify_ledger
from voiceauth.usecases.check_models import list_models, verify_models
from voiceauth.usecases.keep_keys import init_keys, list_keys, rotate_keys

keys = typer.Typer(help="Make, rotate and list the key-encryption keys.", no_args_is_help=True)
ledger = typer.Typer(help="Read and verify the audit ledger.", no_args_is_help=True)
models = typer.Typer(help="List and verify the models.", no_args_is_help=True)


def _settings(context: typer.Context, data_dir: options.DataDir) -> Settings:
    settings = settings_of(context)
    return settings if data_dir is None else with_data_dir(settings, data_dir)


@keys.command(epilog="Example: voiceauth keys init --data-dir /var/lib/voiceauth")
def init(
    context: typer.Context, *, data_dir: options.DataDir = None, as_json: options.Json = False
) -> None:
    """Create the key file of a new vault.

    Back it up apart from the vault: without it every voiceprint is lost, and whoever has both can
    read everything. An existing file is never replaced.
    """
    settings = _settings(context, data_dir)
    _print_keys(settings, init_keys(settings), as_json=as_json)


@keys.command("show", epilog="Example: voiceauth keys show --json")
def show_keys(
    context: typer.Context, *, data_dir: options.DataDir = None, as_json: options.Json = False
) -> None:
    """List the ids of the key-encryption keys, oldest first. Keys themselves are never shown."""
    settings = _settings(context, data_dir)
    _print_keys(settings, list_keys(settings), as_json=as_json)


@keys.command(epilog="Example: voiceauth keys rotate")
def rotate(
    context: typer.Context, *, data_dir: options.DataDir = None, as_json: options.Json = False
) -> None:
    """Make a new current key and wrap every data key of the vault under it.

    Safe beside a running server. Back the key file up again afterwards.
    """
    settings = _settings(context, data_dir)
    rotation = rotate_keys(settings)
    if as_json:
        print_json(rotation)
        return
    output().print(
        f"New current key {rotation.current}; {rotation.rewrapped} data key(s) wrapped under it. "
        f"Back up {settings.storage.keys} again.",
        soft_wrap=True,
    )


def _print_keys(settings: Settings, ids: tuple[KeyId, ...], *, as_json: bool) -> None:
    if as_json:
        print_json({"file": settings.storage.keys, "keys": ids, "current": ids[-1]})
        return
    output().print(f"Key file {settings.storage.keys}", soft_wrap=True)
    for one in ids:
        output().print(f"{one}{'  current' if one == ids[-1] else ''}")


@ledger.command(epilog="Example: voiceauth ledger verify --data-dir /var/lib/voiceauth")
def verify(
    context: typer.Context, *, data_dir: options.DataDir = None, as_json: options.Json = False
) -> None:
    """Check the ledger's hash chain from its first entry to its anchor.

    Exit codes: 0 the chain holds, 1 it does not, and the message names the first bad entry.
    """
    entries = verify_ledger(_settings(context, data_dir))
    if as_json:
        print_json({"entries": entries, "verified": True})
    else:
        output().print(f"{entries} entries; the chain holds.")


@ledger.command("show", epilog="Example: voiceauth ledger show --after 100 --limit 20 --json")
def show_entries(
    context: typer.Context,
    *,
    after: Annotated[int, typer.Option("--after", min=0, help="Only later entries.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Print ledger entries in order. People stand in them as pseudonyms only."""
    entries = read_ledger(_settings(context, data_dir), after=after, limit=limit)
    if as_json:
        print_json(entries)
        return
    for one in entries:
        at = one.at.isoformat(timespec="milliseconds")
        line = f"{one.sequence}  {at}  {one.tenant or '-'}  {one.event}  {one.body}"
        output().print(line, soft_wrap=True, markup=False)


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
