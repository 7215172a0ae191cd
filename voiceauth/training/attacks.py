# SPDX-License-Identifier: Apache-2.0
"""Makes a pack of synthetic speech from the recorded one: ``voiceauth train spoof-data``.

Two kinds: recordings of one split's speakers taken through copy-synthesis (``vocoders``, Codec2),
and texts read by the system's text-to-speech programs (``reading_voices``). Everything is written
as Ogg Opus at about 32 kbit/s, 16 kHz, as the recorded speech is, and listed in a ``manifest.csv``
of the same columns, so that one reader serves both and the coding tells nothing about the class.

Rules:

- The speakers of a pack are those of the split that was asked for; a pack of test speakers is for
  measuring only, and its rows say ``test``.
- A file that exists is not made again; the manifest is written last, so an interrupted run goes on.
- The same seed makes the same pack.
"""

import csv
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from voiceauth.training.corpus import RATE_HZ, Corpus, load_corpus
from voiceauth.training.reading_voices import (
    SENTENCES,
    VOICES,
    missing,
    read_aloud,
    through_codec2,
)
from voiceauth.training.vocoders import COPYING, Vocoder
from voiceauth.units import Seconds

FloatArray = NDArray[np.float32]
COLUMNS = (
    *("path", "set", "kind", "speaker", "split", "gender", "age", "seconds", "sample_rate"),
    *("system", "licence"),
)
_LEAST: Seconds = 1.5
_OPUS_LEVEL = 0.896
"""Of libsndfile's scale from 256 to 6 kbit/s: 32 kbit/s."""
_PEAK = 0.9
_LICENCE = "derived: as the recording"


@dataclass(frozen=True)
class AttackPlan:
    """What is made.

    Args:
        data: root of the recorded pack.
        cache: its decoded audio.
        out: root of the new pack.
        split: whose speakers are copied; texts are read for ``train`` and ``test`` alike.
        source: keep only this set's recordings; empty keeps all.
        copies: recordings per copying system.
        readings: texts per reading voice.
        longest: seconds taken of a recording.
        seed: of everything random.
    """

    data: Path
    cache: Path
    out: Path
    split: str = "train"
    source: str = ""
    copies: int = 240
    readings: int = 6
    longest: Seconds = 6.0
    seed: int = 1


def make(plan: AttackPlan) -> dict[str, int]:
    """Make the pack; returns the number of files by system, absent programs with 0.

    Raises:
        SettingsError: the recorded pack has no such split.
        DependencyError: a program fails.
        MissingExtraError: a package of the ``train`` extra is not installed.
    """
    recorded = load_corpus(plan.data, plan.cache, "speech", plan.split, plan.source)
    copying: dict[str, Vocoder] = dict(COPYING)
    counts: dict[str, int] = {}
    if missing("codec2"):
        counts["codec2"] = 0
    else:
        copying["codec2"] = through_codec2
    rows: list[dict[str, str]] = []
    for system, vocoder in copying.items():
        made = _copies(plan, recorded, system, vocoder)
        counts[system] = len(made)
        rows += made
    for made in (_readings(plan, number) for number in range(len(VOICES))):
        rows += made
    for voice in VOICES:
        counts[voice.system] = sum(row["system"] == voice.system for row in rows)
    _write_manifest(plan.out, rows)
    return counts


def choose(recorded: Corpus, count: int, seed: int) -> list[int]:
    """Draw clips, speaker by speaker, so that nobody's many recordings crowd out the others."""
    rng = np.random.default_rng(seed)
    by_speaker: dict[str, list[int]] = {}
    for i, clip in enumerate(recorded.clips):
        if clip.length >= _LEAST * RATE_HZ:
            # Clips without a name count as ten people together with their neighbours in number.
            by_speaker.setdefault(clip.speaker or f"?{i % 50}", []).append(i)
    names = sorted(by_speaker)
    picks = []
    for k in range(count):
        if k % len(names) == 0:
            order = rng.permutation(len(names))
        own = by_speaker[names[order[k % len(names)]]]
        picks.append(own[int(rng.integers(len(own)))])
    return picks


def _copies(
    plan: AttackPlan, recorded: Corpus, system: str, vocoder: Vocoder
) -> list[dict[str, str]]:
    seed = zlib.crc32(f"{plan.seed} {plan.split} {system}".encode())
    rows = []
    for number, index in enumerate(choose(recorded, plan.copies, seed)):
        clip = recorded.clips[index]
        path = f"{plan.split}/{system}/{number:04d}.opus"
        rng = np.random.default_rng((seed, number))
        samples = round(plan.longest * RATE_HZ)
        start = int(rng.integers(max(1, clip.length - samples + 1)))
        if not (plan.out / path).exists():
            piece = recorded.samples(index)[start : start + samples]
            write_speech(plan.out / path, vocoder(piece, rng))
        seconds = min(clip.length, samples) / RATE_HZ
        rows.append(_row(path, "copied", clip.speaker, plan.split, seconds, system))
    return rows


def _readings(plan: AttackPlan, number: int) -> list[dict[str, str]]:
    voice = VOICES[number]
    if missing(voice.system):
        return []
    seed = zlib.crc32(f"{plan.seed} {plan.split} {voice.system} {voice.name}".encode())
    rng = np.random.default_rng(seed)
    rows = []
    for reading in range(plan.readings):
        pair = rng.permutation(len(SENTENCES))[:2]
        path = f"{plan.split}/{voice.system}/{voice.name.replace('+', '-')}-{reading:02d}.opus"
        if not (plan.out / path).exists():
            text = " ".join(SENTENCES[i] for i in pair)
            write_speech(plan.out / path, read_aloud(voice, text, rng))
        seconds = soundfile.info(str(plan.out / path)).duration
        name = f"{voice.system}:{voice.name}"
        rows.append(_row(path, "read", name, plan.split, seconds, voice.system))
    return rows


def _row(  # noqa: PLR0917 - the columns in their order
    path: str, kind: str, speaker: str, split: str, seconds: Seconds, system: str
) -> dict[str, str]:
    known = {"path": path, "set": kind, "kind": "spoof", "speaker": speaker, "split": split}
    known |= {"seconds": f"{seconds:.3f}", "sample_rate": str(RATE_HZ), "system": system}
    return dict.fromkeys(COLUMNS, "") | known | {"licence": _LICENCE}


def write_speech(path: Path, waveform: FloatArray) -> None:
    """Write 16 kHz speech as Ogg Opus at about 32 kbit/s, replacing the file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    finite = np.nan_to_num(waveform, nan=0.0, posinf=0.0, neginf=0.0)
    peak = float(np.abs(finite).max(initial=0.0))
    temporary = path.with_suffix(".tmp")
    soundfile.write(
        str(temporary),
        finite * np.float32(min(1.0, _PEAK / max(peak, 1e-9))),
        RATE_HZ,
        format="OGG",
        subtype="OPUS",
        compression_level=_OPUS_LEVEL,
    )
    temporary.replace(path)


def _write_manifest(out: Path, rows: list[dict[str, str]]) -> None:
    """Replace this split's rows of the manifest and keep those of the others."""
    path = out / "manifest.csv"
    splits = {row["split"] for row in rows}
    if path.exists():
        with path.open(encoding="utf-8", newline="") as handle:
            rows = [r for r in csv.DictReader(handle) if r["split"] not in splits] + rows
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)
