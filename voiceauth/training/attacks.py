# SPDX-License-Identifier: Apache-2.0
"""Makes a pack of synthetic speech from the recorded one: ``voiceauth train spoof-data``.

Two kinds: recordings of one split's speakers taken through copy-synthesis (``copying``,
``copying_programs``), and texts read by the system's text-to-speech programs (``reading_voices``).
Everything is listed in a ``manifest.csv`` of the recorded pack's columns, so that one reader serves
both.

Rules:

- The speakers of a pack are those of the split that was asked for; a pack of test speakers is for
  measuring only, and its rows say ``test``.
- A file that exists is not made again; the manifest is written last, so an interrupted run goes on.
- The same seed makes the same pack, and a pack with more originals contains one with fewer.
- A copy has its original in the pack, under the same file name in ``recorded``: training sends the
  two through the same call, so that nothing but the synthesis tells them apart. Both are stored
  without loss. What was read aloud is stored as Ogg Opus at about 32 kbit/s, as recorded speech is.
"""

import csv
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.training.copying import COPYING
from voiceauth.training.copying_programs import BY_PROGRAM
from voiceauth.training.copying_programs import missing as cannot_copy
from voiceauth.training.corpus import RATE_HZ, Corpus, load_corpus
from voiceauth.training.neural_voices import NEURAL, read_neural
from voiceauth.training.reading_voices import SENTENCES, VOICES, missing, read_aloud
from voiceauth.training.vocoders import Vocoder
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
RECORDED = "recorded"
COPIED = "copied"
"""Kinds of row beside ``spoof``; they are stored sample by sample and never cut to speech."""
_LICENCE = "derived: as the recording"
_READ_LICENCE = "read by the named program"


@dataclass(frozen=True)
class AttackPlan:
    """What is made.

    Args:
        data: root of the recorded pack.
        cache: its decoded audio.
        out: root of the new pack.
        split: whose speakers are copied; texts are read for ``train`` and ``test`` alike.
        source: keep only this set's recordings; empty keeps all.
        originals: recordings that are copied.
        each: copying systems per original, drawn; 0 takes all.
        readings: texts per reading voice.
        neural: texts per neural voice of an installed package.
        longest: seconds taken of a recording.
        seed: of everything random.
        always: copying systems that copy every recording, or with ``SYSTEM:N`` every N-th, beside
            the drawn ones, which are drawn from the others; what is not there is left out.
    """

    data: Path
    cache: Path
    out: Path
    split: str = "train"
    source: str = ""
    originals: int = 1000
    each: int = 4
    readings: int = 6
    neural: int = 40
    longest: Seconds = 3.6
    seed: int = 1
    always: tuple[str, ...] = ()


def make(plan: AttackPlan) -> dict[str, int]:
    """Make the pack; returns the number of files by system, absent programs with 0.

    Raises:
        SettingsError: the recorded pack has no such split, there is no such copying system, or
            what follows its name is not a whole number of at least 1.
        DependencyError: a program fails.
        MissingExtraError: a package of the ``train`` extra is not installed.
    """
    known: dict[str, Vocoder] = COPYING | BY_PROGRAM
    every = _every(plan.always, set(known))
    recorded = load_corpus(plan.data, plan.cache, "speech", plan.split, plan.source)
    counts = {name: 0 for name in BY_PROGRAM if cannot_copy(name)}
    copying = {name: copy for name, copy in known.items() if name not in counts}
    rows = _copies(plan, recorded, copying, every)
    for system in copying:
        counts[system] = sum(row["system"] == system for row in rows)
    for made in (_readings(plan, number) for number in range(len(VOICES))):
        rows += made
    for name in NEURAL:
        rows += _neural(plan, name)
    for system in (*(voice.system for voice in VOICES), *NEURAL):
        counts[system] = sum(row["system"] == system for row in rows)
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


