# SPDX-License-Identifier: Apache-2.0
"""Threads for the model and threads for the vault, both beside the event loop.

Rules:

* One worker per core runs one span at a time: a session with one thread each wastes nothing.
* At most ``queue`` spans wait. A call whose span finds the queue full waits for a place, and its
  client is slowed by flow control; running calls are never refused.
* On a GPU, spans of concurrent calls share runs instead (``together``), of every model that can.
* What comes out of a model is checked here, whatever the model's own wrapper checked.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import TypeVar

from voiceauth.errors import TooShortError
from voiceauth.ports import BatchDetector, BatchEmbedder, SpeakerEmbedder, SpoofDetector
from voiceauth.service.batching import BatchRules
from voiceauth.service.faults import engine_errors_only, model_faults
from voiceauth.service.together import (
    SPEAKER,
    SPOOF,
    Together,
    checked_embedding,
    checked_score,
)
from voiceauth.types import Embedding, Samples
from voiceauth.units import Seconds

_T = TypeVar("_T")
VAULT_THREADS = 4
"""Enough to hide a slow disk; the vault writes one transaction at a time anyway."""


def own_cores(workers: int) -> int:
    """Return how many of the cores that this process may use are its own, of so many workers."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (mine or 1) // workers)


class Workers:
    """A bounded pool of threads.

    Args:
        name: of the threads.
        threads: how many run at once.
        queue: how much may wait.
        waited: told how long each piece of work waited for its thread, in the event loop.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        queue: int,
        waited: Callable[[Seconds], None] | None = None,
    ) -> None:
        self._waited = waited
        count = threads
        self._pool = ThreadPoolExecutor(max_workers=count, thread_name_prefix=f"voiceauth-{name}")
        self._places = asyncio.Semaphore(count + queue)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Run a function in a thread, waiting for a place first.

        A cancelled wait takes the work out of the queue; work that runs already runs to its end,
        and its place is only free then.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        await self._places.acquire()
        try:
            # What belongs to the request (the log's fields, who acts) goes with it.
            future = self._pool.submit(copy_context().run, self._begun, work, loop, asked)
        except RuntimeError:  # shut down meanwhile
            self._places.release()
            raise

        def free(_: Future[_T]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._places.release)

        future.add_done_callback(free)
        return await asyncio.wrap_future(future)

    def _begun(self, work: Callable[[], _T], loop: asyncio.AbstractEventLoop, asked: Seconds) -> _T:
        if self._waited is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._waited, loop.time() - asked)
        return work()

    def close(self, *, wait: bool = True) -> None:
        """Let running work end, waiting for it or not, and drop what waits."""
        self._pool.shutdown(wait=wait, cancel_futures=True)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What the models say about one span.

    Attributes:
        embedding: unit norm, shape (dimension,).
        spoof_score: raw; None without a spoof model, or for a span too short for it.
    """

    embedding: Embedding
    spoof_score: float | None


class Inference:
    """Runs the models on spans in a pool of threads.

    Args:
        embedder: the loaded speaker model.
        spoof: the loaded spoof model, if there is one.
        threads: that run models.
        queue: spans that may wait.
        waited: told how long each span waited for a thread, or for its batch.
        batches: how spans share runs; None runs each alone, in a thread.
    """

    def __init__(
        self,
        embedder: SpeakerEmbedder,
        *,
        threads: int,
        queue: int,
        spoof: SpoofDetector | None = None,
        waited: Callable[[Seconds], None] | None = None,
        batches: BatchRules | None = None,
    ) -> None:
        self._embedder = embedder
        self._spoof = spoof
        self._together = None if batches is None else Together(batches, queue=queue, waited=waited)
        self._workers = Workers("inference", threads=threads, queue=queue, waited=waited)

    async def embed(self, samples: Samples, embedder: SpeakerEmbedder | None = None) -> Embedding:
        """Embed one span.

        Args:
            samples: of the span.
            embedder: another model than this one's own, for a subject who still lives in its world.

        Raises:
            TooShortError: fewer samples than the model's minimum.
            ModelOutputError: NaN, infinity or a wrong shape came out.
            InternalError: the model failed in another way.
        """
        chosen = embedder or self._embedder
        if self._together is not None and isinstance(chosen, BatchEmbedder):
            return await self._together.embed(samples, chosen)
        return await self._workers.run(lambda: self._embed(samples, embedder))

    async def read(
        self,
        samples: Samples,
        beside: Callable[[], None] | None = None,
        embedder: SpeakerEmbedder | None = None,
    ) -> Reading:
        """Run all models on one span, in one thread or each in a batch. Raises as ``embed``.

        A spoof model that fails is a fault of the engine: its span must not pass unlooked at.

        Args:
            samples: of the span.
            beside: what else is to be done with a span that the models took, in the same thread.
            embedder: as in ``embed``.
        """
        if self._together is not None:
            return await self._read_together(samples, beside, embedder, self._together)

        def work() -> Reading:
            reading = Reading(self._embed(samples, embedder), self._score(samples))
            if beside is not None:
                beside()
            return reading

        return await self._workers.run(work)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Run other heavy computation, such as hearing a long chunk, in the same threads."""
        return await self._workers.run(work)

    def close(self) -> None:
        """Let running work end and drop what waits."""
        if self._together is not None:
            self._together.close()
        self._workers.close()

    async def _read_together(
        self,
        samples: Samples,
        beside: Callable[[], None] | None,
        embedder: SpeakerEmbedder | None,
        together: Together,
    ) -> Reading:
        embedding, score = await asyncio.gather(
            self.embed(samples, embedder),
            self._score_together(samples, together),
            return_exceptions=True,
        )
        # Both have ended, so that neither goes on unheard; the embedding's error is told first.
        if isinstance(embedding, BaseException):
            raise embedding
        if isinstance(score, BaseException):
            raise score
        if beside is not None:
            await self._workers.run(beside)
        return Reading(embedding, score)

    async def _score_together(self, samples: Samples, together: Together) -> float | None:
        if isinstance(self._spoof, BatchDetector):
            if len(samples) < self._spoof.least_samples:
                return None
            return await together.score(samples, self._spoof)
        return await self._workers.run(lambda: self._score(samples))

    def _embed(self, samples: Samples, other: SpeakerEmbedder | None) -> Embedding:
        embedder = other or self._embedder
        with model_faults(SPEAKER), engine_errors_only(SPEAKER):
            return checked_embedding(embedder.embed(samples), embedder.dimension)

    def _score(self, samples: Samples) -> float | None:
        if self._spoof is None or len(samples) < self._spoof.least_samples:
            return None
        with model_faults(SPOOF), engine_errors_only(SPOOF):
            try:
                return checked_score(self._spoof.score(samples))
            except TooShortError:
                return None
