# SPDX-License-Identifier: Apache-2.0
"""Makes the callers of ``voiceauth demo`` from a speech corpus: a seeded draw, no look at results.

    python benchmarks/make_demo_audio.py --data CORPUS --out voiceauth/_demo

The corpus folder holds a ``manifest.csv`` (path, set, speaker, split, gender, age) and the audio.

Rules:

* Only test speakers, whom no model of this repository was trained on, and only adults.
* Five women and five men, drawn at random; within a speaker, utterances are shuffled at random.
* A drawn speaker is passed over only for having too little speech, which is measured by level
  alone. No recogniser runs here, so nothing can be chosen for being easy to recognise.
"""

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

SEED = 20260
RATE_HZ = 16_000
ADULT_YEARS = 18
CALLERS_PER_GENDER = 5
ENROL_SPEECH_SECONDS = 32.0
ENROL_MOST_SECONDS = 55.0
PROBE_SECONDS = 8.0
PROBE_MOST_SECONDS = 12.5
SETS = ("speechocean762", "librispeech")

Audio = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Speaker:
    """One corpus speaker with the paths of all its utterances."""

    corpus: str
    name: str
    gender: str
    paths: tuple[Path, ...]


def adults(data: Path) -> list[Speaker]:
    """List the adult test speakers in a stable order.

    LibriSpeech states no age; its readers are taken for adults, as LibriVox volunteers.
    """
    paths: dict[tuple[str, str, str], list[Path]] = {}
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["kind"] != "speech" or row["split"] != "test" or row["set"] not in SETS:
                continue
            if row["age"] and int(row["age"]) < ADULT_YEARS:
                continue
            key = (row["set"], row["speaker"], row["gender"])
            paths.setdefault(key, []).append(data / row["path"])
    return [Speaker(*key, tuple(sorted(paths[key]))) for key in sorted(paths)]


def speech_seconds(audio: Audio) -> float:
    """Measure speech by level: 20 ms frames within 30 dB of the loud ones (95th percentile)."""
    frames = audio[: len(audio) // 320 * 320].reshape(-1, 320)
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10)
    return float(np.sum(level > np.percentile(level, 95) - 30)) * 0.02


def take(
    unused: list[Audio], least_seconds: float, most_seconds: float, *, speech: bool
) -> Audio | None:
    """Join utterances, removing them from ``unused``, until there is enough (speech, or in all).

    Returns:
        The joined audio; None if what is left does not suffice within ``most_seconds``.
    """
    taken: list[Audio] = []
    enough = 0.0
    for audio in list(unused):
        if (sum(map(len, taken)) + len(audio)) / RATE_HZ > most_seconds:
            continue
        taken.append(audio)
        unused[:] = [other for other in unused if other is not audio]
        enough += speech_seconds(audio) if speech else len(audio) / RATE_HZ
        if enough >= least_seconds:
            return np.concatenate(taken)
    return None


def clips(speaker: Speaker, generator: np.random.Generator) -> dict[str, Audio] | None:
    """Cut one speaker's utterances into an enrolment and two probes that share none."""
    order = generator.permutation(len(speaker.paths))
    unused: list[Audio] = [
        soundfile.read(speaker.paths[place], dtype="float32")[0] for place in order
    ]
    made: dict[str, Audio] = {}
    for name, least, most, speech in (
        ("enrol", ENROL_SPEECH_SECONDS, ENROL_MOST_SECONDS, True),
        ("genuine", PROBE_SECONDS, PROBE_MOST_SECONDS, False),
        ("impostor", PROBE_SECONDS, PROBE_MOST_SECONDS, False),
    ):
        joined = take(unused, least, most, speech=speech)
        if joined is None:
            return None
        made[name] = joined
    return made


def main() -> None:
    """Draw, cut, write the Opus files and ``callers.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the corpus folder")
    parser.add_argument("--out", type=Path, required=True, help="where the clips go")
    arguments = parser.parse_args()
    generator = np.random.default_rng(SEED)
    speakers = adults(arguments.data)
    drawn = [speakers[place] for place in generator.permutation(len(speakers))]
    callers: list[dict[str, object]] = []
    for gender in ("f", "m"):
        names: list[str] = []
        for speaker in (one for one in drawn if one.gender == gender):
            made = clips(speaker, generator)
            if made is None:
                print(f"passed over, too little fitting speech: {speaker.corpus} {speaker.name}")
                continue
            name = f"caller-{len(callers) + 1:02d}"
            names.append(name)
            for kind, audio in made.items():
                soundfile.write(
                    arguments.out / f"{name}-{kind}.opus",
                    audio,
                    RATE_HZ,
                    format="OGG",
                    subtype="OPUS",
                    compression_level=0.93,
                )
            seconds = {kind: round(len(audio) / RATE_HZ, 1) for kind, audio in made.items()}
            source = f"{speaker.corpus} {speaker.name}"
            callers.append({"caller": name, "gender": gender, "source": source, "seconds": seconds})
            if len(names) == CALLERS_PER_GENDER:
                break
        for place, name in enumerate(names):
            mine = next(one for one in callers if one["caller"] == name)
            mine["impersonates"] = names[(place + 1) % len(names)]
    text = json.dumps({"seed": SEED, "callers": callers}, indent=1)
    (arguments.out / "callers.json").write_text(text + "\n", encoding="utf-8")
    print(f"{len(callers)} callers in {arguments.out}")


if __name__ == "__main__":
    main()
