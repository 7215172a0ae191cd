# SPDX-License-Identifier: Apache-2.0
"""Continuity: is the voice of a call the same from first to last, and if not, since when?

Stretches of new speech are compared with the speech before. Each comparison gives a calibrated
ratio, same speaker over another, and a cumulative sum over the ratios (Page's test) raises the
alarm: one bad stretch is forgiven, a voice that stays strange is not.

Rules:

* What the sum is compared with was fitted to a stated share of false alarms per call, as were the
  lines; both belong to one speaker model and lie in a file beside it.
* No ratio is stronger than what was measured: ratios are clamped.
* Stretches may overlap; each counts by the share of it that is new.
* Once raised, an alarm stays.
* The moment of change is where the sum last began to rise.

Source:
    Page 1954, "Continuous inspection schemes".
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voiceauth.errors import IntegrityError, InternalError
from voiceauth.types import LivenessSlot, LivenessState, ModelHash
from voiceauth.units import Llr, Rate, Seconds

FORMAT = 1
_LENGTHS = ("window_seconds", "hop_seconds", "reference_seconds")
_LINES = ("spans", "call", "voiceprint")


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """From similarities to a ratio, and when their sum is an alarm.

    Attributes:
        weights: of the similarities, each positive.
        offset: ratio at similarity 0.
        lowest: no ratio below it is believed.
        highest: nor above it.
        allowance: added to every ratio before summing: speech this unlikely is still forgiven.
        alarm: sum at which a change is reported.

    Raises:
        IntegrityError: a number that cannot be.
    """

    weights: tuple[float, ...]
    offset: float
    lowest: Llr
    highest: Llr
    allowance: Llr
    alarm: float

    def __post_init__(self) -> None:
        """Refuse a line that would reward strangers or raise alarms over nothing."""
        numbers = (*self.weights, self.offset, self.lowest, self.highest, self.allowance)
        finite = all(math.isfinite(one) for one in (*numbers, self.alarm))
        rising = bool(self.weights) and all(weight > 0.0 for weight in self.weights)
        ordered = self.lowest < -self.allowance <= 0.0 < self.highest
        if not (finite and rising and ordered and self.alarm > 0.0):
            raise IntegrityError("A continuity line's numbers cannot be.")

    def llr(self, similarities: Sequence[float]) -> Llr:
        """Return the ratio of one stretch; similarities in the order of the weights.

        Raises:
            InternalError: another number of similarities, or one that is not finite.
        """
        if len(similarities) != len(self.weights) or not all(map(math.isfinite, similarities)):
            raise InternalError(detail="a stretch has other similarities than its line")
        pairs = zip(self.weights, similarities, strict=True)
        ratio = math.fsum(weight * one for weight, one in pairs) + self.offset
        return min(max(ratio, self.lowest), self.highest)


@dataclass(frozen=True, slots=True)
class ContinuityCalibration:
    """How one speaker model's embeddings are watched.

    Attributes:
        model: hash of the model.
        window_seconds: net speech of one stretch after the verdict.
        hop_seconds: new net speech from one stretch to the next.
        reference_seconds: earlier net speech without which nothing is compared.
        false_alarm_rate: share of calls of one person that raise an alarm, as fitted.
        spans: before the verdict, spans against the spans before.
        call: after it, stretches against the speech up to it.
        voiceprint: after an ACCEPT, stretches against that speech and the voiceprint.
    """

    model: ModelHash
    window_seconds: Seconds
    hop_seconds: Seconds
    reference_seconds: Seconds
    false_alarm_rate: Rate
    spans: ChangeLine
    call: ChangeLine
    voiceprint: ChangeLine

    def __post_init__(self) -> None:
        """Refuse lengths that cannot be watched."""
        fits = 0.0 < self.hop_seconds <= self.window_seconds and self.reference_seconds > 0.0
        counts = len(self.spans.weights), len(self.call.weights), len(self.voiceprint.weights)
        if not (fits and counts == (1, 1, 2) and 0.0 < self.false_alarm_rate < 1.0):
            raise IntegrityError("The continuity calibration's numbers cannot be.")


class ChangeDetector:
    """Sums the ratios of one call. One instance per watch.

    Args:
        line: of the comparison.
        new_share: of each stretch that the one before did not hold, in (0, 1].
    """

    def __init__(self, line: ChangeLine, new_share: float = 1.0) -> None:
        self._line = line
        self._share = new_share
        self._sum = 0.0
        self._since: Seconds | None = None
        self._changed_at: Seconds | None = None
        self._llr: Llr | None = None

    def add(self, similarities: Sequence[float], start_seconds: Seconds) -> None:
        """Add one stretch.

        Args:
            similarities: to what came before.
            start_seconds: stream time at which what is new in it begins.

        Raises:
            InternalError: as ``ChangeLine.llr``.
        """
        self._llr = self._line.llr(similarities)
        self._sum = max(0.0, self._sum - self._share * (self._llr + self._line.allowance))
        if self._sum == 0.0:
            self._since = None
        elif self._since is None:
            self._since = start_seconds
        if self._sum >= self._line.alarm and self._changed_at is None:
            self._changed_at = self._since

    @property
    def sum(self) -> float:
        """Of the ratios so far; the larger, the more like another person."""
        return self._sum

    @property
    def llr(self) -> Llr | None:
        """Of the newest stretch; None before any."""
        return self._llr

    @property
    def changed_at_seconds(self) -> Seconds | None:
        """Stream time of the change, as estimated; None without an alarm."""
        return self._changed_at

    def slot(self) -> LivenessSlot:
        """The layer's word: yes or no, without rates."""
        if self._changed_at is not None:
            return LivenessSlot(LivenessState.SUSPECT, self._llr)
        state = LivenessState.NOT_MEASURED if self._llr is None else LivenessState.LIVE
        return LivenessSlot(state, self._llr)


