# SPDX-License-Identifier: Apache-2.0
"""Run the engine's chores (checkpoints, retention) beside the calls, for as long as it serves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from voiceauth.errors import EngineError
from voiceauth.service.faults import engine_errors_only
from voiceauth.usecases.engine import Chore
from voiceauth.usecases.troubles import TroubleBook


@asynccontextmanager
async def upkeep(
    chores: tuple[Chore, ...], troubles: TroubleBook | None = None
) -> AsyncIterator[None]:
    """Repeat each chore for the time of the block, and most of them once more at its end.

    Long ones that can be stopped are told to.

    Chores run in threads of their own, so that a slow second place holds up no call. A chore that
    fails is logged by name and tried again at its next time: nothing it does is on a call's path.

    Args:
        chores: what is to be done.
        troubles: where failures are counted besides, for the alerts.
    """
    stop = asyncio.Event()
    tasks = [asyncio.create_task(_repeat(chore, stop, troubles)) for chore in chores]
    try:
        yield
    finally:
        stop.set()
        for chore in chores:
            if chore.stop is not None:
                chore.stop()
        await asyncio.gather(*tasks)


async def _repeat(chore: Chore, stop: asyncio.Event, troubles: TroubleBook | None) -> None:
    if chore.at_once:
        await _once(chore, troubles)
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), chore.every_seconds)
        if stop.is_set() and not chore.at_end:
            return
        await _once(chore, troubles)


async def _once(chore: Chore, troubles: TroubleBook | None) -> None:
    def guarded() -> None:
        with engine_errors_only(chore.name):
            chore.run()

    try:
        await asyncio.to_thread(guarded)
    except EngineError as error:
        if troubles is not None:
            troubles.tell(chore.name, error.code)
        log = structlog.get_logger()
        log.warning("chore_failed", chore=chore.name, code=error.code, detail=str(error))
