# SPDX-License-Identifier: Apache-2.0
"""Telephone codecs of the channel simulator."""

import importlib.util
import sys
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import BadAudioError, MissingExtraError, UnsupportedFormatError
from voiceauth.testing.codecs import (
    AMR_RATES,
    Codec,
    Coding,
    a_law,
    mu_law,
    transcode,
    transcode_wideband,
)

needs_av = pytest.mark.skipif(
    importlib.util.find_spec("av") is None, reason="the codecs extra is not installed"
)

ARITHMETIC = [Coding(Codec.PCMU), Coding(Codec.PCMA), Coding(Codec.GSM)]
FFMPEG = [
    *(Coding(Codec.AMR, bits) for bits in AMR_RATES),
    Coding(Codec.OPUS, 6000),
    Coding(Codec.OPUS, 12000),
    Coding(Codec.OPUS, 24000),
    Coding(Codec.OPUS, 16000, wideband=True),
    Coding(Codec.G722),
    *(Coding(Codec.G726, bits) for bits in (16000, 24000, 32000, 40000)),
]


def voice(samples: int) -> NDArray[np.float32]:
    """A pulse train through three resonances with a moving pitch; shape (samples,)."""
    time = np.arange(samples) / 8000.0
    phase = 2.0 * np.pi * (120.0 * time + 6.0 * np.sin(3.0 * time))
    harmonics = [
        np.sin(k * phase) / k * np.exp(-(((k * 120.0 - formant) / 350.0) ** 2))
        for formant in (500.0, 1400.0, 2400.0)
        for k in range(1, 28)
    ]
    wave = np.sum(harmonics, axis=0) * (0.6 + 0.4 * np.sin(7.0 * time))
    return np.asarray(0.3 * wave / np.abs(wave).max(), dtype=np.float32)


def aligned_similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Correlation of the power spectrograms' logarithms, 20 ms frames."""

    def frames(wave: NDArray[np.float32]) -> NDArray[np.float64]:
        cut = wave[: len(wave) // 160 * 160].reshape(-1, 160)
        spectrum: NDArray[np.float64] = np.log(np.abs(np.fft.rfft(cut, axis=1))[:, 4:68] + 1e-2)
        return spectrum

    return float(np.corrcoef(frames(one).ravel(), frames(other).ravel())[0, 1])


@pytest.mark.parametrize("coding", ARITHMETIC, ids=str)
@pytest.mark.parametrize("samples", [1, 159, 320, 8001])
def test_base_codecs_keep_the_length(coding: Coding, samples: int) -> None:
    """G.711 and GSM give back as many samples as they took, whatever the number."""
    assert transcode(voice(8001)[:samples], coding).shape == (samples,)


@pytest.mark.parametrize("coding", ARITHMETIC, ids=str)
def test_base_codecs_keep_the_speech_in_place(coding: Coding) -> None:
    """G.711 and GSM neither shift nor destroy speech."""
    speech = voice(16000)
    assert aligned_similarity(speech, transcode(speech, coding)) > 0.8


@needs_av
@pytest.mark.parametrize("coding", FFMPEG, ids=str)
def test_ffmpeg_codecs_keep_length_and_place(coding: Coding) -> None:
    """AMR, Opus, G.722 and G.726 give aligned speech of the same length."""
    speech = voice(16001)
    coded = transcode(speech, coding)
    assert coded.shape == speech.shape
    assert aligned_similarity(speech, coded) > 0.6


@needs_av
@pytest.mark.parametrize("coding", [Coding(Codec.AMR, 4750), Coding(Codec.OPUS, 6000)], ids=str)
def test_low_rates_are_heard(coding: Coding) -> None:
    """A low-rate codec changes the waveform more than G.711 does."""
    speech = voice(16000)
    error = np.mean((transcode(speech, coding) - speech) ** 2)
    assert error > 10.0 * np.mean((mu_law(speech) - speech) ** 2)


def test_mu_law_matches_the_recommendation() -> None:
    """Decoded µ-law levels are those of G.711: 8031 is the largest, 0 the smallest, 128 in all."""
    full = np.array([1.0, -1.0, 0.0], np.float32)
    np.testing.assert_array_equal(mu_law(full) * 8192.0, [8031.0, -8031.0, 0.0])
    ramp = np.linspace(-1.0, 1.0, 65536, dtype=np.float32)
    assert len(np.unique(np.abs(mu_law(ramp)))) == 128


def test_a_law_matches_the_recommendation() -> None:
    """Decoded A-law levels are those of G.711: 4032 is the largest, 1 the smallest, 128 in all."""
    full = np.array([1.0, -1.0, 0.0], np.float32)
    np.testing.assert_array_equal(a_law(full) * 4096.0, [4032.0, -4032.0, 1.0])
    ramp = np.linspace(-1.0, 1.0, 65536, dtype=np.float32)
    assert len(np.unique(np.abs(a_law(ramp)))) == 128


@pytest.mark.parametrize("law", [mu_law, a_law])
def test_companding_is_idempotent(
    law: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> None:
    """A second pass through the same law changes nothing: trunks may be chained."""
    once = law(np.linspace(-1.0, 1.0, 9001, dtype=np.float32))
    np.testing.assert_array_equal(law(once), once)


@pytest.mark.parametrize(
    "waveform",
    [np.zeros(0), np.zeros((2, 80)), np.array([0.0, np.nan]), np.array([np.inf])],
    ids=["empty", "stereo", "nan", "infinite"],
)
def test_impossible_audio_is_refused(waveform: NDArray[np.float64]) -> None:
    """Empty, two-dimensional and non-finite audio is refused before any codec sees it."""
    with pytest.raises(BadAudioError):
        transcode(waveform.astype(np.float32), Coding(Codec.PCMU))


@pytest.mark.parametrize(
    "coding",
    [Coding(Codec.AMR, 5000), Coding(Codec.OPUS, 1000), Coding(Codec.G726, 8000)],
    ids=str,
)
def test_unknown_rates_are_refused(coding: Coding) -> None:
    """A bit rate that the codec does not have is refused."""
    with pytest.raises(UnsupportedFormatError):
        transcode(voice(800), coding)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyAV the error says which extra brings it."""
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"voiceauth\[codecs\]"):
        transcode(voice(800), Coding(Codec.AMR))


@needs_av
@pytest.mark.parametrize(
    "coding", [Coding(Codec.G722), Coding(Codec.OPUS, 24000, wideband=True)], ids=str
)
def test_wideband_codecs_keep_what_lies_above_four_kilohertz(coding: Coding) -> None:
    """At 16 kHz a wideband codec carries a 5.5-kHz tone, in place to the sample."""
    time = np.arange(16000) / 16000.0
    swell = 0.5 - 0.5 * np.cos(2.0 * np.pi * 4.0 * time)
    tone = (0.3 * swell * np.sin(2.0 * np.pi * 5500.0 * time)).astype(np.float32)
    coded = transcode_wideband(tone, coding)
    assert coded.shape == tone.shape
    assert float(np.corrcoef(coded, tone)[0, 1]) > 0.9


@pytest.mark.parametrize("coding", [Coding(Codec.PCMU), Coding(Codec.AMR)], ids=str)
def test_narrowband_codecs_are_refused_at_16_khz(coding: Coding) -> None:
    """A narrowband codec has no wideband pass."""
    with pytest.raises(UnsupportedFormatError):
        transcode_wideband(voice(800), coding)
