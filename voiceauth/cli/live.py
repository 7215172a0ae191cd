# SPDX-License-Identifier: Apache-2.0
"""The live view of one call: net speech, evidence and what it implies, as they grow."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from voiceauth.cli.render import (
    bar,
    decision_text,
    false_match_text,
    liveness_text,
    llr_text,
    progress_output,
)
from voiceauth.types import EnrolmentProgress, EnrolmentResult, Evidence, Ranking, Reason, Verdict
from voiceauth.units import Seconds

Update = Evidence | Verdict | EnrolmentProgress | EnrolmentResult | Ranking


class CallView:
    """Draws the updates of one call in place; on anything but a terminal it draws nothing."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=12, transient=True)
        self._shown = console.is_terminal

    def show(self, update: Update) -> None:
        """Draw an update."""
        if self._shown:
            self._live.update(picture(update))

    @contextmanager
    def drawing(self) -> Iterator["CallView"]:
        """Keep the view on the screen while a call runs."""
        if not self._shown:
            yield self
            return
        with self._live:
            yield self


def call_view(*, quiet: bool) -> CallView:
    """Return a view on standard error, or one that never draws."""
    return CallView(Console(quiet=True, force_terminal=False) if quiet else progress_output())


def picture(update: Update) -> RenderableType:
    """Draw one update as a small table."""
    rows = Table.grid(padding=(0, 2))
    for name, value in _rows(update):
        rows.add_row(Text(name, "dim"), value)
    return rows


def _rows(update: Update) -> list[tuple[str, Text]]:
    if isinstance(update, EnrolmentProgress):
        return _enrolment_rows(update)
    if isinstance(update, EnrolmentResult):
        return [("outcome", Text(update.outcome.value))]
    if isinstance(update, Ranking):
        leads = ", ".join(f"{one.subject} ({llr_text(one.score)})" for one in update.candidates[:3])
        return [*_speech_rows(update.evidence), ("leads", Text(leads or "-"))]
    if isinstance(update, Verdict):
        return [*_evidence_rows(update.evidence), ("verdict", decision_text(update.decision))]
    return _evidence_rows(update)


def _speech_rows(evidence: Evidence) -> list[tuple[str, Text]]:
    have = evidence.net_speech_seconds
    speech = bar(have, have + evidence.net_speech_needed_seconds) + speech_text(have)
    return [("heard", Text(f"{evidence.heard_seconds:.1f} s")), ("net speech", speech)]


def _evidence_rows(evidence: Evidence) -> list[tuple[str, Text]]:
    return [
        *_speech_rows(evidence),
        ("LLR", Text(llr_text(evidence.score))),
        ("implied false-match rate", Text(false_match_text(evidence.score))),
        ("liveness", Text(liveness_text(evidence))),
        ("because", Text(reasons_text(evidence.reasons))),
    ]


def _enrolment_rows(progress: EnrolmentProgress) -> list[tuple[str, Text]]:
    have = progress.net_seconds
    rows = [("net speech", bar(have, have + progress.needed_seconds) + speech_text(have))]
    segment = progress.segment
    if segment is not None and not segment.counted:
        where = f"{segment.start_seconds:.1f}-{segment.end_seconds:.1f} s"
        rows.append(("not counted", Text(f"{where}: {reasons_text(segment.reasons)}", "yellow")))
    return rows


def speech_text(seconds: Seconds) -> Text:
    """Write net speech beside its bar."""
    return Text(f" {seconds:4.1f} s")


def reasons_text(reasons: tuple[Reason, ...]) -> str:
    """Write reasons for a person: ``not enough speech, low snr``."""
    return ", ".join(reason.value.replace("_", " ") for reason in reasons) or "-"
