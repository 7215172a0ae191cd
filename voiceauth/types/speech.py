# SPDX-License-Identifier: Apache-2.0
"""Audio as it arrives, and what was heard in it."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from voiceauth.types.names import Samples
from voiceauth.types.reasons import Reason
from voiceauth.units import Cosine, Decibels, Hertz, Llr, Rate, Seconds


class Encoding(StrEnum):
    """How audio bytes are coded on the wire."""

    MULAW = "mulaw"
    ALAW = "alaw"
    PCM16LE = "pcm16le"


class Bandwidth(StrEnum):
    """What frequencies the source really carried, whatever the sampling rate says."""

    NARROWBAND = "narrowband"
    """Up to about 4 kHz: the classic telephone."""
    WIDEBAND = "wideband"
    """Beyond 4 kHz: HD voice, microphones."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The declared layout of one audio stream.

    Attributes:
        encoding: G.711 implies 8000 Hz.
        rate_hz: samples per second and channel.
        channels: 1 or 2, interleaved.
        channel: zero-based index of the caller's channel.
    """

    encoding: Encoding
    rate_hz: Hertz = 8000
    channels: int = 1
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured on a stretch of audio.

    Attributes:
        snr_db: speech level over noise floor; None before both are known.
        level_dbfs: active speech level relative to full scale.
        clipped_fraction: share of speech samples at the rails, 0 to 1.
        dc_offset: mean of the samples, full scale 1.
        bandwidth: true source bandwidth, not the sampling rate.
        issues: what was found wrong; a segment with a disqualifying issue is not counted.
    """

    snr_db: Decibels | None
    level_dbfs: Decibels
    clipped_fraction: float
    dc_offset: float
    bandwidth: Bandwidth
    issues: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """A stretch of net speech that is embedded once.

    Attributes:
        samples: speech at the model's rate, pauses limited as in training, shape (samples,).
        net_seconds: speech in it, without the pauses kept for context.
        start_seconds: stream time of its first sample.
        end_seconds: stream time just after its last sample.
        quality: measured on this span; ``issues`` says why it is not counted, if it is not.
        counted: False when it must not add to the evidence or the enrolment.
        hops: place in the stream of each 10 ms of ``samples``, rising, shape (hops,); empty where
            it is not known. Pauses that were cut out show as gaps.
    """

    samples: Samples
    net_seconds: Seconds
    start_seconds: Seconds
    end_seconds: Seconds
    quality: Quality
    counted: bool = True
    hops: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Score:
    """One calibrated comparison of a probe with a subject's voiceprints.

    Attributes:
        raw: the (normalised) similarity that was calibrated.
        llr: natural-log likelihood ratio, None outside the tables' support.
        false_match_rate: chance that an impostor reaches this LLR, None outside support.
        false_non_match_rate: chance that the true speaker scores this low or lower.
        floor_reached: True when the rate is the smallest that the tables can support, so the
            true one may be smaller.
    """

    raw: Cosine
    llr: Llr | None
    false_match_rate: Rate | None
    false_non_match_rate: Rate | None
    floor_reached: bool = False
