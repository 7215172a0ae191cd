# SPDX-License-Identifier: Apache-2.0
"""What the source really was: true bandwidth, and whether its bytes are what was declared.

Both look at whole blocks of the source before resampling and keep running sums only.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceauth.signal.decoder import read
from voiceauth.types import AudioFormat, Bandwidth, Encoding, Reason, Samples
from voiceauth.units import Decibels, Hertz

_LOW_BAND_HZ: Final = (300, 3400)
_HIGH_BAND_HZ: Final = (4300, 7500)
"""From above the telephone band's skirt; wide enough for the hiss of s and f."""
_NARROW_DB: Final[Decibels] = -45.0
"""High over low band: wideband speech lies at -15 to -35 dB over a phrase, upsampled telephone
speech at the quantising noise, some -65 dB."""
_ACTIVE_POWER: Final = 10**-5.0
"""-50 dBFS: fainter blocks say nothing about the source."""
_LEAST_BLOCKS: Final = 5
"""A second of active audio before a word is said."""
_NARROWBAND_HZ: Final[Hertz] = 8000
_WINDOW: Final = 1024


class BandwidthMeter:
    """Finds the true bandwidth of a source. Wideband must be shown; until then it is narrowband.

    Args:
        rate_hz: of the source.
    """

    def __init__(self, rate_hz: Hertz) -> None:
        self._rate_hz = rate_hz
        self._low = 0.0
        self._high = 0.0
        self._blocks = 0
        self._window = np.hanning(_WINDOW).astype(np.float32)
        hertz = np.fft.rfftfreq(_WINDOW, 1.0 / rate_hz)
        top = min(_HIGH_BAND_HZ[1], round(0.47 * rate_hz))
        self._low_bins = (hertz >= _LOW_BAND_HZ[0]) & (hertz <= _LOW_BAND_HZ[1])
        self._high_bins = (hertz >= _HIGH_BAND_HZ[0]) & (hertz <= top)

    def push(self, block: Samples) -> None:
        """Take one block of source samples, shape (samples,)."""
        frames = len(block) // _WINDOW
        if self._rate_hz <= _NARROWBAND_HZ or frames == 0:
            return
        if float(np.mean(np.square(block))) < _ACTIVE_POWER:
            return
        spectrum = np.abs(
            np.fft.rfft(
                block[: frames * _WINDOW].reshape(frames, _WINDOW) * self._window,
                axis=1,
                norm="forward",  # in float32; only ratios count here
            )
        )
        power = np.square(spectrum).sum(axis=0)
        self._low += float(power[self._low_bins].sum())
        self._high += float(power[self._high_bins].sum())
        self._blocks += 1

    @property
    def bandwidth(self) -> Bandwidth:
        """The bandwidth shown so far."""
        if self._rate_hz <= _NARROWBAND_HZ or self._blocks < _LEAST_BLOCKS or self._is_narrow():
            return Bandwidth.NARROWBAND
        return Bandwidth.WIDEBAND

    @property
    def issues(self) -> tuple[Reason, ...]:
        """UPSAMPLED_NARROWBAND once it is known that a higher rate carries nothing more."""
        if self._blocks >= _LEAST_BLOCKS and self._is_narrow():
            return (Reason.UPSAMPLED_NARROWBAND,)
        return ()

    def _is_narrow(self) -> bool:
        return bool(self._high < self._low * 10.0 ** (_NARROW_DB / 10.0))


_SMOOTHER: Final = 0.8
"""Another reading so much smoother is a vote. Speech read as declared gives such a ratio in fewer
than 1 block of 10, read wrongly in most (docs/vad.md)."""
_LEAST_OTHER_POWER: Final = 1e-6
"""-60 dBFS: a reading that is all but silent is smooth for no reason."""
_LEAST_VOTES: Final = 3
_MANY_BLOCKS: Final = 25
_THEN_EVERY: Final = 4
"""After 5 s of active audio the count is settled but for what began before the caller did (music,
ringing): every fourth block is still looked at."""


