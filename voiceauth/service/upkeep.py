# SPDX-License-Identifier: Apache-2.0
"""Run the engine's chores (checkpoints, retention) beside the calls, for as long as it serves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from voiceauth.errors import EngineError
from voiceauth.service.faults import engine_errors_only
from voiceauth.usecases.engine import Chore


@asynccontextmanager
async def upkeep(chores: tuple[Chore, ...]) -> AsyncIterator[None]:
    """Repeat each chore for the time of the block, and most of them once more at its end.

    Chores run in threads of their own, so that a slow second place holds up no call. A chore that
    fails is logged by name and tried again at its next time: nothing it does is on a call's path.
    """
    stop = asyncio.Event()
    tasks = [asyncio.create_task(_repeat(chore, stop)) for chore in chores]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _repeat(chore: Chore, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), chore.every_seconds)
        if stop.is_set() and not chore.at_end:
            return
        await _once(chore)


async def _once(chore: Chore) -> None:
    def guarded() -> None:
        with engine_errors_only(chore.name):
            chore.run()

    try:
        await asyncio.to_thread(guarded)
    except EngineError as error:
        log = structlog.get_logger()
        log.warning("chore_failed", chore=chore.name, code=error.code, detail=str(error))
