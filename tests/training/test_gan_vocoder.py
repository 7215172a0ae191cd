# SPDX-License-Identifier: Apache-2.0
"""Copies by HiFi-GAN, with a stand-in for the network that comes inside a package."""

import importlib.machinery
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import DependencyError, SettingsError
from voiceauth.training import vocoders_gan
from voiceauth.training.attacks import AttackPlan, make
from voiceauth.training.copying import COPYING
from voiceauth.training.vocoders_gan import hifigan

pytestmark = pytest.mark.train
FloatArray = NDArray[np.float32]
HOP = 256


@dataclass
class StandIn:
    """Speaks a click at the first sample of each frame, as loud as the frame's strongest band."""

    told: list[FloatArray] = field(default_factory=list)

    def get_inputs(self) -> list[Any]:
        """Describe the one input."""
        return [type("Input", (), {"name": "mel"})()]

    def run(self, _: None, feed: dict[str, FloatArray]) -> list[FloatArray]:
        """Speak bands of shape (1, 80, frames)."""
        bands = feed["mel"]
        assert bands.ndim == 3
        assert bands.shape[:2] == (1, 80)
        self.told.append(bands[0])
        speech = np.zeros((1, 1, bands.shape[2] * HOP), np.float32)
        speech[0, 0, ::HOP] = np.exp(bands[0].max(axis=0))
        return [speech]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Put the stand-in in the place of the package's network."""
    one = StandIn()
    monkeypatch.setattr(vocoders_gan, "_generator", lambda: one)
    monkeypatch.setattr(vocoders_gan, "package_missing", lambda: False)
    return one


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the package look absent, whatever is installed here."""
    found = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> importlib.machinery.ModuleSpec | None:
        return None if name == vocoders_gan.PACKAGE else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    vocoders_gan._generator.cache_clear()


def _tone(hertz: float, samples: int = 16123) -> FloatArray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(samples) / 16000)).astype(np.float32)


def _plain_seed() -> int:
    return next(s for s in range(50) if np.random.default_rng(s).random() < 0.35)


@pytest.mark.parametrize("seed", range(6))
def test_a_copy_is_as_long_as_its_recording(network: StandIn, seed: int) -> None:
    """Whatever is drawn, the copy has the recording's length and is finite."""
    wave = _tone(300.0)
    copied = hifigan(wave, np.random.default_rng(seed))
    assert copied.shape == wave.shape
    assert copied.dtype == np.float32
    assert np.isfinite(copied).all()
    assert np.isfinite(network.told[0]).all()


@pytest.mark.parametrize("hertz", [250.0, 1000.0, 3000.0])
def test_a_tone_lies_in_its_band(network: StandIn, hertz: float) -> None:
    """The bands are those that the network learnt: Slaney's scale, 80 of them up to 8 kHz."""
    hifigan(_tone(hertz), np.random.default_rng(_plain_seed()))
    strongest = int(network.told[0][:, 20].argmax())
    # Slaney: linear to 1 kHz in steps of 66.7 Hz, then 27 steps to the factor 6.4.
    mel = hertz / (200 / 3) if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)
    top = 15 + 27 * np.log(8.0) / np.log(6.4)
    assert abs(strongest - (mel / top * 81 - 1)) <= 1.0


def test_a_changed_copy_differs_from_a_plain_one(network: StandIn) -> None:
    """Some copies pass with their own bands, others with smoothed or moved ones."""
    wave = _tone(700.0) * np.linspace(0.0, 1.0, 16123, dtype=np.float32)
    for seed in range(12):
        hifigan(wave, np.random.default_rng(seed))
    plain = sum(np.array_equal(told, network.told[_plain_seed()]) for told in network.told)
    assert 1 <= plain < 12


@pytest.mark.usefixtures("no_package")
def test_no_package_is_an_error() -> None:
    """Without the package a copy is an error of the engine, never silence."""
    with pytest.raises(DependencyError):
        hifigan(_tone(300.0), np.random.default_rng(0))


@pytest.mark.usefixtures("no_package")
def test_a_missing_package_is_left_out_and_named(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack is made without the network, even if every recording should have its copy."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("voiceauth.training.attacks.COPYING", {"lpc": COPYING["lpc"]})
    counts = make(_plan(pack, tmp_path, ("hifigan",)))
    assert counts["hifigan"] == 0
    assert counts["lpc"] == 3


@pytest.mark.usefixtures("network")
def test_every_other_recording_is_copied(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``SYSTEM:2`` every second recording has the copy, beside what is drawn."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("voiceauth.training.attacks.COPYING", {"lpc": COPYING["lpc"]})
    counts = make(_plan(pack, tmp_path, ("hifigan:2",)))
    assert counts["hifigan"] == 2
    assert sorted(path.stem for path in tmp_path.glob("attacks/train/hifigan/*")) == [
        "0000",
        "0002",
    ]


@pytest.mark.parametrize("entry", ["lpc:0", "lpc:x", "lpc:-1", "lpc:1.5", ":2"])
def test_a_wrong_share_is_refused(pack: Path, tmp_path: Path, entry: str) -> None:
    """What is not a system and a whole number from 1 on is an error."""
    with pytest.raises(SettingsError):
        make(_plan(pack, tmp_path, (entry,)))


def _plan(pack: Path, out: Path, always: tuple[str, ...]) -> AttackPlan:
    return AttackPlan(
        data=pack,
        cache=out / "cache",
        out=out / "attacks",
        originals=3,
        each=1,
        readings=0,
        neural=0,
        always=always,
    )
