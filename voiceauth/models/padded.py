# SPDX-License-Identifier: Apache-2.0
"""Spans of unequal length in one run, each answered as if it ran alone.

A session runs the rewritten graph (``padded_graph``) on a batch whose rows are padded to the
longest. At the start both graphs hear the same trial spans on the device that will serve; a model
that answers otherwise in a batch is refused.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import (
    EngineError,
    IntegrityError,
    MissingExtraError,
    ModelOutputError,
    UnbatchableModelError,
)
from voiceauth.models.session import RUNTIME_ERRORS, SessionChoices, open_session
from voiceauth.types import Samples

MOST_DIFFERENCE = 1e-4
"""Between an answer in a batch and alone, in an element of a unit embedding or, as a share where it
is above 1, in a score."""
_SEED = 20
_TRIALS = (1.0, 1.003, 1.39, 1.77, 2.0)
"""Lengths of the trial spans, in shortest ones: one of them is a few samples off another."""

_T = TypeVar("_T")


class PaddedSession:
    """A loaded graph for padded batches. Safe from several threads.

    Args:
        content: the model's ONNX file, already checked against its hash.
        choices: how it runs.

    Raises:
        UnbatchableModelError: the graph cannot be rewritten.
        MissingExtraError: the ``onnx`` package is not installed.
        IntegrityError, SettingsError: as ``Session``.
    """

    def __init__(self, content: bytes, choices: SessionChoices | None = None) -> None:
        try:
            from voiceauth.models.padded_graph import padded_graph  # noqa: PLC0415 - an extra's
        except ModuleNotFoundError as error:
            raise MissingExtraError("onnx", "gpu") from error
        session = open_session(padded_graph(content), choices or SessionChoices())
        if len(session.get_inputs()) != 2 or len(session.get_outputs()) != 1:  # noqa: PLR2004
            raise IntegrityError("The model file is not a waveform-to-embedding graph.")
        self._session = session
        self._waveform, self._lengths = (one.name for one in session.get_inputs())

    def run(self, spans: Sequence[Samples]) -> NDArray[np.float32]:
        """Run spans of any lengths together.

        Args:
            spans: at least one, float32, each of shape (samples,).

        Returns:
            One row per span, as float32; the caller checks it.

        Raises:
            ModelOutputError: the runtime failed, or gave another number of rows.
        """
        lengths = np.array([len(span) for span in spans], dtype=np.int64)
        waveforms = np.zeros((len(spans), int(lengths.max())), dtype=np.float32)
        for row, span in zip(waveforms, spans, strict=True):
            row[: len(span)] = span
        try:
            (output,) = self._session.run(None, {self._waveform: waveforms, self._lengths: lengths})
        except RUNTIME_ERRORS as error:
            raise ModelOutputError(detail=str(error)) from error
        rows = np.asarray(output, dtype=np.float32)
        if rows.shape[:1] != lengths.shape:
            raise ModelOutputError(detail=f"{len(spans)} spans gave shape {rows.shape}")
        return rows


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
