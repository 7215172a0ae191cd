# SPDX-License-Identifier: Apache-2.0
"""What the demo shows: a table per phase that grows while people speak, and one of the outcome."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from voiceauth.cli.demo_callers import DemoCall
from voiceauth.cli.live import Update, reasons_text, speech_text
from voiceauth.cli.render import bar, decision_text, false_match_text, llr_text
from voiceauth.types import (
    Decision,
    EnrolmentOutcome,
    EnrolmentProgress,
    EnrolmentResult,
    Evidence,
    Score,
    Verdict,
)
from voiceauth.units import Seconds

_BAR_CELLS = 12
_PER_SECOND = 10


@dataclass(frozen=True, slots=True)
class Row:
    """What is known about one call."""

    call: DemoCall
    have: Seconds = 0.0
    whole: Seconds = 1.0
    score: Score | None = None
    outcome: Decision | EnrolmentOutcome | None = None
    evidence: Evidence | None = None


class PhaseTable:
    """The rows of one phase, drawn anew as updates come in."""

    def __init__(self, title: str, calls: tuple[DemoCall, ...], console: Console) -> None:
        self._title = title
        self._console = console
        self._rows = [Row(call) for call in calls]
        self._live: Live | None = None

    def __rich__(self) -> Table:
        """Draw the table as it is now."""
        table = Table(title=self._title, box=None, padding=(0, 1), title_justify="left")
        enrolling = all(row.call.genuine for row in self._rows)
        names = (
            ["caller", "net speech", "outcome"]
            if enrolling
            else [
                "caller",
                "says to be",
                "net speech",
                "LLR",
                "implied FMR",
                "verdict",
                "",
            ]
        )
        for name in names:
            right = name in {"LLR", "implied FMR"}
            table.add_column(name, justify="right" if right else "left", no_wrap=True)
        for row in self._rows:
            table.add_row(*(_enrolment_cells(row) if enrolling else _call_cells(row)))
        return table

    def update(self, place: int, update: Update) -> None:
        """Take in what the server said about the call at a place."""
        self._rows[place] = _updated(self._rows[place], update)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw while the phase runs; where there is no terminal, print once at its end."""
        if not self._console.is_terminal:
            yield
            self._console.print(self)
            return
        with Live(self, console=self._console, refresh_per_second=_PER_SECOND):
            yield


class AttackTable(PhaseTable):
    """The rows of the attackers: which layer has to notice them, and what it says."""

    def __rich__(self) -> Table:
        """Draw the table as it is now."""
        table = Table(title=self._title, box=None, padding=(0, 1), title_justify="left")
        for name in ("attacker", "says to be", "LLR", "the layer says", "verdict", "because", ""):
            table.add_column(name, justify="right" if name == "LLR" else "left")
        for row in self._rows:
            table.add_row(*_attack_cells(row))
        return table


def _attack_cells(row: Row) -> list[Text]:
    verdict, mark = Text(""), Text("")
    word = "" if row.evidence is None else _layer_word(row.call, row.evidence)
    if isinstance(row.outcome, Decision):
        verdict = decision_text(row.outcome)
        refused = row.outcome is not Decision.ACCEPT
        looked_for = "not measured" not in word
        mark = Text("refused", "green") if refused else Text("WRONG", "bold red")
        mark = mark if looked_for else Text("not looked for", "yellow")
    reasons = () if row.evidence is None else row.evidence.reasons[:2]
    return [
        Text(row.call.caller, "magenta"),
        Text(row.call.claims),
        Text(llr_text(row.score)),
        Text(word),
        verdict,
        Text(reasons_text(reasons)),
        mark,
    ]


def _layer_word(call: DemoCall, evidence: Evidence) -> str:
    if call.attack is None:
        return ""
    slot = getattr(evidence.liveness, call.attack.value)
    ratio = "" if slot.llr is None else f" ({slot.llr:+.1f})"
    return f"{call.attack.value} {slot.state.value.replace('_', ' ')}{ratio}"


def _updated(row: Row, update: Update) -> Row:
    if isinstance(update, EnrolmentProgress):
        whole = update.net_seconds + update.needed_seconds
        return replace(row, have=update.net_seconds, whole=whole)
    if isinstance(update, EnrolmentResult):
        return replace(row, have=update.net_seconds, outcome=update.outcome)
    if isinstance(update, Verdict):
        row = _updated(row, update.evidence)
        return replace(row, outcome=update.decision)
    if isinstance(update, Evidence):
        whole = update.net_speech_seconds + update.net_speech_needed_seconds
        return replace(
            row,
            have=update.net_speech_seconds,
            whole=whole,
            score=update.score or row.score,
            evidence=update,
        )
    return row


def _enrolment_cells(row: Row) -> list[Text]:
    outcome = "" if row.outcome is None else row.outcome.value
    enrolled = row.outcome is EnrolmentOutcome.ENROLLED
    return [
        Text(row.call.caller),
        bar(row.have, row.whole, _BAR_CELLS) + speech_text(row.have),
        Text(outcome, "green" if enrolled else "yellow"),
    ]


def _call_cells(row: Row) -> list[Text]:
    verdict, mark = Text(""), Text("")
    if isinstance(row.outcome, Decision):
        verdict = decision_text(row.outcome)
        mark = mark_text(row.outcome, genuine=row.call.genuine)
    return [
        Text(row.call.caller),
        Text(row.call.claims, "" if row.call.genuine else "magenta"),
        bar(row.have, row.whole, _BAR_CELLS) + speech_text(row.have),
        Text(llr_text(row.score)),
        Text(false_match_text(row.score)),
        verdict,
        mark,
    ]


def mark_text(decision: Decision, *, genuine: bool) -> Text:
    """Say whether a decision was right; asking for another factor is neither."""
    if decision is Decision.ACCEPT:
        return Text("right", "green") if genuine else Text("WRONG", "bold red")
    if decision is Decision.REJECT:
        return Text("WRONG", "bold red") if genuine else Text("right", "green")
    return Text("open", "yellow")


def outcome_table(counts: dict[str, dict[Decision, int]]) -> Table:
    """Draw right and wrong decisions, per kind of caller.

    Args:
        counts: kind -> decision -> how many calls.
    """
    table = Table(title="What was decided", box=None, padding=(0, 2), title_justify="left")
    table.add_column("")
    for decision in Decision:
        table.add_column(decision.name.replace("_", " "), justify="right")
    for kind, row in counts.items():
        cells = [Text(str(row[decision]) if row[decision] else "-") for decision in Decision]
        table.add_row(Text(kind), *cells)
    return table
