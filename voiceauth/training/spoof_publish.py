# SPDX-License-Identifier: Apache-2.0
"""From the last checkpoint of a spoof run to the files that ship: graph, calibration, record.

The calibration is fitted on half of the development speakers, their copies and half of the other
voices; the error rates that the decision reads are measured on the other half, on species that the
network has not heard. Test speakers and test systems only give figures. Both kinds weigh the same,
and so does every species of attack.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.liveness.rates import RateTable, measured_rates
from voiceauth.liveness.synthetic import (
    SpanScore,
    SyntheticCalibration,
    format_calibration,
    synthetic_llr,
)
from voiceauth.models.install import install_spoof
from voiceauth.models.spoof import OnnxSpoof
from voiceauth.training.copying import KEEPS_PHASE
from voiceauth.training.spoof_card import write_spoof_card
from voiceauth.training.spoof_export import export_spoof
from voiceauth.training.spoof_run import load_network
from voiceauth.training.spoof_trials import (
    BONA_FIDE,
    CODECS,
    SPAN_SECONDS,
    Presentation,
    TrialPlan,
    present,
    rates,
    species_of,
)
from voiceauth.types import ModelHash

NAME = "voiceauth-spoof-8k"
LICENCE = "Apache-2.0"
_STEPS = 50
_GRID = 41
_BOUND = 1.28
"""Standard normal quantile of the one-sided 90 % bound of the rates."""


@dataclass(frozen=True)
class SpoofPlaces:
    """Where things lie.

    Args:
        data: root of the recorded pack.
        attacks: root of the attack pack.
        cache: decoded audio.
        run: folder of the run.
        models: folder of the shipped models.
    """

    data: Path
    attacks: Path
    cache: Path
    run: Path
    models: Path


def publish_spoof(places: SpoofPlaces) -> dict[str, Any]:
    """Export, calibrate, measure; returns the record, also written beside the model.

    Raises:
        ModelOutputError: the exported graph does not reproduce the network.
        SettingsError: a pack is missing, or the scores do not separate the classes.
    """
    run = json.loads((places.run / "run.json").read_text(encoding="utf-8"))
    graph = places.models / f"{NAME}.onnx"
    network, steps = load_network(places.run / "last.pt")
    difference = export_spoof(network, graph, LICENCE)
    model = OnnxSpoof.of_file(graph)
    unheard = tuple(run["plan"]["leave_out"])
    plan = TrialPlan(places.data, places.attacks, places.cache, "dev", also=unheard)
    calibration = calibrate(present(model.score, plan), model.model, unheard)
    text = format_calibration(calibration)
    (places.models / f"{NAME}-calibration.json").write_text(text, encoding="utf-8")
    found = present(model.score, replace(plan, split="test", also=()))
    record = {
        "name": NAME,
        "sha256": str(model.model),
        "parity_logit": difference,
        "calibration": asdict(calibration),
        "run": run,
        "steps": steps,
        "test": figures(found),
    }
    target = places.models / f"{NAME}.json"
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_spoof_card(places.models / f"{NAME}.md", record)
    install_spoof(places.models, NAME, licence=LICENCE)
    return record


def calibrate(
    found: Sequence[Presentation], model: ModelHash, unheard: Sequence[str]
) -> SyntheticCalibration:
    """Fit line and rates on halves that share no voice.

    Copies that keep recorded phases are in neither: no attacker has those phases.

    Args:
        found: presentations of development voices.
        model: hash of the model that scored them.
        unheard: systems, by name or species, that the network never heard; the rates are theirs.

    Raises:
        SettingsError: bona fide speech does not score lower than attacks.
    """
    some = [one for one in found if one.system not in KEEPS_PHASE]
    first = [one for one in some if _half(one.speaker)]
    second = [one for one in some if not _half(one.speaker)]
    line = fit_calibration(first, model)
    species = {species_of(name) for name in unheard}
    living: list[float] = []
    attacks: dict[str, list[float]] = {}
    for one in second:
        llr = synthetic_llr([SpanScore(one.score, SPAN_SECONDS)], model, line)
        if llr is None:
            continue
        if one.system == BONA_FIDE:
            living.append(llr)
        elif one.system in species:
            attacks.setdefault(one.system, []).append(llr)
    return replace(line, rates=_rates_of(living, attacks))


def _rates_of(living: list[float], attacks: dict[str, list[float]]) -> RateTable:
    ends = np.quantile([*living, *(llr for own in attacks.values() for llr in own)], [0.0, 1.0])
    grid = np.unique(np.round(np.linspace(ends[0], ends[1], _GRID), 4))
    return measured_rates(living, attacks, grid.tolist(), _BOUND)


def _half(voice: str) -> bool:
    """Which half a voice belongs to; the same in every run."""
    return zlib.crc32(voice.encode()) % 2 == 0


def figures(found: Sequence[Presentation]) -> list[dict[str, Any]]:
    """Error rates by codec (and over all of them) and species, worst species first."""
    rows = []
    for codec in ("all", *CODECS):
        heard = [one for one in found if codec in ("all", one.codec)]
        bona = [one for one in heard if one.system == BONA_FIDE]
        systems = sorted({one.system for one in heard} - {BONA_FIDE})
        some = [
            asdict(rates(bona, [one for one in heard if one.system == name], name))
            for name in systems
        ]
        some.sort(key=lambda row: -row["apcer_5"])
        rows += [{"codec": codec, **row} for row in some]
    return rows


def fit_calibration(found: Sequence[Presentation], model: ModelHash) -> SyntheticCalibration:
    """Fit the line from score to ratio by logistic regression.

    Raises:
        SettingsError: bona fide speech does not score lower than attacks.
    """
    scores = np.array([one.score for one in found], dtype=np.float64)
    kinds = [one.system for one in found]
    sizes = {name: kinds.count(name) for name in set(kinds)}
    species = len(sizes) - 1
    weights = np.array([0.5 / sizes[k] / (1 if k == BONA_FIDE else max(species, 1)) for k in kinds])
    living = np.array([kind == BONA_FIDE for kind in kinds])
    slope, offset = _logistic(scores, living, weights)
    if not slope < 0.0:
        raise SettingsError("The spoof scores do not separate living speakers from synthesisers.")
    lowest, highest = np.quantile(scores, [0.01, 0.99])
    return SyntheticCalibration(
        model, slope, offset, float(lowest), float(highest), least_seconds=SPAN_SECONDS
    )


def _logistic(
    scores: NDArray[np.float64], living: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """Slope and offset of the log odds of ``living``, by Newton's method."""
    design = np.stack([scores, np.ones_like(scores)], axis=1)
    line = np.zeros(2)
    for _ in range(_STEPS):
        odds = 1.0 / (1.0 + np.exp(-np.clip(design @ line, -30.0, 30.0)))
        gradient = design.T @ (weights * (living - odds)) - 1e-4 * line
        curvature = (design * (weights * odds * (1.0 - odds))[:, None]).T @ design
        line = line + np.linalg.solve(curvature + 1e-4 * np.eye(2), gradient)
    return float(line[0]), float(line[1])
