# SPDX-License-Identifier: Apache-2.0
"""Streaming resampler to the model's rate: soxr, with nothing to do where the rates agree."""

import numpy as np
import soxr

from voiceauth.types import Samples
from voiceauth.units import Hertz


class Resampler:
    """Brings one stream to another rate. Output is aligned with the input in time.

    Args:
        from_hz: rate of the samples pushed.
        to_hz: rate of the samples returned.
    """

    def __init__(self, from_hz: Hertz, to_hz: Hertz) -> None:
        self._from_hz, self._to_hz = from_hz, to_hz
        self._stream = self._open()

    def push(self, samples: Samples) -> Samples:
        """Return what is ready, float32, shape (samples,); it lags the input by some 10 ms."""
        if self._stream is None:
            return samples
        return np.asarray(self._stream.resample_chunk(samples), dtype=np.float32)

    def flush(self) -> Samples:
        """Return the rest and start afresh."""
        if self._stream is None:
            return np.zeros(0, dtype=np.float32)
        rest = self._stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        self._stream = self._open()
        return np.asarray(rest, dtype=np.float32)

    def _open(self) -> soxr.ResampleStream | None:
        if self._from_hz == self._to_hz:
            return None
        return soxr.ResampleStream(self._from_hz, self._to_hz, 1, dtype="float32", quality="HQ")


def resampled(samples: Samples, from_hz: Hertz, to_hz: Hertz) -> Samples:
    """Bring a piece of audio to another rate, to the nearest whole number of samples."""
    wanted = round(len(samples) * to_hz / from_hz)
    resampler = Resampler(from_hz, to_hz)
    found = np.concatenate([resampler.push(samples), resampler.flush()])[:wanted]
    return np.pad(found, (0, wanted - len(found)))
