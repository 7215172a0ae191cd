# SPDX-License-Identifier: Apache-2.0
"""Voice activity detection on speech mixed with noise: misses, false alarms, cost.

    python benchmarks/vad.py --data ROOT [--files 60]

ROOT holds manifest.csv (columns path, set, kind, split) and 16 kHz files. Train split only. The
truth is a level gate of 32 dB on the clean speech, so faint endings count as misses. The first
second, while the noise floor settles, is judged like the rest.
"""

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voiceauth.signal.detector import Detector
from voiceauth.signal.masks import grow
from voiceauth.training.pauses import GATE_DB

RATE_HZ = 8000
HOP = 80
BLOCK = 1600
SNRS_DB = (None, 20.0, 15.0, 10.0, 5.0, 0.0)
_CLIPS_JOINED = 3
_PAUSE = np.zeros(RATE_HZ, dtype=np.float32)

Audio = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass
class Tally:
    """Frames by truth and answer."""

    speech: int = 0
    missed: int = 0
    pause: int = 0
    alarmed: int = 0

    def add(self, truth: Mask, found: Mask) -> None:
        """Count; frames within 60 ms of an edge of the truth are left out of false alarms."""
        far = ~grow(truth, 6, 6)
        self.speech += int(truth.sum())
        self.missed += int((truth & ~found).sum())
        self.pause += int(far.sum())
        self.alarmed += int((far & found).sum())


def load(path: Path) -> Audio:
    """Read a 16 kHz file at 8 kHz, level -26 dBFS."""
    audio, rate = soundfile.read(path, dtype="float32")
    narrow = np.asarray(soxr.resample(audio, rate, RATE_HZ), dtype=np.float32)
    return narrow * np.float32(0.05 / (np.sqrt(np.mean(np.square(narrow))) + 1e-9))


def detect(audio: Audio) -> Mask:
    """Return the speech mask of a recording."""
    detector = Detector(RATE_HZ, 0.1, 0.2)
    parts = [detector.push(audio[i : i + BLOCK]).speech for i in range(0, len(audio), BLOCK)]
    return np.concatenate([*parts, detector.flush().speech])


def truth_of(clean: Audio) -> Mask:
    """Gate the clean speech by level."""
    frames = clean[: len(clean) // HOP * HOP].reshape(-1, HOP)
    level = 10 * np.log10(np.mean(np.square(frames), axis=1) + 1e-10)
    return np.asarray(level > np.percentile(level, 95) - GATE_DB, dtype=bool)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--files", type=int, default=60)
    arguments = parser.parse_args()
    root = arguments.data
    with (root / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    rng = np.random.default_rng(1)
    voices = [r["path"] for r in rows if r["set"] in {"librispeech", "speechocean762"}]
    noises = [load(root / r["path"]) for r in rows if r["kind"] == "noise"][::4]
    names = rng.permutation(voices)[: arguments.files * _CLIPS_JOINED]
    calls = [
        np.concatenate([part for name in group for part in (_PAUSE, load(root / name))])
        for group in names.reshape(-1, _CLIPS_JOINED)
    ]
    print("snr_db  miss%  false%  (seconds judged)")
    for snr_db in SNRS_DB:
        tally = Tally()
        for call in calls:
            mixed = call
            if snr_db is not None:
                noise = np.resize(noises[rng.integers(len(noises))], len(call))
                mixed = call + noise * np.float32(10 ** (-snr_db / 20))
            truth = truth_of(call)
            tally.add(truth, detect(mixed)[: len(truth)])
        seconds = (tally.speech + tally.pause) / 100
        miss, false = 100 * tally.missed / tally.speech, 100 * tally.alarmed / tally.pause
        print(f"{snr_db!s:>6}  {miss:5.1f}  {false:6.1f}  ({seconds:.0f})")
    everything = np.concatenate(calls)
    start = time.process_time()
    detect(everything)
    cost = (time.process_time() - start) / (len(everything) / RATE_HZ)
    print(f"detector: {1e6 * cost:.0f} microseconds of one core per second of audio")


if __name__ == "__main__":
    main()