def _every(always: tuple[str, ...], known: set[str]) -> dict[str, int]:
    """By system, of how many recordings one is copied whatever is drawn."""
    every = {}
    for entry in always:
        name, _, count = entry.partition(":")
        if name not in known:
            raise SettingsError(f"There is no copying system named {name}.")
        if not (count or "1").isdecimal() or int(count or "1") < 1:
            raise SettingsError(f"{entry}: every how many recordings is not a number from 1 on.")
        every[name] = int(count or "1")
    return every


def _copies(
    plan: AttackPlan, recorded: Corpus, copying: dict[str, Vocoder], every: dict[str, int]
) -> list[dict[str, str]]:
    seed = zlib.crc32(f"{plan.seed} {plan.split}".encode())
    # The draw is among the others alone, so that it stays what it was when one is added here.
    always = [name for name in every if name in copying]
    names = [name for name in copying if name not in always]
    rows = []
    for number, index in enumerate(choose(recorded, plan.originals, seed)):
        clip = recorded.clips[index]
        rng = np.random.default_rng((seed, number))
        samples = round(plan.longest * RATE_HZ)
        start = int(rng.integers(max(1, clip.length - samples + 1)))
        piece = recorded.samples(index)[start : start + samples]
        seconds = len(piece) / RATE_HZ
        path = f"{plan.split}/{RECORDED}/{number:04d}.flac"
        write_exactly(plan.out / path, piece)
        row = _row(path, RECORDED, clip.speaker, plan.split, seconds, "")
        rows.append(row | {"kind": RECORDED})
        drawn = rng.permutation(len(names))[: plan.each or len(names)].tolist()
        due = [k for k, name in enumerate(always) if number % every[name] == 0]
        for place in (*drawn, *(len(names) + k for k in due)):
            system = (*names, *always)[place]
            own = np.random.default_rng((seed, number, place))
            path = f"{plan.split}/{system}/{number:04d}.flac"
            if not (plan.out / path).exists():
                write_exactly(plan.out / path, copying[system](piece, own))
            row = _row(path, COPIED, clip.speaker, plan.split, seconds, system)
            rows.append(row | {"kind": COPIED})
    return rows


def _neural(plan: AttackPlan, name: str) -> list[dict[str, str]]:
    """Texts read by the neural voice of an installed package; none where there is no package."""
    if NEURAL[name].missing():
        return []
    seed = zlib.crc32(f"{plan.seed} {plan.split} {name}".encode())
    rng = np.random.default_rng(seed)
    rows = []
    for reading in range(plan.neural):
        text = " ".join(SENTENCES[i] for i in rng.permutation(len(SENTENCES))[:2])
        path = f"{plan.split}/{name}/{reading:03d}.opus"
        if not (plan.out / path).exists():
            write_speech(plan.out / path, read_neural(name, text, rng))
        seconds = soundfile.info(str(plan.out / path)).duration
        row = _row(path, "read", f"{name}:{reading % 4}", plan.split, seconds, name)
        rows.append(row | {"licence": NEURAL[name].licence})
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
        row = _row(path, "read", name, plan.split, seconds, voice.system)
        rows.append(row | {"licence": _READ_LICENCE})
    return rows


def _row(  # noqa: PLR0917 - the columns in their order
    path: str, kind: str, speaker: str, split: str, seconds: Seconds, system: str
) -> dict[str, str]:
    known = {"path": path, "set": kind, "kind": "spoof", "speaker": speaker, "split": split}
    known |= {"seconds": f"{seconds:.3f}", "sample_rate": str(RATE_HZ), "system": system}
    return dict.fromkeys(COLUMNS, "") | known | {"licence": _LICENCE}


def write_exactly(path: Path, waveform: FloatArray) -> None:
    """Write 16 kHz speech as FLAC unless the file exists; the peak is held below full scale."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    finite = np.nan_to_num(waveform, nan=0.0, posinf=0.0, neginf=0.0)
    peak = float(np.abs(finite).max(initial=0.0))
    temporary = path.with_suffix(".tmp")
    scaled = finite * np.float32(min(1.0, _PEAK / max(peak, 1e-9)))
    soundfile.write(str(temporary), scaled, RATE_HZ, format="FLAC", subtype="PCM_16")
    temporary.replace(path)


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
