# SPDX-License-Identifier: Apache-2.0
"""The command tree: every command is hung up here, and errors become one line."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from voiceauth import __version__
from voiceauth.cli import (
    adapting,
    alerting,
    analysis,
    approving,
    backup,
    calls,
    certs,
    custody,
    evidence,
    factors,
    installing,
    lockouts,
    migrating,
    people,
    proving,
    retention,
    serving,
)
from voiceauth.cli.bench import bench
from voiceauth.cli.demo import demo
from voiceauth.cli.doctor import doctor
from voiceauth.cli.options import Json, Session, settings_of
from voiceauth.cli.reference import masked, reference
from voiceauth.cli.render import output, print_json
from voiceauth.errors import EngineError, MissingExtraError


class OneLineErrors(TyperGroup):
    """A command group that turns the engine's errors into one line and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an ``EngineError`` is told, not traced."""
        try:
            return super().invoke(ctx)
        except EngineError as error:
            print(f"voiceauth: {' '.join(str(error).split())}", file=sys.stderr)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A self-hosted voice-biometric engine: evidence from a live call, over gRPC.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"voiceauth {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: voiceauth --config /etc/voiceauth.toml serve")
def voiceauth(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings file (TOML).")
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca", metavar="FILE", help="Authority of the server's certificate (PEM): use TLS."
        ),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(
            "--identity",
            metavar="PATH",
            help="Client certificate PATH.pem with its key PATH.key, to show to the server.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="File with a bearer token to show."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """A self-hosted voice-biometric engine: evidence from a live call, over gRPC.

    Exit codes of every command: 0 done, 1 error, 2 wrong usage; more stand in a command's own help.
    """
    del version
    context.obj = Session(config, ca, identity, token_file)


app.command(epilog="Example: voiceauth demo --fast")(demo)
app.command(epilog="Example: voiceauth serve")(serving.serve)
app.command(epilog="Example: voiceauth health --server 127.0.0.1:50051")(serving.health)
app.command(epilog="Example: voiceauth enrol call.wav --subject 4711")(calls.enrol)
app.command(epilog="Example: voiceauth verify call.wav --subject 4711 --policy strict --json")(
    calls.verify
)
app.command(epilog="Example: voiceauth identify call.wav --group watchlist")(calls.identify)
app.command(epilog="Example: voiceauth erase 4711 --prove --backup /backups/vault.db")(
    proving.erase
)
app.command(epilog="Example: voiceauth embed a.wav b.wav --json")(analysis.embed)
app.command(epilog="Example: voiceauth evaluate trials.csv --root recordings --det det.png")(
    analysis.evaluate
)
app.command(epilog="Example: voiceauth explain call-1 --tenant bank")(evidence.explain)
app.command(epilog="Example: voiceauth calibrate trials.csv --root recordings --to my-models")(
    adapting.calibrate
)
app.add_typer(people.subjects, name="subjects", epilog="Example: voiceauth subjects create 4711")
app.add_typer(
    people.consent,
    name="consent",
    epilog="Example: voiceauth consent record 4711 --text-file consent-en.txt",
)
app.add_typer(
    approving.approvals, name="approvals", epilog="Example: voiceauth approvals list --tenant bank"
)
app.add_typer(
    retention.retention, name="retention", epilog="Example: voiceauth retention sweep --dry-run"
)
app.add_typer(certs.certs, name="certs", epilog="Example: voiceauth certs dev certs")
app.add_typer(custody.keys, name="keys", epilog="Example: voiceauth keys init")
app.command(epilog="Example: voiceauth bench --quick")(bench)
app.command(epilog="Example: voiceauth doctor --json")(doctor)
app.add_typer(backup.backup, name="backup", epilog="Example: voiceauth backup create")
app.add_typer(alerting.alerts, name="alerts", epilog="Example: voiceauth alerts list --unseen")
app.add_typer(evidence.ledger, name="ledger", epilog="Example: voiceauth ledger verify")
app.add_typer(
    factors.factors,
    name="factors",
    epilog="Example: voiceauth factors enrol 4711 --kind totp",
)
app.add_typer(lockouts.lockout, name="lockout", epilog="Example: voiceauth lockout show 4711")
app.add_typer(custody.models, name="models", epilog="Example: voiceauth models list")

people.subjects.command(epilog="Example: voiceauth subjects export 4711 --approval 0123abcd")(
    approving.export
)
people.subjects.command(
    epilog="Example: voiceauth subjects erase-list former-clients.txt --approval 0123abcd --yes"
)(approving.erase_list)

custody.models.command(epilog="Example: voiceauth models migrate status")(migrating.migrate)
custody.models.command(
    epilog="Example: voiceauth models cohort callers.csv --to my-models --where split=own"
)(adapting.cohort)
custody.models.command(
    epilog="Example: voiceauth models install my-model --to my-models --recordings people.csv "
    "--where split=dev --licence Apache-2.0"
)(installing.install)
custody.models.command(
    epilog="Example: voiceauth models import-speechbrain speechbrain/spkrec-ecapa-voxceleb "
    "--to my-models --recordings people.csv --where split=dev --cohort-where split=train "
    "--licence Apache-2.0"
)(installing.import_speechbrain)

config_app = typer.Typer(help="Show and document the settings.", no_args_is_help=True)
app.add_typer(config_app, name="config", epilog="Example: voiceauth config show --json")


@config_app.command(epilog="Example: voiceauth config show --json")
def show(context: typer.Context, as_json: Json = False) -> None:
    """Print the settings in effect: defaults, file and environment together."""
    told = masked(settings_of(context))
    if as_json:
        print_json(told)
        return
    for section, content in told.items():
        rows = content.items() if isinstance(content, dict) else [("", content)]
        for name, value in rows:
            path = f"{section}.{name}" if name else section
            output().print(f"{path} = {value}", soft_wrap=True, markup=False)


@config_app.command(epilog="Example: voiceauth config docs > docs/configuration.md")
def docs() -> None:
    """Print the configuration reference as Markdown."""
    print(reference(), end="")


def _without_training(context: typer.Context) -> None:
    """Train, export and document the speaker model. Needs the train extra."""
    del context
    raise MissingExtraError("torch", "train")


if importlib.util.find_spec("torch") is not None:
    _training = importlib.import_module("voiceauth.training.commands").app
    app.add_typer(
        _training, name="train", epilog="Example: voiceauth train speaker --data DATA --out RUN"
    )
else:
    app.command(
        "train",
        epilog="Example: voiceauth train speaker --data DATA --out RUN",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_without_training)
