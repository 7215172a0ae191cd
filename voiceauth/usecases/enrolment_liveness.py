# SPDX-License-Identifier: Apache-2.0
"""Liveness at enrolment: what is not shown to be living does not become a voiceprint.

Rules:

* A segment whose own evidence favours synthesis is not counted.
* The speech of a call as a whole must exclude synthesis at the enrolment's rate, segments that
  were not counted included: picking the best of a synthetic call helps nobody. Otherwise nothing of
  the call is stored; what earlier calls collected stays.
* Where no spoof model runs, nothing is checked, and the record says so.
"""

from voiceauth.liveness.synthetic import SpanScore, synthetic_llr
from voiceauth.types import LivenessState, Reason, Span
from voiceauth.units import Seconds
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.liveness_layers import SyntheticEar


class EnrolmentGate:
    """Judges the liveness of one enrolment call.

    Args:
        engine: of which the spoof layer and the enrolment rules matter here.
    """

    def __init__(self, engine: Engine) -> None:
        self._layer = engine.spoof
        self._limit = engine.enrolment.max_spoof_false_accept
        self._ear = SyntheticEar(engine.spoof)
        self._heard: Seconds = 0.0

    def objection(self, span: Span, score: float | None) -> Reason | None:
        """Note a counted span and say whether it favours synthesis by itself.

        Raises:
            ModelHashMismatchError, IntegrityError: the score cannot be judged.
        """
        self._ear.add(span, score)
        self._heard += span.net_seconds
        if self._layer is None or score is None:
            return None
        model = self._layer.detector.model
        llr = synthetic_llr([SpanScore(score, span.net_seconds)], model, self._layer.calibration)
        return Reason.SPOOF_SUSPECTED if llr is not None and llr < 0.0 else None

    def refusal(self) -> Reason | None:
        """Say why nothing of this call may be stored; None if it may, or nothing was heard."""
        if self._layer is None or self._heard == 0.0:
            return None
        slot = self._ear.slot(self._heard)
        if slot.state is LivenessState.SUSPECT:
            return Reason.SPOOF_SUSPECTED
        if slot.state is LivenessState.PENDING:
            return Reason.SYNTHETIC_NOT_MEASURED
        rate = slot.false_accept_rate
        excluded = rate is not None and rate <= self._limit
        return None if excluded else Reason.SYNTHETIC_NOT_EXCLUDED

    def body(self) -> dict[str, object]:
        """Return what the layer said, as the ledger keeps it."""
        slot = self._ear.slot(self._heard)
        return {
            "synthetic": {
                "state": slot.state.value,
                "llr": slot.llr,
                "false_accept_rate": slot.false_accept_rate,
                "false_reject_rate": slot.false_reject_rate,
            },
            "max_spoof_false_accept": self._limit,
            "spoof_model": None if self._layer is None else self._layer.detector.model,
        }
