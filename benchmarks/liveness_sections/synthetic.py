# SPDX-License-Identifier: Apache-2.0
"""Synthetic speech: error rates of the spoof detector by species of attack and codec.

People and systems of the test split only. Copies of the test people's recordings are made on first
use (a few minutes) and kept below ``--out``; the pack's neural voices are taken as they are.
"""

from dataclasses import asdict
from typing import Any

from liveness_sections import Plan
from voiceauth.models.locate import default_model_directory
from voiceauth.models.spoof import OnnxSpoof
from voiceauth.training.attacks import AttackPlan, make
from voiceauth.training.spoof_publish import NAME, figures
from voiceauth.training.spoof_trials import BONA_FIDE, SPAN_SECONDS, TrialPlan, present

_SET = "speechocean762"
ORIGINALS = 44
"""Recordings that every vocoder copies: presentations per species and codec."""


def run(plan: Plan) -> dict[str, Any]:
    """Make the attacks, score everything, print and draw the error rates."""
    attacks = plan.out / "attacks"
    wanted = AttackPlan(
        plan.data, plan.cache, attacks, "test", _SET, ORIGINALS, 0, 1, 6, seed=plan.seed
    )
    if not (attacks / "manifest.csv").exists():
        print(f"attacks made: {make(wanted)}")
    model = OnnxSpoof.of_file((plan.models or default_model_directory()) / f"{NAME}.onnx")
    many = (1, 6) if plan.quick else (4, ORIGINALS)
    trials = TrialPlan(
        plan.data, attacks, plan.cache, "test", _SET, many[0], many[1], seed=plan.seed
    )
    found = present(model.score, trials)
    rows = figures(found)
    print(f"spans of {SPAN_SECONDS} s, {sum(s.system == BONA_FIDE for s in found)} bona fide")
    print(f"{'codec':10} {'species':18} {'n':>5} {'EER':>6} {'APCER1':>7} {'APCER5':>7}  90 %")
    for row in rows:
        span = f"{100 * row['apcer_5_low']:.0f}-{100 * row['apcer_5_high']:.0f}"
        print(
            f"{row['codec']:10} {row['system']:18} {row['presentations']:5d}"
            f" {100 * row['eer']:6.1f} {100 * row['apcer_1']:7.1f} {100 * row['apcer_5']:7.1f}"
            f"  {span}"
        )
    _draw(plan, rows)
    return {"model": str(model.model), "trials": _settings(trials), "rates": rows}


def _settings(trials: TrialPlan) -> dict[str, Any]:
    """What was asked for, without the machine's folders."""
    hidden = ("data", "attacks", "cache")
    return {name: value for name, value in asdict(trials).items() if name not in hidden}


def _draw(plan: Plan, rows: list[dict[str, Any]]) -> None:
    """Bars of APCER at BPCER 5 % by species over all codecs, with their intervals."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of backend

    some = [row for row in rows if row["codec"] == "all"]
    figure, axes = plt.subplots(figsize=(7, 4))
    shares = [100 * row["apcer_5"] for row in some]
    below = [max(0.0, 100 * (row["apcer_5"] - row["apcer_5_low"])) for row in some]
    above = [max(0.0, 100 * (row["apcer_5_high"] - row["apcer_5"])) for row in some]
    axes.barh([row["system"] for row in some], shares, xerr=[below, above])
    axes.invert_yaxis()
    axes.set_xlabel("APCER at BPCER 5 %, in per cent (simulated telephone codecs)")
    figure.tight_layout()
    figure.savefig(plan.plot, dpi=120)
