# SPDX-License-Identifier: Apache-2.0
"""Voice activity detection: which 10-ms frames are speech, on telephone audio, for next to nothing.

A frame is speech if its bands rise above an adaptive noise floor and it lies close to voiced frames
(periodic at a voice's pitch) that rise clearly: two thresholds with reach make the hysteresis.
Steady sounds sink into the floor; tones are cut out; bursts without a pitch find no voiced frame.
Music and other people's voices are not told apart from the caller.

Rules:

* The mathematics is in pure functions on arrays of shape (streams, frames, ...): numpy's cost per
  operation is shared by all streams that have a block at the same time. ``detector`` keeps the
  context of each stream.
* A decision uses 0.4 s of what follows, so it comes that much later than the audio.

Sources: minimum statistics after R. Martin, IEEE Trans. SAP 9(5), 2001, reduced to one low quantile
per block; pitch from the autocorrelation, which is the inverse transform of the power spectrum.
The thresholds were set on speech mixed with noise, see docs/vad.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
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
FLOOR_BIAS_DB: Final[Decibels] = 3.0
"""The low quantile of a noise lies about so far below its mean."""
_QUANTILE: Final = 0.25
BLOCKS_REMEMBERED: Final = 8
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
_MOST_ROWS: Final = 320
FUTURE_FRAMES: Final = 40
"""Reach, spread, a tone's edges and the longest lead fit in."""
PAST_FRAMES: Final = 70
"""Reach, spread, hangover and the longest tail fit in."""
MOST_LEAD_SECONDS: Final[Seconds] = 0.1
MOST_TAIL_SECONDS: Final[Seconds] = 0.3


BANDS: Final = len(_BAND_EDGES_HZ) - 1
_EQUALLY: Final = np.full(BANDS, 1.0 / BANDS, dtype=np.float32)
_PERIODICITY, _SHARE, _PEAKS, POWER = BANDS, BANDS + 1, slice(BANDS + 2, BANDS + 4), -1
FEATURES: Final = BANDS + 5
"""Columns of ``measure``: level per band in dB, strongest normalised autocorrelation in the pitch
range, power of the two strongest lines over all, the bins of those lines, mean square."""


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Constants of one rate, all in samples or bins."""

    hop: int
    size: int
    before: int
    """Samples of a window that lie before the hop in its middle."""
    window: Floats
    scale: float
    edges: NDArray[np.int64]
    pitch: slice
    cosines: Floats
    """From the powers in ``pitch`` to the autocorrelation at 0 and, without what the window does to
    it, at each lag of a voice; shape (bins, 1 + lags)."""
    bin_hz: float


@lru_cache(maxsize=8)
def analysis(rate_hz: Hertz) -> Analysis:
    """Return the constants of a rate."""
    hop, size = round(rate_hz * HOP_SECONDS), round(rate_hz * _WINDOW_SECONDS)
    window = np.hanning(size + 1)[:-1]
    bin_hz = rate_hz / size
    low, high = _PITCH_HZ
    lags = np.r_[0, rate_hz // high : min(rate_hz // low, size // 2) + 1]
    own = np.fft.irfft(np.abs(np.fft.rfft(window)) ** 2)[lags]
    pitch = slice(round(_PITCH_BAND_HZ[0] / bin_hz), round(_PITCH_BAND_HZ[1] / bin_hz))
    waves = np.cos(2.0 * np.pi / size * np.outer(np.arange(size)[pitch], lags))
    return Analysis(
        hop=hop,
        size=size,
        before=(size - hop) // 2,
        window=(size * window).astype(np.float32),
        scale=2.0 / (size * float(np.sum(window**2))),
        edges=np.round(np.asarray(_BAND_EDGES_HZ) / bin_hz).astype(np.int64),
        pitch=pitch,
        cosines=(2.0 / size * waves * own[0] / own).astype(np.float32),
        bin_hz=bin_hz,
    )


def measure(windows: Sequence[Samples], rate_hz: Hertz) -> Floats:
    """Measure frames, float32, shape (frames, FEATURES).

    Args:
        windows: of any number of streams, each of shape (frames, 32 ms of samples).
        rate_hz: of the samples.
    """
    use = analysis(rate_hz)
    found = np.empty((sum(map(len, windows)), FEATURES), dtype=np.float32)
    start = 0
    for some in _portions(windows):
        rows = np.concatenate(some)
        stop = start + len(rows)
        _measure_rows(np.multiply(rows, use.window, out=rows), use, found[start:stop])
        start = stop
    return found


def _portions(windows: Sequence[Samples]) -> Iterator[list[Samples]]:
    """Bring windows together so that what is computed on them fits into a core's cache."""
    some: list[Samples] = []
    count = 0
    for one in windows:
        for start in range(0, len(one), _MOST_ROWS):
            piece = one[start : start + _MOST_ROWS]
            if some and count + len(piece) > _MOST_ROWS:
                yield some
                some, count = [], 0
            some.append(piece)
            count += len(piece)
    if some:
        yield some


