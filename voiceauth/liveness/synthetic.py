# SPDX-License-Identifier: Apache-2.0
"""Synthetic speech: scores of spans to one log-likelihood ratio, or to none.

Positive ratios favour a living speaker, negative ones a synthesiser. The rules:

- Below a stated minimum of net speech there is no ratio. Absent is not zero: zero would claim that
  the evidence is balanced.
- A score outside the range that the calibration has seen counts as the end of that range: no
  ratio is stronger than what was measured.
- Spans weigh by their net speech. Spans of one call are not independent, so their scores are
  averaged and never added.
- A calibration belongs to one model file; another model's scores give no ratio.

What it does not do: decide. The decision room adds the ratio to the others under a policy.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voiceauth.errors import IntegrityError, ModelHashMismatchError
from voiceauth.liveness.rates import PENDING, RateTable, format_rates, parse_rates, rated_slot
from voiceauth.types import LivenessSlot, ModelHash
from voiceauth.units import Llr, Seconds

FORMAT = 1
_NUMBERS = ("slope", "offset", "lowest", "highest", "least_seconds")
_RATES = "rates"
_LEAST_SHARE = 0.5
"""Of the speech that the voice is compared by: the layer must have heard so much of it."""


@dataclass(frozen=True, slots=True)
class SpanScore:
    """The spoof model's answer about one span.

    Args:
        score: raw; higher is more synthetic.
        net_seconds: net speech of the span.
    """

    score: float
    net_seconds: Seconds


@dataclass(frozen=True, slots=True)
class SyntheticCalibration:
    """A line from mean raw score to log-likelihood ratio, and where it holds.

    Args:
        model: hash of the model file that it was fitted to.
        slope: ratio per unit of score; negative, since a higher score is more synthetic.
        offset: ratio at score 0.
        lowest: smallest score with support; lower ones count as this.
        highest: largest score with support.
        least_seconds: net speech below which there is no ratio.
        rates: measured error rates; None to take those that the ratio itself implies.
    """

    model: ModelHash
    slope: float
    offset: float
    lowest: float
    highest: float
    least_seconds: Seconds
    rates: RateTable | None = None


def synthetic_llr(
    spans: Sequence[SpanScore], model: ModelHash, calibration: SyntheticCalibration
) -> Llr | None:
    """How strongly the spans of one call speak for a living speaker.

    Args:
        spans: of one caller, any number, any order.
        model: hash of the model that gave the scores.
        calibration: fitted to that model.

    Returns:
        Natural-log ratio of a living speaker against a synthesiser; None with too little speech.

    Raises:
        ModelHashMismatchError: the calibration belongs to another model.
        IntegrityError: a score or a length is not finite, or a length is negative.
    """
    if model != calibration.model:
        raise ModelHashMismatchError(detail="the synthetic-speech calibration has another model")
    for span in spans:
        if not (math.isfinite(span.score) and math.isfinite(span.net_seconds)):
            raise IntegrityError(detail="a span score is not finite")
        if span.net_seconds < 0.0:
            raise IntegrityError(detail="a span has negative net speech")
    total = math.fsum(span.net_seconds for span in spans)
    if total < calibration.least_seconds:
        return None
    mean = math.fsum(span.score * span.net_seconds for span in spans) / total
    held = min(max(mean, calibration.lowest), calibration.highest)
    return calibration.slope * held + calibration.offset


def synthetic_slot(
    spans: Sequence[SpanScore],
    net_seconds: Seconds,
    model: ModelHash,
    calibration: SyntheticCalibration,
) -> LivenessSlot:
    """The layer's word about one call; raises as ``synthetic_llr``.

    Args:
        spans: that the model scored. Spans too short for it are missing, and an attacker may
            choose their length: less than half of the speech is not enough.
        net_seconds: speech that the voice was compared by.
        model: hash of the model that gave the scores.
        calibration: fitted to that model.
    """
    llr = synthetic_llr(spans, model, calibration)
    heard = math.fsum(span.net_seconds for span in spans)
    if llr is None or heard < _LEAST_SHARE * net_seconds:
        return PENDING
    return rated_slot(llr, calibration.rates)


def parse_calibration(text: str) -> SyntheticCalibration:
    """Read a calibration file.

    Raises:
        IntegrityError: not JSON, a field absent or unknown, or a value that cannot be.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise IntegrityError("The spoof calibration is not JSON.", detail=str(error)) from error
    fields = {"format", "model", *_NUMBERS}
    if not isinstance(content, Mapping) or set(content) - {_RATES} != fields:
        raise IntegrityError("The spoof calibration has other fields than expected.")
    numbers = {name: content[name] for name in _NUMBERS}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise IntegrityError(f"The spoof calibration's {name} is not a number.")
        if not math.isfinite(value):
            raise IntegrityError(f"The spoof calibration's {name} is not finite.")
    if content["format"] != FORMAT or not isinstance(content["model"], str):
        raise IntegrityError("The spoof calibration has another format.")
    found = SyntheticCalibration(
        model=ModelHash(content["model"]),
        **{name: float(v) for name, v in numbers.items()},
        rates=parse_rates(content[_RATES]) if _RATES in content else None,
    )
    # A rising line would reward synthetic speech; a minimum of zero would judge silence.
    if not (found.slope < 0.0 and found.lowest < found.highest and found.least_seconds > 0.0):
        raise IntegrityError("The spoof calibration's numbers cannot be.")
    return found


def format_calibration(calibration: SyntheticCalibration) -> str:
    """The text that ``parse_calibration`` reads."""
    fields: dict[str, object] = {name: getattr(calibration, name) for name in _NUMBERS}
    if calibration.rates is not None:
        fields[_RATES] = format_rates(calibration.rates)
    return json.dumps({"format": FORMAT, "model": calibration.model, **fields}, indent=1) + "\n"
