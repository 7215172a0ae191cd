# SPDX-License-Identifier: Apache-2.0
"""Copy-synthesis: takes recorded speech apart and builds it again, as speech synthesis would.

The result says the same words in the same voice, room and noise; only what a synthesiser leaves
behind is new. A detector trained on it cannot lean on voice, text or recording. Every function
takes 16 kHz speech and a generator, draws its own settings and returns speech of the same length.

What it does not do: the channel (``testing.channel``) and the source coding (``attacks``). The list
of all copying systems is in ``copying``.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
import scipy.linalg
import scipy.signal
from numpy.typing import NDArray

from voiceauth.errors import MissingExtraError
from voiceauth.training.corpus import RATE_HZ

FloatArray = NDArray[np.float32]
ComplexArray = NDArray[np.complex64]
Vocoder = Callable[[FloatArray, np.random.Generator], FloatArray]

_WORLD_PERIOD_MS = 5.0
_LPC_FRAME = 320
_FLOOR = 1e-5


def world(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """WORLD analysis and synthesis, coded as statistical synthesis codes it now and then."""
    pitch, envelope, aperiodicity, engine = _world_parts(waveform)
    if rng.random() < 0.5:
        coefficients = int(rng.integers(24, 61))
        envelope = _through_cepstrum(engine, envelope, coefficients)
    return _world_speech(engine, pitch, envelope, aperiodicity, len(waveform))


def world_changed(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """WORLD with another pitch and other formants: a voice changer, or a plain conversion."""
    pitch, envelope, aperiodicity, engine = _world_parts(waveform)
    pitch = pitch * 2.0 ** float(rng.uniform(-0.6, 0.6))
    if rng.random() < 0.3:
        # A converted voice keeps little of the melody.
        voiced = pitch > 0
        if voiced.any():
            middle = np.median(pitch[voiced])
            share = rng.uniform(0.0, 0.6)
            pitch[voiced] = middle * (pitch[voiced] / middle) ** share
    factor = float(rng.uniform(0.82, 1.22))
    place = np.minimum(np.arange(envelope.shape[1]) / factor, envelope.shape[1] - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, envelope.shape[1] - 1)
    part = place - low
    envelope = envelope[:, low] * (1.0 - part) + envelope[:, high] * part
    return _world_speech(engine, pitch, envelope, aperiodicity, len(waveform))


def griffin_lim(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Magnitudes through a mel bank and back, phases by fast Griffin-Lim from noise."""
    size = int(rng.choice([512, 800, 1024]))
    hop = size // 4
    spectrum = stft(waveform, size, hop)
    magnitude = np.abs(spectrum)
    if rng.random() < 0.8:
        magnitude = through_mel(magnitude, int(rng.choice([40, 64, 80, 100])))
    phase = np.exp(2j * np.pi * rng.random(magnitude.shape)).astype(np.complex64)
    return invert(magnitude, phase, size, hop, len(waveform), int(rng.integers(8, 33)))