def _measure_rows(rows: Samples, use: Analysis, found: Floats) -> None:
    # Only with a norm that numpy holds as a float32 is the transform computed in float32, twice as
    # fast; the window makes up for it.
    spectrum = np.fft.rfft(rows, axis=1, norm="forward")
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    power *= use.scale
    bands = np.add.reduceat(power[:, : use.edges[-1]], use.edges[:-1], axis=1)
    # The inverse transform at the lags of voices alone: one product instead of an inverse FFT.
    correlation = power[:, use.pitch] @ use.cosines
    found[:, :BANDS] = 10.0 * np.log10(bands + _FLOOR)
    found[:, _PERIODICITY] = correlation[:, 1:].max(axis=1) / (correlation[:, 0] + 1e-12)
    found[:, _SHARE], found[:, _PEAKS] = lines(power[:, use.edges[0] : use.edges[-1]])
    found[:, POWER] = bands.sum(axis=1)


def low_quantile_db(band_db: Floats) -> Floats:
    """Return the mean of the lowest quarter of each band's levels, shape (streams, bands)."""
    count = max(1, int(band_db.shape[1] * _QUANTILE))
    return np.asarray(np.sort(band_db, axis=1)[:, :count].mean(axis=1), dtype=np.float32)


def decide(
    features: Floats, floor_db: Floats, rate_hz: Hertz, lead_frames: int, tail_frames: int
) -> tuple[Mask, Mask, Mask, Mask]:
    """Decide frames against a noise floor.

    Args:
        features: with context on both sides, shape (streams, frames, FEATURES).
        floor_db: noise level per band, shape (streams, bands).
        rate_hz: of the samples.
        lead_frames: context to keep before speech.
        tail_frames: context to keep after speech.

    Returns:
        Speech, kept, tone and dtmf as in ``Frames``, shape (streams, frames).
    """
    use = analysis(rate_hz)
    tone, dtmf = find_tones(
        features[..., _SHARE],
        features[..., _PEAKS].astype(np.int64),
        features[..., POWER],
        use.bin_hz,
        round(float(use.edges[0]) * use.bin_hz),
    )
    rise = features[..., :BANDS] - floor_db[:, np.newaxis]
    above = np.clip(rise, 0.0, _MOST_BAND_DB) @ _EQUALLY  # a mean, without numpy's cost per row
    voiced = (features[..., _PERIODICITY] > _VOICED) & (above > _ANCHOR_DB) & ~tone
    anchors = voiced & (counts(voiced, _ANCHOR_SPREAD, _ANCHOR_SPREAD) >= _LEAST_ANCHORS)
    near = grow(anchors, _REACH_FRAMES, _REACH_FRAMES)
    speech = grow((above > _ACTIVE_DB) & near & ~tone, 0, _HANGOVER_FRAMES) & ~tone
    kept = grow(speech, lead_frames, tail_frames) & ~tone
    return speech, kept, tone, dtmf
