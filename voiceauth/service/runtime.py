# SPDX-License-Identifier: Apache-2.0
"""What every servicer works with while the server runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from voiceauth.config import ServerSettings
from voiceauth.service.faults import engine_errors_only
from voiceauth.service.gate import Aftercare, Gate
from voiceauth.service.inference import VAULT_THREADS, Inference, Workers
from voiceauth.usecases.engine import Engine

_T = TypeVar("_T")
RECOGNITION_THREADS = 2
"""Answers to challenges are rare beside spans."""


@dataclass(frozen=True, slots=True, eq=False)
class Runtime:
    """The engine with its threads, limits and door.

    Attributes:
        limits: the settings' ``[server]``.
    """

    engine: Engine
    limits: ServerSettings
    inference: Inference
    vault: Workers
    recognition: Workers
    gate: Gate
    aftercare: Aftercare


def start_runtime(engine: Engine, limits: ServerSettings) -> Runtime:
    """Start the threads. Call it in the event loop that will serve."""
    return Runtime(
        engine=engine,
        limits=limits,
        inference=Inference(
            engine.embedder,
            threads=limits.inference_threads,
            queue=limits.inference_queue,
            spoof=None if engine.spoof is None else engine.spoof.detector,
        ),
        vault=Workers("vault", threads=VAULT_THREADS, queue=limits.max_concurrent_requests),
        recognition=Workers(
            "recognition", threads=RECOGNITION_THREADS, queue=limits.inference_queue
        ),
        gate=Gate(limits.max_concurrent_calls),
        aftercare=Aftercare(),
    )


def stop_runtime(runtime: Runtime) -> None:
    """End the threads."""
    runtime.inference.close()
    runtime.vault.close()
    runtime.recognition.close(wait=False)  # a recogniser that hangs must not hold the server


async def in_vault(runtime: Runtime, work: Callable[[], _T]) -> _T:
    """Run blocking vault work beside the event loop.

    Raises:
        EngineError: as the work; anything else becomes InternalError.
    """

    def guarded() -> _T:
        with engine_errors_only("the vault"):
            return work()

    return await runtime.vault.run(guarded)
