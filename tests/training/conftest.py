# SPDX-License-Identifier: Apache-2.0
"""A speech pack of two minutes, made of synthetic voices, for the training room's tests."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

RATE = 16000
FIELDS = ("path", "set", "kind", "speaker", "split", "gender", "age", "seconds")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems() -> None:
    """Take speechbrain's unloaded optional modules out of the module table.

    Hypothesis looks at every module in there, and these fail when they are looked at.
    """
    for name, module in list(sys.modules.items()):
        if type(module).__name__ in {"LazyModule", "DeprecatedModuleRedirect"}:
            del sys.modules[name]


def utterance(speaker: int, number: int, seconds: float) -> NDArray[np.float32]:
    """Pulses with the pitch and the formants of one synthetic voice; shape (samples,), 16 kHz."""
    rng = np.random.default_rng((speaker, number))
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 90.0 + 23.0 * speaker
    phase = 2.0 * np.pi * np.cumsum(pitch * (1.0 + 0.05 * np.sin(5.0 * time + number))) / RATE
    formants = (400.0 + 60.0 * speaker, 1300.0 + 90.0 * speaker, 2500.0)
    wave = sum(
        np.sin(k * phase) * np.exp(-(((k * pitch - formant) / 250.0) ** 2))
        for formant in formants
        for k in range(1, 30)
    )
    noisy = wave / np.abs(wave).max() + 0.003 * rng.standard_normal(len(time))
    return np.asarray(0.3 * noisy, dtype=np.float32)


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write four train, three dev and three test speakers, one noise and one room."""
    root = tmp_path_factory.mktemp("pack")
    rows = []

    def write(path: str, wave: NDArray[np.float32], **row: str) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / path, wave, RATE)
        rows.append(dict.fromkeys(FIELDS, "") | {"path": path, **row})

    for split, people in (("train", range(4)), ("dev", range(4, 7)), ("test", range(7, 10))):
        for person in people:
            for number in range(5):
                write(
                    f"speech/{split}/{person}-{number}.flac",
                    utterance(person, number, 1.6),
                    set="speechocean762",
                    kind="speech",
                    speaker=f"S{person}",
                    split=split,
                    gender="f" if person % 2 else "m",
                    age="30",
                )
    write(
        "speech/train/unknown.flac",
        utterance(20, 0, 1.6),
        set="picovoice",
        kind="speech",
        split="train",
    )
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.1
    write("noise/hum.flac", noise, set="blanket", kind="noise", split="train")
    fade = np.exp(-np.arange(3200) / 500.0).astype(np.float32)
    write("ir/room/box.flac", noise[:3200] * fade, set="openair", kind="ir", split="train")
    with (root / "manifest.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    return root
