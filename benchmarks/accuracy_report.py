# SPDX-License-Identifier: Apache-2.0
"""Figures of the accuracy benchmark as JSON, as Markdown between markers, and as a terminal table.

Everything here reads the JSON form, so that a page can be written again from a file.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accuracy_figures import ASNORM, CALIBRATED, COSINE, SCORINGS, Result
from accuracy_hearing import CAMPPLUS, GE2E, OURS, OURS_INT8
from rich.table import Table

from voiceauth.errors import InputError
from voiceauth.models.forms import MOST_ERROR_DIFFERENCE
from voiceauth.scoring.trials import Interval

Line = dict[str, Any]
"""One result in its JSON form."""

SHORT = {COSINE: "cosine", ASNORM: "AS-norm"}
_GROUPS = {
    "main": "The three main conditions",
    "net": "Net speech, phone against phone",
    "codec": "One codec on the probe, nothing else; enrolment as recorded",
    "snr": "Noise and babble of the test split, then G.711; enrolment as recorded",
    "room": "Recorded rooms of the test split, then G.711; enrolment as recorded",
    "set": "The other two sets",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What the model is to reach, in words and as a limit.

    Attributes:
        words: of the target.
        condition: in which it is measured.
        limit: of the ratio to CAM++, or of our own EER.
        ratio: whether it is a ratio.
    """

    words: str
    condition: str
    limit: float
    ratio: bool


TARGETS = (
    Target("phone against phone: at most half of CAM++'s EER", "phone-phone", 0.5, ratio=True),
    Target("clean enrolment, phone probe: at most a quarter", "clean-phone", 0.25, ratio=True),
    Target("3 s of net speech, phone against phone: at most half", "net-3s", 0.5, ratio=True),
    Target("wideband: EER of 2.5 % at most", "wideband", 0.025, ratio=False),
)


def to_json(results: Sequence[Result]) -> list[Line]:
    """Turn results into plain values; an interval becomes its value and both ends."""
    return [
        {
            "name": one.name,
            "title": one.title,
            "group": one.group,
            "people": one.people,
            "target_trials": one.targets,
            "impostor_trials": one.impostors,
            "lost_trials": one.lost,
            "median_net_seconds": round(one.net_seconds, 2),
            "figures": {
                system: {
                    scoring: {name: _numbers(value) for name, value in found.items()}
                    for scoring, found in scorings.items()
                }
                for system, scorings in one.figures.items()
            },
            "eer_over_campplus": {name: _numbers(value) for name, value in one.ratios.items()},
            "ahead_of_ge2e": one.ahead,
        }
        for one in results
    ]


def _numbers(interval: Interval) -> list[float | None]:
    return [
        round(value, 6) if math.isfinite(value) else None for value in asdict(interval).values()
    ]


def terminal_table(lines: Sequence[Line]) -> Table:
    """Equal error rates of all systems, the better scoring of each peer; groups left out."""
    lines = [line for line in lines if not line["group"].startswith("groups ")]
    systems = list(lines[0]["figures"])
    table = Table(title="EER in % with 90 % intervals over people", caption=_CAPTION)
    table.add_column("condition", no_wrap=True)
    for system in systems:
        table.add_column(system, justify="right")
    table.add_column("ours / CAM++", justify="right")
    group = lines[0]["group"]
    for line in lines:
        if line["group"] != group:
            table.add_section()
            group = line["group"]
        cells = [_percent(_eer(line, system, _scoring(line, system))) for system in systems]
        table.add_row(line["title"], *cells, _ratio(line))
    return table


_CAPTION = "ours: AS-norm; peers: the better one of cosine and AS-norm in each condition"


def tables(lines: Sequence[Line]) -> str:
    """Write all tables of docs/accuracy.md."""
    parts = []
    for group, title in _GROUPS.items():
        mine = [line for line in lines if line["group"] == group]
        if mine:
            parts += [f"### {title}", _eer_table(mine)]
    grouped = [line for line in lines if line["group"].startswith("groups ")]
    if grouped:
        parts += ["### Women and men, adults and children", _eer_table(grouped)]
    plain = [line for line in lines if not line["group"].startswith("groups ")]
    parts += ["### Other figures, all with AS-norm", _other_table(plain)]
    if any(CALIBRATED in line["figures"].get(OURS, {}) for line in plain):
        parts += ["### What our ratios and stated rates are worth", _worth_table(plain)]
    return "\n\n".join(parts)


