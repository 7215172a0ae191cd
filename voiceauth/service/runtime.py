# SPDX-License-Identifier: Apache-2.0
"""What every servicer works with while the server runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from voiceauth.config import ModelSettings, ServerSettings, Settings
from voiceauth.service.batching import BatchRules
from voiceauth.service.door import Door, make_door
from voiceauth.service.ear import Ear
from voiceauth.service.faults import engine_errors_only
from voiceauth.service.gate import Aftercare, Gate
from voiceauth.service.inference import VAULT_THREADS, Inference, Workers, own_cores
from voiceauth.service.load import LoadMeter
from voiceauth.service.looping import pace_while
from voiceauth.usecases.engine import Engine

_T = TypeVar("_T")
RECOGNITION_THREADS = 2
"""Answers to challenges are rare beside spans."""
DOOR_THREADS = 4
"""Checks of tokens: quick, but for the moments in which an issuer's keys are fetched."""


@dataclass(frozen=True, slots=True, eq=False)
class Runtime:
    """The engine with its threads, limits and door.

    Attributes:
        limits: the settings' ``[server]``.
        door: says who speaks.
        door_threads: where it may wait for a token issuer.
    """

    engine: Engine
    limits: ServerSettings
    inference: Inference
    ear: Ear
    vault: Workers
    recognition: Workers
    load: LoadMeter
    gate: Gate
    aftercare: Aftercare
    door: Door
    door_threads: Workers


def start_runtime(engine: Engine, settings: Settings) -> Runtime:
    """Start the threads. Call it in the event loop that will serve.

    Raises:
        SettingsError: the door cannot be put together.
    """
    limits, door = settings.server, make_door(settings, engine.clock)
    load = LoadMeter(engine.clock.monotonic, limits.shed_lag_milliseconds / 1000.0)
    gate = Gate(limits.max_concurrent_calls, load.busy)
    pace_while(lambda: gate.many)
    return Runtime(
        engine=engine,
        limits=limits,
        inference=Inference(
            engine.embedder,
            threads=limits.inference_threads or own_cores(limits.workers),
            queue=limits.inference_queue,
            spoof=None if engine.spoof is None else engine.spoof.detector,
            waited=load.models.note,
            batches=batch_rules(settings.models),
        ),
        ear=Ear(engine.clock.monotonic, lambda: gate.many),
        vault=Workers("vault", threads=VAULT_THREADS, queue=limits.max_concurrent_requests),
        recognition=Workers(
            "recognition", threads=RECOGNITION_THREADS, queue=limits.inference_queue
        ),
        load=load,
        gate=gate,
        aftercare=Aftercare(),
        door=door,
        door_threads=Workers("door", threads=DOOR_THREADS, queue=limits.max_concurrent_requests),
    )


def batch_rules(models: ModelSettings) -> BatchRules | None:
    """Say how spans share runs; None where each runs alone."""
    if models.most_in_a_batch == 1:
        return None
    return BatchRules(models.most_in_a_batch, models.batch_wait_milliseconds / 1000.0)


def stop_runtime(runtime: Runtime) -> None:
    """End the threads."""
    runtime.load.stop()
    runtime.ear.close()
    runtime.inference.close()
    runtime.vault.close()
    runtime.door_threads.close()
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
