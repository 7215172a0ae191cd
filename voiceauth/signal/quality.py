# SPDX-License-Identifier: Apache-2.0
"""Quality of gathered speech from running sums, so that it costs the same for any length."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from voiceauth.signal.options import SpeechOptions
from voiceauth.types import Bandwidth, Quality, Reason
from voiceauth.units import Decibels

_SILENCE_DBFS: Final[Decibels] = -100.0

DISQUALIFYING: Final = frozenset(
    {
        Reason.LOW_SNR,
        Reason.LOW_LEVEL,
        Reason.CLIPPED,
        Reason.DC_OFFSET,
        Reason.TONE,
        Reason.DTMF,
        Reason.FORMAT_SUSPECT,
    }
)
"""Upsampled narrowband is said, not punished: it is scored as what it is."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over speech frames, each per frame.

    Attributes:
        frames: speech frames.
        power: mean squares of the samples.
        band_power: powers inside the speech bands.
        noise_power: powers of the noise floor in the same bands.
        clipped: fractions of samples at the rails.
        offset: means of the samples before the offset was removed.
        tones: frames of tones in the same stretch, which are not among ``frames``.
        digits: frames of DTMF likewise.
    """

    frames: int = 0
    power: float = 0.0
    band_power: float = 0.0
    noise_power: float = 0.0
    clipped: float = 0.0
    offset: float = 0.0
    tones: int = 0
    digits: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Add two stretches."""
        return Sums(
            self.frames + other.frames,
            self.power + other.power,
            self.band_power + other.band_power,
            self.noise_power + other.noise_power,
            self.clipped + other.clipped,
            self.offset + other.offset,
            self.tones + other.tones,
            self.digits + other.digits,
        )


def judge(
    sums: Sums,
    options: SpeechOptions,
    bandwidth: Bandwidth,
    source_issues: tuple[Reason, ...] = (),
) -> Quality:
    """Turn sums over at least one frame into a Quality with its issues.

    Args:
        sums: of the stretch.
        options: the limits.
        bandwidth: of the source.
        source_issues: what is known of the whole stream.
    """
    count = max(sums.frames, 1)
    level_dbfs = _decibels(sums.power / count)
    snr_db = _snr_db(sums)
    clipped = sums.clipped / count
    offset = sums.offset / count
    tone_fraction = sums.tones / max(sums.frames + sums.tones, 1)
    digit_fraction = sums.digits / max(sums.frames + sums.digits, 1)
    found = {
        Reason.LOW_SNR: snr_db is not None and snr_db < options.least_snr_db,
        Reason.LOW_LEVEL: level_dbfs < options.least_level_dbfs,
        Reason.CLIPPED: clipped > options.most_clipped_fraction,
        Reason.DC_OFFSET: abs(offset) > options.most_dc_offset,
        Reason.TONE: tone_fraction > options.most_tone_fraction,
        Reason.DTMF: digit_fraction > options.most_tone_fraction,
    }
    issues = tuple(reason for reason, present in found.items() if present) + source_issues
    return Quality(snr_db, level_dbfs, min(clipped, 1.0), offset, bandwidth, issues)


def _snr_db(sums: Sums) -> Decibels | None:
    if sums.noise_power <= 0.0:
        return None
    # Speech frames hold speech and noise; what is left after the noise is the speech.
    clean = max(sums.band_power - sums.noise_power, 0.01 * sums.noise_power)
    return _decibels(clean / sums.noise_power)


def _decibels(ratio: float) -> Decibels:
    return max(float(10.0 * np.log10(ratio + 1e-12)), _SILENCE_DBFS)
