# SPDX-License-Identifier: Apache-2.0
"""The product's comparison: cosine, normalisation, calibration. Implements ``ports.Scorer``."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import ModelHashMismatchError
from voiceauth.scoring.asnorm import AdaptiveNorm
from voiceauth.scoring.calibration import Calibration, Normalisation
from voiceauth.scoring.condition import Condition
from voiceauth.scoring.cosine import cosine
from voiceauth.scoring.tables import loads
from voiceauth.types import Bandwidth, Embedding, ModelHash, Score
from voiceauth.units import Cosine, Decibels, Seconds


class CalibratedScorer:
    """Turns two embeddings into calibrated evidence. Immutable, safe from several threads.

    Args:
        calibration: the text of the model's calibration file.
        cohort: embeddings of other people, shape (people, dimension); it must be the one that the
            tables were made with, if they were made with any.
        model: hash of the model whose embeddings will be scored; None leaves it unchecked.

    Raises:
        SettingsError: the text is not a calibration.
        ModelHashMismatchError: the tables were made with another model or cohort.
    """

    def __init__(
        self, calibration: str, cohort: NDArray[np.float32], model: ModelHash | None = None
    ) -> None:
        self._calibration = loads(calibration)
        if model is not None and self._calibration.model != model:
            raise ModelHashMismatchError(detail="the calibration was made with another model")
        self._norm = normaliser(self._calibration.normalisation, cohort)

    @property
    def calibration(self) -> Calibration:
        """The parsed tables."""
        return self._calibration

    @property
    def version(self) -> str:
        """Version of the calibration tables."""
        return self._calibration.version

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
        """Compare a probe with an enrolled voiceprint.

        Args:
            probe: unit norm, shape (dimension,).
            enrolled: the same.
            net_seconds: speech behind the probe.
            bandwidth: of the probe.
            enrolled_seconds: speech behind the voiceprint; None if it is not known.
            snr_db: of the probe; None if it is not known.

        Returns:
            A score whose ratio and rates are None where the tables have no support.

        Raises:
            InternalError: the embeddings do not fit each other, or are not finite.
        """
        raw = self.raw(probe, enrolled)
        condition = Condition(bandwidth, net_seconds, enrolled_seconds, snr_db)
        return self._calibration.score(raw, condition)

    def raw(self, probe: Embedding, enrolled: Embedding) -> Cosine:
        """Compare without calibrating. Arguments and errors as ``score``."""
        plain = cosine(probe, enrolled)
        return plain if self._norm is None else self._norm.score(plain, probe, enrolled)


def normaliser(wanted: Normalisation, cohort: NDArray[np.float32]) -> AdaptiveNorm | None:
    """Return the score normalisation that tables were made with; None for none.

    Raises:
        ModelHashMismatchError: they were made with another cohort.
    """
    if wanted.top == 0:
        return None
    if cohort_sha256(cohort) != wanted.cohort_sha256:
        raise ModelHashMismatchError(detail="the calibration was made with another cohort")
    return AdaptiveNorm(cohort, wanted.top)


def cohort_sha256(cohort: NDArray[np.float32]) -> str:
    """Hash the values of a cohort, shape (people, dimension), whatever file they came in."""
    values = np.ascontiguousarray(cohort, dtype="<f4")
    return hashlib.sha256(repr(values.shape).encode() + values.tobytes()).hexdigest()
