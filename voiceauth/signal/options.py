# SPDX-License-Identifier: Apache-2.0
"""Options of the signal room: how speech is cut into spans and what makes a span worthless."""

from dataclasses import dataclass

from voiceauth.units import Decibels, Hertz, Seconds


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """How net speech is gathered and judged.

    Attributes:
        rate_hz: what the model takes; 8000 is the telephone network's.
        span_seconds: net speech per span; embeddings improve little beyond 3 s.
        least_span_seconds: shortest leftover worth embedding at the end or before a gap.
        first_span_seconds: the first span closes early so that a first score comes soon.
        lead_seconds: context kept before speech, as in training; at most 0.1.
        tail_seconds: context kept after speech, as in training; at most 0.3.
        least_snr_db: below it noise governs the embedding.
        least_level_dbfs: below it G.711 has only a few steps left.
        most_clipped_fraction: above it distortion governs the embedding.
        most_dc_offset: full scale 1. The offset itself is removed; this much is broken equipment,
            whose rails are then close on one side.
        most_tone_fraction: of a span's time; tones are cut out, but so many mean a machine.
    """

    rate_hz: Hertz = 8000
    span_seconds: Seconds = 3.0
    least_span_seconds: Seconds = 1.0
    first_span_seconds: Seconds = 2.0
    lead_seconds: Seconds = 0.1
    tail_seconds: Seconds = 0.2
    least_snr_db: Decibels = 3.0
    least_level_dbfs: Decibels = -55.0
    most_clipped_fraction: float = 0.05
    most_dc_offset: float = 0.25
    most_tone_fraction: float = 0.5
