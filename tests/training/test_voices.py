# SPDX-License-Identifier: Apache-2.0
"""Further voices out of recorded ones."""

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.training.voices import (
    BEND_HZ,
    VARIANTS,
    Bend,
    Variant,
    bend,
    vary,
    warp_formants,
)

pytestmark = pytest.mark.train
RATE = 16000


def vowel(pitch: float, formant: float) -> NDArray[np.float32]:
    """One second of pulses through one resonance, shape (16000,)."""
    time = np.arange(RATE) / RATE
    harmonics = np.arange(1, int(6000.0 / pitch)) * pitch
    loud = np.exp(-(((harmonics - formant) / 300.0) ** 2)) + 0.003
    wave = (loud[:, None] * np.sin(2.0 * np.pi * harmonics[:, None] * time)).sum(axis=0)
    return np.asarray(0.2 * wave / np.abs(wave).max(), dtype=np.float32)


def spectrum(wave: NDArray[np.float32]) -> NDArray[np.float64]:
    """Magnitudes, one bin per hertz, shape (8001,)."""
    return np.abs(np.fft.rfft(wave * np.hanning(len(wave)), n=RATE))


def centre(wave: NDArray[np.float32]) -> float:
    """Mean frequency of the spectrum's power."""
    power = spectrum(wave) ** 2
    return float((power * np.arange(len(power))).sum() / power.sum())


def test_the_first_variant_is_the_recording_itself() -> None:
    """Class 0 of a speaker is the speaker: nothing may be changed there."""
    wave = vowel(150.0, 900.0)
    np.testing.assert_array_equal(vary(wave, VARIANTS[0], RATE, RATE), wave)


def test_variants_are_all_different() -> None:
    """Two equal variants would be one voice with two classes."""
    assert len(set(VARIANTS)) == len(VARIANTS)


def test_speed_scales_length_and_pitch() -> None:
    """At speed 1.18 a tone is 1.18 times shorter and higher."""
    tone = np.sin(2 * np.pi * 500.0 * np.arange(RATE) / RATE).astype(np.float32)
    faster = vary(tone, Variant(1.18), RATE, RATE)
    assert len(faster) == pytest.approx(RATE / 1.18, abs=2)
    assert np.argmax(spectrum(faster)) == pytest.approx(590.0, abs=2.0)


@pytest.mark.parametrize("factor", [0.88, 1.13])
def test_formants_move_and_pitch_stays(factor: float) -> None:
    """The resonance moves by the factor, give or take a harmonic; harmonics stay where they are."""
    wave = vowel(100.0, 1500.0)
    moved = warp_formants(wave, factor, RATE)
    assert len(moved) == len(wave)
    assert centre(moved) == pytest.approx(1500.0 * factor, rel=0.05)
    between = spectrum(moved)[50::100][:40].max()
    assert spectrum(moved)[100::100].max() > 20.0 * between


def test_rate_changes_on_the_way() -> None:
    """A variant at another rate has the length of that rate."""
    assert len(vary(vowel(120.0, 800.0), Variant(0.8), RATE, 8000)) == pytest.approx(10000, abs=2)


@pytest.mark.parametrize("samples", [1, 100, 4000])
def test_silence_and_fragments_stay_finite(samples: int) -> None:
    """Digital silence comes back as silence of the same length."""
    found = warp_formants(np.zeros(samples, np.float32), 1.1, RATE)
    assert found.shape == (samples,)
    assert float(np.abs(found).max()) < 1e-6


def test_an_even_bend_is_a_change_of_formants() -> None:
    """With one factor everywhere a bent axis is a stretched one."""
    wave = vowel(100.0, 1500.0)
    even = bend(wave, Bend((1.1,) * len(BEND_HZ)), RATE)
    np.testing.assert_allclose(even, warp_formants(wave, 1.1, RATE), atol=2e-3)


def test_a_bent_axis_moves_one_formant_and_leaves_another() -> None:
    """A bend that stretches low frequencies only moves a low resonance, not a high one."""
    factors = (1.1, 1.1, 1.0, 1.0, 1.0)
    low, high = vowel(100.0, 600.0), vowel(100.0, 3500.0)
    assert centre(bend(low, Bend(factors), RATE)) == pytest.approx(660.0, rel=0.04)
    assert centre(bend(high, Bend(factors), RATE)) == pytest.approx(3500.0, rel=0.01)


def test_drawn_bends_differ_and_stay_human() -> None:
    """Each draw is another vocal tract, and none is stretched beyond what people are."""
    rng = np.random.default_rng(4)
    drawn = [Bend.draw(rng) for _ in range(200)]
    assert len(set(drawn)) == len(drawn)
    factors = np.array([one.factors for one in drawn])
    assert factors.min() > 0.78
    assert factors.max() < 1.28
