# SPDX-License-Identifier: Apache-2.0
"""``voiceauth backup …``: make, check, drill and restore backups.

Making, listing, verifying and drilling go through a server, as everything else does; restoring and
checking a file do not, because there is no server where they are needed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from voiceauth.cli import options
from voiceauth.cli.options import local_settings, settings_of
from voiceauth.cli.reach import reached
from voiceauth.cli.render import output, print_json
from voiceauth.client.maintenance import Maintenance
from voiceauth.config import Settings
from voiceauth.types import BackupFacts
from voiceauth.usecases.inspect_backup import (
    bundle_keys,
    inspect_backup,
    inspect_signature,
    signer_of,
)
from voiceauth.usecases.restore_backup import restore_backup

backup = typer.Typer(help="Make, check, drill and restore backups.", no_args_is_help=True)
Answer = TypeVar("Answer")
Directory = Annotated[
    Path | None,
    typer.Option(
        "--directory",
        metavar="DIR",
        help="Where backups are, with --data-dir. Default: backup.directory of the settings.",
        show_default=False,
    ),
]
Name = Annotated[
    str, typer.Argument(metavar="[BACKUP]", help="Name of a backup. Default: the newest.")
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")]


@backup.command(epilog="Example: voiceauth backup create --json")
def create(
    context: typer.Context,
    *,
    server: options.Server = None,
    data_dir: options.DataDir = None,
    directory: Directory = None,
    as_json: options.Json = False,
) -> None:
    """Make a backup now, and remove those that are not kept any longer.

    A running server with backup.directory does it by itself.
    """
    made = _ask(context, server, data_dir, directory, lambda desk: desk.create_backup())
    if as_json:
        print_json(made)
        return
    output().print(_line(made), soft_wrap=True, markup=False)


@backup.command("list", epilog="Example: voiceauth backup list --json")
def list_command(
    context: typer.Context,
    *,
    server: options.Server = None,
    data_dir: options.DataDir = None,
    directory: Directory = None,
    as_json: options.Json = False,
) -> None:
    """List the backups in the server's directory, oldest first."""
    found = _ask(context, server, data_dir, directory, lambda desk: desk.list_backups())
    if as_json:
        print_json(found)
        return
    for one in found:
        output().print(_line(one), soft_wrap=True, markup=False)


@backup.command(epilog="Example: voiceauth backup verify")
def verify(
    context: typer.Context,
    *,
    name: Name = "",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    directory: Directory = None,
    as_json: options.Json = False,
) -> None:
    """Check signature, seal and hashes of a backup; the outcome stands in the ledger.

    Exit codes: 0 it holds, 1 it does not.
    """
    found = _ask(context, server, data_dir, directory, lambda desk: desk.verify_backup(name))
    if as_json:
        print_json(found)
        return
    output().print(f"It holds. {_line(found)}", soft_wrap=True, markup=False)


@backup.command(epilog="Example: voiceauth backup drill --json")
def drill(
    context: typer.Context,
    *,
    name: Name = "",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    directory: Directory = None,
    as_json: options.Json = False,
) -> None:
    """Restore a backup beside the installation, see that it works, and throw the copy away.

    It checks every byte, walks the ledger, repeats later erasures and scores a known voice.
    Exit codes: 0 it works, 1 it does not, and the message says why.
    """
    found = _ask(context, server, data_dir, directory, lambda desk: desk.drill_backup(name))
    if as_json:
        print_json(found)
        return
    output().print(
        f"{found.facts.backup} comes back: {found.facts.subjects} subjects, "
        f"{found.facts.entries} ledger entries, {found.taken_away} later erasures repeated, known "
        f"voice at {found.known_voice_llr:+.1f} nats, in {found.seconds:.1f} s.",
        soft_wrap=True,
        markup=False,
    )


