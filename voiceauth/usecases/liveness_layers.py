# SPDX-License-Identifier: Apache-2.0
"""The liveness layers that listen along with the speaker comparison, for one call."""

from voiceauth.liveness.continuity import ChangeDetector
from voiceauth.liveness.synthetic import SpanScore, synthetic_slot
from voiceauth.types import Embedding, LivenessSlot, Span
from voiceauth.units import Seconds
from voiceauth.usecases.engine import Engine, SpoofLayer
from voiceauth.usecases.probe import Probe


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


class SpanContinuity:
    """Holds each span before the verdict against the spans before it.

    Args:
        engine: of which model, scorer and continuity calibration matter here.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        rule = engine.continuity
        self._detector = None if rule is None else ChangeDetector(rule.spans)

    def add(self, span: Span, embedding: Embedding, before: Probe) -> None:
        """Compare one span with what was heard before it."""
        rule = self._engine.continuity
        if rule is None or self._detector is None or before.net_seconds < rule.reference_seconds:
            return
        score = self._engine.scorer.score(
            embedding,
            before.mean(),
            net_seconds=span.net_seconds,
            bandwidth=span.quality.bandwidth,
        )
        self._detector.add([score.raw], span.start_seconds)

    def slot(self) -> LivenessSlot:
        """Return the layer's word."""
        return LivenessSlot() if self._detector is None else self._detector.slot()
