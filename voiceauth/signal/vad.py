# SPDX-License-Identifier: Apache-2.0
"""Voice activity detection: which 10-ms frames are speech, on telephone audio, for next to nothing.

A frame is speech if its bands rise above an adaptive noise floor and it lies close to voiced frames
(periodic at a voice's pitch) that rise clearly: two thresholds with reach make the hysteresis.
Steady sounds sink into the floor; tones are cut out; bursts without a pitch find no voiced frame.
Music and other people's voices are not told apart from the caller.

Rules:

* The mathematics is in pure functions on arrays of shape (frames, ...); ``Detector`` only keeps the
  context of one stream.
* A decision uses 0.4 s of what follows, so it comes that much later than the audio.

Sources: minimum statistics after R. Martin, IEEE Trans. SAP 9(5), 2001, reduced to one low quantile
per block; pitch from the autocorrelation, which is the inverse transform of the power spectrum.
The thresholds were set on speech mixed with noise, see docs/vad.md.
"""

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Final, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voiceauth.signal.masks import Mask, counts, grow
from voiceauth.signal.tones import find_tones, lines
from voiceauth.types import Samples
from voiceauth.units import Decibels, Hertz, Seconds

Floats = NDArray[np.float32]

HOP_SECONDS: Final[Seconds] = 0.01
_WINDOW_SECONDS: Final[Seconds] = 0.032
_BAND_EDGES_HZ: Final = (250, 400, 550, 700, 900, 1100, 1350, 1600, 1900, 2250, 2650, 3100, 3600)
"""About one critical band each, inside the telephone band (300 to 3400 Hz)."""
_PITCH_HZ: Final = (65, 400)
_PITCH_BAND_HZ: Final = (150, 2000)
"""Where voiced speech keeps its harmonics; mains hum and hiss stay outside."""
_FLOOR: Final = 10**-7.5
"""-75 dBFS per band: the quantising noise of G.711 lies there, nothing below is informative."""
_FLOOR_BIAS_DB: Final[Decibels] = 3.0
"""The low quantile of a noise lies about so far below its mean."""
_QUANTILE: Final = 0.25
_BLOCKS_REMEMBERED: Final = 8
"""Times 0.2 s: longer than any word, so that the floor sees a pause; Martin 2001 takes 1.5 s."""
_MOST_BAND_DB: Final[Decibels] = 30.0
_ACTIVE_DB: Final[Decibels] = 4.0
_ANCHOR_DB: Final[Decibels] = 6.0
_VOICED: Final = 0.5
_REACH_FRAMES: Final = 18
"""Unvoiced consonants lie within 180 ms of a vowel."""
_ANCHOR_SPREAD: Final = 3
_LEAST_ANCHORS: Final = 4
"""Of 7 neighbours: chance periodicity of noise does not last, vowels do (50 ms and more)."""
_HANGOVER_FRAMES: Final = 5
_FUTURE_FRAMES: Final = 40
"""Reach, spread, a tone's edges and the longest lead fit in."""
_PAST_FRAMES: Final = 70
"""Reach, spread, hangover and the longest tail fit in."""
MOST_LEAD_SECONDS: Final[Seconds] = 0.1
MOST_TAIL_SECONDS: Final[Seconds] = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What is measured on each frame.

    Attributes:
        band_db: level per band, shape (frames, bands).
        periodicity: strongest normalised autocorrelation in the pitch range, shape (frames,).
        share: power of the two strongest lines, shape (frames,).
        peaks: bins of those lines, shape (frames, 2).
        power: mean square, shape (frames,).
        samples: the hop of each frame, shape (frames, hop).
    """

    band_db: Floats
    periodicity: Floats
    share: Floats
    peaks: NDArray[np.int64]
    power: Floats
    samples: Samples

    def then(self, later: Self) -> Self:
        """Join with later frames."""
        pairs = ((getattr(self, f.name), getattr(later, f.name)) for f in fields(self))
        return type(self)(*(np.concatenate(pair) for pair in pairs))

    def last(self, frames: int) -> Self:
        """Return the last ``frames`` frames."""
        start = max(len(self.power) - frames, 0)
        return type(self)(*(getattr(self, f.name)[start:] for f in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames with their decision.

    Attributes:
        samples: shape (frames, hop).
        speech: net speech, shape (frames,).
        kept: speech with its context, without tones, shape (frames,).
        tone: any tone, shape (frames,).
        dtmf: a DTMF digit, shape (frames,).
        band_power: power inside the bands, shape (frames,).
        noise_power: power of the noise floor inside the bands, shape (frames,).
    """

    samples: Samples
    speech: Mask
    kept: Mask
    tone: Mask
    dtmf: Mask
    band_power: Floats
    noise_power: Floats

    def cut(self, start: int, stop: int) -> Self:
        """Return the frames from ``start`` to ``stop``."""
        return type(self)(*(getattr(self, f.name)[start:stop] for f in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class _Analysis:
    """Constants of one rate, all in samples or bins."""

    hop: int
    size: int
    window: Floats
    scale: float
    edges: NDArray[np.int64]
    first_lag: int
    last_lag: int
    pitch: slice
    unwindow: Floats
    bin_hz: float


@lru_cache(maxsize=8)
def _analysis(rate_hz: Hertz) -> _Analysis:
    size = round(rate_hz * _WINDOW_SECONDS)
    window = np.hanning(size + 1)[:-1]
    bin_hz = rate_hz / size
    own = np.fft.irfft(np.abs(np.fft.rfft(window)) ** 2)
    low, high = _PITCH_HZ
    first, last = rate_hz // high, min(rate_hz // low, size // 2)
    return _Analysis(
        hop=round(rate_hz * HOP_SECONDS),
        size=size,
        window=window.astype(np.float32),
        scale=2.0 / (size * float(np.sum(window**2))),
        edges=np.round(np.asarray(_BAND_EDGES_HZ) / bin_hz).astype(np.int64),
        first_lag=first,
        last_lag=last,
        pitch=slice(round(_PITCH_BAND_HZ[0] / bin_hz), round(_PITCH_BAND_HZ[1] / bin_hz)),
        unwindow=(own[0] / own[first : last + 1]).astype(np.float32),
        bin_hz=bin_hz,
    )


def measure(windows: Samples, hops: Samples, rate_hz: Hertz) -> Features:
    """Measure frames.

    Args:
        windows: shape (frames, 32 ms of samples).
        hops: the middle 10 ms of each, shape (frames, hop).
        rate_hz: of the samples.
    """
    use = _analysis(rate_hz)
    spectrum = np.fft.rfft(windows * use.window, axis=1)
    power = ((spectrum.real**2 + spectrum.imag**2) * use.scale).astype(np.float32)
    bands = np.add.reduceat(power[:, : use.edges[-1]], use.edges[:-1], axis=1)
    voice = np.zeros_like(power)
    voice[:, use.pitch] = power[:, use.pitch]
    correlation = np.fft.irfft(voice, axis=1)
    pitch = correlation[:, use.first_lag : use.last_lag + 1] * use.unwindow
    periodicity = pitch.max(axis=1) / (correlation[:, 0] + 1e-12)
    share, peaks = lines(power[:, use.edges[0] : use.edges[-1]])
    return Features(
        band_db=(10.0 * np.log10(bands + _FLOOR)).astype(np.float32),
        periodicity=periodicity.astype(np.float32),
        share=share,
        peaks=peaks,
        power=bands.sum(axis=1),
        samples=np.asarray(hops, dtype=np.float32),
    )


def low_quantile_db(band_db: Floats) -> Floats:
    """Return the mean of the lowest quarter of each band's levels, shape (bands,)."""
    count = max(1, int(len(band_db) * _QUANTILE))
    return np.asarray(np.sort(band_db, axis=0)[:count].mean(axis=0), dtype=np.float32)


def decide(
    features: Features, floor_db: Floats, rate_hz: Hertz, lead_frames: int, tail_frames: int
) -> Frames:
    """Decide frames against a noise floor.

    Args:
        features: with context on both sides.
        floor_db: noise level per band, shape (bands,).
        rate_hz: of the samples.
        lead_frames: context to keep before speech.
        tail_frames: context to keep after speech.
    """
    use = _analysis(rate_hz)
    tone, dtmf = find_tones(
        features.share,
        features.peaks,
        features.power,
        use.bin_hz,
        round(float(use.edges[0]) * use.bin_hz),
    )
    above = np.clip(features.band_db - floor_db, 0.0, _MOST_BAND_DB).mean(axis=1)
    voiced = (features.periodicity > _VOICED) & (above > _ANCHOR_DB) & ~tone
    anchors = voiced & (counts(voiced, _ANCHOR_SPREAD, _ANCHOR_SPREAD) >= _LEAST_ANCHORS)
    near = grow(anchors, _REACH_FRAMES, _REACH_FRAMES)
    speech = grow((above > _ACTIVE_DB) & near & ~tone, 0, _HANGOVER_FRAMES) & ~tone
    noise = np.full(len(above), np.sum(10.0 ** (floor_db / 10.0)), dtype=np.float32)
    kept = grow(speech, lead_frames, tail_frames) & ~tone
    return Frames(features.samples, speech, kept, tone, dtmf, features.power, noise)


class Detector:
    """The voice activity detector of one stream; push blocks of about 0.2 s.

    Args:
        rate_hz: of the samples, a multiple of 100, at least 8000.
        lead_seconds: context to keep before speech, at most 0.1.
        tail_seconds: context to keep after speech, at most 0.3.
    """

    def __init__(self, rate_hz: Hertz, lead_seconds: Seconds, tail_seconds: Seconds) -> None:
        self._rate_hz = rate_hz
        self._lead_frames = round(lead_seconds / HOP_SECONDS)
        self._tail_frames = round(tail_seconds / HOP_SECONDS)
        self._use = _analysis(rate_hz)
        self._before = (self._use.size - self._use.hop) // 2
        self._lows: list[Floats] = []
        self._restart()

    def push(self, samples: Samples) -> Frames:
        """Take a block, return the frames that are now decided (they lag by 0.4 s)."""
        self._add(samples)
        return self._emit(_FUTURE_FRAMES)

    def flush(self) -> Frames:
        """Decide all that is left and restart behind a break; the noise floor is kept."""
        # An incomplete last hop is dropped: less than 10 ms of sound cannot be judged.
        self._add(np.zeros(self._use.size - self._use.hop - self._before, dtype=np.float32))
        frames = self._emit(0)
        self._restart()
        return frames

    def _restart(self) -> None:
        self._samples: Samples = np.zeros(self._before, dtype=np.float32)
        empty = np.zeros((0, self._use.size), dtype=np.float32)
        self._frames = measure(empty, empty[:, : self._use.hop], self._rate_hz)
        self._undecided = 0

    def _add(self, samples: Samples) -> None:
        use = self._use
        joined = np.concatenate([self._samples, samples])
        count = (len(joined) - use.size) // use.hop + 1
        if count <= 0:
            self._samples = joined
            return
        windows = sliding_window_view(joined, use.size)[:: use.hop][:count]
        hops = joined[self._before : self._before + count * use.hop].reshape(count, use.hop)
        found = measure(windows, hops, self._rate_hz)
        self._samples = joined[count * use.hop :]
        self._lows = [*self._lows, low_quantile_db(found.band_db)][-_BLOCKS_REMEMBERED:]
        self._frames = self._frames.then(found)
        self._undecided += count

    def _emit(self, held_back: int) -> Frames:
        floor = np.min(self._lows, axis=0) if self._lows else self._no_floor()
        decided = decide(
            self._frames,
            floor + np.float32(_FLOOR_BIAS_DB),
            self._rate_hz,
            self._lead_frames,
            self._tail_frames,
        )
        total = len(self._frames.power)
        start, stop = total - self._undecided, max(total - held_back, total - self._undecided)
        self._undecided = total - stop
        self._frames = self._frames.last(self._undecided + _PAST_FRAMES)
        return decided.cut(start, stop)

    def _no_floor(self) -> Floats:
        return np.zeros(len(self._use.edges) - 1, dtype=np.float32)