@backup.command(epilog="Example: voiceauth backup check copy.vab --public-key KEY")
def check(
    context: typer.Context,
    *,
    file: File,
    public: Annotated[
        str,
        typer.Option(
            "--public-key", help="Check only the signature, with this key of `backup public-key`."
        ),
    ] = "",
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Check a backup file wherever it is: with the installation's keys, or its public key alone.

    Exit codes: 0 it holds, 1 it does not.
    """
    if public:
        digest = inspect_signature(file, public)
        if as_json:
            print_json({"backup": file.name, "sha256": digest, "signature": True})
        else:
            output().print(f"The signature holds. sha256 {digest}", soft_wrap=True)
        return
    found = inspect_backup(local_settings(context, data_dir), file)
    if as_json:
        print_json(found)
        return
    output().print(f"It holds. {_line(found)}", soft_wrap=True, markup=False)


@backup.command(epilog="Example: voiceauth backup restore newest.vab --data-dir /var/lib/voiceauth")
def restore(
    context: typer.Context,
    *,
    file: File,
    journal: Annotated[
        Path | None,
        typer.Option(
            "--journal", metavar="FILE", help="Journal of erasures. Default: beside the backup."
        ),
    ] = None,
    forget_erasures: Annotated[
        bool,
        typer.Option(
            "--forget-erasures",
            help="Restore without the journal. This brings back people who were erased.",
        ),
    ] = False,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Restore a backup into an empty data directory.

    The vault's keys and the backup key must be there; nothing else may be. Whoever was erased,
    withdrew or opted out after the backup stays so. Nothing is put in place before all of it was
    checked.
    """
    report = restore_backup(
        local_settings(context, data_dir), file, journal=journal, forget_erasures=forget_erasures
    )
    if as_json:
        print_json(report)
        return
    say = output().print
    say(
        f"Restored as of {report.created_at.isoformat(timespec='seconds')}: {report.subjects} "
        f"subjects, {report.entries} ledger entries. {report.taken_away} later erasures repeated.",
        soft_wrap=True,
    )
    if report.lost_entries:
        say(f"{report.lost_entries} later ledger entries are lost.")
    if report.lost_keys:
        say(f"Unreadable, because their keys were destroyed: {', '.join(report.lost_keys)}")


@backup.command("public-key", epilog="Example: voiceauth backup public-key > backup.pub")
def public_key(context: typer.Context, *, data_dir: options.DataDir = None) -> None:
    """Print the key that backups' signatures are checked with."""
    print(signer_of(local_settings(context, data_dir)))


@backup.command("keys", epilog="Example: voiceauth backup keys /mnt/safe --passphrase-file secret")
def keys_command(
    context: typer.Context,
    *,
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put them.")],
    passphrase_file: Annotated[
        Path, typer.Option("--passphrase-file", help="Mode 0600; its first line seals them.")
    ],
    data_dir: options.DataDir = None,
) -> None:
    """Copy the vault's keys and the backup key, sealed under a passphrase of their own.

    Keep the copies apart from the backups, and the passphrase apart from both. They are key files:
    name them in the settings of the machine that restores.
    """
    for path in bundle_keys(local_settings(context, data_dir), target, passphrase_file):
        output().print(str(path), soft_wrap=True)


def _ask(
    context: typer.Context,
    server: str | None,
    data_dir: Path | None,
    directory: Path | None,
    question: Callable[[Maintenance], Awaitable[Answer]],
) -> Answer:
    """Reach a server, or open an engine, and ask for maintenance."""
    if server is not None and data_dir is not None:
        raise typer.BadParameter("Give --server or --data-dir, not both.")
    if directory is not None and data_dir is None:
        raise typer.BadParameter("--directory needs --data-dir; a server has its own settings.")
    settings = _placed(settings_of(context), directory)

    async def run() -> Answer:
        async with reached(settings, server, data_dir) as client:
            return await question(client.maintenance)

    return asyncio.run(run())


def _placed(settings: Settings, directory: Path | None) -> Settings:
    if directory is None:
        return settings
    place = settings.backup.model_copy(update={"directory": directory.resolve()})
    return settings.model_copy(update={"backup": place})


def _line(one: BackupFacts) -> str:
    text = f"{one.backup}  {one.created_at.isoformat(timespec='seconds')}  {one.size_bytes} bytes"
    if not one.sha256:
        return text
    return (
        f"{text}  {one.subjects} subjects, {one.voiceprints} voiceprints, {one.entries} ledger "
        f"entries, sha256 {one.sha256}"
    )
