# SPDX-License-Identifier: Apache-2.0
"""Models that answer many spans in one run, each as if it ran alone."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceauth.errors import (
    BadAudioError,
    EngineError,
    MissingExtraError,
    ModelOutputError,
    SettingsError,
    TooShortError,
    UnbatchableModelError,
)
from voiceauth.models import padded
from voiceauth.models import session as session_module
from voiceauth.models.batching import BatchingSpeaker, BatchingSpoof, ResampledBatchingSpoof
from voiceauth.models.bundle import load_bundle
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest
from voiceauth.models.padded import (
    PaddedSession,
    Shapes,
    check_agreement,
    trial_spans,
)
from voiceauth.models.padded_draft import Draft
from voiceauth.models.session import RUNTIME_ERRORS, open_session
from voiceauth.models.speaker import OnnxSpeaker, SpeakerShape
from voiceauth.models.spoof import OnnxSpoof, ResampledSpoof
from voiceauth.ports import BatchDetector, BatchEmbedder
from voiceauth.types import ModelHash, Samples

DATA = Path(__file__).parents[2] / "data"
TINY, TINY_SPOOF = DATA / "tiny-speaker.onnx", DATA / "tiny-spoof.onnx"
SHAPE = SpeakerShape(ModelHash("ab" * 32), 8000, 4, 4000)
TOO_LOUD = np.full(8000, 3.0, dtype=np.float32)
"""Makes the tiny model return NaN."""


def _sound(samples: int, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    return (0.1 + 0.1 * rng.standard_normal(samples)).astype(np.float32)


@pytest.fixture
def speaker() -> BatchingSpeaker:
    """The tiny speaker model."""
    return BatchingSpeaker(TINY.read_bytes(), SHAPE)


@pytest.fixture
def spoof() -> BatchingSpoof:
    """The tiny spoof model."""
    return BatchingSpoof(TINY_SPOOF.read_bytes())


def _kinds(answers: Sequence[object]) -> list[type[EngineError] | None]:
    return [type(answer) if isinstance(answer, EngineError) else None for answer in answers]


def test_each_span_is_embedded_as_if_alone(speaker: BatchingSpeaker) -> None:
    """Answers come in the order of the spans, and are what ``embed`` gives."""
    spans = [_sound(8000), _sound(4000, 1), _sound(12_345, 2)]

    for span, answer in zip(spans, speaker.embed_many(spans), strict=True):
        assert not isinstance(answer, EngineError)
        np.testing.assert_allclose(answer, speaker.embed(span), atol=1e-6)
        assert np.linalg.norm(answer) == pytest.approx(1.0, abs=1e-5)


def test_each_span_is_scored_as_if_alone(spoof: BatchingSpoof) -> None:
    """Answers come in the order of the spans, and are what ``score`` gives."""
    spans = [_sound(8000), _sound(16_000, 1), _sound(12_345, 2)]

    assert spoof.score_many(spans) == pytest.approx([spoof.score(span) for span in spans])


def test_a_bad_span_does_not_fail_the_others(speaker: BatchingSpeaker) -> None:
    """Too short, not finite, of a wrong shape, or without an answer: each has its own error."""
    nan = np.full(8000, np.nan, dtype=np.float32)
    spans = [_sound(3999), _sound(8000), nan, _sound(8000).reshape(2, -1), TOO_LOUD, _sound(9000)]

    assert _kinds(speaker.embed_many(spans)) == [
        TooShortError,
        None,
        BadAudioError,
        BadAudioError,
        ModelOutputError,
        None,
    ]


def test_a_bad_span_does_not_fail_the_other_scores(spoof: BatchingSpoof) -> None:
    """As for the speaker model."""
    loudest = np.full(8000, 3e38, dtype=np.float32)

    assert _kinds(spoof.score_many([_sound(7999), loudest, _sound(8000)])) == [
        TooShortError,
        ModelOutputError,
        None,
    ]


def test_nothing_to_answer_is_no_run(speaker: BatchingSpeaker, spoof: BatchingSpoof) -> None:
    """No spans, or none that the model takes, do not reach the runtime."""
    assert _kinds(speaker.embed_many([_sound(10)])) == [TooShortError]
    assert spoof.score_many([]) == []


def test_spans_of_another_rate_are_brought_to_the_model(spoof: BatchingSpoof) -> None:
    """Each is resampled by itself; one that is too short stays one."""
    wide = ResampledBatchingSpoof(spoof, 16_000)
    spans = [_sound(16_000), _sound(15_000), _sound(30_001, 1)]

    first, second, third = wide.score_many(spans)

    alone = ResampledSpoof(OnnxSpoof(TINY_SPOOF.read_bytes()), 16_000)
    assert [first, third] == pytest.approx([alone.score(spans[0]), alone.score(spans[2])])
    assert isinstance(second, TooShortError)


def test_the_models_are_what_the_ports_ask_for(
    speaker: BatchingSpeaker, spoof: BatchingSpoof
) -> None:
    """A service tells a model with batches from one without."""
    assert isinstance(speaker, BatchEmbedder)
    assert isinstance(spoof, BatchDetector)
    assert isinstance(ResampledBatchingSpoof(spoof, 16_000), BatchDetector)
    assert not isinstance(OnnxSpoof(TINY_SPOOF.read_bytes()), BatchDetector)
    assert not isinstance(OnnxSpeaker.of_file(TINY), BatchEmbedder)


def test_a_model_that_answers_otherwise_in_a_batch_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rewrite that leaves the padding in sight is found out before it serves."""
    manifest = read_manifest(default_model_directory())
    entry = manifest.entry(None)
    monkeypatch.setattr(Draft, "only", lambda _, name, __: name)

    with pytest.raises(UnbatchableModelError, match="differ"):
        BatchingSpeaker.of_manifest(manifest.directory, entry)
    assert manifest.spoof is not None
    with pytest.raises(UnbatchableModelError, match="differ"):
        BatchingSpoof.of_manifest(manifest.directory, manifest.spoof)