def targets(lines: Sequence[Line]) -> str:
    """Say of each target whether it is reached."""
    by_name = {line["name"]: line for line in lines}
    rows = []
    for target in TARGETS:
        line = by_name.get(target.condition)
        if line is None:
            continue
        if target.ratio:
            found, shown = line["eer_over_campplus"].get("best"), _ratio(line)
        else:
            found = _eer(line, OURS, ASNORM)
            shown = f"{_percent(found)} %"
        if found is None:
            continue
        rows.append((target.words, shown, _reached(found, target.limit)))
    rows += _int8_row(lines)
    compared = [line for line in lines if line["ahead_of_ge2e"] is not None]
    if compared:
        behind = [line["title"] for line in compared if not line["ahead_of_ge2e"]]
        shown = f"in {len(compared) - len(behind)} of {len(compared)} conditions and groups"
        words = "not reached: " + "; ".join(behind) if behind else "reached"
        rows.append(("ahead of GE2E everywhere", shown, words))
    return _markdown(("target", "measured (90 % interval)", ""), rows)


def _int8_row(lines: Sequence[Line]) -> list[tuple[str, str, str]]:
    """Say how far the int8 form is from fp32 where they differ most; nothing without that form."""
    found = [
        (abs(_value(line, OURS_INT8) - _value(line, OURS)), line["title"])
        for line in lines
        if OURS_INT8 in line["figures"] and not line["group"].startswith("groups ")
    ]
    if not found:
        return []
    most, where = max(found)
    shown = f"{100 * most:.2f} points at most, in: {where}"
    verdict = "reached" if most <= MOST_ERROR_DIFFERENCE else "not reached"
    words = f"int8 within {100 * MOST_ERROR_DIFFERENCE:g} points of fp32 in every condition"
    return [(words, shown, verdict)]


def _value(line: Line, system: str) -> float:
    return float(line["figures"][system][ASNORM]["eer"][0])


def _reached(found: Sequence[float | None], limit: float) -> str:
    value, _, high = found
    if value is None or value > limit:
        return "not reached"
    if high is None or high > limit:
        return "reached, but the interval reaches beyond it"
    return "reached"


def card_block(lines: Sequence[Line], report: Mapping[str, Any]) -> str:
    """Write the model card's figures: main conditions, net speech and groups, against the peers."""
    chosen = [line for line in lines if line["group"] in ("main", "net")]
    grouped = [line for line in lines if line["group"] == "groups phone-phone"]
    opening = (
        "Measured by `python benchmarks/accuracy.py` (see `docs/accuracy.md`) on model "
        f"`{report['model_sha256'][:12]}`; every telephone channel is **simulated**. EER in % with "
        "90 % intervals over people."
    )
    return "\n\n".join(
        [
            opening,
            _eer_table(chosen),
            "By group, phone against phone:",
            _eer_table(grouped),
            targets(lines),
        ]
    )


def provenance(report: Mapping[str, Any]) -> str:
    """Say in a few lines where the figures come from."""
    machine = report["machine"]
    peers = ", ".join(
        f"{name} `{key.partition('-')[2][:12]}`"
        for name, key in report["systems"].items()
        if name != OURS
    )
    quick = (
        "**A quick run: the main conditions with a third of the probes. Hints, not figures.** "
        if report["quick"]
        else ""
    )
    return (
        f"{quick}Measured on {report['measured'][:10]} with model `{report['model']}`, SHA-256 "
        f"`{report['model_sha256']}`; beside it, by the hash of their weights: {peers or 'none'}. "
        f"{machine.get('processor', 'unknown processor')}, {machine['cores']} cores; Python "
        f"{machine['python']}; seed {report['seed']}, {report['draws']} bootstrap draws."
    )


