# SPDX-License-Identifier: Apache-2.0
"""How the demo went: right and wrong decisions counted, and told with what they do not show."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from voiceauth.cli.demo_callers import DemoCall, DemoScript
from voiceauth.cli.demo_screen import outcome_table
from voiceauth.errors import InternalError
from voiceauth.types import (
    Decision,
    EnrolmentOutcome,
    EnrolmentResult,
    LivenessState,
    Verdict,
)
from voiceauth.units import Seconds

LEAST_GENUINE_ACCEPTED = 9
ATTACKS = {
    "synthetic": "synthetic speech (no spoof model is installed)",
    "replay": "replays of earlier calls (nothing is remembered)",
}
CLOSING = (
    "This was real speech of real people over real gRPC, but over simulated telephone lines, and "
    "ten people are few: it shows that the engine works, not how often it errs. A voice is "
    "evidence for a decision, never proof of identity. The demo accepts on the voice alone; an "
    "installation asks for another factor with every match unless its operator says otherwise."
)


@dataclass(frozen=True, slots=True)
class CallReport:
    """One verified call of the demo."""

    caller: str
    claims: str
    line: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class AttackReport:
    """One attack of the demo.

    Attributes:
        attack: the layer that has to notice it.
        looked_for: False where that layer is not installed; then the attack proves nothing.
    """

    attacker: str
    claims: str
    attack: str
    looked_for: bool
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class DemoReport:
    """How the demo went.

    Attributes:
        passed: no impostor accepted, no attacker whose kind is looked for, and at least nine of
            ten genuine callers.
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
    attacks: tuple[AttackReport, ...] = ()


def attack_report(call: DemoCall, verdict: Verdict) -> AttackReport:
    """Say whether the attack's kind was looked for at all."""
    if call.attack is None:
        raise InternalError(detail="an attacker of the demo attacks nothing")
    slot = getattr(verdict.evidence.liveness, call.attack.value)
    looked_for = slot.state is not LivenessState.NOT_MEASURED
    return AttackReport(call.caller, call.claims, call.attack.value, looked_for, verdict)


def report_of(
    results: list[EnrolmentResult],
    calls: DemoScript,
    verdicts: list[Verdict],
    entries: int,
    seconds: Seconds,
    *,
    attacks: Sequence[AttackReport] = (),
) -> DemoReport:
    """Count right and wrong.

    Args:
        results: of the enrolments.
        calls: the script.
        verdicts: in the order of the script's calls.
        entries: of the verified ledger.
        seconds: from the command to the end.
        attacks: with their verdicts.
    """
    reports = tuple(
        CallReport(call.caller, call.claims, call.line, verdict)
        for call, verdict in zip(calls.calls, verdicts, strict=True)
    )
    genuine = _counts([one.verdict for one in reports if one.caller == one.claims])
    impostors = _counts([one.verdict for one in reports if one.caller != one.claims])
    return DemoReport(
        passed=genuine[Decision.ACCEPT] >= LEAST_GENUINE_ACCEPTED
        and impostors[Decision.ACCEPT] == 0
        and not any(one.looked_for and one.verdict.decision is Decision.ACCEPT for one in attacks),
        seconds=round(seconds, 1),
        enrolled=sum(one.outcome is EnrolmentOutcome.ENROLLED for one in results),
        genuine=genuine,
        impostors=impostors,
        ledger_entries=entries,
        calls=reports,
        attacks=tuple(attacks),
    )


def _counts(verdicts: list[Verdict]) -> dict[Decision, int]:
    return {
        decision: sum(verdict.decision is decision for verdict in verdicts) for decision in Decision
    }


def print_report(report: DemoReport, console: Console) -> None:
    """Print the outcome, which attacks proved nothing, and the limits of it all."""
    genuine, impostors = report.genuine, report.impostors
    console.print()
    console.print(outcome_table({"as themselves": genuine, "as somebody else": impostors}))
    console.print()
    for one in report.attacks:
        if not one.looked_for:
            console.print(
                f"Nothing here looks for {ATTACKS[one.attack]}: that {one.attacker} was answered "
                f"{one.verdict.decision.name} proves nothing."
            )
    console.print(
        f"Accepted: {genuine[Decision.ACCEPT]} of {sum(genuine.values())} genuine calls, "
        f"{impostors[Decision.ACCEPT]} of {sum(impostors.values())} impostor calls. "
        f"The ledger's {report.ledger_entries} entries verify. {report.seconds:.0f} s in all."
    )
    console.print(CLOSING)
