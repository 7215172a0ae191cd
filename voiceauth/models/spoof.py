# SPDX-License-Identifier: Apache-2.0
"""The spoof model: a span of speech in, one raw score out; higher is more synthetic.

The score is no probability and no ratio: ``liveness.synthetic`` turns it into one, with the
calibration that was fitted to the same file.
"""

import hashlib
from pathlib import Path
from typing import Self

import numpy as np
import soxr
from numpy.typing import NDArray

from voiceauth.errors import (
    BadAudioError,
    IntegrityError,
    ModelHashMismatchError,
    ModelOutputError,
    SettingsError,
    TooShortError,
)
from voiceauth.models.session import Session, SessionChoices
from voiceauth.models.speaker import RATE_NOTE, check_waveforms, trial_waveform
from voiceauth.types import ModelHash, Samples
from voiceauth.units import Hertz, Seconds

RATE_HZ: Hertz = 8000
ROLE_NOTE = "role"
ROLE = "spoof"
"""What the file's metadata must state, so that a speaker model is not taken for this one."""
LEAST_SECONDS: Seconds = 1.0


class OnnxSpoof:
    """A loaded spoof model. Safe from several threads.

    Args:
        content: the ONNX file.
        choices: how its session runs.

    Raises:
        IntegrityError: not a spoof model of 8 kHz, or not loadable.
        ModelOutputError: a trial run gives no finite score.
    """

    def __init__(self, content: bytes, choices: SessionChoices | None = None) -> None:
        self._session = Session(content, choices)
        notes = self._session.notes
        if notes.get(ROLE_NOTE) != ROLE or notes.get(RATE_NOTE) != str(RATE_HZ):
            raise IntegrityError("The model file is not a spoof model for 8 kHz.")
        self._model = ModelHash(hashlib.sha256(content).hexdigest())
        # The first run of a shape is slow and finds a wrong graph: better now than in a call.
        self.score(trial_waveform(self.least_samples))

    @classmethod
    def of_file(
        cls, path: Path, sha256: str | None = None, choices: SessionChoices | None = None
    ) -> Self:
        """Load a model file; raises as the class does.

        Args:
            path: of the ONNX file.
            sha256: what its hash must be; None takes any, for evaluation and calibration.
            choices: how its session runs.

        Raises:
            SettingsError: the file cannot be read.
            ModelHashMismatchError: it has another hash.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SettingsError(f"Cannot read the model file {path}: {error.strerror}.") from error
        found = hashlib.sha256(content).hexdigest()
        if sha256 is not None and found != sha256:
            raise ModelHashMismatchError(detail=f"{path.name}: sha256 {found}, expected {sha256}")
        return cls(content, choices)

    @property
    def model(self) -> ModelHash:
        """SHA-256 of the model file."""
        return self._model

    @property
    def rate_hz(self) -> Hertz:
        """Sampling rate that ``score`` expects."""
        return RATE_HZ

    @property
    def least_samples(self) -> int:
        """Fewest samples that ``score`` takes."""
        return round(LEAST_SECONDS * RATE_HZ)

    def score(self, waveform: Samples) -> float:
        """Score one span; raises as ``score_batch``.

        Args:
            waveform: float32, shape (samples,), 8 kHz, nominal range -1 to 1.

        Returns:
            The raw score; higher is more synthetic.
        """
        if waveform.ndim != 1:
            raise BadAudioError(detail=f"a span has shape {waveform.shape}")
        return float(self.score_batch(waveform[np.newaxis])[0])

    def score_batch(self, spans: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score spans of equal length in one run.

        Args:
            spans: float32, shape (batch, samples), 8 kHz.

        Returns:
            float32, shape (batch,).

        Raises:
            TooShortError: fewer samples than ``least_samples``.
            BadAudioError: not two-dimensional, or not finite.
            ModelOutputError: NaN, infinity or a wrong shape came out.
        """
        waveforms = np.ascontiguousarray(spans, dtype=np.float32)
        check_waveforms(waveforms, self.least_samples)
        scores = self._session.run(waveforms)
        if scores.shape != (len(waveforms),):
            raise ModelOutputError(detail=f"the model returned shape {scores.shape}")
        if not np.isfinite(scores).all():
            raise ModelOutputError(detail="the model returned NaN or infinity")
        return scores


class ResampledSpoof:
    """A spoof model behind a speaker model of another rate: each span is brought to its own.

    Implements ``ports.SpoofDetector``. Safe from several threads.

    Args:
        detector: the model.
        from_hz: rate of the spans.
    """

    def __init__(self, detector: OnnxSpoof, from_hz: Hertz) -> None:
        self._detector = detector
        self._from_hz = from_hz

    @property
    def model(self) -> ModelHash:
        """SHA-256 of the model file."""
        return self._detector.model

    @property
    def least_samples(self) -> int:
        """Fewest samples that ``score`` takes, at the spans' rate."""
        # Rounded up: a span that is long enough here is long enough there.
        return -(-self._detector.least_samples * self._from_hz // self._detector.rate_hz)

    def score(self, waveform: Samples) -> float:
        """Score one span; raises as ``OnnxSpoof.score``.

        Args:
            waveform: float32, shape (samples,), at the spans' rate, nominal range -1 to 1.
        """
        return self._detector.score(self._brought(waveform))

    def _brought(self, waveform: Samples) -> Samples:
        if waveform.ndim != 1 or not np.isfinite(waveform).all():
            raise BadAudioError(detail="a span is not one finite signal")
        if len(waveform) < self.least_samples:
            raise TooShortError
        brought = soxr.resample(waveform, self._from_hz, self._detector.rate_hz)
        return np.asarray(brought, dtype=np.float32)
