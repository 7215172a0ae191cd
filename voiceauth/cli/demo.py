# SPDX-License-Identifier: Apache-2.0
"""``voiceauth demo``: ten real callers and two attackers, over gRPC, on a server of its own.

The server listens on loopback over a temporary vault with a new key; nothing is left behind.
"""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from voiceauth.cli import options
from voiceauth.cli.converse import converse, enrolment
from voiceauth.cli.demo_callers import (
    DemoCall,
    DemoScript,
    attackers,
    callers,
    script,
    stepping_up,
)
from voiceauth.cli.demo_report import AttackReport, attack_report, print_report, report_of
from voiceauth.cli.demo_screen import AttackTable, PhaseTable
from voiceauth.cli.live import Update, reasons_text
from voiceauth.cli.reach import own_server
from voiceauth.cli.render import output, print_json
from voiceauth.client import Client, EnrolOptions, VerifyOptions
from voiceauth.config import Settings, load
from voiceauth.errors import InternalError
from voiceauth.testing.authenticator import Authenticator
from voiceauth.types import (
    Consent,
    Decision,
    EnrolmentResult,
    FactorKind,
    NewFactor,
    Verdict,
)
from voiceauth.usecases.check_ledger import verify_ledger

TENANT = "demo"
STEP_UP_CALL = "step-up"
POLICY = "demo"
CONSENT_TEXT = "You agree that the demo makes a voiceprint of your voice and deletes it at its end."
LEGEND = (
    "LLR: log-likelihood ratio, positive where the voice speaks for the claim. Implied FMR: chance "
    "that an impostor's voice gets as far. STEP UP: another factor decides."
)


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
    calls, then lets each call again, and once more under another caller's name. At last a
    synthetic voice calls, and a recording of an accepted call, and one caller steps up with an
    authenticator.

    Exit codes: 0 at least 9 of the 10 genuine callers, no impostor, and no attacker whose kind this
    installation looks for were accepted, 1 otherwise.
    """
    begin = time.monotonic()
    console = Console(quiet=True) if as_json else output()
    console.print("Preparing the calls (simulated telephone lines) and starting the server ...")
    calls = script(callers(), seed)
    with tempfile.TemporaryDirectory(prefix="voiceauth-demo-") as folder:
        session = context.find_object(options.Session) or options.Session()
        settings = demo_settings(Path(folder), session.config)
        stage = Stage(console, seed, None if fast else 1.0)
        results, verdicts, attacks = asyncio.run(_run(settings, calls, stage))
        entries = verify_ledger(settings).entries
    report = report_of(results, calls, verdicts, entries, time.monotonic() - begin, attacks=attacks)
    if as_json:
        print_json(report)
    else:
        print_report(report, console)
    raise typer.Exit(0 if report.passed else 1)


def demo_settings(folder: Path, config: Path | None = None) -> Settings:
    """Return settings over a vault and a key in a folder, that let a voice alone be accepted.

    No installation does that by itself: the demo chooses it, to show what the voice says.

    Args:
        folder: for the vault.
        config: a settings file, given on purpose; the environment does not matter to the demo.
    """
    settings = options.with_data_dir(load(config, environment=False), folder)
    storage = settings.storage.model_copy(update={"key_file": None})
    chosen = settings.policies[settings.default_policy]
    # Its calls have 5 to 8 s with pauses: the layer against synthetic speech gets what there is.
    alone = chosen.model_copy(update={"accept_on_voice_alone": True, "synthetic_seconds": 0.0})
    policies = {**settings.policies, POLICY: alone}
    return settings.model_copy(
        update={"storage": storage, "policies": policies, "default_policy": POLICY}
    )


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo is shown, with which lines, and at which pace."""

    console: Console
    seed: int
    pace: float | None


