# SPDX-License-Identifier: Apache-2.0
"""The speech of one call as far as it was embedded: one mean, one weight, one bandwidth."""

from voiceauth.scoring.combine import MeanLevel, WeightedMean
from voiceauth.types import Bandwidth, Embedding, Span
from voiceauth.units import Decibels, Seconds


class Probe:
    """Grows by one embedded span at a time; its cost does not depend on the call's length."""

    def __init__(self) -> None:
        self._mean = WeightedMean()
        self._noise = MeanLevel()
        self._narrow: Seconds = 0.0

    def add(self, span: Span, embedding: Embedding) -> None:
        """Add a counted span."""
        self._mean.add(embedding, span.net_seconds)
        self._noise.add(span.quality.snr_db, span.net_seconds)
        if span.quality.bandwidth is Bandwidth.NARROWBAND:
            self._narrow += span.net_seconds

    @property
    def net_seconds(self) -> Seconds:
        """Net speech in it."""
        return self._mean.net_seconds

    @property
    def bandwidth(self) -> Bandwidth:
        """What most of the speech came through; narrowband in doubt, the harder condition."""
        wide = self._mean.net_seconds - self._narrow
        return Bandwidth.WIDEBAND if wide > self._narrow else Bandwidth.NARROWBAND

    @property
    def snr_db(self) -> Decibels | None:
        """Signal-to-noise ratio over all of it; None if it could not be measured."""
        return self._noise.mean()

    def mean(self) -> Embedding:
        """Return the net-seconds-weighted mean, unit norm. Raises InternalError when empty."""
        return self._mean.mean()
