# SPDX-License-Identifier: Apache-2.0
"""The models with a second way to be asked: many spans of unequal length in one run.

What they say of a span is what they say of it alone, within rounding; that is checked at the start
(``models.padded``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from voiceauth.errors import EngineError, ModelOutputError
from voiceauth.models.manifest import ModelEntry, SpoofEntry, read_verified
from voiceauth.models.padded import PaddedSession, Shapes, check_agreement, each, trial_spans
from voiceauth.models.session import Session, SessionChoices
from voiceauth.models.speaker import OnnxSpeaker, SpeakerShape, check_waveforms
from voiceauth.models.spoof import OnnxSpoof, ResampledSpoof
from voiceauth.types import Embedding, Samples
from voiceauth.units import Hertz, Seconds

COMMON_SECONDS: tuple[Seconds, ...] = (3.0, 4.0)
"""Lengths that are made ready where a new shape costs: 3 s of net speech with what is around."""


class BatchingSpeaker(OnnxSpeaker):
    """A speaker model; implements ``ports.BatchEmbedder``. Safe from several threads.

    Args:
        content: the fp32 file, already checked against its hash.
        shape: what the manifest states.
        choices: how its sessions run.
        shapes: what batches are brought to; None takes them as they are.

    Raises:
        UnbatchableModelError: the graph cannot be rewritten, or answers otherwise in a batch.
        MissingExtraError: the ``onnx`` package is not installed.
        IntegrityError, SettingsError, ModelOutputError: as ``Session`` and ``OnnxSpeaker``.
    """

    def __init__(
        self,
        content: bytes,
        shape: SpeakerShape,
        choices: SessionChoices | None = None,
        shapes: Shapes | None = None,
    ) -> None:
        super().__init__(Session(content, choices), shape)
        self._padded = PaddedSession(content, choices, shapes)
        self._padded.prepare(COMMON_SECONDS, shape.rate_hz)
        spans = trial_spans(shape.least_samples)
        check_agreement(
            np.stack([self.embed(span) for span in spans]),
            self._checked(self._padded.run(spans), len(spans)),
        )

    @classmethod
    def of_manifest(
        cls,
        directory: Path,
        entry: ModelEntry,
        choices: SessionChoices | None = None,
        shapes: Shapes | None = None,
    ) -> Self:
        """Load the fp32 form of a manifest's model; raises as the class and ``read_verified``."""
        content = read_verified(directory, entry.file, entry.sha256)
        return cls(content, SpeakerShape.of_entry(entry), choices, shapes)

    def embed_many(self, spans: Sequence[Samples]) -> Sequence[Embedding | EngineError]:
        """Embed spans in one run.

        Args:
            spans: float32, each of shape (samples,), at ``rate_hz``.

        Returns:
            For each its embedding, float32, shape (dimension,), Euclidean norm 1; or what ``embed``
            would raise for it.

        Raises:
            ModelOutputError: the run failed, for all of them.
        """
        return each(spans, self._check, self._run)

    def _check(self, samples: Samples) -> None:
        check_waveforms(samples[np.newaxis], self.least_samples)

    def _run(self, spans: Sequence[Samples]) -> list[Embedding | EngineError]:
        answers: list[Embedding | EngineError] = []
        for row in self._padded.run(spans):
            try:
                answers.append(self._checked(row[np.newaxis], 1)[0])
            except ModelOutputError as error:
                answers.append(error)
        return answers


class BatchingSpoof(OnnxSpoof):
    """A spoof model; implements ``ports.BatchDetector``. Safe from several threads.

    Args:
        content: the ONNX file.
        choices: how its sessions run.
        shapes: what batches are brought to; None takes them as they are.

    Raises:
        UnbatchableModelError: the graph cannot be rewritten, or answers otherwise in a batch.
        MissingExtraError: the ``onnx`` package is not installed.
        IntegrityError, SettingsError, ModelOutputError: as ``OnnxSpoof``.
    """

    def __init__(
        self,
        content: bytes,
        choices: SessionChoices | None = None,
        shapes: Shapes | None = None,
    ) -> None:
        super().__init__(content, choices)
        self._padded = PaddedSession(content, choices, shapes)
        self._padded.prepare(COMMON_SECONDS, self.rate_hz)
        spans = trial_spans(self.least_samples)
        alone = np.array([self.score(span) for span in spans], dtype=np.float32)
        check_agreement(alone, self._padded.run(spans))

    @classmethod
    def of_manifest(
        cls,
        directory: Path,
        entry: SpoofEntry,
        choices: SessionChoices | None = None,
        shapes: Shapes | None = None,
    ) -> Self:
        """Load a manifest's spoof model; raises as the class and ``read_verified``."""
        return cls(read_verified(directory, entry.file, entry.sha256), choices, shapes)

    def score_many(self, waveforms: Sequence[Samples]) -> Sequence[float | EngineError]:
        """Score spans in one run.

        Args:
            waveforms: float32, each of shape (samples,), 8 kHz.

        Returns:
            For each its raw score, or what ``score`` would raise for it.

        Raises:
            ModelOutputError: the run failed, for all of them.
        """
        return each(waveforms, self._check, self._run)

    def _check(self, waveform: Samples) -> None:
        check_waveforms(waveform[np.newaxis], self.least_samples)

    def _run(self, spans: Sequence[Samples]) -> list[float | EngineError]:
        rows = self._padded.run(spans)
        if rows.ndim != 1:
            raise ModelOutputError(detail=f"the model returned shape {rows.shape}")
        return [
            float(row) if np.isfinite(row) else ModelOutputError(detail="the model returned NaN")
            for row in rows
        ]


class ResampledBatchingSpoof(ResampledSpoof):
    """A spoof model behind a speaker model of another rate; implements ``ports.BatchDetector``.

    Args:
        detector: the model.
        from_hz: rate of the spans.
    """

    def __init__(self, detector: BatchingSpoof, from_hz: Hertz) -> None:
        super().__init__(detector, from_hz)
        self._many = detector

    def score_many(self, waveforms: Sequence[Samples]) -> Sequence[float | EngineError]:
        """Score spans in one run; as ``BatchingSpoof.score_many``, at the spans' rate."""
        brought: list[Samples] = []

        def check(waveform: Samples) -> None:
            brought.append(self._brought(waveform))

        return each(waveforms, check, lambda _: self._many.score_many(brought))
