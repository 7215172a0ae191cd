# SPDX-License-Identifier: Apache-2.0
"""The liveness layers that listen along with the speaker comparison, for one call."""

from voiceauth.liveness.synthetic import SpanScore, synthetic_slot
from voiceauth.types import LivenessSlot, Span
from voiceauth.units import Seconds
from voiceauth.usecases.engine import SpoofLayer


class SyntheticEar:
    """Collects the spoof model's scores of one call's counted spans.

    Args:
        layer: None where no spoof model runs; then the layer is not measured, ever.
    """

    def __init__(self, layer: SpoofLayer | None) -> None:
        self._layer = layer
        self._spans: list[SpanScore] = []

    def add(self, span: Span, score: float | None) -> None:
        """Note what the model said about a span; None for one that was too short for it."""
        if score is not None:
            self._spans.append(SpanScore(score, span.net_seconds))

    def slot(self, net_seconds: Seconds) -> LivenessSlot:
        """Return the layer's word.

        Args:
            net_seconds: speech that the voice is compared by.

        Raises:
            ModelHashMismatchError, IntegrityError: the scores cannot be judged.
        """
        if self._layer is None:
            return LivenessSlot()
        model = self._layer.detector.model
        return synthetic_slot(self._spans, net_seconds, model, self._layer.calibration)
