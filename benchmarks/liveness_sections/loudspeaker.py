# SPDX-License-Identifier: Apache-2.0
"""Loudspeaker replay: can it be told from a telephone line at all? Simulated.

A recording is played over a loudspeaker of the pack, dry or in a room of the pack, and goes through
a simulated line; the same recording goes through a line of the same kind without it. A linear
detector is fitted on train people, loudspeakers and rooms, and measured on test people,
loudspeakers and rooms, for three sets of features: the spectrum's shape, how sounds decay, both.
"In sample" are other people with the loudspeakers that were fitted: what lies between the two rows
is what the detector knows by heart. No such layer ships; this shows why.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import soundfile
from numpy.typing import NDArray

from liveness_sections import Plan
from voiceauth.evaluation.recordings import simulated_line
from voiceauth.scoring.metrics import equal_error_rate, roc
from voiceauth.training.corpus import RATE_HZ, Corpus, load_corpus
from voiceauth.training.pauses import limit_pauses
from voiceauth.training.spoof_trials import apcer

Audio = NDArray[np.float32]
Rows = NDArray[np.float64]
SET = "speechocean762"
SECONDS = 4.0
PER_PERSON = 4
WINDOW, HOP, BANDS = 256, 80, 32
LOW_HZ, HIGH_HZ = 200.0, 3400.0
RIDGE = 3.0
NEWTON = 30
DRAWS = 500
DRY, ROOM = "loudspeaker, dry", "loudspeaker in a room"
FEATURES: dict[str, slice] = {
    "spectrum": slice(0, 2 * BANDS),
    "decay": slice(2 * BANDS, 5 * BANDS),
    "both": slice(0, 5 * BANDS),
}


def run(plan: Plan) -> dict[str, Any]:
    """Simulate, fit, measure, print."""
    people = {split: _people(plan, split) for split in ("train", "dev", "test")}
    boxes = {split: _responses(plan.data, "loudspeaker", split) for split in ("train", "test")}
    rooms = {split: _responses(plan.data, "room", split) for split in ("train", "test")}
    sets = {
        "train": _present(people["train"], boxes["train"], rooms["train"], plan.seed),
        "in sample": _present(people["dev"], boxes["train"], rooms["train"], plan.seed + 1),
        "held out": _present(people["test"], boxes["test"], rooms["test"], plan.seed + 2),
    }
    rows = []
    print(f"{'features':10} {'boxes':10} {'attack':22} {'n':>4} {'EER':>6} {'APCER5':>7}  90 %")
    for name, part in FEATURES.items():
        judge = _fit(sets["train"], part)
        for where in ("in sample", "held out"):
            for kind in (DRY, ROOM):
                row = {"features": name, "boxes": where, "attack": kind}
                row |= _rates(judge, sets[where], kind, plan.seed)
                rows.append(row)
                print(
                    f"{name:10} {where:10} {kind:22} {row['presentations']:4d}"
                    f" {100 * row['eer']:6.1f} {100 * row['apcer_5']:7.1f}"
                    f"  {100 * row['low']:.0f}-{100 * row['high']:.0f}"
                )
    return {
        "seconds": SECONDS,
        "loudspeakers": {split: len(some) for split, some in boxes.items()},
        "rooms": {split: len(some) for split, some in rooms.items()},
        "rates": rows,
    }


def _people(plan: Plan, split: str) -> list[list[Audio]]:
    """Recordings of each person, cut to their speech, long enough and no longer."""
    corpus: Corpus = load_corpus(plan.data, plan.cache, "speech", split, SET)
    found = []
    for speaker in corpus.speakers()[: 8 if plan.quick else None]:
        own = [i for i, clip in enumerate(corpus.clips) if clip.speaker == speaker]
        joined = np.concatenate([limit_pauses(corpus.samples(i), RATE_HZ) for i in own])
        size = round(SECONDS * RATE_HZ)
        found.append([joined[k * size : (k + 1) * size] for k in range(len(joined) // size)])
    return [some[:PER_PERSON] for some in found if some]


def _responses(data: Path, kind: str, split: str) -> list[Audio]:
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        paths = [
            row["path"]
            for row in csv.DictReader(lines)
            if row["path"].startswith(f"ir/{kind}/") and row["split"] == split
        ]
    return [soundfile.read(data / path, dtype="float32")[0] for path in paths]


def _present(
    people: list[list[Audio]], boxes: list[Audio], rooms: list[Audio], seed: int
) -> dict[str, list[Rows]]:
    """Features of every recording by kind and person, shape (recordings, 5 * BANDS) each."""
    found: dict[str, list[Rows]] = {"direct": [], DRY: [], ROOM: []}
    for number, recordings in enumerate(people):
        rows: dict[str, list[Rows]] = {kind: [] for kind in found}
        for place, audio in enumerate(recordings):
            rng = np.random.default_rng((seed, number, place))
            box, room = (some[int(rng.integers(len(some)))] for some in (boxes, rooms))
            played = _through(audio, box)
            for kind, sound in (
                ("direct", audio),
                (DRY, played),
                (ROOM, _through(played, room)),
            ):
                line = (seed, number, place, len(kind))
                rows[kind].append(_features(simulated_line(sound, RATE_HZ, line)))
        for kind, some in rows.items():
            found[kind].append(np.stack(some))
    return found


def _through(audio: Audio, response: Audio) -> Audio:
    wet = scipy.signal.fftconvolve(audio, response)[: len(audio)]
    level = np.sqrt(np.mean(audio**2)) / (np.sqrt(np.mean(wet**2)) + 1e-9)
    return np.asarray(wet * level, dtype=np.float32)


def _features(audio: Audio) -> Rows:
    """Level and spread of each band, then its falls and its swing; shape (5 * BANDS,)."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    edges = np.linspace(LOW_HZ, HIGH_HZ, BANDS + 1) / 8000.0 * WINDOW
    place = np.searchsorted(edges, np.arange(power.shape[1]), side="right") - 1
    bands = np.stack([power[:, place == band].sum(axis=1) for band in range(BANDS)], axis=1)
    logarithm = np.log(bands + 1e-7)
    loud = logarithm[logarithm.mean(axis=1) > np.median(logarithm.mean(axis=1))]
    level = loud.mean(axis=0)
    steps = np.diff(logarithm, axis=0)
    falls = np.quantile(steps, [0.05, 0.25], axis=0)
    swing = np.quantile(logarithm, 0.9, axis=0) - np.quantile(logarithm, 0.2, axis=0)
    return np.concatenate([level - level.mean(), loud.std(axis=0), *falls, swing])