async def _run(
    settings: Settings, calls: DemoScript, stage: Stage
) -> tuple[list[EnrolmentResult], list[Verdict], list[AttackReport]]:
    console, pace = stage.console, stage.pace
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
        verdicts = await _call(client, calls.calls, PhaseTable(title, calls.calls, console), pace)
        accepted = [
            call
            for call, verdict in zip(calls.calls, verdicts, strict=True)
            if call.genuine and verdict.decision is Decision.ACCEPT
        ]
        attacks = attackers(accepted[0] if accepted else None, stage.seed)
        console.print()
        title = "Two attackers: a synthetic voice, and an accepted call played again"
        found = await _call(client, attacks, AttackTable(title, attacks, console), pace)
        if accepted:
            console.print()
            await _step_up(client, stepping_up(accepted[-1], stage.seed), stage)
        return results, verdicts, [attack_report(*one) for one in zip(attacks, found, strict=True)]


async def _step_up(client: Client, call: DemoCall, stage: Stage) -> None:
    """Let one caller call under the policy of a fresh installation, with an authenticator."""
    say, sound = stage.console.print, call.sound()
    made = await client.step_ups.enrol(TENANT, call.claims, NewFactor(FactorKind.TOTP))
    opening = VerifyOptions(STEP_UP_CALL, TENANT, call.claims, sound.audio_format, "standard")
    async with client.verify(opening) as stream:
        verdict = await converse(stream, sound, lambda _: None, pace=stage.pace)
    if not isinstance(verdict, Verdict):
        raise InternalError(detail="a call of the demo ended without a verdict")
    reasons = reasons_text(verdict.evidence.reasons[:2])
    say(f"{call.caller} calls under the policy of a fresh installation, which wants another factor")
    say(f"  the voice: {verdict.decision.name.replace('_', ' ')} ({reasons})")
    if verdict.decision is not Decision.STEP_UP:
        return
    name = (await client.step_ups.begin(TENANT, STEP_UP_CALL, call.claims)).step_up
    code = Authenticator(made.provisioning_uri).code(datetime.now(UTC))
    told = await client.step_ups.answer(TENANT, STEP_UP_CALL, name, FactorKind.TOTP, code)
    guess = ""
    if told.guess_rate is not None:
        guess = f", where a blind guess gets once in {1 / told.guess_rate:,.0f} times"
    say(f"  and a code of the authenticator: {told.decision.name.replace('_', ' ')}{guess}")


async def _call(
    client: Client, calls: tuple[DemoCall, ...], phase: PhaseTable, pace: float | None
) -> list[Verdict]:
    """Let all of a phase call at once."""
    with phase.drawing():
        return await asyncio.gather(
            *(_verify(client, call, phase, place, pace) for place, call in enumerate(calls))
        )


async def _enrol(
    client: Client, call: DemoCall, phase: PhaseTable, place: int, pace: float | None
) -> EnrolmentResult:
    return await enrol_caller(
        client, call, f"enrol-{place}", lambda update: phase.update(place, update), pace
    )


async def enrol_caller(
    client: Client,
    call: DemoCall,
    name: str,
    show: Callable[[Update], None] = lambda _: None,
    pace: float | None = None,
) -> EnrolmentResult:
    """Create the caller with a consent and enrol from one call; return how it ended."""
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
    opening = EnrolOptions(name, TENANT, call.claims, sound.audio_format)
    return await enrolment(client, opening, sound, show, pace=pace)


async def _verify(
    client: Client, call: DemoCall, phase: PhaseTable, place: int, pace: float | None
) -> Verdict:
    sound = call.sound()
    kind = "verify" if call.attack is None else "attack"
    opening = VerifyOptions(f"{kind}-{place}", TENANT, call.claims, sound.audio_format)
    async with client.verify(opening) as stream:
        last = await converse(stream, sound, lambda update: phase.update(place, update), pace=pace)
    if not isinstance(last, Verdict):
        raise InternalError(detail="a call of the demo ended without a verdict")
    return last
