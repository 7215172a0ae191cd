# SPDX-License-Identifier: Apache-2.0
"""Replay of an earlier call: does this speech repeat a recording that was heard before?

Rules:

* Nobody says a sentence twice with the same pitch and the same timing to within a few hundredths
  of a second over two seconds; a recording does. The fingerprint of each such block of the call is
  compared with every place of every stored one: the share of agreeing bits beyond chance counts.
* The better half of the blocks counts, so that a replay with other speech around it, or joined
  from pieces of several calls, is still one.
* The call is also compared as if played a few per cent slower or faster.
* Before the first block, and with nothing stored, there is no ratio. Absent is not passed.
* Every comparison takes the same work: what is stored is filled up to one length.
* Bits are compared as bits, 32 at once; a memory is as small as what is stored.

What it does not do: find a recording that was never heard by this engine.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import InternalError
from voiceauth.liveness.fingerprint import BITS, FRAME_SECONDS, shipped_directions
from voiceauth.liveness.fingerprint_speeds import SpeedPrinter
from voiceauth.liveness.rates import RateTable
from voiceauth.types import CallId, Fingerprint, HeardRecording, ReplayEvidence, Samples
from voiceauth.units import Llr, Seconds

SPEEDS = (1.0, 0.98, 1.02, 0.96, 1.04)
BLOCK = 56
"""Frames of one comparison: 1.8 s, which rest on 2.7 s of audio."""
STEP = 28
STRIDE = 4
"""Neighbouring frames share most of their audio: every fourth of a block's says enough."""
_LEAST_SPOKEN = 0.6
_DECOY_FRAMES = 640

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Line:
    """From agreement to log-likelihood ratio, for so much compared speech and more.

    Attributes:
        from_seconds: least length compared that it holds for.
        slope: ratio per unit of agreement; negative, since agreement speaks against a live voice.
        offset: ratio at agreement 0.
        most: largest ratio, either way, that the trials behind it support.
    """

    from_seconds: Seconds
    slope: float
    offset: float
    most: Llr


