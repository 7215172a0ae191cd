# SPDX-License-Identifier: Apache-2.0
import asyncio
import threading

import structlog.testing

from voiceauth.errors import StorageError
from voiceauth.service.upkeep import upkeep
from voiceauth.usecases.engine import Chore


async def test_a_chore_that_fails_is_logged_and_tried_again() -> None:
    """Neither a full disk nor a fault of a chore ends the server or the chore."""
    tries: list[int] = []
    enough = threading.Event()

    def run() -> None:
        tries.append(len(tries))
        if len(tries) == 3:
            enough.set()
        raise StorageError if len(tries) % 2 else ValueError

    with structlog.testing.capture_logs() as logs:
        async with upkeep((Chore("sweep", 0.001, run),)):
            await asyncio.to_thread(enough.wait, 30)

    assert len(tries) >= 3
    assert {line["code"] for line in logs} == {"storage_down", "internal"}
    assert all(line["chore"] == "sweep" for line in logs)


async def test_every_chore_runs_once_more_at_the_end() -> None:
    """What came since the last time is not left undone, and nothing runs afterwards."""
    done: list[str] = []
    chores = tuple(Chore(name, 3600.0, lambda n=name: done.append(n)) for name in ("a", "b"))  # type: ignore[misc]

    async with upkeep(chores):
        await asyncio.sleep(0)
        assert done == []

    assert sorted(done) == ["a", "b"]


async def test_a_chore_that_is_not_for_the_end_does_not_run_there() -> None:
    """A command that opens an engine for a moment must not do what only a server may."""
    done: list[str] = []

    async with upkeep((Chore("retention", 3600.0, lambda: done.append("x"), at_end=False),)):
        await asyncio.sleep(0)

    assert done == []


async def test_a_chore_that_can_be_stopped_is_stopped_and_not_run_once_more() -> None:
    """Work of minutes neither holds the end up nor begins at it."""
    told: list[str] = []
    began = threading.Event()

    def run() -> None:
        told.append("ran")
        began.set()

    chore = Chore(
        "long", 3600.0, run, at_once=True, at_end=False, stop=lambda: told.append("stopped")
    )
    async with upkeep((chore,)):
        await asyncio.to_thread(began.wait, 30)

    assert told == ["ran", "stopped"]
