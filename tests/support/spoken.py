# SPDX-License-Identifier: Apache-2.0
"""Two people's real speech, nine seconds each, at 8 kHz; see tests/data/ATTRIBUTION.md."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from voiceauth.types import Samples
from voiceauth.units import Seconds

RATE_HZ = 8000
_FILES = {
    "first": "speech-1688-142285-0000.opus",
    "second": "speech-1998-15444-0000.opus",
}


@lru_cache
def spoken(who: str) -> Samples:
    """Return nine seconds of a person's speech, 8 kHz, shape (samples,)."""
    path = Path(__file__).resolve().parents[1] / "data" / _FILES[who]
    samples, rate = soundfile.read(str(path), dtype="float32")
    return np.asarray(soxr.resample(samples, rate, RATE_HZ), dtype=np.float32)


def part(who: str, start: Seconds, stop: Seconds) -> Samples:
    """Return a part of it."""
    return spoken(who)[round(start * RATE_HZ) : round(stop * RATE_HZ)]


def pcm(samples: Samples) -> bytes:
    """Return samples as PCM16."""
    return (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
