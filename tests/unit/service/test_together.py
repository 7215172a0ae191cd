# SPDX-License-Identifier: Apache-2.0
"""The models of a service whose spans share runs say what they would say alone."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from served import FakeEmbedder, FakeSpoof, voice_of

from voiceauth.config import ModelSettings
from voiceauth.errors import (
    BadAudioError,
    EngineError,
    InternalError,
    ModelOutputError,
    TooShortError,
)
from voiceauth.ports import SpeakerEmbedder, SpoofDetector
from voiceauth.service.batching import BatchRules
from voiceauth.service.inference import Inference
from voiceauth.service.runtime import batch_rules
from voiceauth.types import Embedding, Samples

SAMPLES = np.zeros(16_000, dtype=np.float32)
PAIR = BatchRules(2, 3600.0)
"""Runs when two spans are there, and not before."""
AT_ONCE = BatchRules(8, 0.0)


class ManyEmbedder(FakeEmbedder):
    """A fake model that takes many spans; a span's first sample chooses its error."""

    def __init__(self, voice: str = "alice") -> None:
        super().__init__()
        self.voice = voice
        self.sizes: list[int] = []
        self.errors: dict[float, EngineError] = {}

    def embed_many(self, spans: Sequence[Samples]) -> Sequence[Embedding | EngineError]:
        """Return the voice that was set for each."""
        self.sizes.append(len(spans))
        if self.failure is not None:
            raise self.failure
        said = voice_of(self.voice) if self.output is None else self.output
        return [self.errors.get(float(span[0]), said) for span in spans]


class ManySpoof(FakeSpoof):
    """A fake spoof model that takes many spans."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.error: EngineError | None = None

    def score_many(self, waveforms: Sequence[Samples]) -> Sequence[float | EngineError]:
        """Return the output that was set for each."""
        self.sizes.append(len(waveforms))
        return [self.error or self.output for _ in waveforms]


def inference(
    embedder: SpeakerEmbedder, rules: BatchRules, spoof: SpoofDetector | None = None
) -> Inference:
    """Return an inference with batches."""
    return Inference(embedder, threads=1, queue=8, spoof=spoof, batches=rules)


def marked(mark: float) -> Samples:
    """Return a span with a mark in its first sample."""
    samples = SAMPLES.copy()
    samples[0] = mark
    return samples


async def test_spans_of_two_calls_share_a_run() -> None:
    """Speaker and spoof model are asked once for both."""
    embedder, spoof = ManyEmbedder(), ManySpoof()
    models = inference(embedder, PAIR, spoof)

    one, other = await asyncio.gather(models.read(SAMPLES), models.read(SAMPLES))
    models.close()

    assert embedder.sizes == spoof.sizes == [2]
    assert one.spoof_score == other.spoof_score == spoof.output
    np.testing.assert_array_equal(one.embedding, voice_of("alice"))


async def test_each_model_has_batches_of_its_own() -> None:
    """In a migration no run holds spans for two models."""
    new, before = ManyEmbedder("new"), ManyEmbedder("before")
    models = inference(new, PAIR)

    heard = await asyncio.gather(
        models.embed(SAMPLES),
        models.embed(SAMPLES, before),
        models.embed(SAMPLES, before),
        models.embed(SAMPLES),
    )
    models.close()

    assert new.sizes == before.sizes == [2]
    for voice, name in zip(heard, ("new", "before", "before", "new"), strict=True):
        np.testing.assert_array_equal(voice, voice_of(name))


async def test_a_model_without_batches_runs_alone() -> None:
    """Its spans go to the threads, beside another model's batches."""
    plain, plain_spoof = FakeEmbedder(), FakeSpoof()
    models = inference(ManyEmbedder(), PAIR, plain_spoof)

    reading = await models.read(SAMPLES, embedder=plain)
    models.close()

    assert (plain.calls, plain_spoof.calls) == (1, 1)
    assert reading.spoof_score == plain_spoof.output


