# SPDX-License-Identifier: Apache-2.0
"""The fingerprints of one recording as if it were played at several speeds, from one analysis.

Playing faster moves every frequency up and every moment forward. So the spectra of the recording as
it is, taken once, serve all speeds: each speed has its own bands over them, and reads them at its
own moments, between two spectra by a straight line. Only speed 1 is exact, and the same as
``Fingerprinter``; the windows of the others are a few per cent too long or too short, which costs
next to no agreement and saves four of five analyses.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceauth.liveness.fingerprint import (
    BANDS,
    BITS,
    FRAME_SAMPLES,
    LEAST_SPEECH,
    PATCH_ROWS,
    PATCH_STRIDE,
    SUPPORT,
    WINDOW,
    Floats,
    bands,
    check_audio,
    projection,
    shapes,
    spectra,
)
from voiceauth.types import Samples

_CENTRE_ROWS: Final = WINDOW / 2 / FRAME_SAMPLES


class SpeedPrinter:
    """Makes the frames of one recording at several speeds, piece by piece.

    Args:
        key: 32 secret bytes; the same one for what is to be compared.
        speeds: to play it at, 1.0 for as it is.

    Raises:
        InternalError: the key does not have 32 bytes.
    """

    def __init__(self, key: bytes, speeds: Sequence[float]) -> None:
        # The directions were learnt band by band. Here patches lie moment by moment: then every
        # pass over them is along the memory, which takes half the time.
        by_band = projection(key).reshape(BANDS, PATCH_ROWS, BITS)
        self._projection = np.ascontiguousarray(by_band.transpose(1, 0, 2)).reshape(-1, BITS)
        self._speeds = tuple(speeds)
        self._audio: Samples = np.zeros(0, dtype=np.float32)
        self._speech: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._rows: Floats = np.zeros((0, len(self._speeds), BANDS), dtype=np.float32)
        self._heard = 0
        self._first_row = 0
        self._first_mark = 0
        self._made = [0] * len(self._speeds)

    def push(self, audio: Samples, speech: NDArray[np.bool_]) -> list[Floats]:
        """Take the audio that follows, and return the frames that it completes at each speed.

        Args:
            audio: 8 kHz, shape (samples,).
            speech: of each sample, whether it is speech and not a pause, shape (samples,).

        Returns:
            For each speed -1 and 1, or 0 throughout a frame that is mostly pause, float32, shape
            (frames, 32).

        Raises:
            BadAudioError: not one-dimensional, not finite, or lengths that differ.
        """
        check_audio(audio, speech)
        self._analyse(audio)
        self._speech = np.concatenate([self._speech, speech])
        spoken = np.concatenate([[0], np.cumsum(self._speech, dtype=np.int64)])
        parts, pauses = [], []
        for place, speed in enumerate(self._speeds):
            numbers = np.arange(self._made[place], self._complete(speed))
            parts.append(self._patches(place, numbers))
            pauses.append(self._share(spoken, numbers, speed) < LEAST_SPEECH)
            self._made[place] += len(numbers)
        self._forget()
        counts = [len(part) for part in parts]
        found = (
            shapes(np.concatenate(parts), moments=1) @ self._projection if sum(counts) else _none()
        )
        frames = np.where(found > 0.0, np.float32(1.0), np.float32(-1.0))
        frames[np.concatenate(pauses)] = 0.0
        return np.split(frames, np.cumsum(counts)[:-1])

    def _analyse(self, audio: Samples) -> None:
        """Take the band powers of the windows that are complete, at every speed."""
        self._heard += len(audio)
        joined = np.concatenate([self._audio, audio])
        if len(joined) < WINDOW:
            self._audio = joined
            return
        weights, first, last = _all_bands(self._speeds)
        powers = spectra(joined, FRAME_SAMPLES)[:, first:last] @ weights
        rows = powers.reshape(len(powers), len(self._speeds), BANDS)
        self._rows = np.concatenate([self._rows, rows])
        self._audio = joined[len(rows) * FRAME_SAMPLES :].copy()

    def _complete(self, speed: float) -> int:
        """Count the frames whose support was heard, from the beginning."""
        room = (self._heard - 1) / speed - SUPPORT
        return max(0, int(room // FRAME_SAMPLES) + 1)

    def _patches(self, place: int, numbers: NDArray[np.int64]) -> Floats:
        """Read the rows that make the patches of frames, shape (frames, 10, 48)."""
        speed = self._speeds[place]
        moments = numbers[:, np.newaxis] + PATCH_STRIDE * np.arange(PATCH_ROWS)
        # The middle of a window counts, and all windows have the length of speed 1.
        wanted = np.maximum(speed * moments + _CENTRE_ROWS * (speed - 1.0), 0.0)
        rows, before = self._rows[:, place], wanted.astype(np.int64)
        after = np.minimum(before + 1 - self._first_row, len(rows) - 1)
        share = (wanted - before).astype(np.float32)[:, :, np.newaxis]
        before -= self._first_row
        found = rows[before] if speed == 1.0 else rows[before] * (1 - share) + rows[after] * share
        return np.asarray(found)

    def _share(
        self, spoken: NDArray[np.int64], numbers: NDArray[np.int64], speed: float
    ) -> NDArray[np.float64]:
        """Share of speech in the support of each frame."""
        starts = (numbers * FRAME_SAMPLES * speed).astype(np.int64) - self._first_mark
        stops = np.minimum(starts + round(SUPPORT * speed), len(spoken) - 1)
        return np.asarray((spoken[stops] - spoken[starts]) / (stops - starts))

    def _forget(self) -> None:
        """Drop what no frame to come rests on."""
        row = min(max(0, int(min(self._next_rows()))), self._first_row + len(self._rows))
        self._rows = self._rows[row - self._first_row :].copy()
        self._first_row = row
        mark = min(
            int(m * FRAME_SAMPLES * s) for m, s in zip(self._made, self._speeds, strict=True)
        )
        self._speech = self._speech[mark - self._first_mark :].copy()
        self._first_mark = mark

    def _next_rows(self) -> list[float]:
        pairs = zip(self._made, self._speeds, strict=True)
        return [speed * made + _CENTRE_ROWS * (speed - 1.0) for made, speed in pairs]


def _none() -> Floats:
    return np.zeros((0, BITS), dtype=np.float32)


@lru_cache(maxsize=4)
def _all_bands(speeds: tuple[float, ...]) -> tuple[Floats, int, int]:
    """Return the bands of all speeds side by side, and the bins that they reach."""
    weights = np.concatenate([bands(speed) for speed in speeds], axis=1)
    used = np.flatnonzero(weights.any(axis=1))
    first, last = int(used[0]), int(used[-1]) + 1
    return np.ascontiguousarray(weights[first:last]), first, last
