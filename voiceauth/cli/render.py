# SPDX-License-Identifier: Apache-2.0
"""Turn results into JSON and into short texts for people."""

import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path

from rich.console import Console
from rich.text import Text

from voiceauth.types import Decision, Evidence, LivenessLayer, Score
from voiceauth.units import Rate, Seconds

BAR_CELLS = 16
STYLES = {
    Decision.ACCEPT: "bold green",
    Decision.STEP_UP: "bold yellow",
    Decision.REJECT: "bold red",
    Decision.INCONCLUSIVE: "dim",
}


def output() -> Console:
    """Return the console for results, on standard output."""
    return Console(highlight=False)


def progress_output() -> Console:
    """Return the console for everything else, on standard error."""
    return Console(stderr=True, highlight=False)


def plain(value: object) -> object:
    """Turn a result into what JSON can hold: enums by value, times in ISO 8601, sets sorted."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(str(plain(inner)) for inner in value)
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return _plain_scalar(value)


def _plain_scalar(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_json(value: object) -> None:
    """Print one JSON value and a line end on standard output."""
    json.dump(plain(value), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def rate_text(rate: Rate | None, *, at_floor: bool = False) -> str:
    """Write an error rate in percent; ``≤`` where the tables cannot support a smaller one."""
    if rate is None:
        return "-"
    percent = 100.0 * rate
    digits = 1 if percent >= 1 else 2 if percent >= 0.1 else 3  # noqa: PLR2004 - two figures
    return f"{'≤ ' if at_floor else ''}{percent:.{digits}f} %"


def llr_text(score: Score | None) -> str:
    """Write a score's log likelihood ratio with its sign; ``-`` where there is none."""
    return "-" if score is None or score.llr is None else f"{score.llr:+.1f}"


def false_match_text(score: Score | None) -> str:
    """Write the false-match rate that a score implies."""
    if score is None:
        return "-"
    return rate_text(score.false_match_rate, at_floor=score.floor_reached)


def liveness_text(evidence: Evidence) -> str:
    """Write what each liveness layer says: ``synthetic live (+3.2), replay not measured``."""
    words = []
    for layer in LivenessLayer:
        slot = getattr(evidence.liveness, layer.value)
        ratio = "" if slot.llr is None else f" ({slot.llr:+.1f})"
        words.append(f"{layer.value} {slot.state.value.replace('_', ' ')}{ratio}")
    return ", ".join(words)


def bar(have: Seconds, whole: Seconds, cells: int = BAR_CELLS) -> Text:
    """Draw how much net speech there is of what is needed."""
    filled = cells if whole <= 0 else min(cells, round(cells * have / whole))
    return Text.assemble(("━" * filled, "cyan"), ("━" * (cells - filled), "grey30"))


def decision_text(decision: Decision) -> Text:
    """Write a decision in its colour."""
    return Text(decision.name.replace("_", " "), STYLES[decision])
