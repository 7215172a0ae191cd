# SPDX-License-Identifier: Apache-2.0
"""Copies by the neural vocoder, through a program that stands in for ``fargan_demo``."""

import csv
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import DependencyError, SettingsError
from voiceauth.training.attacks import COPIED, AttackPlan, make
from voiceauth.training.copying import COPYING
from voiceauth.training.vocoders_neural import PROGRAM, fargan, fargan_changed

pytestmark = pytest.mark.train
FloatArray = NDArray[np.float32]
# Bands that rise with frequency, pitch 0.25; column 20, which no vocoder reads, carries the sound.
_STAND_IN = """
import os, sys
import numpy as np
import scipy.fft
mode, source, target = sys.argv[1:]
if mode == "-features":
    pcm = np.fromfile(source, "<i2")
    pcm = pcm[: len(pcm) // 160 * 160].reshape(-1, 160)
    features = np.zeros((len(pcm), 36), "<f4")
    features[:, :18] = scipy.fft.dct(np.arange(18.0), norm="ortho")
    features[:, 18] = 0.25
    features[:, 20] = pcm[:, 0]
    features.tofile(target)
else:
    features = np.fromfile(source, "<f4").reshape(-1, 36)
    features.tofile(os.environ["GIVEN"])
    late = np.concatenate([np.zeros(240), np.repeat(features[5:, 20], 160)])
    late[: len(features[5:]) * 160].astype("<i2").tofile(target)
"""
_MUTE = """
import sys
open(sys.argv[3], "wb").close()
"""
_SILENT = ""
_BROKEN = """
raise SystemExit(3)
"""
Install = Callable[[str], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a program of the vocoder's name first on the path; gives what it was last told."""

    def put(text: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / PROGRAM
        program.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("GIVEN", str(tmp_path / "given.f32"))
        return tmp_path / "given.f32"

    return put


def _speech(samples: int = 16000) -> FloatArray:
    time = np.arange(samples) / 16000
    return (0.3 * np.sin(2 * np.pi * 3 * time)).astype(np.float32)


@pytest.mark.parametrize("text", [_BROKEN, _SILENT, _MUTE])
def test_a_program_that_fails_or_says_nothing_is_an_error(install: Install, text: str) -> None:
    """A vocoder that fails, writes no file or an empty one gives an error, never silence."""
    install(text)
    with pytest.raises(DependencyError):
        fargan(_speech(), np.random.default_rng(0))


def test_no_program_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the program a copy is an error of the engine."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError):
        fargan_changed(_speech(), np.random.default_rng(0))


def test_a_missing_vocoder_is_left_out_and_named(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack is made without the vocoder, even if every recording should have its copy."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("voiceauth.training.attacks.COPYING", {"lpc": COPYING["lpc"]})
    counts = make(_plan(pack, tmp_path, always=("fargan",)))
    assert counts["fargan"] == counts["fargan-changed"] == 0
    assert counts["lpc"] == 3


def test_an_unknown_vocoder_is_refused(pack: Path, tmp_path: Path) -> None:
    """A name that no copying system has is an error, not a pack without it."""
    with pytest.raises(SettingsError):
        make(_plan(pack, tmp_path, always=("fargen",)))


def test_a_copy_is_as_long_as_its_recording_and_not_late(install: Install) -> None:
    """What the network speaks lies where it was said, to the sample at the frames' first ones."""
    given = install(_STAND_IN)
    wave = _speech(16123)
    copied = fargan(wave, np.random.default_rng(1))
    assert copied.shape == wave.shape
    assert np.ptp(np.fromfile(given, "<f4").reshape(-1, 36)[:, 18]) == 0.0
    np.testing.assert_allclose(copied[::160], wave[::160], atol=1e-4)


def test_a_changed_voice_has_another_pitch_and_other_bands(install: Install) -> None:
    """Pitch and formants of a changed copy differ from the recording's, and from copy to copy."""
    given = install(_STAND_IN)
    seen = []
    for seed in (1, 2):
        assert fargan_changed(_speech(), np.random.default_rng(seed)).shape == (16000,)
        seen.append(np.fromfile(given, "<f4").reshape(-1, 36)[10])
    bands = np.array([one[:18] for one in seen])
    pitch = np.array([one[18] for one in seen])
    assert np.abs(pitch - 0.25).min() > 0.01
    assert abs(pitch[0] - pitch[1]) > 0.01
    fargan(_speech(), np.random.default_rng(1))
    plain = np.fromfile(given, "<f4").reshape(-1, 36)[10, :18]
    assert np.abs(bands - plain).max(axis=1).min() > 0.1


def test_a_vocoder_can_copy_every_recording(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system of every recording stands beside the drawn ones and does not change their draw."""
    monkeypatch.setenv("PATH", str(tmp_path))
    others = {name: COPYING[name] for name in ("lpc", "mel-source", "pitch-shifted")}
    monkeypatch.setattr("voiceauth.training.attacks.COPYING", others)
    make(_plan(pack, tmp_path / "without"))
    monkeypatch.setattr(
        "voiceauth.training.attacks.COPYING", {"smoothed": COPYING["smoothed"]} | others
    )
    counts = make(_plan(pack, tmp_path / "with", always=("smoothed",)))
    assert counts["smoothed"] == 3
    drawn = {row for row in _copies(tmp_path / "with") if "smoothed" not in row}
    assert drawn == _copies(tmp_path / "without")


def _plan(pack: Path, root: Path, always: tuple[str, ...] = ()) -> AttackPlan:
    return AttackPlan(
        pack,
        root / "cache",
        root / "made",
        originals=3,
        each=1,
        readings=0,
        neural=0,
        always=always,
    )


def _copies(root: Path) -> set[str]:
    """Paths of the copies of a pack."""
    with (root / "made" / "manifest.csv").open(encoding="utf-8", newline="") as handle:
        return {row["path"] for row in csv.DictReader(handle) if row["kind"] == COPIED}
