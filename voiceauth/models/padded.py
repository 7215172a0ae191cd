# SPDX-License-Identifier: Apache-2.0
"""Spans of unequal length in one run, each answered as if it ran alone.

A session runs the rewritten graph (``padded_graph``) on a batch whose rows are padded to the
longest. At the start both graphs hear the same trial spans on the device that will serve; a model
that answers otherwise in a batch is refused.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from voiceauth.errors import (
    EngineError,
    MissingExtraError,
    ModelOutputError,
    UnbatchableModelError,
)
from voiceauth.models.session import RUNTIME_ERRORS, SessionChoices, open_session
from voiceauth.types import Samples
from voiceauth.units import Hertz, Seconds

MOST_DIFFERENCE = 1e-4
"""Between an answer in a batch and alone, in an element of a unit embedding or, as a share where it
is above 1, in a score."""
_SEED = 20
_TRIALS = (1.0, 1.003, 1.39, 1.77, 2.0)
"""Lengths of the trial spans, in shortest ones: one of them is a few samples off another."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Shapes:
    """The few shapes that batches are brought to where a new shape costs.

    From ONNX Runtime 1.20 on, a CUDA session prepares every convolution again whenever a run has
    another shape than the run before (microsoft/onnxruntime#23006), for longer than the run takes.

    Attributes:
        rows: numbers of spans, ascending; the last is the most that are asked for at once.
        samples: the shortest length; others are it times 1.5, 2, 3, 4, 6, 8 and so on.
        sessions: most at once; what was used longest ago goes when there would be more.
    """

    rows: tuple[int, ...]
    samples: int
    sessions: int = 8

    @classmethod
    def up_to(cls, most: int, rate_hz: Hertz) -> Self:
        """Return shapes for so many spans: all of them or a quarter, lengths from 1 s."""
        return cls(tuple(sorted({-(-most // 4), most})), rate_hz)

    def above(self, rows: int, samples: int) -> tuple[int, int]:
        """Return the shape that holds a batch; one beyond the most spans keeps their number."""
        power = self.samples
        while power * 3 // 2 < samples:
            power *= 2
        length = power if power >= samples else power * 3 // 2
        return next((one for one in self.rows if one >= rows), rows), length


class PaddedSession:
    """A loaded graph for padded batches. Safe from several threads.

    Args:
        content: the model's ONNX file, already checked against its hash.
        choices: how it runs.
        shapes: bring batches to these, each in a session of its own; None takes them as they are.

    Raises:
        UnbatchableModelError: the graph cannot be rewritten.
        MissingExtraError: the ``onnx`` package is not installed.
        IntegrityError, SettingsError: as ``Session``.
    """

    def __init__(
        self,
        content: bytes,
        choices: SessionChoices | None = None,
        shapes: Shapes | None = None,
    ) -> None:
        try:
            from voiceauth.models.padded_graph import padded_graph  # noqa: PLC0415 - an extra's
        except ModuleNotFoundError as error:
            raise MissingExtraError("onnx", "gpu") from error
        self._graph = padded_graph(content)
        self._choices = choices or SessionChoices()
        self._shapes = shapes
        self._open: OrderedDict[tuple[int, int], onnxruntime.InferenceSession] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, lengths: Sequence[Seconds], rate_hz: Hertz) -> None:
        """Open, where there are shapes, those for batches of these lengths."""
        for rows in () if self._shapes is None else self._shapes.rows:
            for seconds in lengths:
                self.run([np.zeros(round(seconds * rate_hz), dtype=np.float32)] * rows)

    def run(self, spans: Sequence[Samples]) -> NDArray[np.float32]:
        """Run spans of any lengths together.

        Args:
            spans: at least one, float32, each of shape (samples,).

        Returns:
            One row per span, as float32; the caller checks it.

        Raises:
            ModelOutputError: the runtime failed, or gave another number of rows.
        """
        rows, samples = len(spans), max(len(span) for span in spans)
        if self._shapes is not None:
            rows, samples = self._shapes.above(rows, samples)
        waveforms = np.zeros((rows, samples), dtype=np.float32)
        # A row without a span repeats the first one: it is heard like any other, and dropped.
        lengths = np.full(rows, len(spans[0]), dtype=np.int64)
        waveforms[:, : len(spans[0])] = spans[0]
        for row, span in enumerate(spans[1:], start=1):
            waveforms[row] = 0.0
            waveforms[row, : len(span)] = span
            lengths[row] = len(span)
        session = self._session(rows, samples)
        waveform, second = (one.name for one in session.get_inputs())
        try:
            (output,) = session.run(None, {waveform: waveforms, second: lengths})
        except RUNTIME_ERRORS as error:
            raise ModelOutputError(detail=str(error)) from error
        answers = np.asarray(output, dtype=np.float32)
        if answers.shape[:1] != lengths.shape:
            raise ModelOutputError(detail=f"{rows} rows gave shape {answers.shape}")
        return answers[: len(spans)]

    def _session(self, rows: int, samples: int) -> onnxruntime.InferenceSession:
        most, shape = 1, (0, 0)
        if self._shapes is not None:
            most, shape = self._shapes.sessions, (rows, samples)
        with self._lock:
            if shape not in self._open:
                self._open[shape] = open_session(self._graph, self._choices)
            self._open.move_to_end(shape)
            if len(self._open) > most:
                self._open.popitem(last=False)
            return self._open[shape]


def each(
    spans: Sequence[Samples],
    check: Callable[[Samples], None],
    run: Callable[[Sequence[Samples]], Sequence[_T | EngineError]],
) -> list[_T | EngineError]:
    """Answer spans together without letting one's error be another's.

    Args:
        spans: to be answered, in order.
        check: raises for a span that the model does not take.
        run: answers those that it takes.

    Returns:
        Each span's answer, or its own error.
    """
    answers: list[_T | EngineError | None] = [None] * len(spans)
    taken = []
    for place, span in enumerate(spans):
        try:
            check(span)
        except EngineError as error:
            answers[place] = error
        else:
            taken.append(place)
    found = run([spans[place] for place in taken]) if taken else ()
    for place, answer in zip(taken, found, strict=True):
        answers[place] = answer
    return [answer for answer in answers if answer is not None]


def trial_spans(least_samples: int) -> list[Samples]:
    """Return unlike spans of several lengths: buzzing and hissing, loud and quiet, ever the same.

    Args:
        least_samples: of the shortest.
    """
    rng = np.random.default_rng(_SEED)
    spans = []
    for share in (_TRIALS[place] for place in rng.permutation(len(_TRIALS))):
        place = np.arange(int(share * least_samples))
        period = rng.uniform(30.0, 200.0)
        buzz = (place % period) / period - 0.5
        hiss = rng.uniform(0.01, 0.5) * rng.standard_normal(len(place))
        swell = 1.2 + np.sin(place * (rng.uniform(5.0, 20.0) / len(place)))
        level = 10.0 ** rng.uniform(-2.5, -0.5)
        spans.append((level * swell * (buzz + hiss)).astype(np.float32))
    return spans


def check_agreement(alone: NDArray[np.float32], together: NDArray[np.float32]) -> None:
    """Hold what a model says of trial spans alone against what it says of them in one batch.

    Args:
        alone: one row per span.
        together: likewise.

    Raises:
        UnbatchableModelError: they differ.
    """
    if alone.shape != together.shape:
        raise UnbatchableModelError(detail=f"shapes {alone.shape} and {together.shape}")
    difference = np.abs(alone - together) / np.maximum(1.0, np.abs(alone))
    # A NaN is no agreement either.
    if not (difference <= MOST_DIFFERENCE).all():
        raise UnbatchableModelError(
            detail=f"in a batch the answers differ by up to {float(difference.max()):.3g}"
        )