@dataclass(frozen=True, slots=True)
class ReplayCalibration:
    """What agreement is worth.

    Attributes:
        directions: version of the learned directions that it was fitted with.
        lines: in order of ``from_seconds``; the first begins at 0.
    """

    directions: str
    lines: tuple[Line, ...]

    def llr(self, agreement: float, seconds: Seconds) -> Llr:
        """Return the ratio, positive for a live voice."""
        fitting = [line for line in self.lines if line.from_seconds <= seconds]
        line = fitting[-1]
        return min(max(line.slope * agreement + line.offset, -line.most), line.most)


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What is remembered of a subject, laid out for comparison.

    Attributes:
        words: the 32 bits of each frame of all recordings with silence between, then filling;
            shape (frames,).
        silent: places of frames without bits, rising, shape (silent frames,).
        searched: frames from the beginning that may match.
        starts: first frame of each recording.
        calls: where each was heard; None for a stand-in.
    """

    words: NDArray[np.uint32]
    silent: NDArray[np.int64]
    searched: int
    starts: NDArray[np.int64]
    calls: tuple[CallId | None, ...]

    def owner(self, place: int) -> CallId | None:
        """Return the call of the recording that a block at a place overlaps most."""
        found = int(np.searchsorted(self.starts, place + BLOCK // 2, side="right")) - 1
        return self.calls[max(0, found)]


def memory_of(recordings: Sequence[HeardRecording], length: int, filling: bytes) -> Memory:
    """Lay out recordings, and fill up so that each comparison costs the same.

    Args:
        recordings: oldest first; those of other directions are left out, and the oldest that do
            not fit in ``length``.
        length: frames in all.
        filling: secret from which the filling is made.

    Returns:
        A memory; without recordings nothing of it is searched.
    """
    version = shipped_directions().version
    pieces, starts, calls, used = [], [], [], 0
    for one in reversed(recordings):
        room = one.fingerprint.frames + BLOCK
        if one.fingerprint.version == version and used + room <= length:
            starts.append(used)
            calls.append(one.call)
            pieces += [_words(one.fingerprint), np.zeros(BLOCK, dtype=np.uint32)]
            used += room
    pieces.append(_filling(filling, length + BLOCK - used))
    return _laid_out(pieces, used, starts, calls)


def stand_in(length: int, filling: bytes) -> Memory:
    """Return a memory of somebody who is not there: it never matches, and costs the same."""
    return _laid_out([_filling(filling, length + BLOCK)], min(_DECOY_FRAMES, length), [0], [None])


def _laid_out(
    pieces: Sequence[NDArray[np.uint32]],
    searched: int,
    starts: Sequence[int],
    calls: Sequence[CallId | None],
) -> Memory:
    words = np.concatenate(pieces)
    silent = np.flatnonzero(words == 0)
    return Memory(words, silent, searched, np.array(starts, dtype=np.int64), tuple(calls))


def _words(print_: Fingerprint) -> NDArray[np.uint32]:
    """Read a fingerprint, 32 bits to a word; a pause is 0.

    Raises:
        InternalError: the bytes do not fit the number of frames.
    """
    if len(print_.bits) != print_.frames * BITS // 8:
        raise InternalError(detail="a fingerprint's bytes do not fit its frames")
    return np.frombuffer(print_.bits, dtype=np.uint32)


def _filling(secret: bytes, count: int) -> NDArray[np.uint32]:
    return np.frombuffer(hashlib.shake_256(secret).digest(count * BITS // 8), dtype=np.uint32)


class Comparison:
    """The speech of one call against a memory, piece by piece. Not thread-safe.

    Args:
        key: of the fingerprints in the memory.
        memory: what is remembered.
        calibration: the shipped one by default.
    """

    def __init__(
        self, key: bytes, memory: Memory, calibration: ReplayCalibration | None = None
    ) -> None:
        self._memory = memory
        self._calibration = calibration or SHIPPED
        self._printer = SpeedPrinter(key, SPEEDS)
        self._tracks = [_Track(speed, memory) for speed in SPEEDS]

    @property
    def possible(self) -> bool:
        """Whether there is anything to compare with."""
        known = self._calibration.directions == shipped_directions().version
        return known and self._memory.searched > 0

    def push(self, audio: Samples, speech: NDArray[np.bool_]) -> Floats:
        """Compare the audio that follows; the cost depends on its length alone.

        Args:
            audio: 8 kHz, shape (samples,).
            speech: of each sample, whether it is speech and not a pause, shape (samples,).

        Returns:
            The new frames of the fingerprint, float32, shape (frames, 32).

        Raises:
            BadAudioError: not one-dimensional, not finite, or lengths that differ.
        """
        frames = self._printer.push(audio, speech)
        for track, made in zip(self._tracks, frames, strict=True):
            track.push(made)
        return frames[0]

    def evidence(self) -> ReplayEvidence | None:
        """Say what was found so far; None before the first block, and with nothing to compare."""
        tracks = [track for track in self._tracks if track.agreement]
        if not self.possible or not tracks:
            return None
        best = max(tracks, key=_Track.better_half)
        agreement = best.better_half()
        compared = covered_seconds([True] * len(best.agreement))
        llr = self._calibration.llr(agreement, compared)
        alike = [self._calibration.llr(one, 0.0) < 0.0 for one in best.agreement]
        place = best.place[int(np.argmax(best.agreement))]
        return ReplayEvidence(
            llr=llr,
            agreement=agreement,
            call=self._memory.owner(place) if llr < 0.0 else None,
            matched_seconds=covered_seconds(alike),
            compared_seconds=compared,
            speed=round(1.0 / best.speed, 2),
        )


class _Track:
    """The comparison at one speed: the best agreement of each block, and where it was.

    Blocks overlap by half, so each half is compared once and serves two blocks.
    """

    def __init__(self, speed: float, memory: Memory) -> None:
        self.speed = speed
        self.agreement: list[float] = []
        self.place: list[int] = []
        self._memory = memory
        self._waiting = np.zeros((0, BITS), dtype=np.float32)
        self._before: _Half | None = None

    def push(self, frames: Floats) -> None:
        self._waiting = np.concatenate([self._waiting, frames])
        while len(self._waiting) >= STEP:
            rows = self._waiting[:STEP:STRIDE]
            self._waiting = self._waiting[STEP:]
            if not self._memory.searched:
                continue
            half = _compared(rows, self._memory)
            if self._before is not None:
                self._joined(self._before, half)
            self._before = half

    def _joined(self, first: "_Half", second: "_Half") -> None:
        """Look for the block that two halves make, unless it is mostly pause."""
        spoken = first.spoken + second.spoken
        if spoken < _LEAST_SPOKEN * BLOCK / STRIDE:
            return
        count = len(self._memory.words) - BLOCK
        differing = np.add(
            first.differing[:count], second.differing[STEP : STEP + count], dtype=np.uint16
        )
        place = int(np.argmin(differing[: self._memory.searched]))
        self.agreement.append(1.0 - 2.0 * int(differing[place]) / (BITS * spoken))
        self.place.append(place)

    def better_half(self) -> float:
        """Mean agreement of the better half of the blocks."""
        half = (len(self.agreement) + 1) // 2
        return float(np.mean(sorted(self.agreement)[-half:]))


@dataclass(frozen=True, slots=True, eq=False)
class _Half:
    """Half of a block, compared.

    Attributes:
        spoken: rows with bits.
        differing: bits that differ at each place, shape (places,); 7 rows of 32 bits fit a byte.
    """

    spoken: int
    differing: NDArray[np.uint8]


def _compared(rows: Floats, memory: Memory) -> _Half:
    """Count the bits of half a block that differ at each place.

    A frame without bits in the memory agrees and differs by half; one of the call does not count.
    """
    count = len(memory.words) - STEP
    words = np.packbits(rows > 0.0, axis=1).view(np.uint32)[:, 0]
    differing = np.zeros(count, dtype=np.uint8)
    spoken = np.flatnonzero(rows.any(axis=1))
    for number in spoken.tolist():
        start = number * STRIDE
        found = np.bitwise_count(memory.words[start : start + count] ^ words[number])
        first, last = np.searchsorted(memory.silent, (start, start + count))
        found[memory.silent[first:last] - start] = BITS // 2
        differing += found
    return _Half(len(spoken), differing)


def covered_seconds(blocks: Sequence[bool]) -> Seconds:
    """Return the length of the chosen ones of half-overlapping blocks."""
    chosen = np.array([False, *blocks, False])
    return float((chosen[1:] | chosen[:-1]).sum() * STEP * FRAME_SECONDS)


RATES: RateTable | None = None
SHIPPED = ReplayCalibration(
    "0e12251ef710603b", (Line(0.0, -56.296, 33.038, 5.33), Line(4.0, -79.953, 50.942, 5.33))
)
"""From ``python -m voiceauth.training.replay_fit``, with the directions of that version."""
