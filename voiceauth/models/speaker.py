# SPDX-License-Identifier: Apache-2.0
"""The speaker model: a span of speech in, a unit embedding out."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import (
    BadAudioError,
    ModelHashMismatchError,
    ModelOutputError,
    SettingsError,
    TooShortError,
)
from voiceauth.models.forms import FORM_NOTE
from voiceauth.models.manifest import ModelEntry, read_verified
from voiceauth.models.session import Session, SessionChoices
from voiceauth.types import Embedding, ModelHash, Samples
from voiceauth.units import Hertz, Seconds

Precision = Literal["fp32", "int8"]

RATE_NOTE = "sample_rate"
"""Metadata key under which a model file states its sampling rate."""
LEAST_SECONDS: Seconds = 0.5
"""Shortest span of a model that is opened without a manifest."""
_UNIT_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class SpeakerShape:
    """What a speaker model takes and gives.

    Attributes:
        model: SHA-256 of the file.
        rate_hz: of the waveform.
        dimension: of the embedding.
        least_samples: fewer are refused.
    """

    model: ModelHash
    rate_hz: Hertz
    dimension: int
    least_samples: int

    @classmethod
    def of_entry(cls, entry: ModelEntry) -> Self:
        """Return what a manifest states."""
        return cls(entry.sha256, entry.sample_rate_hz, entry.dimension, entry.least_samples)


class OnnxSpeaker:
    """A loaded speaker model; implements ``ports.SpeakerEmbedder``. Safe from several threads.

    Args:
        session: of the model file.
        shape: what the manifest states; a graph that disagrees is refused.

    Raises:
        ModelHashMismatchError: the file states another sampling rate than the manifest.
        ModelOutputError: a trial run gives another dimension, or no unit vector.
    """

    def __init__(self, session: Session, shape: SpeakerShape) -> None:
        self._session = session
        self._shape = shape
        stated = session.notes.get(RATE_NOTE)
        if stated is not None and stated != str(shape.rate_hz):
            raise ModelHashMismatchError(
                detail=f"the model file hears {stated} Hz, its manifest says {shape.rate_hz}"
            )
        # The first run of a shape is slow and finds a wrong graph: better now than in a call.
        self.embed(trial_waveform(max(shape.least_samples, shape.rate_hz)))

    @classmethod
    def of_entry(
        cls,
        directory: Path,
        entry: ModelEntry,
        choices: SessionChoices | None = None,
        precision: Precision = "fp32",
    ) -> Self:
        """Load a model of a manifest.

        Both forms carry the hash of the fp32 file: they are one model, and take each other's
        voiceprints.

        Raises:
            SettingsError: the model has no int8 form, or that form is asked for off the processor.
            ModelHashMismatchError: the int8 file was made from another model.
            IntegrityError, ModelOutputError: as ``read_verified``, ``Session`` and the class.
        """
        shape = SpeakerShape.of_entry(entry)
        if precision == "fp32":
            return cls(Session(read_verified(directory, entry.file, entry.sha256), choices), shape)
        if entry.int8 is None:
            raise SettingsError(f"The model {entry.name!r} has no int8 form.")
        if choices is not None and choices.device != "cpu":
            raise SettingsError("An int8 model runs on the processor: set models.device to cpu.")
        session = Session(read_verified(directory, entry.int8.file, entry.int8.sha256), choices)
        if session.notes.get(FORM_NOTE) != entry.sha256:
            raise ModelHashMismatchError(detail=f"{entry.int8.file} is no form of {entry.file}")
        return cls(session, shape)

    @classmethod
    def of_file(cls, path: Path, choices: SessionChoices | None = None) -> Self:
        """Load a model file that has no manifest yet, for evaluation and calibration.

        Raises:
            SettingsError: the file cannot be read or does not state its sampling rate.
            IntegrityError: it is not a usable model.
            ModelOutputError: its output is not a unit vector.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SettingsError(f"Cannot read the model file {path}: {error.strerror}.") from error
        session = Session(content, choices)
        rate = session.notes.get(RATE_NOTE, "")
        if not rate.isdecimal() or int(rate) == 0:
            raise SettingsError(f"The model file {path} does not state its sampling rate.")
        output = session.run(trial_waveform(int(rate))[np.newaxis])
        shape = SpeakerShape(
            model=ModelHash(hashlib.sha256(content).hexdigest()),
            rate_hz=int(rate),
            dimension=output.shape[-1] if output.ndim else 0,
            least_samples=round(LEAST_SECONDS * int(rate)),
        )
        return cls(session, shape)

    @property
    def notes(self) -> dict[str, str]:
        """The metadata that the model file carries."""
        return self._session.notes

    @property
    def model(self) -> ModelHash:
        """SHA-256 of the model file, of its fp32 form where it has several."""
        return self._shape.model

    @property
    def rate_hz(self) -> Hertz:
        """Sampling rate that ``embed`` expects."""
        return self._shape.rate_hz

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return self._shape.dimension

    @property
    def least_samples(self) -> int:
        """Fewest samples that ``embed`` takes."""
        return self._shape.least_samples

    def embed(self, samples: Samples) -> Embedding:
        """Embed one span.

        Args:
            samples: float32, shape (samples,), at ``rate_hz``, nominal range -1 to 1.

        Returns:
            float32, shape (dimension,), Euclidean norm 1.

        Raises:
            TooShortError: fewer samples than the model's minimum.
            BadAudioError: not one-dimensional, or not finite.
            ModelOutputError: NaN, infinity or a wrong shape came out.
        """
        if samples.ndim != 1:
            raise BadAudioError(detail=f"a span has shape {samples.shape}")
        embedding: Embedding = self.embed_batch(samples[np.newaxis])[0]
        return embedding

    def embed_batch(self, spans: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed spans of equal length in one run.

        Args:
            spans: float32, shape (batch, samples), at ``rate_hz``.

        Returns:
            float32, shape (batch, dimension), rows of Euclidean norm 1.

        Raises:
            TooShortError: fewer samples than the model's minimum.
            BadAudioError: not two-dimensional, or not finite.
            ModelOutputError: NaN, infinity or a wrong shape came out.
        """
        waveforms = np.ascontiguousarray(spans, dtype=np.float32)
        check_waveforms(waveforms, self._shape.least_samples)
        return self._checked(self._session.run(waveforms), len(waveforms))

    def _checked(self, output: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
        if output.shape != (batch, self._shape.dimension):
            raise ModelOutputError(detail=f"the model returned shape {output.shape}")
        if not np.isfinite(output).all():
            raise ModelOutputError(detail="the model returned NaN or infinity")
        norm = np.linalg.norm(output, axis=1, keepdims=True)
        if np.abs(norm - 1.0).max() > _UNIT_TOLERANCE:
            raise ModelOutputError(detail=f"an embedding has norm {float(norm.min()):.3g}")
        return np.asarray(output / norm, dtype=np.float32)


def check_waveforms(waveforms: NDArray[np.float32], least_samples: int) -> None:
    """Refuse what no model takes.

    Args:
        waveforms: shape (batch, samples).
        least_samples: fewer are too few.

    Raises:
        TooShortError: fewer samples than that.
        BadAudioError: not two-dimensional, or not finite.
    """
    if waveforms.ndim != 2 or waveforms.shape[0] == 0:  # noqa: PLR2004 - batch and samples
        raise BadAudioError(detail=f"a batch of spans has shape {waveforms.shape}")
    if waveforms.shape[1] < least_samples:
        raise TooShortError
    if not np.isfinite(waveforms).all():
        raise BadAudioError(detail="a span holds NaN or infinity")


def trial_waveform(samples: int) -> Samples:
    """A decaying sawtooth: broadband, finite, the same on every start; shape (samples,)."""
    place = np.arange(samples)
    return np.asarray(((place % 97) / 97.0 - 0.5) * 0.1 * (1.0 + (place % 1600) / 1600.0)).astype(
        np.float32
    )
