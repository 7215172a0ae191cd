# SPDX-License-Identifier: Apache-2.0
"""One streamed call from the command line: send audio, show every update, return the last one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

from voiceauth.cli.sound import SoundSource
from voiceauth.client import Client, EnrolOptions
from voiceauth.errors import InternalError
from voiceauth.types import EnrolmentProgress, EnrolmentResult
from voiceauth.units import Seconds

Update_co = TypeVar("Update_co", covariant=True)
Update = TypeVar("Update")


class CallStream(Protocol[Update_co]):
    """What the client's streams have in common."""

    async def send(self, data: bytes, /) -> None:
        """Send audio bytes."""
        ...

    async def end(self) -> None:
        """Say that the audio ends here."""
        ...

    def __aiter__(self) -> AsyncIterator[Update_co]:
        """Iterate over what the server says."""
        ...


async def converse(
    stream: CallStream[Update],
    sound: SoundSource,
    show: Callable[[Update], None],
    *,
    pace: float | None,
) -> Update:
    """Send all of the sound, or as much as the server wants, and collect the updates.

    Args:
        stream: an open call.
        sound: what the caller says.
        show: is given every update as it arrives.
        pace: send no faster than this many times the pace of speech; None for no such limit.

    Returns:
        The last update.

    Raises:
        BadAudioError: the sound could not be read to its end; the call is dropped, not ended.
        EngineError: what the server answered.
    """
    feeding = asyncio.create_task(_feed(stream, sound, pace=pace))
    reading = asyncio.create_task(_read(stream, show))
    try:
        await asyncio.wait({feeding, reading}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done() and feeding.exception() is not None:
            # Either the sound broke off, or sending failed because the server is about to say why.
            await asyncio.wait({reading}, timeout=1.0)
            if not reading.done():
                feeding.result()
        return await reading
    finally:
        feeding.cancel()
        reading.cancel()
        await asyncio.gather(feeding, reading, return_exceptions=True)


async def enrolment(
    client: Client,
    opening: EnrolOptions,
    sound: SoundSource,
    show: Callable[[EnrolmentProgress | EnrolmentResult], None],
    *,
    pace: float | None,
) -> EnrolmentResult:
    """Enrol with a sound; return the result. Arguments and errors as ``converse``."""
    async with client.enrol(opening) as stream:
        last = await converse(stream, sound, show, pace=pace)
    if not isinstance(last, EnrolmentResult):
        raise InternalError(detail="the server ended the enrolment without a result")
    return last


async def _feed(stream: CallStream[Update], sound: SoundSource, *, pace: float | None) -> None:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    sent: Seconds = 0.0
    while chunk := await _next(sound):
        sent += sound.seconds(chunk)
        if pace is not None:
            # A frame exists only after it was spoken.
            await asyncio.sleep(max(0.0, begin + sent / pace - loop.time()))
        await stream.send(chunk)
    await stream.end()


async def _next(sound: SoundSource) -> bytes:
    if sound.blocking:
        return await asyncio.to_thread(next, sound.chunks, b"")
    return next(sound.chunks, b"")


async def _read(stream: CallStream[Update], show: Callable[[Update], None]) -> Update:
    last: Update | None = None
    async for update in stream:
        last = update
        show(update)
    if last is None:
        raise InternalError(detail="the server closed the stream without a word")
    return last
