# SPDX-License-Identifier: Apache-2.0
"""The models of a server that runs spans of concurrent calls together.

Each model has batches of its own: two models' spans are never in one run. A model that cannot be
asked for many spans is left to the threads of ``Inference``.
"""

import math
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from voiceauth.errors import ModelOutputError, TooShortError
from voiceauth.ports import BatchDetector, BatchEmbedder
from voiceauth.service.batching import Batcher, BatchRules
from voiceauth.service.faults import engine_errors_only, model_faults
from voiceauth.types import Embedding, Samples
from voiceauth.units import Seconds

SPEAKER, SPOOF = "the speaker model", "the spoof model"


class Together:
    """Batches for every model that is asked for. Belongs to the event loop.

    Args:
        rules: when a batch runs.
        queue: spans that may wait for each model.
        waited: told how long each span waited for the speaker model.
    """

    def __init__(
        self,
        rules: BatchRules,
        *,
        queue: int,
        waited: Callable[[Seconds], None] | None = None,
    ) -> None:
        self._rules = rules
        self._queue = queue
        self._waited = waited
        self._speakers: dict[BatchEmbedder, Batcher[Embedding]] = {}
        self._detectors: dict[BatchDetector, Batcher[float]] = {}

    async def embed(self, samples: Samples, embedder: BatchEmbedder) -> Embedding:
        """Embed one span. Raises as ``Inference.embed``."""
        if embedder not in self._speakers:
            self._speakers[embedder] = Batcher(
                SPEAKER, embedder.embed_many, self._rules, queue=self._queue, waited=self._waited
            )
        with model_faults(SPEAKER), engine_errors_only(SPEAKER):
            return checked_embedding(
                await self._speakers[embedder].ask(samples), embedder.dimension
            )

    async def score(self, samples: Samples, detector: BatchDetector) -> float | None:
        """Score one span; None for one that is too short. Raises as ``Inference.read``."""
        if detector not in self._detectors:
            self._detectors[detector] = Batcher(
                SPOOF, detector.score_many, self._rules, queue=self._queue
            )
        with model_faults(SPOOF), engine_errors_only(SPOOF):
            try:
                return checked_score(await self._detectors[detector].ask(samples))
            except TooShortError:
                return None

    def close(self) -> None:
        """Let running batches end and drop what waits."""
        with ExitStack() as every:
            for speaker in self._speakers.values():
                every.callback(speaker.close)
            for detector in self._detectors.values():
                every.callback(detector.close)


def checked_embedding(output: Embedding, dimension: int) -> Embedding:
    """Return what a model gave. Raises ModelOutputError where it is no embedding."""
    embedding = np.asarray(output)
    if embedding.shape != (dimension,):
        raise ModelOutputError(detail=f"shape {embedding.shape}")
    if not np.all(np.isfinite(embedding)):
        raise ModelOutputError(detail="an embedding that is not finite")
    return embedding


def checked_score(output: float) -> float:
    """Return what a model gave. Raises ModelOutputError where it is no score."""
    score = float(output)
    if not math.isfinite(score):
        raise ModelOutputError(detail="a spoof score that is not finite")
    return score