def mel_kept_phase(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Magnitudes through a mel bank and back, the recorded phases blurred: a very good vocoder."""
    size = int(rng.choice([512, 1024]))
    spectrum = stft(waveform, size, size // 4)
    magnitude = through_mel(np.abs(spectrum), int(rng.choice([64, 80, 100])))
    turn = rng.standard_normal(spectrum.shape) * rng.uniform(0.0, 1.0)
    phase = np.exp(1j * (np.angle(spectrum) + turn)).astype(np.complex64)
    return invert(magnitude, phase, size, size // 4, len(waveform), int(rng.integers(0, 4)))


def smoothed(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Magnitudes averaged over time and frequency, as a model that predicts means gives them."""
    size, hop = 512, 128
    spectrum = stft(waveform, size, hop)
    logarithm = np.log(np.abs(spectrum) + _FLOOR)
    spread = (float(rng.uniform(0.5, 2.0)), float(rng.uniform(0.0, 1.0)))
    for axis, deviation in enumerate(spread):
        taps = np.exp(-0.5 * (np.arange(-4, 5) / max(deviation, 0.1)) ** 2)
        logarithm = scipy.signal.convolve(
            logarithm, np.expand_dims(taps / taps.sum(), 1 - axis), mode="same"
        )
    phase = np.exp(1j * np.angle(spectrum)).astype(np.complex64)
    return invert(np.exp(logarithm), phase, size, hop, len(waveform), int(rng.integers(1, 8)))


def lpc(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Linear prediction driven by pulses or noise: the classic low-rate vocoder."""
    order = int(rng.integers(12, 21))
    mixed = float(rng.uniform(0.0, 0.4))
    frames = len(waveform) // _LPC_FRAME
    if frames < 3:
        return waveform
    pitch = track_pitch(waveform, frames)
    window = np.hanning(2 * _LPC_FRAME)
    padded = np.pad(waveform, (_LPC_FRAME // 2, 2 * _LPC_FRAME))
    state: Any = np.zeros(order)
    out, clock = [], 0.0
    for i in range(frames):
        piece = padded[i * _LPC_FRAME : (i + 2) * _LPC_FRAME] * window
        predictor, gain = _predict(piece, order)
        drive, clock = _drive(pitch[i], clock, mixed, rng)
        part, state = scipy.signal.lfilter([gain], predictor, drive, zi=state)
        out.append(part)
    return fit(np.concatenate(out), len(waveform))


def stft(waveform: FloatArray, size: int, hop: int) -> ComplexArray:
    """Hann-windowed spectra, complex64, shape (frames, size // 2 + 1)."""
    padded = np.pad(waveform, (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    return np.asarray(scipy.fft.rfft(frames * window, axis=1), dtype=np.complex64)


def istft(spectrum: ComplexArray, size: int, hop: int, samples: int) -> FloatArray:
    """Overlap-add inverse of ``stft``; float32, shape (samples,)."""
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    frames = scipy.fft.irfft(spectrum, n=size, axis=1).astype(np.float32) * window
    steps = size // hop
    # Frames that are a whole number of hops long add up as shifted blocks: no loop over frames.
    blocks = np.zeros((len(frames) + steps - 1, hop), np.float32)
    for k in range(steps):
        blocks[k : k + len(frames)] += frames[:, k * hop : (k + 1) * hop]
    scale = float(np.sum(window * window)) / hop
    return fit(blocks.reshape(-1)[size // 2 :] / np.float32(scale), samples)


def invert(  # noqa: PLR0917 - an inner routine, called by position
    magnitude: NDArray[np.floating],
    phase: ComplexArray,
    size: int,
    hop: int,
    samples: int,
    rounds: int,
) -> FloatArray:
    """Speech of the given magnitudes; ``rounds`` of fast Griffin-Lim make the phases agree."""
    magnitude = magnitude.astype(np.float32)
    before = np.zeros_like(phase)
    for _ in range(rounds):
        found = stft(istft(magnitude * phase, size, hop, samples), size, hop)[: len(phase)]
        pushed = found + np.float32(0.9) * (found - before)
        phase = (pushed / np.maximum(np.abs(pushed), 1e-8)).astype(np.complex64)
        before = found
    return istft(magnitude * phase, size, hop, samples)


def through_mel(magnitude: FloatArray, bands: int) -> FloatArray:
    """Magnitudes (frames, bins) through a mel bank and back by least squares, same shape."""
    bank, back = _mel_pair(magnitude.shape[1], bands)
    return np.asarray(np.maximum((magnitude @ bank) @ back, _FLOOR), dtype=np.float32)


def fit(waveform: NDArray[np.floating], samples: int) -> FloatArray:
    """Cut or pad with zeros to the given length, float32."""
    return np.pad(waveform, (0, max(0, samples - len(waveform))))[:samples].astype(np.float32)


@lru_cache(maxsize=16)
def _mel_pair(bins: int, bands: int) -> tuple[FloatArray, FloatArray]:
    """A triangular bank (bins, bands) up to 8 kHz and its pseudo-inverse (bands, bins)."""
    top = 2595.0 * np.log10(1.0 + RATE_HZ / 2 / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(0.0, top, bands + 2) / 2595.0) - 1.0)
    frequency = np.linspace(0.0, RATE_HZ / 2, bins)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequency - left) / (centre - left)
    bank = np.maximum(0.0, np.minimum(rising, (right - frequency) / (right - centre)))
    return bank.astype(np.float32), np.linalg.pinv(bank, rcond=1e-2).astype(np.float32)


def _engine() -> Any:
    try:
        import pyworld  # noqa: PLC0415 - installed beside the train extra
    except ImportError as error:
        raise MissingExtraError("pyworld", "train") from error
    return pyworld


def _world_parts(waveform: FloatArray) -> tuple[Any, Any, Any, Any]:
    """Pitch (frames,), envelope and aperiodicity (frames, 513), and the engine itself."""
    engine = _engine()
    samples = waveform.astype(np.float64)
    rough, times = engine.dio(samples, RATE_HZ, frame_period=_WORLD_PERIOD_MS, speed=4)
    pitch = engine.stonemask(samples, rough, times, RATE_HZ)
    envelope = engine.cheaptrick(samples, pitch, times, RATE_HZ)
    return pitch, envelope, engine.d4c(samples, pitch, times, RATE_HZ), engine


def _world_speech(
    engine: Any, pitch: Any, envelope: Any, aperiodicity: Any, samples: int
) -> FloatArray:
    speech = engine.synthesize(
        pitch, np.ascontiguousarray(envelope), aperiodicity, RATE_HZ, _WORLD_PERIOD_MS
    )
    return fit(speech, samples)


def _through_cepstrum(engine: Any, envelope: Any, coefficients: int) -> Any:
    size = (envelope.shape[1] - 1) * 2
    coded = engine.code_spectral_envelope(envelope, RATE_HZ, coefficients)
    return engine.decode_spectral_envelope(coded, RATE_HZ, size)


def track_pitch(waveform: FloatArray, frames: int) -> NDArray[np.float64]:
    """Pitch period in samples by frame from the autocorrelation; 0 where unvoiced."""
    size = 2 * _LPC_FRAME
    padded = np.pad(waveform, (_LPC_FRAME // 2, 2 * _LPC_FRAME))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, size)[::_LPC_FRAME][:frames]
    power = np.abs(scipy.fft.rfft(pieces, n=2 * size, axis=1)) ** 2
    correlation = scipy.fft.irfft(power, axis=1)[:, :size]
    shortest, longest = RATE_HZ // 400, RATE_HZ // 60
    lag = correlation[:, shortest:longest].argmax(axis=1) + shortest
    strength = correlation[np.arange(frames), lag] / (correlation[:, 0] + 1e-9)
    return np.where(strength > 0.35, lag, 0).astype(np.float64)


def _predict(piece: NDArray[np.floating], order: int) -> tuple[NDArray[np.float64], float]:
    """Predictor polynomial (order + 1,) and gain per sample of one windowed frame."""
    correlation = np.correlate(piece, piece, "full")[len(piece) - 1 : len(piece) + order]
    correlation = correlation.astype(np.float64)
    correlation[0] = correlation[0] * 1.0001 + 1e-9
    row = scipy.linalg.solve_toeplitz(correlation[:-1], correlation[1:])
    error = max(float(correlation[0] - row @ correlation[1:]), 1e-12)
    return np.concatenate([[1.0], -row]), float(np.sqrt(error / (0.375 * len(piece))))


def _drive(
    period: float, clock: float, mixed: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Unit-power excitation of one frame, and how far the next pulse is behind its end."""
    noise = rng.standard_normal(_LPC_FRAME)
    if period <= 0:
        return noise, 0.0
    pulses = np.zeros(_LPC_FRAME)
    place = clock
    while place < _LPC_FRAME:
        pulses[int(place)] = np.sqrt(period)
        place += period
    return pulses * np.sqrt(1.0 - mixed) + noise * np.sqrt(mixed), place - _LPC_FRAME
