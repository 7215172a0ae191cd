# SPDX-License-Identifier: Apache-2.0
"""Spans of different calls share runs, and nothing of one call becomes another's."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceauth.errors import BadAudioError, EngineError, InternalError, StorageError
from voiceauth.service.batching import WIDEST, Batcher, BatchRules
from voiceauth.types import Samples

HOUR = 3600.0


def span(samples: int, mark: float = 0.0) -> Samples:
    """Return a span that is known by its length and its mark."""
    return np.full(samples, mark, dtype=np.float32)


class Model:
    """Answers each span with its length; waits while ``may_run`` is clear."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.failure: Exception | None = None
        self.own: EngineError | None = None
        self.too_few = False
        self.may_run = threading.Event()
        self.may_run.set()

    def __call__(self, spans: Sequence[Samples]) -> Sequence[int | EngineError]:
        """Run a batch; a span whose mark is 1 has the error ``own``."""
        self.runs.append([one.size for one in spans])
        self.may_run.wait(timeout=30)
        if self.failure is not None:
            raise self.failure
        answers = [self.own if self.own and one[0] == 1.0 else one.size for one in spans]
        return answers[:-1] if self.too_few else answers


def batcher(model: Model, *, most: int = 4, wait: float = 0.0, queue: int = 100) -> Batcher[int]:
    """Return a batcher of a model."""
    return Batcher("a model", model, BatchRules(most, wait), queue=queue)


async def settle() -> None:
    """Let every coroutine come as far as it can without a thread."""
    for _ in range(10):
        await asyncio.sleep(0)


async def held(model: Model, batches: Batcher[int], samples: int = 7) -> "asyncio.Task[int]":
    """Start a run that goes on until ``may_run`` is set."""
    model.may_run.clear()
    first = asyncio.create_task(batches.ask(span(samples)))
    await settle()
    return first


async def test_a_full_batch_waits_for_nothing() -> None:
    """As many spans as fit run at once, in one run."""
    model = Model()
    batches = batcher(model, most=3, wait=HOUR)

    answers = await asyncio.gather(*(batches.ask(span(size)) for size in (11, 10, 12)))
    batches.close()

    assert answers == [11, 10, 12]
    assert model.runs == [[11, 10, 12]]


async def test_a_lone_span_does_not_wait_for_ever() -> None:
    """When the time for company is over, it runs alone."""
    model = Model()
    batches = batcher(model, wait=0.001)

    assert await asyncio.wait_for(batches.ask(span(10)), 30) == 10
    batches.close()


async def test_the_oldest_decides_when_its_batch_begins() -> None:
    """Who comes later does not put the run off."""
    model, loop = Model(), asyncio.get_running_loop()
    batches = batcher(model, wait=HOUR)
    tasks = [asyncio.create_task(batches.ask(span(10)))]
    await settle()
    due = batches._timer
    assert due is not None
    tasks.append(asyncio.create_task(batches.ask(span(10))))
    await settle()

    assert batches._timer is due
    assert due.when() <= loop.time() + HOUR
    batches.close()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_spans_gather_while_a_batch_runs() -> None:
    """One run at a time; what came meanwhile is the next one, without further waiting."""
    model = Model()
    batches = batcher(model)
    first = await held(model, batches)
    others = [asyncio.create_task(batches.ask(span(size))) for size in (10, 11, 12)]
    await settle()
    assert model.runs == [[7]]

    model.may_run.set()
    assert await asyncio.gather(first, *others) == [7, 10, 11, 12]
    batches.close()

    assert model.runs == [[7], [10, 11, 12]]


async def test_no_batch_is_larger_than_the_rules_say() -> None:
    """What does not fit runs next."""
    model = Model()
    batches = batcher(model, most=2)
    first = await held(model, batches)
    others = [asyncio.create_task(batches.ask(span(10 + n))) for n in range(5)]
    await settle()
    model.may_run.set()
    await asyncio.gather(first, *others)
    batches.close()

    assert model.runs == [[7], [10, 11], [12, 13], [14]]


async def test_padding_is_bounded() -> None:
    """No span shares a run with one of more than twice its samples; the oldest goes first."""
    model = Model()
    batches = batcher(model, most=8)
    first = await held(model, batches)
    sizes = (10, 25, 12, 20, 40)
    others = [asyncio.create_task(batches.ask(span(size))) for size in sizes]
    await settle()
    model.may_run.set()
    await asyncio.gather(first, *others)
    batches.close()

    assert model.runs == [[7], [10, 12, 20], [25, 40]]


async def test_nobody_is_passed_over_for_ever() -> None:
    """The oldest span is in the next batch although others would fill one."""
    model = Model()
    batches = batcher(model, most=2)
    first = await held(model, batches)
    others = [asyncio.create_task(batches.ask(span(size))) for size in (100, 10, 10, 10)]
    await settle()
    model.may_run.set()
    await asyncio.gather(first, *others)
    batches.close()

    assert model.runs[1] == [100]


