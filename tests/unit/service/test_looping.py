# SPDX-License-Identifier: Apache-2.0
"""The server's event loop takes many messages at a look, and loses none."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from voiceauth.service.looping import LOOK_SECONDS, PacedLoop, PacedSelector, pace_while, run


class Watched:
    """A selector with a clock of its own, whose sleeps are noted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.selector = PacedSelector(lambda: self.now, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def look(self, after: float, timeout: float | None) -> None:
        """Let time pass, and look."""
        self.now += after
        self.selector.select(timeout)


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A selector that has something to read, so that it never waits by itself."""
    one = Watched()
    here, there = socket.socketpair()
    one.selector.register(here, 1)
    there.send(b"1")
    yield one
    one.selector.close()
    here.close()
    there.close()


def test_with_few_calls_nothing_waits(watched: Watched) -> None:
    """What comes is looked at as soon as it can be."""
    for _ in range(10):
        watched.look(0.0, None)

    assert watched.slept == []


def test_while_many_calls_run_a_look_waits_for_more(watched: Watched) -> None:
    """Two looks lie as far apart as the rule says, the work between them counted in."""
    watched.selector.slow = lambda: True
    watched.look(1.0, None)
    watched.look(0.0005, None)

    assert watched.slept == [pytest.approx(LOOK_SECONDS - 0.0005)]


def test_what_is_ready_to_run_does_not_wait(watched: Watched) -> None:
    """The loop asks without a timeout while it has work of its own."""
    watched.selector.slow = lambda: True
    watched.look(0.0, 0.0)

    assert watched.slept == []


def test_a_timer_is_not_overslept(watched: Watched) -> None:
    """A wait ends with the timeout that was asked for."""
    watched.selector.slow = lambda: True
    watched.look(0.0, 0.001)

    assert watched.slept == [pytest.approx(0.001)]


def test_bytes_beyond_the_first_are_read_away() -> None:
    """GRPC's reader finds one byte, whatever came, and is called once."""
    loop = PacedLoop()
    here, there = socket.socketpair()
    found: list[bytes] = []

    def _handle_events() -> None:  # named as gRPC's own
        found.append(here.recv(100))
        loop.stop()

    loop.add_reader(here, _handle_events)
    there.send(b"1" * 7)
    loop.run_forever()
    loop.close()
    here.close()
    there.close()

    assert found == [b"1"]


def test_other_readers_get_all_that_came() -> None:
    """Nothing is read away from a socket that is not gRPC's."""
    loop = PacedLoop()
    here, there = socket.socketpair()
    found: list[bytes] = []

    def on_bytes() -> None:
        found.append(here.recv(100))
        loop.stop()

    loop.add_reader(here, on_bytes)
    there.send(b"1234567")
    loop.run_forever()
    loop.close()
    here.close()
    there.close()

    assert found == [b"1234567"]


async def _numbers() -> AsyncIterator[bytes]:
    for number in range(200):
        yield b"%d" % number


def _stream(channel: grpc.aio.Channel) -> Any:
    return channel.stream_stream("/test/Echo", None, None)


async def _echoed(streams: int) -> tuple[list[list[bytes]], int]:
    pace_while(lambda: True)

    async def echo(_: Any, context: Any) -> None:
        while (message := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            await context.write(message)

    handlers = {"Echo": grpc.stream_stream_rpc_method_handler(echo)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def call(channel: grpc.aio.Channel) -> list[bytes]:
        return [one async for one in _stream(channel)(_numbers())]

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        found = await asyncio.gather(*(call(channel) for _ in range(streams)))
    await server.stop(None)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, PacedLoop)
    return found, loop.looks


def test_grpc_is_known_and_loses_nothing() -> None:
    """Every message of twenty streams arrives in order in a loop that always waits.

    It also tells when a new release of gRPC wakes the loop in another way: then no look is counted.
    """
    found, looks = run(_echoed(20))

    assert found == [[b"%d" % number for number in range(200)]] * 20
    assert looks > 0


def test_a_loop_without_grpc_never_waits() -> None:
    """Nobody sleeps where gRPC's way of waking was not seen."""

    async def looks() -> int:
        pace_while(lambda: True)
        await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, PacedLoop)
        return loop.looks

    assert run(looks()) == 0


async def test_another_loop_is_left_alone() -> None:
    """A server that is embedded in another program's loop runs as that loop does."""
    loop = asyncio.get_running_loop()
    before = dict(vars(loop))
    pace_while(lambda: True)

    assert not isinstance(loop, PacedLoop)
    assert dict(vars(loop)) == before
