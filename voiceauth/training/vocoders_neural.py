# SPDX-License-Identifier: Apache-2.0
"""Copy-synthesis by a neural vocoder: FARGAN, whose weights come in the source of libopus.

The program ``fargan_demo`` of Opus 1.5 turns 16 kHz speech into 18 cepstra, a pitch and a
periodicity every 10 ms, and those into speech again; ``docs/liveness-synthetic.md`` tells how it is
built. Nothing of it ships with this project. Between its two halves the features are changed as
acoustic models and voice changers change them. Same rules as in ``vocoders``: 16 kHz in, same
length out, all settings drawn.

Source: Valin et al. 2024, "Very Low Complexity Speech Synthesis Using Framewise Autoregressive GAN
(FARGAN) with Pitch Prediction".
"""

import tempfile
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import NDArray

from voiceauth.errors import DependencyError
from voiceauth.training.corpus import FULL_SCALE
from voiceauth.training.reading_voices import run_program
from voiceauth.training.vocoders import fit

FloatArray = NDArray[np.float32]
PROGRAM = "fargan_demo"
_FRAME = 160
_COLUMNS = 36
"""Values per frame in the program's files; the vocoder reads those up to ``_PERIODICITY``."""
_BANDS = 18
_PITCH = 18
"""Column of the pitch: the octaves of ``256 / period`` above 1.5, higher is higher."""
_PERIODICITY = 19
_EDGES_HZ = np.array(
    [
        *(0.0, 200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1400.0, 1600.0),
        *(2000.0, 2400.0, 2800.0, 3200.0, 4000.0, 4800.0, 5600.0, 6800.0, 8000.0),
    ]
)
"""Where the bands of the cepstra have their middle."""
_LEAD = 5
"""Frames that the program takes as a start and does not speak."""
_DELAY = 240
"""Samples by which what it speaks trails behind what it was shown."""


def fargan(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Features of the recording, spoken by the network; now and then thinned out in time.

    Raises:
        DependencyError: the program fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        features = _features(waveform, Path(folder))
        if rng.random() < 0.4:
            # Coders and acoustic models give fewer frames, and what lies between is guessed.
            _thin_out(features, int(rng.integers(2, 5)))
        return _speech(features, Path(folder), len(waveform))


def fargan_changed(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Another pitch, other formants, a smoother course: a converted or an invented voice.

    Raises:
        DependencyError: the program fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        features = _features(waveform, Path(folder))
        _change_pitch(features, rng)
        _change_formants(features, float(rng.uniform(0.82, 1.22)))
        smooth = float(rng.uniform(0.0, 2.5))
        if smooth > 0.5:
            # A model that predicts means gives spectra that change little from frame to frame.
            features[:, :_BANDS] = scipy.ndimage.gaussian_filter1d(
                features[:, :_BANDS], smooth, axis=0
            )
        return _speech(features, Path(folder), len(waveform))


def _features(waveform: FloatArray, folder: Path) -> FloatArray:
    """What the program hears, float32, shape (frames, 36), with a start and an end of silence."""
    padded = np.pad(waveform, (_LEAD * _FRAME, _DELAY + 2 * _FRAME))
    pcm = np.round(np.clip(padded, -1.0, 1.0) * FULL_SCALE).astype("<i2")
    heard, seen = folder / "in.pcm", folder / "in.f32"
    heard.write_bytes(pcm.tobytes())
    run_program([PROGRAM, "-features", str(heard), str(seen)])
    values = np.frombuffer(_written(seen), "<f4")
    return values[: len(values) // _COLUMNS * _COLUMNS].reshape(-1, _COLUMNS).copy()


def _speech(features: FloatArray, folder: Path, samples: int) -> FloatArray:
    given, spoken = folder / "out.f32", folder / "out.pcm"
    given.write_bytes(features.astype("<f4").tobytes())
    run_program([PROGRAM, "-fargan-synthesis", str(given), str(spoken)])
    speech = np.frombuffer(_written(spoken), "<i2").astype(np.float32) / np.float32(FULL_SCALE)
    if len(speech) < samples:
        raise DependencyError(f"{PROGRAM} did not work.", detail="it spoke too little")
    return fit(speech[_DELAY:], samples)


def _written(path: Path) -> bytes:
    """What the program wrote.

    Raises:
        DependencyError: nothing.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DependencyError(f"{PROGRAM} did not work.", detail=str(error)) from error


def _thin_out(features: FloatArray, keep: int) -> None:
    """Keep every so many frames of the cepstra, and draw lines between them, in place."""
    frames = np.arange(len(features))
    kept = frames[::keep]
    for column in range(_BANDS):
        features[:, column] = np.interp(frames, kept, features[kept, column])


def _change_pitch(features: FloatArray, rng: np.random.Generator) -> None:
    """Move the pitch and, now and then, flatten the melody, in place."""
    pitch = features[:, _PITCH]
    if rng.random() < 0.3:
        middle = float(np.median(pitch))
        pitch = middle + (pitch - middle) * np.float32(rng.uniform(0.0, 0.6))
    features[:, _PITCH] = pitch + np.float32(rng.uniform(-0.6, 0.6))
    if rng.random() < 0.3:
        features[:, _PERIODICITY] += np.float32(rng.uniform(-0.15, 0.15))


def _change_formants(features: FloatArray, factor: float) -> None:
    """Stretch the bands along frequency, in place; above 1 the formants rise."""
    bands = scipy.fft.idct(features[:, :_BANDS], norm="ortho", axis=1)
    moved = [np.interp(_EDGES_HZ / factor, _EDGES_HZ, frame) for frame in bands]
    features[:, :_BANDS] = scipy.fft.dct(np.stack(moved), norm="ortho", axis=1)
