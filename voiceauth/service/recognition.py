# SPDX-License-Identifier: Apache-2.0
"""Runs the recogniser beside the event loop, and makes of its every failure an absent result."""

import asyncio

import structlog

from voiceauth.errors import EngineError
from voiceauth.ports import Recognizer
from voiceauth.service.faults import engine_errors_only
from voiceauth.service.logging import failure
from voiceauth.service.runtime import Runtime
from voiceauth.types import ChallengeCause, Recognition
from voiceauth.units import Seconds
from voiceauth.usecases.answer_tap import Answer


async def recognised(runtime: Runtime, answer: Answer) -> Recognition | ChallengeCause:
    """Return what was heard in an answer, or why that is not known. Never raises."""
    if answer.recognition is not None:
        return answer.recognition
    if answer.cause is not None:
        return answer.cause
    desk = runtime.engine.challenges
    if desk is None or answer.recogniser is None:
        return ChallengeCause.RECOGNISER_MISSING
    return await _asked(runtime, answer, answer.recogniser, desk.options.recogniser_seconds)


async def _asked(
    runtime: Runtime, answer: Answer, recogniser: Recognizer, seconds: Seconds
) -> Recognition | ChallengeCause:
    def work() -> Recognition:
        with engine_errors_only("the recogniser"):
            return recogniser.recognise(
                answer.samples, answer.rate_hz, answer.challenge.words, answer.words
            )

    try:
        async with asyncio.timeout(seconds):
            return await runtime.recognition.run(work)
    except TimeoutError:
        structlog.get_logger().error("the recogniser took too long", seconds=seconds)
    except EngineError as error:
        structlog.get_logger().error("recogniser fault", **failure(error))
    return ChallengeCause.RECOGNISER_FAILED
