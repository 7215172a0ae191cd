# SPDX-License-Identifier: Apache-2.0
import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from voiceauth.cli.converse import converse
from voiceauth.cli.sound import SoundSource
from voiceauth.errors import BadAudioError, BusyError, InternalError
from voiceauth.types import AudioFormat, Encoding

MULAW = AudioFormat(Encoding.MULAW)


class Stream:
    """A server that answers after it has heard so many bytes, or at the end of the audio."""

    def __init__(self, enough: int = 10**9, failure: Exception | None = None) -> None:
        self.heard = b""
        self.ended = False
        self._enough = enough
        self._failure = failure
        self._over = asyncio.Event()

    async def send(self, data: bytes) -> None:
        """Hear."""
        self.heard += data
        if len(self.heard) >= self._enough:
            self._over.set()
        await asyncio.sleep(0)

    async def end(self) -> None:
        """Note the end."""
        self.ended = True
        self._over.set()

    async def __aiter__(self) -> AsyncIterator[str]:
        """Say something at once and something last."""
        yield "evidence"
        await self._over.wait()
        if self._failure is not None:
            raise self._failure
        yield "verdict"


def source(*chunks: bytes, broken: bool = False) -> SoundSource:
    """Return a sound of these chunks, which may break off after them."""

    def spoken() -> Iterator[bytes]:
        yield from chunks
        if broken:
            raise BadAudioError

    return SoundSource(MULAW, spoken())


async def test_all_is_sent_and_the_last_update_returned() -> None:
    """Every byte arrives, the end is said, and the last update is the answer."""
    stream, shown = Stream(), list[str]()

    last = await converse(stream, source(b"ab", b"c"), shown.append, pace=None)

    assert (last, stream.heard, stream.ended) == ("verdict", b"abc", True)
    assert shown == ["evidence", "verdict"]


async def test_sending_stops_when_the_server_has_decided() -> None:
    """An early verdict ends the call: the rest of the audio is not needed."""
    stream = Stream(enough=2)

    last = await converse(stream, source(*[b"a"] * 50_000), lambda _: None, pace=None)

    assert last == "verdict"
    assert len(stream.heard) < 50_000
    assert not stream.ended


async def test_audio_that_breaks_off_does_not_end_the_call() -> None:
    """A damaged file must not look like a caller who has finished speaking."""
    stream = Stream()

    with pytest.raises(BadAudioError):
        await converse(stream, source(b"a", broken=True), lambda _: None, pace=None)
    assert not stream.ended


async def test_what_the_server_says_is_raised() -> None:
    """A refusal by the server reaches the caller of the command."""
    with pytest.raises(BusyError):
        await converse(Stream(1, BusyError()), source(b"a"), lambda _: None, pace=None)


async def test_a_stream_without_a_word_is_an_error() -> None:
    """No update at all is a fault, not an answer."""

    class Mute(Stream):
        async def __aiter__(self) -> AsyncIterator[str]:
            for word in list[str]():
                yield word

    with pytest.raises(InternalError):
        await converse(Mute(), source(b"a"), lambda _: None, pace=None)


async def test_the_pace_is_kept() -> None:
    """At a given pace, audio is not sent before it could have been spoken."""
    loop = asyncio.get_running_loop()
    begin = loop.time()

    await converse(Stream(), source(*[b"a" * 160] * 10), lambda _: None, pace=2.0)

    assert loop.time() - begin >= 0.1 - 0.005
