# SPDX-License-Identifier: Apache-2.0
"""What a call does to a waveform, one effect per function: arithmetic of the channel simulator.

All functions take and give float32 of shape (samples,) at 8 kHz; none of them decides anything at
random that its arguments do not fix.
"""

from functools import lru_cache

import numpy as np
from numpy import fft
from numpy.typing import NDArray

from voiceauth.testing.codecs import RATE_HZ
from voiceauth.units import Decibels, Rate, Seconds

KNOTS_HZ = (0.0, 200.0, 400.0, 700.0, 1100.0, 1700.0, 2500.0, 3300.0, 4000.0)
"""Where a response's gains are given; between them it is interpolated smoothly."""

FRAME = 160
"""Samples of one 20-ms packet."""

REPEAT_GAIN = 0.7
"""Each repeat of a lost packet is this much quieter."""

MUTED_GAIN = 0.12
"""Below this, after six packets, there is nothing worth repeating: concealment mutes."""

LONGEST_TAIL = 8000
"""Samples of a recorded room that are heard: a second; halls are no caller's room."""

SILENCE_POWER = 1e-12

Waveform = NDArray[np.float32]


def lose_packets(waveform: Waveform, rate: Rate, burst: float, seed: int) -> Waveform:
    """Replace lost 20-ms packets by fading repeats of the last good one.

    Args:
        waveform: the signal.
        rate: share of packets lost.
        burst: mean length of a loss, in packets.
        seed: of the pattern.
    """
    rng = np.random.default_rng(seed)
    signal = waveform.copy()
    leave = 1.0 / max(burst, 1.0)
    enter = min(1.0, rate * leave / max(1.0 - rate, 1e-6))
    lost, gain = False, 1.0
    for start in range(FRAME, len(signal), FRAME):
        lost = rng.random() < (1.0 - leave if lost else enter)
        gain = gain * REPEAT_GAIN if lost else 1.0
        if lost:
            packet = signal[start : start + FRAME]
            repeat = signal[start - FRAME : start][: len(packet)] * np.float32(REPEAT_GAIN)
            packet[:] = repeat if gain > MUTED_GAIN else 0.0
    return signal


def respond(
    signal: Waveform, gains_db: tuple[float, ...], low_hz: float, high_hz: float, order: int
) -> Waveform:
    """Filter with a smooth response, a high-pass and a low-pass, without delay.

    One transform does all three; the ends wrap, which 8 ms of padding hides.

    Args:
        signal: the signal.
        gains_db: at ``KNOTS_HZ``, shape (9,).
        low_hz: half-power corner of the high-pass; 0 for none.
        high_hz: half-power corner of the low-pass; 4000 for none.
        order: steepness of both, 6 dB per octave each.
    """
    size = _fast_length(len(signal) + 64)
    grid, basis = _grid()
    gain = np.power(10.0, basis @ np.asarray(gains_db, np.float32) / 20.0)
    if low_hz > 0.0:
        ratio = np.power(low_hz / np.maximum(grid, 1.0), 2 * order)
        gain /= np.sqrt(1.0 + ratio)
    if high_hz < RATE_HZ / 2:
        gain /= np.sqrt(1.0 + np.power(grid / high_hz, 4 * order))
    spectrum = fft.rfft(signal, size) * np.interp(_bins(size), grid, gain).astype(np.float32)
    return np.asarray(fft.irfft(spectrum, size)[: len(signal)], dtype=np.float32)


def synthetic_tail(decay: Seconds, seed: int) -> Waveform:
    """Exponentially fading noise that has lost 60 dB after ``decay`` seconds."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(decay * RATE_HZ), dtype=np.float32) / RATE_HZ
    fade = np.exp(np.float32(-6.91 / decay) * time)
    return np.asarray(rng.standard_normal(len(time), dtype=np.float32) * fade, dtype=np.float32)


def reverberate(signal: Waveform, tail: Waveform, direct_db: Decibels) -> Waveform:
    """Add a room's tail; the direct sound is the signal itself, so the output stays aligned.

    Args:
        signal: the dry signal.
        tail: impulse response after the direct sound, any level.
        direct_db: level of the direct sound over the whole tail.
    """
    tail = tail[:LONGEST_TAIL]
    ratio = np.float32(10.0 ** (-direct_db / 20.0))
    tail = tail * (ratio / np.float32(np.sqrt(np.sum(tail * tail)) + 1e-9))
    size = _fast_length(len(signal) + len(tail))
    wet = fft.irfft(fft.rfft(signal, size) * fft.rfft(tail, size), size)[: len(signal)]
    return np.asarray(signal + wet, dtype=np.float32)


def random_piece(recording: Waveform, samples: int, rng: np.random.Generator) -> Waveform:
    """A random piece of a recording, repeated where it is too short."""
    if len(recording) < samples:
        recording = np.tile(recording, samples // max(1, len(recording)) + 1)
    start = int(rng.integers(len(recording) - samples + 1))
    return recording[start : start + samples]


def coloured(samples: int, tilt_db: Decibels, rng: np.random.Generator) -> Waveform:
    """Noise with a straight tilt per octave above 60 Hz, any level."""
    size = _fast_length(samples)
    spectrum = fft.rfft(rng.standard_normal(size, dtype=np.float32))
    octaves = np.log2(np.maximum(_bins(size), 60.0) / 60.0)
    spectrum *= np.power(10.0, np.float32(tilt_db / 20.0) * octaves).astype(np.float32)
    return np.asarray(fft.irfft(spectrum, size)[:samples], dtype=np.float32)


def set_level(signal: Waveform, level_db: Decibels) -> Waveform:
    """Scale to a root-mean-square level, clipping at full scale; silence stays silence."""
    power = float(np.mean(signal * signal))
    if power <= SILENCE_POWER:
        return signal
    gain = np.float32(10.0 ** (level_db / 20.0) / np.sqrt(power))
    return np.asarray(np.clip(signal * gain, -1.0, 1.0), dtype=np.float32)


@lru_cache(maxsize=1)
def _fast_sizes() -> NDArray[np.int64]:
    """Even products of 2, 3 and 5, sorted: transforms of these sizes are fast."""
    powers = [2**a * 3**b * 5**c for a in range(1, 25) for b in range(8) for c in range(5)]
    return np.array(sorted(powers))


def _fast_length(samples: int) -> int:
    sizes = _fast_sizes()
    return int(sizes[np.searchsorted(sizes, samples)])


@lru_cache(maxsize=64)
def _bins(size: int) -> NDArray[np.float32]:
    return np.linspace(0.0, RATE_HZ / 2, size // 2 + 1, dtype=np.float32)


@lru_cache(maxsize=1)
def _grid() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A coarse frequency axis of 257 points and the interpolation from the knots to it.

    Gains are interpolated with raised cosines, which neither overshoot nor ring.
    """
    grid = np.linspace(0.0, RATE_HZ / 2, 257, dtype=np.float32)
    knots = np.asarray(KNOTS_HZ, np.float32)
    right = np.clip(np.searchsorted(knots, grid), 1, len(knots) - 1)
    place = (grid - knots[right - 1]) / (knots[right] - knots[right - 1])
    weight = (0.5 - 0.5 * np.cos(np.pi * place)).astype(np.float32)
    basis = np.zeros((len(grid), len(knots)), np.float32)
    rows = np.arange(len(grid))
    basis[rows, right - 1], basis[rows, right] = 1.0 - weight, weight
    return grid, basis
