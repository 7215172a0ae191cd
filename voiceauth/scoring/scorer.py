# SPDX-License-Identifier: Apache-2.0
"""The product's comparison: cosine, normalisation, calibration. Implements ``ports.Scorer``."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import ModelHashMismatchError
from voiceauth.scoring.asnorm import AdaptiveNorm
from voiceauth.scoring.calibration import Normalisation
from voiceauth.scoring.cosine import cosine
from voiceauth.scoring.tables import loads
from voiceauth.types import Bandwidth, Embedding, Score
from voiceauth.units import Seconds


class CalibratedScorer:
    """Turns two embeddings into calibrated evidence. Immutable, safe from several threads.

    Args:
        calibration: the text of the model's calibration file.
        cohort: embeddings of other people, shape (people, dimension); it must be the one that the
            tables were made with, if they were made with any.

    Raises:
        SettingsError: the text is not a calibration.
        ModelHashMismatchError: the tables were made with another cohort.
    """

    def __init__(self, calibration: str, cohort: NDArray[np.float32]) -> None:
        self._calibration = loads(calibration)
        self._norm = normaliser(self._calibration.normalisation, cohort)

    @property
    def version(self) -> str:
        """Version of the calibration tables."""
        return self._calibration.version

    def score(
        self, probe: Embedding, enrolled: Embedding, *, net_seconds: Seconds, bandwidth: Bandwidth
    ) -> Score:
        """Compare a probe with an enrolled voiceprint.

        Args:
            probe: unit norm, shape (dimension,).
            enrolled: the same.
            net_seconds: speech behind the probe.
            bandwidth: of the probe.

        Returns:
            A score whose ratio and rates are None where the tables have no support.

        Raises:
            InternalError: the embeddings do not fit each other, or are not finite.
        """
        raw = cosine(probe, enrolled)
        if self._norm is not None:
            raw = self._norm.score(raw, probe, enrolled)
        return self._calibration.score(raw, net_seconds, bandwidth)


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