def write_between(path: Path, block: str, content: str, *, before: str | None = None) -> None:
    """Replace what stands between ``<!-- BLOCK -->`` and ``<!-- /BLOCK -->``.

    Args:
        path: a Markdown file.
        block: name of the markers.
        content: to stand between them.
        before: a line before which the markers are put if the file has none.

    Raises:
        InputError: no markers, and no place for them.
    """
    text = path.read_text(encoding="utf-8")
    start, end = f"<!-- {block} -->", f"<!-- /{block} -->"
    whole = f"{start}\n{content}\n{end}"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(text):
        text = pattern.sub(lambda _: whole, text)
    elif before is not None and f"\n{before}\n" in text:
        text = text.replace(f"\n{before}\n", f"\n{whole}\n\n{before}\n", 1)
    else:
        raise InputError(f"{path.name} has no place for the block {block}.")
    path.write_text(text, encoding="utf-8")


def _eer_table(lines: Sequence[Line]) -> str:
    systems = list(lines[0]["figures"])
    head = ["condition", "trials"]
    for system in systems:
        kinds = (ASNORM,) if system == OURS_INT8 else SCORINGS
        head += [f"{system}, {SHORT[kind]}" for kind in kinds]
    rows = []
    for line in lines:
        row = [line["title"], f"{line['target_trials']:,} / {line['impostor_trials']:,}"]
        for system in systems:
            kinds = (ASNORM,) if system == OURS_INT8 else SCORINGS
            row += [_percent(_eer(line, system, kind)) for kind in kinds]
        rows.append((*row, _ratio(line)))
    return _markdown((*head, "ours / CAM++"), rows)


def _other_table(lines: Sequence[Line]) -> str:
    names = {
        "min_dcf": "minDCF",
        "fnmr_at_0.01": "FNMR % at FMR 1 %",
        "fnmr_at_0.001": "FNMR % at FMR 0.1 %",
    }
    systems = [name for name in (OURS, CAMPPLUS, GE2E) if name in lines[0]["figures"]]
    head = ["condition"]
    head += [f"{system}: {words}" for words in names.values() for system in systems]
    rows = []
    for line in lines:
        row = [line["title"]]
        for name in names:
            scale = 1.0 if name == "min_dcf" else 100.0
            row += [_cell(line["figures"][s][ASNORM][name], scale) for s in systems]
        rows.append(tuple(row))
    return _markdown(tuple(head), rows)


def _worth_table(lines: Sequence[Line]) -> str:
    head = (
        "condition",
        "system",
        "Cllr, bit",
        "min Cllr, bit",
        "trials with support",
        "FMR % where 1 % is stated",
        "FMR % where 0.1 % is stated",
    )
    rows = []
    for line in lines:
        for system in (OURS, OURS_INT8):
            found = line["figures"].get(system, {}).get(CALIBRATED)
            if found is None:
                continue
            share = f"{100 * found['supported'][0]:.0f} %"
            if "cllr" not in found:
                rows.append((line["title"], system, "-", "-", share, "-", "-"))
                continue
            rows.append(
                (
                    line["title"],
                    system,
                    _cell(found["cllr"], 1.0, 3),
                    _cell(found["min_cllr"], 1.0, 3),
                    share,
                    _cell(found["fmr_where_0.01_is_stated"], 100.0),
                    _cell(found["fmr_where_0.001_is_stated"], 100.0, 3),
                )
            )
    return _markdown(head, rows)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _scoring(line: Line, system: str) -> str:
    """AS-norm for ours, as the engine scores; for a peer what serves it better."""
    if system in (OURS, OURS_INT8):
        return ASNORM
    return min(SCORINGS, key=lambda kind: float(line["figures"][system][kind]["eer"][0]))


def _eer(line: Line, system: str, scoring: str) -> list[float | None]:
    found: list[float | None] = line["figures"][system][scoring]["eer"]
    return found


def _percent(found: Sequence[float | None]) -> str:
    return _cell(found, 100.0)


def _ratio(line: Line) -> str:
    found = line["eer_over_campplus"].get("best")
    return "-" if found is None else _cell(found, 1.0)


def _cell(found: Sequence[float | None], scale: float, digits: int = 2) -> str:
    value, low, high = ("∞" if one is None else f"{scale * one:.{digits}f}" for one in found)
    return f"{value} ({low} to {high})"
