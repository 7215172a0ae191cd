# SPDX-License-Identifier: Apache-2.0
"""Reads a speech pack (``manifest.csv`` plus audio files) into one cached block of samples.

The manifest has the columns ``path, set, kind, speaker, split, seconds`` (others are ignored);
audio is 16 kHz mono, anything that libsndfile opens. Decoding happens once: the samples go to
one int16 file beside an index, so that a crop costs a memory copy and worker processes share pages.

Rules:

- A split is asked for by name; test and dev rows cannot slip into a training cache.
- Speech is stored with its pauses limited (see ``pauses``), everything else as it is.
- The speaker model learns from every voice, synthetic ones included: the teacher says where each
  belongs, and a synthetic voice of another language is a voice more.
- Nothing here knows about channels or models.
"""

import csv
import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from voiceauth.errors import BadAudioError, SettingsError
from voiceauth.training.pauses import limit_pauses
from voiceauth.units import Hertz

RATE_HZ: Hertz = 16000
FULL_SCALE = 32767.0
SPOKEN = ("speech", "spoof")
"""Kinds that are cut to their speech and keep the name of their voice."""


@dataclass(frozen=True)
class Clip:
    """One audio file of the pack.

    Args:
        path: relative to the pack's root.
        source: name of the set that it comes from.
        speaker: unique over the pack; empty where unknown.
        start: first sample in the block.
        length: samples.
    """

    path: str
    source: str
    speaker: str
    start: int
    length: int


@dataclass(frozen=True)
class Corpus:
    """Decoded audio of one kind and split.

    Args:
        clips: in the manifest's order.
        block: int16, shape (samples of all clips,), 16 kHz.
        digest: sha256 over the manifest rows in use; names the data in a run's record.
    """

    clips: tuple[Clip, ...]
    block: NDArray[np.int16]
    digest: str

    def samples(self, index: int) -> NDArray[np.float32]:
        """Waveform of one clip, float32, shape (samples,), in [-1, 1]."""
        clip = self.clips[index]
        piece = self.block[clip.start : clip.start + clip.length]
        return piece.astype(np.float32) / np.float32(FULL_SCALE)

    def speakers(self) -> tuple[str, ...]:
        """Names of the labelled speakers, sorted."""
        return tuple(sorted({clip.speaker for clip in self.clips if clip.speaker}))


def load_corpus(root: Path, cache: Path, kind: str, split: str, source: str = "") -> Corpus:
    """Load one kind and split of the pack, decoding it on first use.

    Args:
        root: folder that holds ``manifest.csv``.
        cache: folder for the decoded block; created if missing.
        kind: ``speech``, ``noise``, ``ir`` or ``spoof``.
        split: ``train``, ``dev`` or ``test``.
        source: keep only this set; empty keeps all.

    Raises:
        SettingsError: there is no manifest, or it has no such rows.
        BadAudioError: a file cannot be decoded or is not 16 kHz mono.
    """
    rows = _rows(root, kind, split, source)
    digest = hashlib.sha256(repr([sorted(row.items()) for row in rows]).encode()).hexdigest()
    name = "-".join(part for part in (kind, split, source) if part)
    audio, index = cache / f"{name}.s16", cache / f"{name}.json"
    if not index.exists() or json.loads(index.read_text())["digest"] != digest:
        cache.mkdir(parents=True, exist_ok=True)
        _decode_all(root, rows, audio, index, digest)
    listing = json.loads(index.read_text())
    clips = tuple(Clip(*fields) for fields in listing["clips"])
    return Corpus(clips, np.memmap(audio, dtype=np.int16, mode="r"), digest)


def load_voices(root: Path, cache: Path, *more: Path) -> Corpus:
    """All train voices as one corpus: speech, the pack's synthetic speech, and further packs.

    Args:
        root: the pack.
        cache: folder for the decoded blocks; further packs get folders of their own in it.
        more: roots of further packs in the same layout, their train speech only.

    Raises:
        SettingsError: a manifest is missing or has no train speech.
        BadAudioError: a file cannot be decoded or is not 16 kHz mono.
    """
    parts = [load_corpus(root, cache, kind, "train") for kind in SPOKEN if has_rows(root, kind)]
    parts += [load_corpus(one, cache / one.name, "speech", "train") for one in more]
    digest = hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest()
    clips, start = [], 0
    for part in parts:
        clips += [replace(clip, start=clip.start + start) for clip in part.clips]
        start += len(part.block)
    audio = cache / f"voices-{digest[:12]}.s16"
    if not audio.exists():
        # The process's own name: several processes of one run may arrive here together.
        temporary = audio.with_suffix(f".{os.getpid()}")
        with temporary.open("wb") as handle:
            for part in parts:
                part.block.tofile(handle)
        temporary.replace(audio)
    return Corpus(tuple(clips), np.memmap(audio, dtype=np.int16, mode="r"), digest)


def has_rows(root: Path, kind: str) -> bool:
    """Whether the pack has train rows of a kind; speech counts always, and is missed elsewhere."""
    if kind == "speech":
        return True
    manifest = root / "manifest.csv"
    with manifest.open(encoding="utf-8", newline="") as handle:
        return any(r["kind"] == kind and r["split"] == "train" for r in csv.DictReader(handle))


def read_audio(path: Path) -> NDArray[np.float32]:
    """Decode one 16 kHz mono file to float32, shape (samples,), in [-1, 1].

    Raises:
        BadAudioError: not decodable, not mono or not 16 kHz.
    """
    try:
        waveform, rate = soundfile.read(str(path), dtype="float32")
    except (OSError, soundfile.LibsndfileError) as error:
        raise BadAudioError(detail=str(error)) from error
    if waveform.ndim != 1 or rate != RATE_HZ:
        raise BadAudioError(detail=f"{path.name}: {waveform.ndim} dimensions at {rate} Hz")
    return np.asarray(waveform, dtype=np.float32)


def _rows(root: Path, kind: str, split: str, source: str) -> list[dict[str, str]]:
    manifest = root / "manifest.csv"
    if not manifest.is_file():
        raise SettingsError("The data folder has no manifest.csv.", detail=str(root))
    with manifest.open(encoding="utf-8", newline="") as handle:
        rows = [
            row
            for row in csv.DictReader(handle)
            if row["kind"] == kind and row["split"] == split and source in ("", row["set"])
        ]
    if not rows:
        raise SettingsError(f"The manifest has no rows of kind {kind} in split {split}.")
    return rows


def _decode_all(
    root: Path, rows: list[dict[str, str]], audio: Path, index: Path, digest: str
) -> None:
    """Write the block, then the index: an interrupted decode leaves no index and starts over."""
    clips: list[tuple[str, str, str, int, int]] = []
    start = 0
    with audio.open("wb") as handle:
        for row in rows:
            waveform = read_audio(root / row["path"])
            spoken = row["kind"] in SPOKEN
            if spoken:
                waveform = limit_pauses(waveform, RATE_HZ)
            samples = np.round(np.clip(waveform, -1.0, 1.0) * FULL_SCALE).astype("<i2")
            handle.write(samples.tobytes())
            speaker = row["speaker"] if spoken else ""
            clips.append((row["path"], row["set"], speaker, start, len(samples)))
            start += len(samples)
    temporary = index.with_suffix(".tmp")
    temporary.write_text(json.dumps({"digest": digest, "clips": clips}))
    temporary.replace(index)