def parse_continuity(text: str) -> ContinuityCalibration:
    """Read a calibration file.

    Raises:
        IntegrityError: not JSON, a field absent or unknown, or a value that cannot be.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise IntegrityError(
            "The continuity calibration is not JSON.", detail=str(error)
        ) from error
    wanted = {"format", "model", "false_alarm_rate", *_LENGTHS, *_LINES}
    if not isinstance(content, Mapping) or set(content) != wanted or content["format"] != FORMAT:
        raise IntegrityError("The continuity calibration has other fields than expected.")
    if not isinstance(content["model"], str):
        raise IntegrityError("The continuity calibration names no model.")
    window, hop, reference = (_number(content[name]) for name in _LENGTHS)
    spans, call, voiceprint = (_line(content[name]) for name in _LINES)
    return ContinuityCalibration(
        ModelHash(content["model"]),
        window,
        hop,
        reference,
        _number(content["false_alarm_rate"]),
        spans,
        call,
        voiceprint,
    )


def format_continuity(calibration: ContinuityCalibration) -> str:
    """The text that ``parse_continuity`` reads."""
    lines = {name: _fields(getattr(calibration, name)) for name in _LINES}
    lengths = {name: getattr(calibration, name) for name in _LENGTHS}
    content = {
        "format": FORMAT,
        "model": calibration.model,
        "false_alarm_rate": calibration.false_alarm_rate,
        **lengths,
        **lines,
    }
    return json.dumps(content, indent=1) + "\n"


def _fields(line: ChangeLine) -> dict[str, object]:
    return {
        name: list(value) if isinstance(value := getattr(line, name), tuple) else value
        for name in ChangeLine.__dataclass_fields__
    }


def _line(content: Any) -> ChangeLine:
    names = set(ChangeLine.__dataclass_fields__)
    if not isinstance(content, Mapping) or set(content) != names:
        raise IntegrityError("A continuity line has other fields than expected.")
    if not isinstance(content["weights"], list):
        raise IntegrityError("A continuity line has no weights.")
    weights = tuple(_number(weight) for weight in content["weights"])
    rest = {name: _number(content[name]) for name in names - {"weights"}}
    return ChangeLine(weights=weights, **rest)


def _number(content: object) -> float:
    if isinstance(content, bool) or not isinstance(content, (int, float)):
        raise IntegrityError("The continuity calibration lacks a number.")
    return float(content)
