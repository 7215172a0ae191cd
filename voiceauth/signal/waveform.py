# SPDX-License-Identifier: Apache-2.0
"""Whole recordings to spans of net speech, by the same path as live audio."""

from typing import Final

import numpy as np

from voiceauth.errors import BadAudioError, TooShortError, UnsupportedFormatError
from voiceauth.signal.cutter import BLOCK_SECONDS, SpeechCutter
from voiceauth.signal.options import SpeechOptions
from voiceauth.types import Samples, Span
from voiceauth.units import Hertz

_LEAST_RATE_HZ: Final[Hertz] = 8000
_MOST_RATE_HZ: Final[Hertz] = 192000


def spans_of(
    samples: Samples,
    rate_hz: Hertz,
    options: SpeechOptions = SpeechOptions(),  # noqa: B008 - frozen
) -> list[Span]:
    """Cut a whole recording into spans.

    Args:
        samples: shape (samples,), full scale 1.
        rate_hz: of the samples, 8000 to 192000.
        options: of the room.

    Raises:
        BadAudioError: NaN, infinity or more than one dimension.
        TooShortError: no samples.
        UnsupportedFormatError: a rate out of range.
    """
    if not _LEAST_RATE_HZ <= rate_hz <= _MOST_RATE_HZ:
        raise UnsupportedFormatError("The sampling rate must lie between 8 and 192 kHz.")
    if samples.ndim != 1:
        raise BadAudioError("The audio must be mono.", detail=f"shape {samples.shape}")
    if len(samples) == 0:
        raise TooShortError("The audio is empty.")
    if not np.isfinite(samples).all():
        raise BadAudioError("The audio holds values that are not numbers.")
    audio = samples.astype(np.float32, copy=False)
    cutter = SpeechCutter(rate_hz, options)
    block = round(rate_hz * BLOCK_SECONDS)
    spans: list[Span] = []
    for start in range(0, len(audio), block):
        spans += cutter.take(audio[start : start + block])
    return spans + cutter.close()
