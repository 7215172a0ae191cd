# SPDX-License-Identifier: Apache-2.0
"""Hand-overs during a call: how many are found, how soon, and how many calls raise false alarms.

Test people only, two of them joined in one call over one simulated line (the hard case: the line
does not change with the person), as in ``voiceauth.evaluation.handovers``. The calibration is the
one beside the model; with none, nothing is measured.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liveness_sections import Plan
from voiceauth.evaluation.continuity import Found, detected
from voiceauth.evaluation.handovers import CallChoices, CallMaker, WatchedCall
from voiceauth.liveness.continuity import ContinuityCalibration, parse_continuity
from voiceauth.models.bundle import load_bundle
from voiceauth.scoring.scorer import CalibratedScorer

SET = "speechocean762"
WITHIN_SECONDS = 3.0
DRAWS = 1000
LEVEL = 0.9


def run(plan: Plan) -> dict[str, Any]:
    """Make the calls, watch them by every line of the calibration, print and draw."""
    bundle = load_bundle(plan.models)
    if bundle.continuity is None:
        print("the speaker model has no continuity calibration")
        return {"model": bundle.speaker.model, "rates": {}}
    rule = parse_continuity(bundle.continuity)
    scorer = CalibratedScorer(bundle.calibration, bundle.cohort, bundle.speaker.model)
    people = test_people(plan.data)
    if plan.quick:
        people = dict(sorted(people.items())[:10])
    choices = CallChoices(same=2, other=4, seed=plan.seed)
    calls = CallMaker(people, bundle.speaker, scorer, choices).calls()
    watches = {name: watch(calls, rule, name) for name in ("voiceprint", "call", "spans")}
    rates = {name: figures(calls, found) for name, found in watches.items()}
    for name, row in rates.items():
        print(f"{name}:")
        for figure, one in row.items():
            low, high = one["low"], one["high"]
            print(f"  {figure:34}{one['value']:8.3f}  [{low:.3f}, {high:.3f}]")
    _draw(plan, calls, watches)
    return {
        "model": bundle.speaker.model,
        "people": len(people),
        "calls": len(calls),
        "watched_seconds": float(np.mean([after_joint(call) for call in calls])),
        "rates": rates,
    }


def test_people(data: Path) -> dict[str, tuple[Path, ...]]:
    """List the recordings of the test speakers."""
    found: dict[str, list[Path]] = {}
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if (row["set"], row["split"], row["kind"]) == (SET, "test", "speech"):
                found.setdefault(row["speaker"], []).append(data / row["path"])
    return {name: tuple(sorted(paths)) for name, paths in found.items()}


def watch(calls: Sequence[WatchedCall], rule: ContinuityCalibration, name: str) -> list[Found]:
    """Run the detector of one line over all calls."""
    line = getattr(rule, name)
    share = 1.0 if name == "spans" else rule.hop_seconds / rule.window_seconds
    columns = range(len(line.weights))
    return [
        detected(call.spans if name == "spans" else call.windows, line, share, columns)
        for call in calls
    ]


def after_joint(call: WatchedCall) -> float:
    """Net speech that was watched behind the joint."""
    return call.windows[-1].since_seconds if call.windows else 0.0


def figures(calls: Sequence[WatchedCall], found: Sequence[Found]) -> dict[str, dict[str, float]]:
    """Rates with 90 % intervals over the people who begin the calls."""
    delays = np.array([one.delay_seconds for one in found])
    peaks = np.array([one.peak for one in found])
    other = np.array([call.other is not None for call in calls])
    person = np.array([call.person for call in calls])
    in_time = (delays > 0.0) & (delays <= WITHIN_SECONDS)
    ever = (delays > 0.0) & np.isfinite(delays)
    rng = np.random.default_rng(0)
    count = int(person.max()) + 1
    times = np.concatenate(
        [np.ones((1, count)), rng.multinomial(count, np.full(count, 1 / count), DRAWS)]
    )
    weight = times[:, person]

    def share(hits: np.ndarray, among: np.ndarray) -> np.ndarray:
        total = (weight * among).sum(axis=1)
        return np.asarray((weight * (among & hits)).sum(axis=1) / np.maximum(total, 1e-9))

    medians = [
        float(np.median(np.repeat(delays[other & ever], row[other & ever].astype(int))))
        if (row * (other & ever)).sum()
        else float("nan")
        for row in weight
    ]
    return {
        "hand-overs found within 3 s": _interval(share(in_time, other)),
        "hand-overs found at all": _interval(share(ever, other)),
        "calls of one person with an alarm": _interval(share(np.isfinite(delays), ~other)),
        "equal error rate per call": _interval(_equal(weight, peaks, other)),
        "median delay in net seconds": _interval(np.array(medians)),
    }


def _equal(weight: np.ndarray, peaks: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Equal error rate of the largest sum per call, per draw."""
    order = np.argsort(peaks, kind="stable")
    missed = np.cumsum(weight[:, order] * other[order], axis=1)
    quiet = np.cumsum(weight[:, order] * ~other[order], axis=1)
    misses = missed / np.maximum(missed[:, -1:], 1e-9)
    alarms = 1.0 - quiet / np.maximum(quiet[:, -1:], 1e-9)
    place = np.argmin(np.abs(misses - alarms), axis=1)
    rows = np.arange(len(weight))
    return np.asarray((misses[rows, place] + alarms[rows, place]) / 2.0)


def _interval(values: np.ndarray) -> dict[str, float]:
    tail = (1.0 - LEVEL) / 2.0
    return {
        "value": float(values[0]),
        "low": float(np.nanquantile(values[1:], tail)),
        "high": float(np.nanquantile(values[1:], 1.0 - tail)),
    }


def _draw(plan: Plan, calls: Sequence[WatchedCall], watches: dict[str, list[Found]]) -> None:
    """Share of hand-overs found, by net speech since the hand-over."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of backend

    figure, axes = plt.subplots(figsize=(7, 4))
    grid = np.arange(0.0, 12.1, 0.25)
    names = {
        "voiceprint": "after an ACCEPT (call and voiceprint)",
        "call": "after a STEP_UP (call alone)",
        "spans": "before the verdict (spans of 3 s)",
    }
    for name, label in names.items():
        pairs = zip(calls, watches[name], strict=True)
        delays = np.array([one.delay_seconds for call, one in pairs if call.other is not None])
        axes.plot(grid, [100 * np.mean((delays > 0) & (delays <= at)) for at in grid], label=label)
    axes.axvline(WITHIN_SECONDS, color="grey", linewidth=0.8)
    axes.set_xlabel("net speech since the hand-over, in seconds (one simulated line)")
    axes.set_ylabel("hand-overs found, in per cent")
    axes.set_ylim(0, 100)
    axes.legend()
    figure.tight_layout()
    figure.savefig(plan.plot, dpi=120)