async def test_what_is_done_beside_is_done_with_spans_that_were_taken() -> None:
    """After both models, and not for a span that one of them refused."""
    embedder, spoof = ManyEmbedder(), ManySpoof()
    embedder.errors[1.0] = TooShortError()
    models = inference(embedder, AT_ONCE, spoof)
    done: list[str] = []

    await models.read(SAMPLES, beside=lambda: done.append("taken"))
    with pytest.raises(TooShortError):
        await models.read(marked(1.0), beside=lambda: done.append("refused"))
    spoof.error = BadAudioError()
    with pytest.raises(InternalError):
        await models.read(SAMPLES, beside=lambda: done.append("unlooked at"))
    models.close()

    assert done == ["taken"]


async def test_an_error_is_its_own_spans_alone() -> None:
    """Only TooShortError is believed; another engine error of a model is a fault of the engine."""
    embedder = ManyEmbedder()
    embedder.errors = {1.0: TooShortError(), 2.0: BadAudioError()}
    models = inference(embedder, BatchRules(3, 3600.0))

    short, bad, good = await asyncio.gather(
        models.embed(marked(1.0)),
        models.embed(marked(2.0)),
        models.embed(SAMPLES),
        return_exceptions=True,
    )
    models.close()

    assert isinstance(short, TooShortError)
    assert isinstance(bad, InternalError)
    np.testing.assert_array_equal(np.asarray(good), voice_of("alice"))


@pytest.mark.parametrize("output", [np.full(16, np.nan), np.ones(17), np.ones((16, 1))])
async def test_an_impossible_embedding_is_a_model_error(output: Any) -> None:
    """What comes out of a model is checked whatever its wrapper checked."""
    embedder = ManyEmbedder()
    embedder.output = output
    models = inference(embedder, AT_ONCE)

    with pytest.raises(ModelOutputError):
        await models.embed(SAMPLES)
    models.close()


async def test_a_run_that_fails_is_a_fault_of_the_engine() -> None:
    """For every span in it."""
    embedder = ManyEmbedder()
    embedder.failure = BadAudioError()
    models = inference(embedder, PAIR)

    failed = await asyncio.gather(
        models.embed(SAMPLES), models.embed(SAMPLES), return_exceptions=True
    )
    models.close()

    assert [type(one) for one in failed] == [InternalError, InternalError]


@pytest.mark.parametrize("score", [np.nan, np.inf])
async def test_an_impossible_score_is_a_model_error(score: float) -> None:
    """Its span must not pass unlooked at."""
    spoof = ManySpoof()
    spoof.output = score
    models = inference(ManyEmbedder(), AT_ONCE, spoof)

    with pytest.raises(ModelOutputError):
        await models.read(SAMPLES)
    models.close()


async def test_a_span_too_short_for_the_spoof_model_has_no_score() -> None:
    """Whether its length says so or the model does; without a spoof model there is none either."""
    spoof = ManySpoof()
    spoof.error = TooShortError()
    models, without = inference(ManyEmbedder(), AT_ONCE, spoof), inference(ManyEmbedder(), AT_ONCE)

    short = await models.read(SAMPLES[: spoof.least_samples - 1])
    assert spoof.sizes == []
    refused = await models.read(SAMPLES)
    none = await without.read(SAMPLES)
    models.close()
    without.close()

    assert short.spoof_score is refused.spoof_score is none.spoof_score is None


async def test_who_leaves_leaves_both_models() -> None:
    """A cancelled call takes its spans out of both queues."""
    embedder, spoof = ManyEmbedder(), ManySpoof()
    models = inference(embedder, PAIR, spoof)
    leaving = asyncio.create_task(models.read(SAMPLES))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)

    await asyncio.gather(models.read(SAMPLES), models.read(SAMPLES))
    models.close()

    assert embedder.sizes == spoof.sizes == [2]


def test_spans_share_runs_on_a_gpu_and_run_alone_on_a_processor() -> None:
    """Unless the settings say otherwise."""
    assert batch_rules(ModelSettings()) is None
    assert batch_rules(ModelSettings(device="cuda")) == BatchRules(32, 0.004)
    assert batch_rules(ModelSettings(device="cuda", batch_spans=1)) is None
    assert batch_rules(ModelSettings(batch_spans=8, batch_wait_milliseconds=0)) == BatchRules(8, 0)
