# SPDX-License-Identifier: Apache-2.0
"""``voiceauth demo``: ten real callers, over gRPC, on a server of the demo's own.

The server listens on loopback over a temporary vault with a new key; nothing is left behind.
"""

import asyncio
import hashlib
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from voiceauth.cli import options
from voiceauth.cli.converse import converse
from voiceauth.cli.demo_callers import DemoCall, DemoScript, callers, script
from voiceauth.cli.demo_screen import PhaseTable, outcome_table
from voiceauth.cli.reach import own_server
from voiceauth.cli.render import output, print_json
from voiceauth.client import Client, EnrolOptions, VerifyOptions
from voiceauth.config import Settings, load
from voiceauth.errors import InternalError
from voiceauth.types import Consent, Decision, EnrolmentOutcome, EnrolmentResult, Verdict
from voiceauth.units import Seconds
from voiceauth.usecases.check_ledger import verify_ledger

TENANT = "demo"
CONSENT_TEXT = "You agree that the demo makes a voiceprint of your voice and deletes it at its end."
LEAST_GENUINE_ACCEPTED = 9
LEGEND = (
    "LLR: log-likelihood ratio, positive where the voice speaks for the claim. Implied FMR: chance "
    "that an impostor's voice gets as far. STEP UP: another factor decides."
)
CLOSING = (
    "This was real speech of real people over real gRPC, but over simulated telephone lines, and "
    "ten people are few: it shows that the engine works, not how often it errs. A voice is "
    "evidence for a decision, never proof of identity: keep another factor beside it."
)


@dataclass(frozen=True, slots=True)
class CallReport:
    """One verified call of the demo."""

    caller: str
    claims: str
    line: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class DemoReport:
    """How the demo went.

    Attributes:
        passed: no impostor accepted, and at least nine of ten genuine callers.
        seconds: from the command to the end.
        enrolled: of the ten callers.
        ledger_entries: of the verified chain.
    """

    passed: bool
    seconds: Seconds
    enrolled: int
    genuine: dict[Decision, int]
    impostors: dict[Decision, int]
    ledger_entries: int
    calls: tuple[CallReport, ...]


def demo(
    context: typer.Context,
    *,
    fast: Annotated[
        bool, typer.Option("--fast", help="Send the calls at once, not at the pace of speech.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws other telephone lines.")] = 1,
    as_json: options.Json = False,
) -> None:
    """Watch ten real callers being enrolled, verified and impersonated.

    Starts a server on loopback with a temporary vault, enrols ten people from simulated telephone
    calls, then lets each call again, and once more under another caller's name.

    Exit codes: 0 at least 9 of the 10 genuine callers and no impostor were accepted, 1 otherwise.
    """
    begin = time.monotonic()
    console = Console(quiet=True) if as_json else output()
    console.print("Preparing the calls (simulated telephone lines) and starting the server ...")
    calls = script(callers(), seed)
    with tempfile.TemporaryDirectory(prefix="voiceauth-demo-") as folder:
        session = context.find_object(options.Session) or options.Session()
        settings = demo_settings(Path(folder), session.config)
        results, verdicts = asyncio.run(_run(settings, calls, console, None if fast else 1.0))
        entries = verify_ledger(settings).entries
    report = report_of(results, calls, verdicts, entries, time.monotonic() - begin)
    if as_json:
        print_json(report)
    else:
        _print_report(report, console)
    raise typer.Exit(0 if report.passed else 1)


def demo_settings(folder: Path, config: Path | None = None) -> Settings:
    """Return settings over a vault and a key in a folder.

    Args:
        folder: for the vault.
        config: a settings file, given on purpose; the environment does not matter to the demo.
    """
    settings = options.with_data_dir(load(config, environment=False), folder)
    storage = settings.storage.model_copy(update={"key_file": None})
    return settings.model_copy(update={"storage": storage})


