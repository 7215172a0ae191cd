# SPDX-License-Identifier: Apache-2.0
"""Liveness at enrolment: what is not shown to be living does not become a voiceprint.

Rules:

* A segment that living callers would sound like only in the enrolment's share ``max_live_held`` is
  not counted.
* The same holds for the speech of a call as a whole, segments that were not counted included:
  picking the best of a synthetic call helps nobody. Then nothing of the call is stored; what
  earlier calls collected stays.
* With ``require_synthetic`` the whole must exclude synthesis at ``max_spoof_false_accept`` besides,
  and no segment counts whose own evidence favours synthesis.
* Where no spoof model runs, nothing is checked, and the record says so.
"""

from voiceauth.liveness.synthetic import SpanScore, synthetic_slot
from voiceauth.types import LivenessSlot, LivenessState, Reason, Span
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
        self._rules = engine.enrolment
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
        slot = synthetic_slot(
            [SpanScore(score, span.net_seconds)],
            span.net_seconds,
            self._layer.detector.model,
            self._layer.calibration,
        )
        doubtful = slot.state is LivenessState.SUSPECT and self._rules.require_synthetic
        return Reason.SPOOF_SUSPECTED if doubtful or self._low(slot) else None

    def refusal(self) -> Reason | None:
        """Say why nothing of this call may be stored; None if it may, or nothing was heard."""
        if self._layer is None or self._heard == 0.0:
            return None
        slot = self._ear.slot(self._heard)
        if slot.state is LivenessState.PENDING:
            return Reason.SYNTHETIC_NOT_MEASURED
        if self._low(slot):
            return Reason.SPOOF_SUSPECTED
        if not self._rules.require_synthetic:
            return None
        if slot.state is LivenessState.SUSPECT:
            return Reason.SPOOF_SUSPECTED
        rate = slot.false_accept_rate
        excluded = rate is not None and rate <= self._rules.max_spoof_false_accept
        return None if excluded else Reason.SYNTHETIC_NOT_EXCLUDED

    def _low(self, slot: LivenessSlot) -> bool:
        """Whether a word was said and hardly any living caller comes out so low."""
        rate = slot.false_reject_rate
        return rate is not None and rate <= self._rules.max_live_held

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
            "max_live_held": self._rules.max_live_held,
            "max_spoof_false_accept": (
                self._rules.max_spoof_false_accept if self._rules.require_synthetic else None
            ),
            "spoof_model": None if self._layer is None else self._layer.detector.model,
        }