@pytest.mark.parametrize("wrong", [np.nan, 2e-4, -2e-4])
def test_agreement_has_no_room_for_nan_or_more_than_rounding(wrong: float) -> None:
    """One element of one row is enough."""
    alone = np.zeros((3, 4), dtype=np.float32)
    together = alone.copy()
    check_agreement(alone, together)
    together[1, 2] = wrong

    with pytest.raises(UnbatchableModelError):
        check_agreement(alone, together)
    with pytest.raises(UnbatchableModelError):
        check_agreement(alone, alone[:, :3])


def test_trial_spans_are_unlike_each_other() -> None:
    """One is only a few samples longer than another, and one twice as long."""
    lengths = sorted(len(span) for span in trial_spans(4000))

    assert lengths[0] == 4000
    assert 0 < lengths[1] - lengths[0] < 80
    assert lengths[-1] == 8000


class Stub:
    """A runtime's session that gives what it is told."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def get_inputs(self) -> list[SimpleNamespace]:
        """Name two inputs."""
        return [SimpleNamespace(name="waveform"), SimpleNamespace(name="lengths")]

    def run(self, *_: object) -> list[object]:
        """Return or raise the answer."""
        if isinstance(self._answer, Exception):
            raise self._answer
        return [self._answer]


@pytest.mark.parametrize(
    "answer", [RUNTIME_ERRORS[0](), np.ones((1, 4), dtype=np.float32)], ids=["fails", "a row less"]
)
def test_a_run_that_fails_is_a_model_error(
    speaker: BatchingSpeaker, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    """A failure inside the runtime surfaces as the engine's own error, for all of the batch."""
    monkeypatch.setattr(speaker._padded, "_session", lambda *_: Stub(answer))

    with pytest.raises(ModelOutputError):
        speaker.embed_many([_sound(8000), _sound(9000)])


