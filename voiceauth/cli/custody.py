# SPDX-License-Identifier: Apache-2.0
"""``voiceauth keys …`` and ``models …``: what the operator of a vault looks after.

These commands work on the files of this machine, not through a server.
"""

import typer

from voiceauth.cli import options
from voiceauth.cli.options import local_settings, settings_of
from voiceauth.cli.render import output, print_json
from voiceauth.config import Settings
from voiceauth.types import KeyId
from voiceauth.usecases.check_models import list_models, verify_models
from voiceauth.usecases.keep_keys import init_keys, list_keys, rotate_keys

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
    _print_keys(settings, init_keys(settings), as_json=as_json)


@keys.command("show", epilog="Example: voiceauth keys show --json")
def show_keys(
    context: typer.Context, *, data_dir: options.DataDir = None, as_json: options.Json = False
) -> None:
    """List the ids of the key-encryption keys, oldest first. Keys themselves are never shown."""
    settings = local_settings(context, data_dir)
    _print_keys(settings, list_keys(settings), as_json=as_json)


@keys.command(epilog="Example: voiceauth keys rotate")
def rotate(
    context: typer.Context, *, data_dir: options.DataDir = None, as_json: options.Json = False
) -> None:
    """Make a new current key and wrap every data key of the vault under it.

    Safe beside a running server. Back the key file up again afterwards.
    """
    settings = local_settings(context, data_dir)
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