async def _run(
    settings: Settings, calls: DemoScript, console: Console, pace: float | None
) -> tuple[list[EnrolmentResult], list[Verdict]]:
    async with own_server(settings) as client:
        phase = PhaseTable("Ten people enrol, with consent", calls.enrolments, console)
        with phase.drawing():
            results = await asyncio.gather(
                *(
                    _enrol(client, call, phase, place, pace)
                    for place, call in enumerate(calls.enrolments)
                )
            )
        console.print(f"\n{LEGEND}\n")
        title = "They call again, as themselves and as somebody else"
        phase = PhaseTable(title, calls.calls, console)
        with phase.drawing():
            verdicts = await asyncio.gather(
                *(
                    _verify(client, call, phase, place, pace)
                    for place, call in enumerate(calls.calls)
                )
            )
        return results, verdicts


async def _enrol(
    client: Client, call: DemoCall, phase: PhaseTable, place: int, pace: float | None
) -> EnrolmentResult:
    await client.create_subject(TENANT, call.claims)
    consent = Consent(
        text_sha256=hashlib.sha256(CONSENT_TEXT.encode()).hexdigest(),
        purpose="authentication",
        locale="en",
        method="demo",
        given_at=datetime.now(UTC),
    )
    await client.record_consent(TENANT, call.claims, consent)
    sound = call.sound()
    opening = EnrolOptions(f"enrol-{place}", TENANT, call.claims, sound.audio_format)
    async with client.enrol(opening) as stream:
        last = await converse(stream, sound, lambda update: phase.update(place, update), pace=pace)
    if not isinstance(last, EnrolmentResult):
        raise InternalError(detail="an enrolment of the demo ended without a result")
    return last


async def _verify(
    client: Client, call: DemoCall, phase: PhaseTable, place: int, pace: float | None
) -> Verdict:
    sound = call.sound()
    opening = VerifyOptions(f"verify-{place}", TENANT, call.claims, sound.audio_format)
    async with client.verify(opening) as stream:
        last = await converse(stream, sound, lambda update: phase.update(place, update), pace=pace)
    if not isinstance(last, Verdict):
        raise InternalError(detail="a call of the demo ended without a verdict")
    return last


def report_of(
    results: list[EnrolmentResult],
    calls: DemoScript,
    verdicts: list[Verdict],
    entries: int,
    seconds: Seconds,
) -> DemoReport:
    """Count right and wrong.

    Args:
        results: of the enrolments.
        calls: the script.
        verdicts: in the order of the script's calls.
        entries: of the verified ledger.
        seconds: from the command to the end.
    """
    reports = tuple(
        CallReport(call.caller, call.claims, call.line, verdict)
        for call, verdict in zip(calls.calls, verdicts, strict=True)
    )
    genuine = _counts([one.verdict for one in reports if one.caller == one.claims])
    impostors = _counts([one.verdict for one in reports if one.caller != one.claims])
    return DemoReport(
        passed=genuine[Decision.ACCEPT] >= LEAST_GENUINE_ACCEPTED
        and impostors[Decision.ACCEPT] == 0,
        seconds=round(seconds, 1),
        enrolled=sum(one.outcome is EnrolmentOutcome.ENROLLED for one in results),
        genuine=genuine,
        impostors=impostors,
        ledger_entries=entries,
        calls=reports,
    )


def _counts(verdicts: list[Verdict]) -> dict[Decision, int]:
    return {
        decision: sum(verdict.decision is decision for verdict in verdicts) for decision in Decision
    }


def _print_report(report: DemoReport, console: Console) -> None:
    genuine, impostors = report.genuine, report.impostors
    console.print()
    console.print(outcome_table({"as themselves": genuine, "as somebody else": impostors}))
    console.print()
    console.print(
        f"Accepted: {genuine[Decision.ACCEPT]} of {sum(genuine.values())} genuine calls, "
        f"{impostors[Decision.ACCEPT]} of {sum(impostors.values())} impostor calls. "
        f"The ledger's {report.ledger_entries} entries verify. {report.seconds:.0f} s in all."
    )
    console.print(CLOSING)
