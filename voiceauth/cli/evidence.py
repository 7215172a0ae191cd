# SPDX-License-Identifier: Apache-2.0
"""``voiceauth ledger …`` and ``voiceauth explain``: what can be shown about the past.

These commands work on the files of this machine, not through a server; they may run beside one.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from voiceauth.cli import options
from voiceauth.cli.options import local_settings
from voiceauth.cli.render import false_match_text, llr_text, output, print_json
from voiceauth.errors import InputError
from voiceauth.types import Score
from voiceauth.usecases.check_ledger import (
    checkpoint_ledger,
    erasure_receipt,
    explain_call,
    ledger_verifier,
    opened_desk,
    read_ledger,
    subject_in_backup,
    verify_ledger,
)
from voiceauth.usecases.erasure_receipt import ERASURE, BackupState, check_receipt
from voiceauth.usecases.explain_verdict import Explanation
from voiceauth.usecases.export_subject import EXPORT, check_export
from voiceauth.usecases.identifiers import call_id, subject_id, tenant_id
from voiceauth.usecases.prove_ledger import check_proof, prove_growth, prove_inclusion

ledger = typer.Typer(help="Read, verify and prove the audit ledger.", no_args_is_help=True)
Export = Annotated[
    Path | None,
    typer.Option("--export", metavar="DIR", help="Second place. Default: ledger.export_dir."),
]


@ledger.command(epilog="Example: voiceauth ledger verify --against /mnt/elsewhere")
def verify(
    context: typer.Context,
    *,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="DIR", help="Second place. Default: ledger.export_dir."),
    ] = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Check the ledger from its first entry on: chain, anchor, checkpoints and second place.

    Exit codes: 0 the ledger holds, 1 it does not, and the message names the first bad entry.
    """
    if against is not None and not against.is_dir():
        raise InputError(f"There is no directory {against}.")
    found = verify_ledger(local_settings(context, data_dir), against=against)
    if as_json:
        print_json(
            {
                "entries": found.entries,
                "verified": True,
                "covered": found.covered,
                "checkpoints": found.checkpoints,
                "copied": found.copied,
            }
        )
        return
    output().print(
        f"{found.entries} entries; the chain holds. {found.covered} are under a signed checkpoint, "
        f"{found.copied} agree with the second place.",
        soft_wrap=True,
    )


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
    entries = read_ledger(local_settings(context, data_dir), after=after, limit=limit)
    if as_json:
        print_json(entries)
        return
    for one in entries:
        at = one.at.isoformat(timespec="milliseconds")
        line = f"{one.sequence}  {at}  {one.tenant or '-'}  {one.event}  {one.body}"
        output().print(line, soft_wrap=True, markup=False)


@ledger.command(epilog="Example: voiceauth ledger checkpoint --export /mnt/elsewhere")
def checkpoint(
    context: typer.Context, *, export: Export = None, data_dir: options.DataDir = None
) -> None:
    """Sign how far the ledger has come, print it, and copy it to the second place.

    A running server does this by itself. Exit code 1: the ledger does not continue what was signed
    or copied before, and the message names the first bad entry.
    """
    note = checkpoint_ledger(local_settings(context, data_dir), export=export)
    if note is None:
        raise InputError("The ledger is empty.")
    print(note, end="")


@ledger.command("public-key", epilog="Example: voiceauth ledger public-key > ledger.pub")
def show_public_key(context: typer.Context, *, data_dir: options.DataDir = None) -> None:
    """Print the key that checkpoints, proofs and receipts are checked with."""
    print(ledger_verifier(local_settings(context, data_dir)))


@ledger.command(epilog="Example: voiceauth ledger prove 4711 > proof.json")
def prove(
    context: typer.Context,
    *,
    sequence: Annotated[int, typer.Argument(metavar="ENTRY", min=1, help="Sequence number.")],
    data_dir: options.DataDir = None,
) -> None:
    """Print a proof that an entry is in the signed ledger; it stands alone."""
    with opened_desk(local_settings(context, data_dir)) as (_, desk, _):
        print_json(prove_inclusion(desk, sequence))


@ledger.command("prove-growth", epilog="Example: voiceauth ledger prove-growth old.note > g.json")
def prove_growth_command(
    context: typer.Context,
    *,
    earlier: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="An earlier checkpoint.")],
    data_dir: options.DataDir = None,
) -> None:
    """Print a proof that nothing of an earlier checkpoint was rewritten; it stands alone."""
    note = _text(earlier)
    with opened_desk(local_settings(context, data_dir)) as (_, desk, _):
        print_json(prove_growth(desk, note))