def _fit(found: dict[str, list[Rows]], part: slice) -> Callable[[Rows], Rows]:
    """Ridge logistic regression; the result's scores are positive for a loudspeaker."""
    direct = np.concatenate(found["direct"])[:, part]
    played = np.concatenate([*found[DRY], *found[ROOM]])[:, part]
    rows = np.concatenate([direct, played])
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    design = np.hstack([(rows - mean) / spread, np.ones((len(rows), 1))])
    wanted = np.r_[np.zeros(len(direct)), np.ones(len(played))]
    weight = np.where(wanted > 0, 0.5 / len(played), 0.5 / len(direct)) * len(rows)
    line = np.zeros(design.shape[1])
    penalty = RIDGE * np.eye(design.shape[1])
    for _ in range(NEWTON):
        odds = 1.0 / (1.0 + np.exp(-np.clip(design @ line, -30.0, 30.0)))
        slope = design.T @ (weight * (wanted - odds)) - penalty @ line
        bend = design.T @ (design * (weight * odds * (1.0 - odds))[:, None]) + penalty
        line = line + np.linalg.solve(bend, slope)

    def judge(some: Rows) -> Rows:
        return np.asarray(((some[:, part] - mean) / spread) @ line[:-1] + line[-1])

    return judge


def _rates(
    judge: Callable[[Rows], Rows], found: dict[str, list[Rows]], kind: str, seed: int
) -> dict[str, Any]:
    """EER, and APCER at BPCER 5 % with its 90 % interval over people."""
    direct = [judge(some) for some in found["direct"]]
    played = [judge(some) for some in found[kind]]
    rng = np.random.default_rng(seed)
    again = []
    for _ in range(DRAWS):
        drawn = rng.integers(len(direct), size=len(direct))
        again.append(
            apcer(
                np.concatenate([direct[i] for i in drawn]),
                np.concatenate([played[i] for i in drawn]),
                0.05,
            )
        )
    low, high = np.quantile(again, [0.05, 0.95])
    bona, attacks = np.concatenate(direct), np.concatenate(played)
    return {
        "presentations": len(attacks),
        "eer": equal_error_rate(roc(-bona, -attacks)),
        "apcer_5": apcer(bona, attacks, 0.05),
        "low": float(low),
        "high": float(high),
    }
