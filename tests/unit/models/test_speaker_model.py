# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import (
    BadAudioError,
    IntegrityError,
    MissingExtraError,
    ModelHashMismatchError,
    ModelOutputError,
    SettingsError,
    TooShortError,
)
from voiceauth.models.session import Session, SessionChoices, open_session
from voiceauth.models.speaker import OnnxSpeaker, SpeakerShape
from voiceauth.types import ModelHash

TINY = Path(__file__).parents[2] / "data" / "tiny-speaker.onnx"
SHAPE = SpeakerShape(ModelHash("0" * 64), 8000, 4, 4000)


class _FixedSession:
    """Stands in for a loaded graph and returns what it is told to."""

    def __init__(self, output: NDArray[np.float32], notes: dict[str, str] | None = None) -> None:
        self._output = output
        self.notes = notes or {}

    def run(self, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.repeat(self._output, len(waveforms), axis=0)


def _speaker_returning(
    output: NDArray[np.float32], notes: dict[str, str] | None = None
) -> OnnxSpeaker:
    return OnnxSpeaker(cast("Session", _FixedSession(output, notes)), SHAPE)


@pytest.fixture(scope="module")
def tiny() -> OnnxSpeaker:
    """A model of a few hundred bytes."""
    return OnnxSpeaker.of_file(TINY)


def _speech(samples: int = 8000, seed: int = 1) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_an_embedding_is_a_finite_unit_vector_that_the_graph_defines(tiny: OnnxSpeaker) -> None:
    """The embedding is what the graph computes, with norm 1 and the model's dimension."""
    samples = _speech()

    embedding = tiny.embed(samples)

    raw = np.array([samples.mean(), np.abs(samples).mean(), np.sqrt((samples**2).mean()), 0.1])
    assert embedding.shape == (tiny.dimension,)
    np.testing.assert_allclose(embedding, raw / np.linalg.norm(raw), atol=1e-5)


def test_a_batch_gives_the_same_as_one_by_one(tiny: OnnxSpeaker) -> None:
    """Batching changes the speed, not the result."""
    spans = np.stack([_speech(seed=seed) for seed in range(3)])

    batch = tiny.embed_batch(spans)

    for row, span in zip(batch, spans, strict=True):
        np.testing.assert_allclose(row, tiny.embed(span), atol=1e-6)


def test_threads_do_not_disturb_each_other(tiny: OnnxSpeaker) -> None:
    """Embedding from several threads at once gives the results of one thread."""
    spans = [_speech(4000 + 100 * seed, seed) for seed in range(16)]
    alone = [tiny.embed(span) for span in spans]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(tiny.embed, spans))

    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_too_little_speech_is_refused(tiny: OnnxSpeaker) -> None:
    """Fewer samples than the model's minimum are an error of their own kind."""
    with pytest.raises(TooShortError):
        tiny.embed(_speech(tiny.least_samples - 1))

    assert tiny.embed(_speech(tiny.least_samples)).shape == (4,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_audio_that_is_not_finite_is_refused(tiny: OnnxSpeaker, bad: float) -> None:
    """NaN in the audio is the audio's fault and never reaches the model."""
    samples = _speech()
    samples[100] = bad

    with pytest.raises(BadAudioError):
        tiny.embed(samples)


@pytest.mark.parametrize("shape", [(2, 8000), (8000, 1), ()])
def test_audio_of_another_shape_is_refused(tiny: OnnxSpeaker, shape: tuple[int, ...]) -> None:
    """A span is one-dimensional: two channels are never taken for one."""
    with pytest.raises(BadAudioError):
        tiny.embed(np.zeros(shape, dtype=np.float32))


def test_an_empty_batch_is_refused(tiny: OnnxSpeaker) -> None:
    """A batch holds at least one span."""
    with pytest.raises(BadAudioError):
        tiny.embed_batch(np.zeros((0, 8000), dtype=np.float32))


def test_nan_from_the_model_is_an_error_and_no_embedding(tiny: OnnxSpeaker) -> None:
    """A model that returns NaN is reported as broken."""
    with pytest.raises(ModelOutputError):
        tiny.embed(np.full(8000, 3.0, dtype=np.float32))


@pytest.mark.parametrize(
    "output",
    [
        np.array([[1.0, 0.0, 0.0]]),
        np.array([1.0, 0.0, 0.0, 0.0]),
        np.array([[np.inf, 0.0, 0.0, 0.0]]),
        np.array([[0.0, 0.0, 0.0, 0.0]]),
        np.array([[2.0, 0.0, 0.0, 0.0]]),
    ],
    ids=["dimension", "rank", "infinity", "no-direction", "norm"],
)
def test_a_model_with_an_impossible_output_is_refused_at_load(output: NDArray[np.float32]) -> None:
    """The trial run at load finds a graph that gives no unit vector of the stated dimension."""
    with pytest.raises(ModelOutputError):
        _speaker_returning(output.astype(np.float32))


def test_a_nearly_unit_output_is_scaled_to_norm_one() -> None:
    """Rounding inside the graph does not reach the scores."""
    speaker = _speaker_returning(np.array([[0.0, 1.004, 0.0, 0.0]], dtype=np.float32))

    np.testing.assert_array_equal(speaker.embed(_speech()), [0.0, 1.0, 0.0, 0.0])


def test_a_file_that_hears_another_rate_than_the_manifest_says_is_refused() -> None:
    """The sampling rate inside the file must agree with the manifest."""
    output = np.array([[1.0, 0.0, 0.0, 0.0]], dtype=np.float32)

    with pytest.raises(ModelHashMismatchError):
        _speaker_returning(output, {"sample_rate": "16000"})


@pytest.mark.parametrize("content", [b"", b"not a model", TINY.read_bytes()[:200]])
def test_a_file_that_is_no_model_is_refused(content: bytes) -> None:
    """Bytes that the runtime cannot load surface as the engine's own error."""
    with pytest.raises(IntegrityError):
        Session(content)


def test_input_that_the_graph_cannot_take_is_a_model_error() -> None:
    """A failure inside the runtime surfaces as the engine's own error."""
    with pytest.raises(ModelOutputError):
        Session(TINY.read_bytes()).run(np.zeros(8000, dtype=np.float32))


def test_a_device_that_does_not_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that offers CUDA and then falls back to the processor is not accepted."""
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])

    class _FallenBack:
        def __init__(self, *_: object, **__: object) -> None: ...

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr("onnxruntime.InferenceSession", _FallenBack)
    with pytest.raises(SettingsError, match="cuda"):
        Session(TINY.read_bytes(), SessionChoices(device="cuda"))


def test_a_gpu_neither_searches_for_every_length_nor_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Spans come in all lengths, and calibration was measured in 32 bits."""
    opened: dict[str, Any] = {}
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])

    class _Noted:
        def __init__(self, _: bytes, **choices: Any) -> None:
            opened.update(choices)

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

    monkeypatch.setattr("onnxruntime.InferenceSession", _Noted)
    open_session(TINY.read_bytes(), SessionChoices(device="cuda"))

    assert opened["providers"][0] == "CUDAExecutionProvider"
    assert opened["provider_options"][0] == {
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }


def test_a_model_file_without_a_stated_rate_is_refused(tmp_path: Path) -> None:
    """Without a manifest the file itself must say how it hears."""
    path = tmp_path / "silent.onnx"
    path.write_bytes(TINY.read_bytes().replace(b"sample_rate", b"simple_rate"))

    with pytest.raises(SettingsError, match="sampling rate"):
        OnnxSpeaker.of_file(path)


def test_a_missing_model_file_is_refused(tmp_path: Path) -> None:
    """A path that is not there is a settings error."""
    with pytest.raises(SettingsError):
        OnnxSpeaker.of_file(tmp_path / "absent.onnx")


def test_cuda_without_its_runtime_is_refused_and_not_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asking for a GPU never runs quietly on the processor."""
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])

    with pytest.raises(MissingExtraError, match="gpu"):
        Session(TINY.read_bytes(), SessionChoices(device="cuda"))
