# SPDX-License-Identifier: Apache-2.0
"""Copy-synthesis that builds a source anew: harmonic source under mel bands, sums of sinusoids.

Neural vocoders with a harmonic source, and those that invert a spectrum whose phases they make up,
leave magnitudes that are right and phases that come from a tracked pitch. These functions do the
same without a network, so that a detector meets such phases in any voice. Same rules as in
``vocoders``: 16 kHz in, same length out, all settings drawn.
"""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from voiceauth.training.corpus import RATE_HZ
from voiceauth.training.vocoders import (
    ComplexArray,
    FloatArray,
    fit,
    invert,
    istft,
    stft,
    through_mel,
    track_pitch,
)

_STEP = 320
"""Samples between values of the tracked pitch."""
_TOP_HZ = 7000.0


def mel_source(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Mel magnitudes with the phases of pulses at the tracked pitch, of noise where unvoiced."""
    size = int(rng.choice([512, 1024]))
    hop = size // 4
    magnitude = through_mel(np.abs(stft(waveform, size, hop)), int(rng.choice([60, 80, 100])))
    drive = _source(waveform, rng)
    spectrum = stft(drive, size, hop)
    phase = (spectrum / np.maximum(np.abs(spectrum), 1e-9)).astype(np.complex64)
    if rng.random() < 0.6:
        # The bands cannot tell harmonics apart at higher pitches; a good vocoder restores them.
        level = np.abs(spectrum)
        taps = np.ones(int(rng.integers(9, 22)), np.float32)
        around = scipy.fft.irfft(
            scipy.fft.rfft(level, n=2048, axis=1) * scipy.fft.rfft(taps / taps.sum(), n=2048),
            axis=1,
        )
        shift = len(taps) // 2
        smooth = around[:, shift : shift + level.shape[1]]
        magnitude = magnitude * np.clip(level / np.maximum(smooth, 1e-9), 0.05, 4.0)
    return invert(magnitude, phase, size, hop, len(waveform), int(rng.integers(0, 4)))


def sinusoidal(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Harmonics of the tracked pitch with amplitudes read off the spectrum, noise for the rest."""
    size, hop = 512, 128
    magnitude = np.abs(stft(waveform, size, hop))
    frequency, voiced = _pitch_by_sample(waveform)
    phase = np.cumsum(2.0 * np.pi * frequency / RATE_HZ)
    times = np.arange(0, len(waveform), hop)
    centre = np.minimum(times, len(waveform) - 1)
    out = np.zeros(len(waveform))
    limit = float(rng.uniform(2500.0, 4500.0))
    lowest = max(60.0, float(frequency.min()))
    for k in range(1, int(limit / lowest) + 1):
        place = k * frequency[centre] / (RATE_HZ / size)
        near = np.clip(np.round(place).astype(int), 0, magnitude.shape[1] - 1)
        amplitude = magnitude[np.minimum(np.arange(len(times)), len(magnitude) - 1), near]
        amplitude = np.where(k * frequency[centre] < limit, amplitude, 0.0)
        out += np.interp(np.arange(len(waveform)), times, amplitude) * np.cos(
            k * phase + float(rng.uniform(0.0, 0.5))
        )
    # A Hann window of unit peak sees a sinusoid of amplitude 1 as size / 4.
    harmonic = (out * voiced / (size / 4)).astype(np.float32)
    noise = _noise_of(through_mel(magnitude, 40), size, hop, len(waveform), rng)
    share = np.float32(rng.uniform(0.02, 0.25))
    return harmonic + noise * np.where(voiced, share, np.float32(1.0)).astype(np.float32)


def pitch_shifted(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Phase vocoder: stretched in time and resampled, so that voice and formants move together."""
    size, hop = 1024, 256
    octaves = float(rng.uniform(0.12, 0.5)) * (1 if rng.random() < 0.5 else -1)
    ratio = 2.0**octaves
    spectrum = stft(waveform, size, hop)
    steps = np.arange(0.0, len(spectrum) - 1.001, 1.0 / ratio)
    low = steps.astype(int)
    part = (steps - low)[:, None].astype(np.float32)
    level = np.abs(spectrum)
    magnitude = level[low] * (1.0 - part) + level[low + 1] * part
    advance = np.angle(spectrum[low + 1] * np.conj(spectrum[low]))
    phase = np.exp(1j * np.cumsum(advance, axis=0)).astype(np.complex64)
    long = istft((magnitude * phase).astype(np.complex64), size, hop, int(len(waveform) * ratio))
    place = np.arange(len(waveform)) * ratio
    return fit(np.interp(place, np.arange(len(long)), long), len(waveform))


def _source(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Unit-level pulses at the tracked pitch with some noise; noise alone where unvoiced."""
    frequency, voiced = _pitch_by_sample(waveform)
    jitter = 1.0 + float(rng.uniform(0.0, 0.02)) * rng.standard_normal(len(waveform))
    cycles = np.cumsum(frequency * jitter / RATE_HZ)
    starts = np.flatnonzero(np.diff(np.floor(cycles)) > 0)
    pulses = np.zeros(len(waveform), np.float32)
    pulses[starts] = np.sqrt(RATE_HZ / np.maximum(frequency[starts], 50.0))
    noise = rng.standard_normal(len(waveform)).astype(np.float32)
    breath = np.float32(rng.uniform(0.02, 0.5))
    return np.where(voiced, pulses + breath * noise, noise).astype(np.float32)


def _pitch_by_sample(waveform: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Pitch in Hz, held through unvoiced stretches, and whether a sample is voiced."""
    frames = max(2, len(waveform) // _STEP)
    period = track_pitch(waveform, frames)
    known = period > 0
    if not known.any():
        return np.full(len(waveform), 120.0), np.zeros(len(waveform), dtype=bool)
    values = np.interp(np.arange(frames), np.flatnonzero(known), RATE_HZ / period[known])
    middle = np.median(values)
    values = np.clip(values, 0.5 * middle, 2.0 * middle)
    place = np.arange(len(waveform)) / _STEP
    smooth = np.interp(place, np.arange(frames) + 0.5, values)
    return smooth, np.interp(place, np.arange(frames) + 0.5, known.astype(float)) > 0.5


def _noise_of(
    magnitude: FloatArray, size: int, hop: int, samples: int, rng: np.random.Generator
) -> FloatArray:
    turn: ComplexArray = np.exp(2j * np.pi * rng.random(magnitude.shape)).astype(np.complex64)
    return istft((magnitude * turn).astype(np.complex64), size, hop, samples)
