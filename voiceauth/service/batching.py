# SPDX-License-Identifier: Apache-2.0
"""Spans of different calls, put together into batches for one model.

Rules:

* One batch runs at a time. While it runs, spans gather; while nothing runs, the oldest waits for
  others at most as long as the rules say.
* The oldest span is in the next batch, whatever its length. Others join in the order in which they
  came, as long as the longest has at most twice the samples of the shortest: at most half of a
  batch is padding.
* A span's own error is its caller's alone. If the run itself fails, it fails for everybody in it.
* A caller who leaves takes a waiting span along; one that runs already runs, and nobody reads it.
* At most ``queue`` spans wait beside a batch. A call that finds the queue full waits for a place,
  and its client is slowed by flow control; running calls are never refused.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from voiceauth.errors import EngineError, InternalError, ModelOutputError
from voiceauth.service.faults import engine_errors_only
from voiceauth.types import Samples
from voiceauth.units import Seconds

_T = TypeVar("_T")
WIDEST = 2
"""How many times the samples of its shortest span the longest of a batch may have."""


@dataclass(frozen=True, slots=True)
class BatchRules:
    """When a batch is full, and how long it may fill.

    Attributes:
        most: spans in one run.
        wait_seconds: longest time that a span waits for others while nothing runs.
    """

    most: int
    wait_seconds: Seconds


@dataclass(frozen=True, slots=True, eq=False)
class _Asked(Generic[_T]):
    """A span that waits: since when in all, and since when in the queue."""

    samples: Samples
    answer: asyncio.Future[_T]
    since: Seconds
    queued: Seconds


class Batcher(Generic[_T]):
    """Gathers spans for one model. Belongs to the event loop.

    Args:
        name: of the model, for its thread and in the log.
        run: answers spans in order, each with its own answer or error; runs in a thread.
        rules: when a batch runs.
        queue: spans that may wait beside those of one batch.
        waited: told how long each span waited for its run.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Samples]], Sequence[_T | EngineError]],
        rules: BatchRules,
        *,
        queue: int,
        waited: Callable[[Seconds], None] | None = None,
    ) -> None:
        self._name = name
        self._run = run
        self._rules = rules
        self._waited = waited
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voiceauth-batches")
        self._places = asyncio.Semaphore(rules.most + queue)
        self._waiting: deque[_Asked[_T]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._running = False
        self._closed = False

    async def ask(self, samples: Samples) -> _T:
        """Have one span answered, together with others.

        Args:
            samples: float32, shape (samples,).

        Raises:
            EngineError: the span's own error.
            InternalError: the run failed.
            RuntimeError: shut down meanwhile.
        """
        loop = asyncio.get_running_loop()
        since = loop.time()
        await self._places.acquire()
        if self._closed:
            self._places.release()
            raise RuntimeError("no batches after the end")
        asked: _Asked[_T] = _Asked(samples, loop.create_future(), since, loop.time())
        self._waiting.append(asked)
        self._look()
        try:
            return await asked.answer
        except asyncio.CancelledError:
            if asked in self._waiting:
                self._waiting.remove(asked)
                self._places.release()
            raise

    def close(self) -> None:
        """Let the running batch end and drop what waits."""
        self._closed = True
        self._forget_timer()
        for asked in self._waiting:
            asked.answer.cancel()
            self._places.release()
        self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def _look(self) -> None:
        """Begin a batch if it is time, or see to it that somebody looks when it is."""
        if self._running or self._closed or not self._waiting:
            return
        loop = asyncio.get_running_loop()
        due = self._waiting[0].queued + self._rules.wait_seconds
        if len(self._waiting) >= self._rules.most or loop.time() >= due:
            self._begin(loop)
        elif self._timer is None:
            self._timer = loop.call_at(due, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self._look()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._forget_timer()
        self._running = True
        batch, self._waiting = _chosen(self._waiting, self._rules.most)
        if self._waited is not None:
            for asked in batch:
                self._waited(loop.time() - asked.since)
        work = self._pool.submit(self._answers, [asked.samples for asked in batch])
        asyncio.wrap_future(work, loop=loop).add_done_callback(partial(self._ended, batch))

    def _answers(self, spans: Sequence[Samples]) -> Sequence[_T | EngineError]:
        with engine_errors_only(self._name):
            answers = self._run(spans)
            if len(answers) != len(spans):
                raise ModelOutputError(detail=f"{len(spans)} spans had {len(answers)} answers")
            return answers

    def _ended(
        self, batch: Sequence[_Asked[_T]], work: asyncio.Future[Sequence[_T | EngineError]]
    ) -> None:
        self._running = False
        answers: Sequence[_T | EngineError | None] = [None] * len(batch)
        error = None if work.cancelled() else work.exception()
        if not work.cancelled() and error is None:
            answers = work.result()
        for asked, answer in zip(batch, answers, strict=True):
            self._places.release()
            if asked.answer.done():
                continue  # its caller has left
            if work.cancelled():
                asked.answer.cancel()
            elif error is not None:
                asked.answer.set_exception(_fault(self._name, error))
            elif isinstance(answer, EngineError):
                asked.answer.set_exception(answer)
            else:
                asked.answer.set_result(answer)  # type: ignore[arg-type]  # None is a run's failure
        self._look()


def _chosen(waiting: deque[_Asked[_T]], most: int) -> tuple[list[_Asked[_T]], deque[_Asked[_T]]]:
    """Return the next batch and what goes on waiting, both in the order in which they came."""
    batch: list[_Asked[_T]] = []
    left: deque[_Asked[_T]] = deque()
    shortest = longest = waiting[0].samples.size
    for asked in waiting:
        low, high = min(shortest, asked.samples.size), max(longest, asked.samples.size)
        if len(batch) < most and high <= WIDEST * low:
            batch.append(asked)
            shortest, longest = low, high
        else:
            left.append(asked)
    return batch, left


def _fault(name: str, error: BaseException) -> InternalError:
    """Return an error of its own for each caller: one exception must not be raised twice."""
    code = error.code if isinstance(error, EngineError) else type(error).__name__
    fault = InternalError(detail=f"a batch of {name} failed: {code}")
    fault.__cause__ = error
    return fault