class FormatMeter:
    """Suspects a wrongly declared encoding: other readings of the same bytes are far smoother.

    Args:
        audio_format: as declared.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self._blocks = 0
        self._votes = 0
        self._passed = 0

    def may_be_due(self, count: int) -> list[int]:
        """Return which of the next blocks may have to be looked at; they decide that in turn."""
        if self._blocks < _MANY_BLOCKS:
            return list(range(count))
        return [place for place in range(count) if (self._passed + place + 1) % _THEN_EVERY == 0]

    def pass_by(self, seen: tuple[bool, bool] | None) -> None:
        """Count a block, if it is due.

        Args:
            seen: whether it is active and suspect, as ``smoother_otherwise`` judged it; None where
                ``may_be_due`` left it out.
        """
        self._passed += 1
        due = self._blocks < _MANY_BLOCKS or self._passed % _THEN_EVERY == 0
        if due and seen is not None:
            active, suspect = seen
            self._blocks += active
            self._votes += suspect

    @property
    def issues(self) -> tuple[Reason, ...]:
        """FORMAT_SUSPECT while most active blocks vote for another encoding."""
        suspect = self._votes >= _LEAST_VOTES and 2 * self._votes > self._blocks
        return (Reason.FORMAT_SUSPECT,) if suspect else ()


def weigh_formats(
    meters: Sequence[FormatMeter], runs: Sequence[Sequence[bytes]]
) -> list[list[tuple[Reason, ...]]]:
    """Give each stream's meter the bytes of its next blocks, and return the issues at each block.

    Args:
        meters: of the streams, each once.
        runs: of each, whole blocks in order.
    """
    groups: dict[tuple[AudioFormat, int], list[tuple[int, int]]] = defaultdict(list)
    for place, (meter, blocks) in enumerate(zip(meters, runs, strict=True)):
        for number in meter.may_be_due(len(blocks)):
            groups[meter.format, len(blocks[number])].append((place, number))
    seen: dict[tuple[int, int], tuple[bool, bool]] = {}
    for (audio_format, _), which in groups.items():
        joined = b"".join([runs[place][number] for place, number in which])
        active, suspect = smoother_otherwise(joined, len(which), audio_format)
        seen.update(zip(which, zip(active.tolist(), suspect.tolist(), strict=True), strict=True))
    issues: list[list[tuple[Reason, ...]]] = []
    for place, (meter, blocks) in enumerate(zip(meters, runs, strict=True)):
        issues.append([])
        for number in range(len(blocks)):
            meter.pass_by(seen.get((place, number)))
            issues[place].append(meter.issues)
    return issues


def smoother_otherwise(
    data: bytes, blocks: int, audio_format: AudioFormat
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which blocks are active, and which of those are far smoother in another reading.

    Args:
        data: blocks of equal length, one after the other.
        blocks: how many.
        audio_format: as declared.
    """
    step = audio_format.channels
    declared = read(data, audio_format.encoding).reshape(blocks, -1)[:, ::step]
    power, rough = _power_and_roughness(declared)
    active = power >= _ACTIVE_POWER
    suspect = np.zeros(blocks, dtype=bool)
    if active.any():
        for other in _other_readings(data, blocks, audio_format):
            its_power, its_rough = _power_and_roughness(other)
            suspect |= (its_power > _LEAST_OTHER_POWER) & (its_rough < _SMOOTHER * rough)
    return active, active & suspect


def roughness(samples: NDArray[np.float32]) -> float:
    """Return the power of the differences over the power (0 smooth, 2 white, 4 alternating)."""
    return float(_power_and_roughness(samples[np.newaxis])[1][0])


def _power_and_roughness(
    rows: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return both of each row, without its mean; shape of each (rows,)."""
    length = max(rows.shape[1], 1)
    centred = rows - rows.mean(axis=1, keepdims=True)
    power = np.einsum("ij,ij->i", centred, centred) / np.float32(length)
    steps = centred[:, 1:] - centred[:, :-1]
    differences = np.einsum("ij,ij->i", steps, steps) / np.float32(max(length - 1, 1))
    return power, differences / (power + np.float32(1e-12))


def _other_readings(data: bytes, blocks: int, audio_format: AudioFormat) -> list[Samples]:
    """Read the bytes in the ways that they are most often confused with, first channel."""
    step = audio_format.channels
    laws = [Encoding.MULAW, Encoding.ALAW]
    readings = [read(data, law) for law in laws if law is not audio_format.encoding]
    if len(data) // blocks % 2 == 0:
        if audio_format.encoding is not Encoding.PCM16LE:
            readings.append(read(data, Encoding.PCM16LE))
        swapped = np.frombuffer(data, dtype=">i2").astype(np.float32) / np.float32(32768)
        readings.append(swapped)
    return [one.reshape(blocks, -1)[:, ::step] for one in readings]
