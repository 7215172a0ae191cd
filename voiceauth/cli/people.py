# SPDX-License-Identifier: Apache-2.0
"""``voiceauth subjects …`` and ``voiceauth consent …``: who is known, and what they agreed to."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from voiceauth.cli import options
from voiceauth.cli.reach import ask
from voiceauth.cli.render import output, print_json
from voiceauth.client import Client
from voiceauth.errors import InputError
from voiceauth.types import Consent, Erasure, Subject

subjects = typer.Typer(help="Create, read, list, opt out and erase subjects.", no_args_is_help=True)
consent = typer.Typer(help="Record and withdraw consent.", no_args_is_help=True)

SubjectName = Annotated[str, typer.Argument(metavar="SUBJECT", help="The subject's id.")]
Groups = Annotated[
    list[str] | None,
    typer.Option("--group", help="A group that the subject belongs to; may be repeated."),
]


@subjects.command(epilog="Example: voiceauth subjects create 4711 --group vip")
def create(
    context: typer.Context,
    *,
    subject: SubjectName,
    group: Groups = None,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Create a subject. Enrolment needs a recorded consent besides."""

    async def question(client: Client) -> Subject:
        return await client.create_subject(tenant, subject, tuple(group or ()))

    _print(ask(context, server, data_dir, question), as_json=as_json)


@subjects.command(epilog="Example: voiceauth subjects show 4711 --json")
def show(
    context: typer.Context,
    *,
    subject: SubjectName,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Read one subject: state, consent, groups and how much speech is enrolled."""

    async def question(client: Client) -> Subject:
        return await client.get_subject(tenant, subject)

    _print(ask(context, server, data_dir, question), as_json=as_json)


@subjects.command("list", epilog="Example: voiceauth subjects list --json")
def list_(
    context: typer.Context,
    *,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """List the subjects of a tenant."""

    async def question(client: Client) -> list[Subject]:
        return [one async for one in client.list_subjects(tenant, page_size=1000)]

    found = ask(context, server, data_dir, question)
    if as_json:
        print_json(found)
        return
    for one in found:
        _print(one, as_json=False)


@subjects.command(epilog="Example: voiceauth subjects groups 4711 --group vip --group watch")
def groups(
    context: typer.Context,
    *,
    subject: SubjectName,
    group: Groups = None,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Replace the groups of a subject; without --group it is in none afterwards."""

    async def question(client: Client) -> Subject:
        return await client.set_groups(tenant, subject, tuple(group or ()))

    _print(ask(context, server, data_dir, question), as_json=as_json)


@subjects.command("opt-out", epilog="Example: voiceauth subjects opt-out 4711")
def opt_out(
    context: typer.Context,
    *,
    subject: SubjectName,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Exclude a person from voice biometrics; voiceprints are deleted, enrolment is refused."""

    async def question(client: Client) -> Subject:
        return await client.opt_out(tenant, subject)

    _print(ask(context, server, data_dir, question), as_json=as_json)


@subjects.command("undo-opt-out", epilog="Example: voiceauth subjects undo-opt-out 4711")
def undo_opt_out(
    context: typer.Context,
    *,
    subject: SubjectName,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Take an opt-out back. What was deleted stays deleted, and consent is needed again."""

    async def question(client: Client) -> Subject:
        return await client.undo_opt_out(tenant, subject)

    _print(ask(context, server, data_dir, question), as_json=as_json)


@subjects.command(epilog="Example: voiceauth subjects erase 4711 --yes")
def erase(
    context: typer.Context,
    *,
    subject: SubjectName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed in scripts.")] = False,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Destroy a subject's data key and every row of it. This cannot be undone."""
    if not yes:
        typer.confirm("Erase this subject for good?", abort=True, err=True)

    async def question(client: Client) -> Erasure:
        return await client.erase(tenant, subject)

    done = ask(context, server, data_dir, question)
    if as_json:
        print_json(done)
        return
    output().print(f"{subject}: erased, {done.voiceprints} voiceprint(s) destroyed")
    output().print(f"Token for a receipt, kept nowhere else: {done.token}", soft_wrap=True)


@consent.command(
    epilog="Example: voiceauth consent record 4711 --text-file consent-en.txt --method spoken"
)
def record(
    context: typer.Context,
    *,
    subject: SubjectName,
    text_file: Annotated[
        Path | None,
        typer.Option("--text-file", help="The exact text that was read or shown; it is hashed."),
    ] = None,
    text_sha256: Annotated[
        str, typer.Option("--text-sha256", help="Its SHA-256 instead, 64 hexadecimal digits.")
    ] = "",
    purpose: Annotated[str, typer.Option("--purpose", help="What it permits.")] = "authentication",
    locale: Annotated[str, typer.Option("--locale", help="BCP 47 tag of the text.")] = "en",
    method: Annotated[
        str, typer.Option("--method", help="How it was given, for example ivr-keypress.")
    ] = "spoken",
    channel: Annotated[
        str, typer.Option("--channel", help="Where it was given, for example branch or web.")
    ] = "phone",
    jurisdiction: Annotated[
        str,
        typer.Option(
            "--jurisdiction",
            help="Whose law protects the person, for example DE or US-IL; it chooses the retention "
            "rules. Default: the settings' retention.jurisdiction.",
        ),
    ] = "",
    expires: Annotated[
        datetime | None,
        typer.Option("--expires", help="UTC end of its term; none if open."),
    ] = None,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Record that a subject permits the collection and use of a voiceprint."""
    if bool(text_sha256) == (text_file is not None):
        raise typer.BadParameter("Give either --text-file or --text-sha256.")
    given = Consent(
        text_sha256=text_sha256 or _hash(text_file),
        purpose=purpose,
        locale=locale,
        method=method,
        given_at=datetime.now(UTC),
        expires_at=expires.replace(tzinfo=UTC) if expires else None,
        channel=channel,
        jurisdiction=jurisdiction,
    )

    async def question(client: Client) -> Subject:
        return await client.record_consent(tenant, subject, given)

    _print(ask(context, server, data_dir, question), as_json=as_json)


@consent.command(epilog="Example: voiceauth consent withdraw 4711")
def withdraw(
    context: typer.Context,
    *,
    subject: SubjectName,
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """End a subject's consent and delete what was collected under it."""

    async def question(client: Client) -> Subject:
        return await client.withdraw_consent(tenant, subject)

    _print(ask(context, server, data_dir, question), as_json=as_json)


def _hash(path: Path | None) -> str:
    if path is None or not path.is_file():
        raise InputError(f"There is no text file {path}.")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _print(subject: Subject, *, as_json: bool) -> None:
    if as_json:
        print_json(subject)
        return
    agreed = subject.consent
    standing = "no consent" if agreed is None else f"consent for {agreed.purpose}"
    if agreed is not None and agreed.expires_at is not None:
        ended = agreed.expires_at <= datetime.now(UTC)
        standing += f" {'ended' if ended else 'until'} {agreed.expires_at.date().isoformat()}"
    if agreed is not None and agreed.withdrawn_at is not None:
        standing = "consent withdrawn"
    parts = [
        subject.state.value.replace("_", " "),
        standing,
        f"{subject.voiceprints} voiceprint(s) of {subject.net_enrolled_seconds:.1f} s",
    ]
    if subject.pending_seconds:
        parts.append(f"{subject.pending_seconds:.1f} s pending")
    if subject.groups:
        parts.append("groups " + ", ".join(sorted(subject.groups)))
    output().print(f"{subject.subject}: {'; '.join(parts)}", soft_wrap=True)
