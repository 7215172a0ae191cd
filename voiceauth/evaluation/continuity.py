# SPDX-License-Identifier: Apache-2.0
"""Fit what tells a hand-over during a call.

    python -m voiceauth.evaluation.continuity --manifest CORPUS/manifest.csv --models models

fits the default speaker model of a model directory on the development people of the corpus, writes
``NAME-continuity.json`` beside it and enters it in the manifest. Fit it again for every new model.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import EngineError, SettingsError
from voiceauth.evaluation.handovers import (
    HOP_SECONDS,
    REFERENCE_SECONDS,
    WINDOW_SECONDS,
    CallChoices,
    CallMaker,
    Stretch,
    WatchedCall,
)
from voiceauth.evaluation.sessions import DEVELOPMENT, labelled_recordings
from voiceauth.liveness.continuity import (
    ChangeDetector,
    ChangeLine,
    ContinuityCalibration,
    format_continuity,
)
from voiceauth.models.bundle import load_bundle
from voiceauth.models.install import enter_continuity
from voiceauth.models.manifest import read_manifest
from voiceauth.scoring.fit import regression
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.types import ModelHash
from voiceauth.units import Rate, Seconds

ALLOWANCE = 1.0
FALSE_ALARM_RATE: Rate = 0.01
"""Half of what is promised per call: the development people are few."""
_SUPPORT = 0.01
_RIDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Found:
    """What the detector said about one call.

    Attributes:
        delay_seconds: net speech from the hand-over to the alarm; infinite without one, 0 or less
            for an alarm before it. In a call of one person, from the joint.
        peak: largest sum.
        changed_at: estimated stream time of the change.
    """

    delay_seconds: Seconds
    peak: float
    changed_at: Seconds | None


def fit_continuity(calls: Sequence[WatchedCall], model: ModelHash) -> ContinuityCalibration:
    """Fit lines and alarms.

    Args:
        calls: of one person and with a hand-over.
        model: hash of the model that heard them.

    Raises:
        SettingsError: one kind of call is missing, or nothing tells people apart.
    """
    windows = [(call.other is None, call.windows) for call in calls]
    spans = [(call.other is None, call.spans) for call in calls]
    share = HOP_SECONDS / WINDOW_SECONDS
    return ContinuityCalibration(
        model=model,
        window_seconds=WINDOW_SECONDS,
        hop_seconds=HOP_SECONDS,
        reference_seconds=REFERENCE_SECONDS,
        false_alarm_rate=FALSE_ALARM_RATE,
        spans=_fitted(spans, (0,), 1.0),
        call=_fitted(windows, (0,), share),
        voiceprint=_fitted(windows, (0, 1), share),
    )


def detected(
    stretches: Sequence[Stretch], line: ChangeLine, new_share: float, columns: Sequence[int]
) -> Found:
    """Run the detector over one call."""
    detector = ChangeDetector(line, new_share)
    delay, peak = float("inf"), 0.0
    for one in stretches:
        detector.add([one.similarities[column] for column in columns], one.start_seconds)
        peak = max(peak, detector.sum)
        if detector.changed_at_seconds is not None and delay == float("inf"):
            delay = one.since_seconds
    return Found(delay, peak, detector.changed_at_seconds)


def _fitted(
    calls: Sequence[tuple[bool, tuple[Stretch, ...]]], columns: tuple[int, ...], new_share: float
) -> ChangeLine:
    same, other = _kinds(calls, columns)
    if not len(same) or not len(other):
        raise SettingsError("Continuity needs calls of one person and calls with a hand-over.")
    design = np.concatenate([same, other])
    design = np.column_stack([design, np.ones(len(design))])
    target = np.arange(len(design)) < len(same)
    weights = np.where(target, 0.5 / len(same), 0.5 / len(other))
    ridge = np.full(design.shape[1], _RIDGE)
    found = regression(design, target, weights, 0.5, ridge)
    ratios = design @ found
    line = ChangeLine(
        weights=tuple(float(weight) for weight in found[:-1]),
        offset=float(found[-1]),
        lowest=float(np.quantile(ratios[~target], _SUPPORT)),
        highest=float(np.quantile(ratios[target], 1.0 - _SUPPORT)),
        allowance=ALLOWANCE,
        alarm=float("1e9"),
    )
    peaks = [detected(part, line, new_share, columns).peak for one, part in calls if one]
    alarm = max(float(np.quantile(peaks, 1.0 - FALSE_ALARM_RATE, method="higher")), _RIDGE)
    # Just above the quantile: a sum equal to the alarm raises it.
    return ChangeLine(
        line.weights, line.offset, line.lowest, line.highest, ALLOWANCE, alarm * (1.0 + _RIDGE)
    )


def _kinds(
    calls: Sequence[tuple[bool, tuple[Stretch, ...]]], columns: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Stretches of the person who began, and of another: each of one person only."""
    same, other = [], []
    for one_person, stretches in calls:
        for one in stretches:
            row = [one.similarities[column] for column in columns]
            if one_person or (one.pure and one.since_seconds <= 0.0):
                same.append(row)
            elif one.pure:
                other.append(row)
    shape = (-1, len(columns))
    return np.array(same, dtype=float).reshape(shape), np.array(other, dtype=float).reshape(shape)


def main(arguments: list[str] | None = None) -> int:
    """Fit and install; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m voiceauth.evaluation.continuity",
        description="Fit what tells a hand-over during a call, and enter it in the manifest.",
    )
    parser.add_argument("--manifest", type=Path, required=True, help="CSV of labelled recordings")
    parser.add_argument("--models", type=Path, required=True, help="model directory")
    parser.add_argument("--name", default=None, help="of the speaker model; default its default")
    options = parser.parse_args(arguments)
    try:
        calibration = _fit_and_install(options.manifest, options.models, options.name)
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{format_continuity(calibration)}")
    return 0


def _fit_and_install(manifest: Path, models: Path, name: str | None) -> ContinuityCalibration:
    bundle = load_bundle(models, name)
    scorer = CalibratedScorer(bundle.calibration, bundle.cohort, bundle.speaker.model)
    people = labelled_recordings(manifest, DEVELOPMENT)
    calls = CallMaker(people, bundle.speaker, scorer, CallChoices()).calls()
    calibration = fit_continuity(calls, bundle.speaker.model)
    entry = read_manifest(models).entry(name)
    file = models / f"{entry.name}-continuity.json"
    file.write_text(format_continuity(calibration), encoding="utf-8")
    enter_continuity(models, entry.name)
    return calibration


if __name__ == "__main__":
    sys.exit(main())