@given(rows=st.integers(1, 32), samples=st.integers(1, 200_000))
def test_few_shapes_hold_every_batch(rows: int, samples: int) -> None:
    """A shape is never too small, and beyond a second at most half as long again as needed."""
    shapes = Shapes.up_to(32, 8000)

    height, length = shapes.above(rows, samples)

    assert height in {8, 32}
    assert height >= rows
    assert samples <= length <= max(1.5 * samples, 8000)
    assert shapes.above(rows, length) == (height, length)


def test_lengths_go_in_steps() -> None:
    """1 s, 1.5, 2, 3, 4, 6: what is exactly so long stays so long."""
    shapes = Shapes.up_to(32, 1000)
    found = {shapes.above(1, samples)[1] for samples in range(1, 6001)}

    assert found == {1000, 1500, 2000, 3000, 4000, 6000}
    assert Shapes.up_to(1, 1000).above(1, 1) == (1, 1000)
    assert Shapes.up_to(4, 1000).above(9, 1) == (9, 1000)


def test_a_larger_shape_changes_no_answer() -> None:
    """Further padding and repeated rows are hidden like any padding, and not answered."""
    spans = [_sound(4001), _sound(7000, 1), _sound(6500, 2)]
    content = TINY.read_bytes()

    in_shape = PaddedSession(content, shapes=Shapes((8,), 8000)).run(spans)

    assert len(in_shape) == 3
    np.testing.assert_allclose(in_shape, PaddedSession(content).run(spans), atol=1e-6)


def test_each_shape_has_a_session_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same shape never opens a second one; there are never more than so many."""
    opened: list[object] = []

    def noted(*given: Any) -> object:
        opened.append(given)
        return open_session(*given)

    monkeypatch.setattr(padded, "open_session", noted)
    session = PaddedSession(TINY.read_bytes(), shapes=Shapes((1,), 1000, sessions=3))
    for samples in (900, 1000, 1100, 999):
        session.run([_sound(samples)])
    assert len(opened) == 2
    for samples in (1500, 2000, 1500, 3000, 4000):
        session.run([_sound(samples)])

    assert list(session._open) == [(1, 1500), (1, 3000), (1, 4000)]


def test_on_a_gpu_the_common_shapes_are_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of 3 and 4 s, few and many, open nothing in a call; on a processor none is rounded."""
    monkeypatch.setitem(session_module._PROVIDERS, "cuda", ("CPUExecutionProvider",))
    on_gpu = load_bundle(device="cuda", batches=4, synthetic=False).speaker
    assert isinstance(on_gpu, BatchingSpeaker)
    ready = set(on_gpu._padded._open)

    for count, samples in ((1, 23_000), (4, 24_000), (1, 31_000), (3, 32_000)):
        on_gpu.embed_many([_sound(samples)] * count)

    assert set(on_gpu._padded._open) == ready
    assert {(1, 24_000), (4, 24_000), (1, 32_000), (4, 32_000)} <= ready
    on_cpu = BatchingSpeaker(TINY.read_bytes(), SHAPE)
    on_cpu.embed_many([_sound(23_000), _sound(31_000)])
    assert len(on_cpu._padded._open) == 1


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches need a package that the engine itself does not: alone, a model loads without."""
    for name in [one for one in sys.modules if one.startswith("voiceauth.models.padded_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)

    assert OnnxSpeaker.of_file(TINY).dimension == 4
    with pytest.raises(MissingExtraError, match="gpu"):
        PaddedSession(TINY.read_bytes())


def test_the_shipped_models_can_be_loaded_for_batches() -> None:
    """Speaker and spoof model pass their trial, and only where batches are asked for."""
    bundle = load_bundle(batches=4)

    assert isinstance(bundle.speaker, BatchEmbedder)
    assert bundle.spoof is not None
    assert isinstance(bundle.spoof.detector, BatchDetector)
    assert not isinstance(load_bundle().speaker, BatchEmbedder)


def test_int8_runs_alone() -> None:
    """Batches of the int8 form are refused, not quietly run in another form."""
    with pytest.raises(SettingsError, match="batch_spans"):
        load_bundle(precision="int8", batches=4)
