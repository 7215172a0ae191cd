# SPDX-License-Identifier: Apache-2.0
"""``voiceauth erase``: forget a person, and show that nothing is left."""

from pathlib import Path
from typing import Annotated

import typer

from voiceauth.cli import options
from voiceauth.cli.options import local_settings
from voiceauth.cli.reach import ask
from voiceauth.cli.render import output, print_json
from voiceauth.client import Client
from voiceauth.errors import NotFoundError
from voiceauth.types import Erasure
from voiceauth.usecases.check_ledger import erasure_receipt
from voiceauth.usecases.identifiers import subject_id, tenant_id
from voiceauth.usecases.prove_erasure import Finding, Trace, prove_erasure

Subject = Annotated[str, typer.Argument(metavar="SUBJECT", help="The subject's id.")]


def erase(
    context: typer.Context,
    *,
    subject: Subject,
    prove: Annotated[
        bool,
        typer.Option(
            "--prove",
            help="Look for the person in vault, index, files, ledger, logs and backups; on the "
            "machine of the data directory.",
        ),
    ] = False,
    backup: Annotated[
        list[Path] | None,
        typer.Option(
            "--backup",
            metavar="PATH",
            help="A copy of the vault's file or directory, or an archive, to look into as well; "
            "may be repeated.",
        ),
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option("--log", metavar="PATH", help="A log file or a directory of them."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed in scripts.")] = False,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Erase a subject for good, and with --prove show that nothing of it is left.

    With --prove, somebody who was erased before is only looked for.
    Exit codes: 0 nothing is left in what was looked at, 1 something is, and the report says where.
    """
    if not yes:
        typer.confirm("Erase this subject for good?", abort=True, err=True)

    async def question(client: Client) -> Erasure | None:
        try:
            return await client.erase(tenant, subject)
        except NotFoundError:
            if prove:
                return None
            raise

    done = ask(context, server, data_dir, question)
    findings: tuple[Finding, ...] = ()
    receipt: dict[str, object] | None = None
    if prove:
        settings = local_settings(context, data_dir)
        who = (tenant_id(tenant), subject_id(subject))
        findings = prove_erasure(settings, *who, backups=backup or (), logs=log or ())
        if done is not None:
            receipt = erasure_receipt(settings, *who, token=done.token)
    holds = all(one.trace is not Trace.FOUND for one in findings)
    if as_json:
        report = {"holds": holds, "findings": findings} if prove else None
        print_json({"erasure": done, "proof": report, "receipt": receipt})
    else:
        _print(subject, done, findings)
    raise typer.Exit(0 if holds else 1)


def _print(subject: str, done: Erasure | None, findings: tuple[Finding, ...]) -> None:
    say = output().print
    if done is None:
        say(f"{subject}: not known, so nothing was erased now", markup=False)
    else:
        say(f"{subject}: erased, {done.voiceprints} voiceprint(s) destroyed", markup=False)
        say(f"{done.vectors} vector(s) removed from the server's index")
        say(f"Token for a receipt, kept nowhere else: {done.token}", soft_wrap=True)
    for one in findings:
        say(f"{one.trace.value:<6} {one.place}: {one.detail}", soft_wrap=True, markup=False)
