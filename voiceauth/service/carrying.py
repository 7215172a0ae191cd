# SPDX-License-Identifier: Apache-2.0
"""Have the new model hear a call that matched by the one before, once the verdict was told."""

from functools import partial

from voiceauth.errors import TooShortError
from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.types import Embedding
from voiceauth.usecases.two_models import CarryOver


async def carried_over(runtime: Runtime, over: CarryOver) -> None:
    """Embed the call's spans one by one, and keep what came of them. Raises EngineError."""
    embeddings: list[Embedding | None] = []
    for samples in over.samples:
        try:
            embeddings.append(await runtime.inference.embed(samples))
        except TooShortError:
            embeddings.append(None)
    await in_vault(runtime, partial(over.store, embeddings))