@ledger.command("check-proof", epilog="Example: voiceauth ledger check-proof proof.json")
def check_proof_command(
    *,
    proof: Annotated[
        Path, typer.Argument(metavar="PROOF", help="A proof, a receipt or an export.")
    ],
    public: Annotated[
        str, typer.Option("--public-key", help="Trusted key, as `ledger public-key` printed it.")
    ] = "",
    as_json: options.Json = False,
) -> None:
    """Check a proof without vault or keys.

    Without --public-key the proof's own key is believed, which shows only that it is consistent in
    itself. Exit codes: 0 it holds, 1 it does not.
    """
    try:
        document: dict[str, Any] = json.loads(_text(proof))
    except ValueError:
        raise InputError(f"{proof} is not JSON.") from None
    if document.get("kind") == ERASURE:
        print_json(check_receipt(document, public or None))
        return
    if document.get("kind") == EXPORT:
        print_json(check_export(document, public or None))
        return
    found = check_proof(document, public or None)
    if as_json:
        print_json({"holds": True, "size": found.size, "at": found.at, "trusted": bool(public)})
        return
    output().print(
        f"The proof holds, up to entry {found.size} of {found.at.isoformat(timespec='seconds')}"
        f"{'' if public else '; its key was not compared with a trusted one'}.",
        soft_wrap=True,
    )


@ledger.command(epilog="Example: voiceauth ledger receipt 4711 --token TOKEN > receipt.json")
def receipt(
    context: typer.Context,
    *,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The erased subject's id.")],
    token: Annotated[
        str, typer.Option("--token", help="That the erasure gave; earlier versions gave none.")
    ] = "",
    tenant: options.Tenant = "default",
    data_dir: options.DataDir = None,
) -> None:
    """Print a signed receipt of an erasure; it stands alone, and it names the person.

    Exit code 1: the vault still knows the subject, or the ledger holds no erasure of it with this
    token.
    """
    settings = local_settings(context, data_dir)
    print_json(erasure_receipt(settings, tenant_id(tenant), subject_id(subject), token=token))


@ledger.command("check-backup", epilog="Example: voiceauth ledger check-backup old.db 4711")
def check_backup(
    context: typer.Context,
    *,
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="A copy of vault.db.")],
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The erased subject's id.")],
    tenant: options.Tenant = "default",
    data_dir: options.DataDir = None,
) -> None:
    """Restore a backup beside the vault and try to open an erased subject in it.

    Exit codes: 0 unreadable or absent, 1 readable: destroy the key of that time.
    """
    settings = local_settings(context, data_dir)
    state = subject_in_backup(settings, backup, tenant_id(tenant), subject_id(subject))
    output().print(state.value)
    raise typer.Exit(1 if state is BackupState.READABLE else 0)


def explain(
    context: typer.Context,
    *,
    call: Annotated[str, typer.Argument(metavar="CALL", help="The call's id.")],
    tenant: options.Tenant = "default",
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Audit the ledger and derive the verdicts about a call again, from their records alone.

    Exit codes: 0 every verdict follows from its record, 1 one does not or cannot be derived.
    """
    found = explain_call(local_settings(context, data_dir), tenant_id(tenant), call_id(call))
    if as_json:
        print_json(found)
    else:
        for one in found:
            _print_explanation(one)
    if not all(one.agrees and one.rates_agree is not False for one in found):
        raise typer.Exit(1)


def _print_explanation(one: Explanation) -> None:
    say = output().print
    say(f"Entry {one.record_id}, {one.at.isoformat(timespec='seconds')}: {one.recorded.value}")
    if one.missing:
        say(f"  cannot be derived: the record does not hold {', '.join(one.missing)}")
        return
    terms = one.body["policy_terms"]
    say(f"  policy {one.body['policy']}: {json.dumps(terms)}", soft_wrap=True, markup=False)
    for look in one.body["looks"]:
        score = None if look["score"] is None else Score(**look["score"])
        say(
            f"  {look['net_seconds']:.2f} s net, {look['bandwidth']}: LLR {llr_text(score)}, "
            f"false-match rate {false_match_text(score)}{', last look' if look['final'] else ''}",
            soft_wrap=True,
        )
    derived = "-" if one.derived is None else one.derived.value
    words = ", ".join(reason.value for reason in one.reasons)
    say(f"  derived: {derived} ({words}), {'as recorded' if one.agrees else 'NOT as recorded'}")
    if one.rates_agree is None:
        rates = f"not computed again: calibration {one.calibration} is not loaded"
    else:
        rates = f"{'follow' if one.rates_agree else 'do NOT follow'} from the raw scores"
    say(f"  rates: {rates}", soft_wrap=True)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path} cannot be read.") from None
