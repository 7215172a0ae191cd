# SPDX-License-Identifier: Apache-2.0
"""New calls are shed while running ones would be late."""

import asyncio
from contextlib import ExitStack

import pytest
from served import Parts, pieces, served, speech

from voiceauth.client import VerifyOptions
from voiceauth.errors import BusyError
from voiceauth.service.gate import NEVER_SHED, Gate
from voiceauth.service.load import Lag, LoadMeter
from voiceauth.types import AudioFormat, Encoding


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_one_slow_moment_is_not_an_overload() -> None:
    """A single wait counts for a quarter, and is forgotten within a second."""
    hands = Hands()
    lag = Lag(hands)
    lag.note(0.1)

    assert lag.mean() == pytest.approx(0.025)
    hands.now += 1.5
    assert lag.mean() < 0.002


def test_waits_that_go_on_are_an_overload() -> None:
    """The mean comes to what is waited."""
    hands = Hands()
    lag = Lag(hands)
    for _ in range(20):
        hands.now += 0.05
        lag.note(0.1)

    assert lag.mean() > 0.06


async def test_a_busy_server_takes_no_further_call_and_leaves_the_running_ones() -> None:
    """Who is inside stays; unary requests still pass, and the first calls always do."""
    meter = LoadMeter(Hands(), 0.03)
    gate = Gate(100, meter.busy)
    for _ in range(4):
        meter.models.note(0.2)
    with ExitStack() as inside:
        for _ in range(NEVER_SHED):
            inside.enter_context(gate.enter(call=True))
        with pytest.raises(BusyError):
            inside.enter_context(gate.enter(call=True))
        inside.enter_context(gate.enter(call=False))
    meter.stop()


async def test_every_opened_call_is_answered_or_refused(parts: Parts) -> None:
    """Under ten times the load that is let in, nothing is lost: each call has its answer."""
    opened = 60

    async with served(parts, max_concurrent_calls=6) as service:

        async def call(number: int) -> str:
            claim = VerifyOptions(f"call-{number}", "bank", "bob", AudioFormat(Encoding.PCM16LE))
            try:
                async with service.client.verify(claim) as stream:
                    verdict = await stream.run(pieces(speech(3.0)))
            except BusyError:
                return "refused"
            return "answered" if verdict.record_id else "lost"

        parts.embedder.may_run.clear()
        asyncio.get_running_loop().call_later(0.5, parts.embedder.may_run.set)
        fates = await asyncio.gather(*(call(number) for number in range(opened)))

    answered, refused = fates.count("answered"), fates.count("refused")
    assert answered + refused == opened
    assert answered >= 6
    assert refused > 0
    assert parts.events().count("verify.verdict") == answered
