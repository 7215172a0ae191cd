# SPDX-License-Identifier: Apache-2.0
"""Lays spans of net speech out in time again: the pauses that were cut out become silence.

The cuts of the signal room depend on the noise of a line, so that the same speech is cut elsewhere
in each call. On the timeline its words keep their distances.

Rules:

* A pause longer than ``MOST_PAUSE`` is shortened to that, so that the work is bounded by speech.
* What overlaps what was laid out before is left out.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import BadAudioError
from voiceauth.types import Samples

HOP: Final = 80
"""Samples of 10 ms at 8 kHz."""
MOST_PAUSE: Final = 100
"""Hops."""


class Timeline:
    """One call's counted speech in time. Not thread-safe."""

    def __init__(self) -> None:
        self._next: int | None = None

    def lay_out(
        self, samples: Samples, hops: NDArray[np.int64]
    ) -> tuple[Samples, NDArray[np.bool_]]:
        """Return what a span adds to the timeline.

        Args:
            samples: 8 kHz, 80 samples for each hop, shape (samples,).
            hops: place of each in the stream, rising, shape (hops,); empty to follow on.

        Returns:
            Audio and whether it is speech, both of shape (samples,).

        Raises:
            BadAudioError: samples and hops do not fit.
        """
        if not len(hops):
            start = 0 if self._next is None else self._next
            hops = start + np.arange(len(samples) // HOP)
            samples = samples[: len(hops) * HOP]
        if samples.ndim != 1 or len(samples) != len(hops) * HOP:
            raise BadAudioError(detail="a span's samples do not fit their places")
        if not len(hops):
            return samples, np.zeros(0, dtype=np.bool_)
        begin = int(hops[0]) if self._next is None else self._next
        fresh = hops >= begin
        pauses = np.diff(hops[fresh], prepend=begin - 1) - 1
        places = np.cumsum(np.minimum(pauses, MOST_PAUSE) + 1) - 1
        audio = np.zeros((int(places[-1]) + 1 if len(places) else 0, HOP), dtype=np.float32)
        speech = np.zeros(audio.shape, dtype=np.bool_)
        audio[places] = samples.reshape(-1, HOP)[fresh]
        speech[places] = True
        self._next = max(begin, int(hops[-1]) + 1)
        return audio.reshape(-1), speech.reshape(-1)
