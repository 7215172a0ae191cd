# SPDX-License-Identifier: Apache-2.0
"""What the models and the scorer do."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from voiceauth.errors import EngineError
from voiceauth.types import Bandwidth, Embedding, ModelHash, Recognition, Samples, Score
from voiceauth.units import Decibels, Hertz, Seconds


class SpeakerEmbedder(Protocol):
    """A loaded speaker model. Implementations are safe to call from several threads."""

    @property
    def model(self) -> ModelHash:
        """SHA-256 of the model file."""
        ...

    @property
    def rate_hz(self) -> Hertz:
        """Sampling rate that ``embed`` expects."""
        ...

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        ...

    def embed(self, samples: Samples) -> Embedding:
        """Embed one span.

        Raises:
            TooShortError: fewer samples than the model's minimum.
            ModelOutputError: NaN, infinity or a wrong shape came out.
        """
        ...


@runtime_checkable
class BatchEmbedder(SpeakerEmbedder, Protocol):
    """A speaker model that also takes many spans, of any lengths, in one run."""

    def embed_many(self, spans: Sequence[Samples]) -> Sequence[Embedding | EngineError]:
        """Embed spans together.

        Returns:
            For each what ``embed`` returns for it alone, or the error that it would raise.

        Raises:
            ModelOutputError: the run failed, for all of them.
        """
        ...


class SpoofDetector(Protocol):
    """A loaded spoof model. Implementations are safe to call from several threads."""

    @property
    def model(self) -> ModelHash:
        """SHA-256 of the model file."""
        ...

    @property
    def least_samples(self) -> int:
        """Fewest samples that ``score`` takes."""
        ...

    def score(self, waveform: Samples) -> float:
        """Return the raw score of one span; higher is more synthetic.

        Raises:
            TooShortError: fewer samples than the model's minimum.
            ModelOutputError: NaN, infinity or a wrong shape came out.
        """
        ...


@runtime_checkable
class BatchDetector(SpoofDetector, Protocol):
    """A spoof model that also takes many spans, of any lengths, in one run."""

    def score_many(self, waveforms: Sequence[Samples]) -> Sequence[float | EngineError]:
        """Score spans together.

        Returns:
            For each what ``score`` returns for it alone, or the error that it would raise.

        Raises:
            ModelOutputError: the run failed, for all of them.
        """
        ...


class Scorer(Protocol):
    """Turns two embeddings into calibrated evidence. Pure and safe from several threads."""

    @property
    def version(self) -> str:
        """Version of the calibration tables."""
        ...

    def score(
        self,
        probe: Embedding,
        enrolled: Embedding,
        *,
        net_seconds: Seconds,
        bandwidth: Bandwidth,
        enrolled_seconds: Seconds | None = None,
        snr_db: Decibels | None = None,
    ) -> Score:
        """Compare a probe of ``net_seconds`` of speech with an enrolled voiceprint.

        What is not known (None) of the voiceprint's speech or of the probe's signal-to-noise ratio
        is taken at its worst.

        Returns:
            A score whose rates are None where the tables have no support.
        """
        ...


class Recognizer(Protocol):
    """Hears whether asked words were said. Implementations are safe for several threads."""

    @property
    def name(self) -> str:
        """What the ledger calls it, with its version."""
        ...

    def recognise(
        self, samples: Samples, rate_hz: Hertz, expected: Sequence[str], vocabulary: Sequence[str]
    ) -> Recognition:
        """Recognise one answer.

        Args:
            samples: the answer with some silence around it, shape (samples,).
            rate_hz: of the samples.
            expected: the words that were asked for.
            vocabulary: the words that could have been asked for.

        Raises:
            RecognitionError: it is down, failed, or does not know a word.
        """
        ...