async def test_a_spans_own_error_is_its_callers_alone() -> None:
    """The others of its batch get their answers."""
    model = Model()
    model.own = BadAudioError()
    batches = batcher(model, most=3, wait=HOUR)

    answers = await asyncio.gather(
        batches.ask(span(10)),
        batches.ask(span(11, mark=1.0)),
        batches.ask(span(12)),
        return_exceptions=True,
    )
    batches.close()

    assert list(answers) == [10, model.own, 12]


@pytest.mark.parametrize("failure", [StorageError(), ZeroDivisionError()])
async def test_a_run_that_fails_fails_for_all_of_it(failure: Exception) -> None:
    """Each caller gets an error of its own, a fault of the engine whatever was raised."""
    model = Model()
    model.failure = failure
    batches = batcher(model, most=2, wait=HOUR)

    one, other = await asyncio.gather(
        batches.ask(span(10)), batches.ask(span(11)), return_exceptions=True
    )
    model.failure = None
    again = asyncio.gather(batches.ask(span(12)), batches.ask(span(13)))

    assert type(one) is type(other) is InternalError
    assert one is not other
    assert list(await again) == [12, 13]
    batches.close()


async def test_fewer_answers_than_spans_are_a_fault() -> None:
    """No span gets another one's answer."""
    model = Model()
    model.too_few = True
    batches = batcher(model, most=2, wait=HOUR)

    answers = await asyncio.gather(
        batches.ask(span(10)), batches.ask(span(11)), return_exceptions=True
    )
    batches.close()

    assert [type(answer) for answer in answers] == [InternalError, InternalError]


async def test_who_leaves_takes_a_waiting_span_along() -> None:
    """It is not run, and its place is free."""
    model = Model()
    batches = batcher(model, most=1, queue=1)
    first = await held(model, batches)
    leaving = asyncio.create_task(batches.ask(span(10)))
    await settle()
    assert batches._places.locked()
    leaving.cancel()
    await settle()
    assert not batches._places.locked()
    model.may_run.set()
    await first
    await batches.ask(span(12))
    batches.close()

    assert leaving.cancelled()
    assert model.runs == [[7], [12]]


async def test_who_leaves_a_running_batch_disturbs_nobody() -> None:
    """The others get their answers, and the next batch runs."""
    model = Model()
    batches = batcher(model, most=2, wait=HOUR)
    model.may_run.clear()
    tasks = [asyncio.create_task(batches.ask(span(size))) for size in (10, 11)]
    await settle()
    tasks[0].cancel()
    await settle()
    model.may_run.set()

    assert await tasks[1] == 11
    next_batch = await asyncio.gather(batches.ask(span(12)), batches.ask(span(13)))
    assert list(next_batch) == [12, 13]
    assert tasks[0].cancelled()
    batches.close()


async def test_what_exceeds_the_queue_waits_outside_and_is_served() -> None:
    """Nothing is refused: with one running and one waiting, the third waits for a place."""
    model = Model()
    batches = batcher(model, most=1, queue=1)
    first = await held(model, batches)
    others = [asyncio.create_task(batches.ask(span(size))) for size in (10, 11, 12)]
    await settle()
    assert batches._places.locked()
    assert len(batches._waiting) == 1
    model.may_run.set()

    assert await asyncio.gather(first, *others) == [7, 10, 11, 12]
    assert not batches._places.locked()
    batches.close()


async def test_the_end_drops_what_waits_and_not_what_runs() -> None:
    """A running batch comes to its end; nothing begins afterwards."""
    model = Model()
    batches = batcher(model, most=1, queue=1)
    first = await held(model, batches)
    waiting, outside = (asyncio.create_task(batches.ask(span(size))) for size in (10, 11))
    await settle()
    model.may_run.set()
    batches.close()
    ended = await asyncio.gather(first, waiting, outside, return_exceptions=True)

    assert ended[0] == 7
    assert isinstance(ended[1], asyncio.CancelledError)
    assert isinstance(ended[2], RuntimeError)
    assert model.runs == [[7]]
    with pytest.raises(RuntimeError):
        await batches.ask(span(12))


async def test_waits_are_told() -> None:
    """The load meter hears of every span that got its run, how long it waited in all."""
    waits: list[float] = []
    model = Model()
    batches = Batcher("a model", model, BatchRules(2, HOUR), queue=9, waited=waits.append)

    await asyncio.gather(batches.ask(span(10)), batches.ask(span(11)))
    batches.close()

    assert len(waits) == 2
    assert all(0.0 <= wait < HOUR for wait in waits)


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=40),
    most=st.integers(1, 9),
    queue=st.integers(0, 5),
)
def test_nothing_is_lost_mixed_up_or_run_twice(sizes: list[int], most: int, queue: int) -> None:
    """Whatever comes: every span has its own answer from one run within the rules."""
    model = Model()

    async def all_of_them() -> list[int]:
        batches = batcher(model, most=most, queue=queue)
        try:
            return await asyncio.gather(*(batches.ask(span(size)) for size in sizes))
        finally:
            batches.close()

    assert asyncio.run(all_of_them()) == sizes
    assert sorted(size for run in model.runs for size in run) == sorted(sizes)
    assert all(len(run) <= most and max(run) <= WIDEST * min(run) for run in model.runs)
