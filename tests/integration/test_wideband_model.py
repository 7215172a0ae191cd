# SPDX-License-Identifier: Apache-2.0
"""A model that hears 16 kHz, as imported ones do: started, served, enrolled with, verified with."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soxr
from served import CONSENT, TENANT, pieces, speech

from voiceauth.client import Client, EnrolOptions, VerifyOptions
from voiceauth.config import ModelSettings, ServerSettings, Settings, StorageSettings
from voiceauth.liveness.synthetic import SyntheticCalibration, format_calibration
from voiceauth.models.bundle import write_cohort
from voiceauth.models.install import install, install_spoof
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.models.spoof import OnnxSpoof, ResampledSpoof
from voiceauth.ports import BatchDetector
from voiceauth.scoring.calibration import Calibration, Node, Normalisation, Table
from voiceauth.scoring.condition import Line, Range, Support
from voiceauth.scoring.tables import dumps
from voiceauth.service.server import running_server
from voiceauth.types import (
    AudioFormat,
    Bandwidth,
    Embedding,
    Encoding,
    EnrolmentOutcome,
    ModelHash,
    Samples,
)
from voiceauth.units import Hertz
from voiceauth.usecases.assemble import assembled
from voiceauth.usecases.engine import Engine

DATA = Path(__file__).parents[1] / "data"
RATE_HZ = 16_000
PHONE_HZ = 8_000
SPOKEN = 25.0


def _note(key: str, value: str) -> bytes:
    """Encode one entry of a model file's ``metadata_props``."""
    parts = [bytes([tag, len(text)]) + text.encode() for tag, text in ((10, key), (18, value))]
    entry = b"".join(parts)
    return bytes([114, len(entry)]) + entry


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with the tiny speaker model at 16 kHz."""
    folder = tmp_path / "models"
    folder.mkdir()
    content = (DATA / "tiny-speaker.onnx").read_bytes()
    old, new = _note("sample_rate", "8000"), _note("sample_rate", "16000")
    assert content.count(old) == 1
    (folder / "wide.onnx").write_bytes(content.replace(old, new))
    (folder / "wide.md").write_text("# wide\n")
    write_cohort(folder / "wide-cohort.npz", np.eye(4, dtype=np.float32))
    model = OnnxSpeaker.of_file(folder / "wide.onnx").model
    (folder / "wide-calibration.json").write_text(dumps(_tables(model)))
    install(folder, "wide", licence="MIT")
    return folder


def add_spoof_model(folder: Path) -> None:
    """Put a spoof model that hears 8 kHz beside the speaker model."""
    (folder / "spoof.onnx").write_bytes((DATA / "tiny-spoof.onnx").read_bytes())
    (folder / "spoof.md").write_text("# spoof\n")
    line = SyntheticCalibration(
        OnnxSpoof.of_file(folder / "spoof.onnx").model, -1.0, 0.0, -5.0, 5.0, 2.0
    )
    (folder / "spoof-calibration.json").write_text(format_calibration(line))
    install_spoof(folder, "spoof", licence="MIT")


def _tables(model: ModelHash) -> Calibration:
    """Tables that take cosines above one half for evidence, for calls of both bandwidths."""
    grid = np.array([-4.0, -1.0, 1.0, 4.0])
    node = Node(2.0, np.array([0.9, 0.5, 0.05, 0.001]), np.array([0.01, 0.05, 0.3, 0.9]), 300, 3000)
    support = Support(Range(0.5, 30.0), Range(0.5, 90.0), Range(-20.0, 90.0))
    tables = tuple(
        Table(kind, support, Line(("1",), (10.0,), (-5.0,)), (node,), "made up")
        for kind in Bandwidth
    )
    return Calibration(
        version="made-up",
        model=model,
        normalisation=Normalisation(),
        data="nobody",
        data_sha256="d" * 64,
        speakers=10,
        confidence=0.95,
        grid=grid,
        tables=tables,
    )


class Listening:
    """The engine's embedder; keeps what it was given."""

    def __init__(self, inner: OnnxSpeaker) -> None:
        self._inner = inner
        self.spans: list[Samples] = []

    @property
    def model(self) -> ModelHash:
        """Of the model inside."""
        return self._inner.model

    @property
    def rate_hz(self) -> Hertz:
        """Of the model inside."""
        return self._inner.rate_hz

    @property
    def dimension(self) -> int:
        """Of the model inside."""
        return self._inner.dimension

    def embed(self, samples: Samples) -> Embedding:
        """Keep the span and embed it."""
        self.spans.append(samples)
        return self._inner.embed(samples)


@pytest.fixture
async def served(models: Path, tmp_path: Path) -> AsyncIterator[tuple[Client, Engine, Listening]]:
    """A server on that folder, its client, and what the model hears."""
    settings = Settings(
        storage=StorageSettings(data_dir=tmp_path / "data"),
        server=ServerSettings(port=0),
        models=ModelSettings(directory=models),
    )
    with assembled(settings) as started:
        assert isinstance(started.embedder, OnnxSpeaker)
        listening = Listening(started.embedder)
        engine = replace(started, embedder=listening)
        async with (
            running_server(engine, settings) as address,
            Client(address.target) as client,
        ):
            yield client, engine, listening


def _audio(rate_hz: Hertz) -> bytes:
    """The same made-up speech at a rate, PCM16."""
    sound = np.frombuffer(speech(SPOKEN), dtype="<i2").astype(np.float32)
    brought = soxr.resample(sound, PHONE_HZ, rate_hz)
    return bytes(np.clip(brought, -32768, 32767).astype("<i2").tobytes())


@pytest.mark.parametrize("rate_hz", [PHONE_HZ, RATE_HZ])
async def test_a_model_of_16_khz_is_served_from_any_line(
    served: tuple[Client, Engine, Listening], rate_hz: Hertz
) -> None:
    """Calls reach the model at its own rate in both directions, whatever the line has."""
    client, engine, listening = served
    kind = AudioFormat(Encoding.PCM16LE, rate_hz=rate_hz)
    await client.create_subject(TENANT, "anna")
    await client.record_consent(TENANT, "anna", CONSENT)

    async with client.enrol(EnrolOptions("first", TENANT, "anna", kind)) as enrolment:
        enrolled = await enrolment.run(pieces(_audio(rate_hz)))
    async with client.verify(VerifyOptions("second", TENANT, "anna", kind)) as call:
        verdict = await call.run(pieces(_audio(rate_hz)))

    assert engine.speech.rate_hz == RATE_HZ
    assert enrolled.outcome is EnrolmentOutcome.ENROLLED
    assert verdict.evidence.score is not None
    assert verdict.evidence.score.llr is not None
    assert verdict.evidence.score.llr > 0.0
    # Spans of 3 s of net speech: at the line's rate they would be half as long.
    longest = max(len(span) for span in listening.spans)
    assert longest >= 3.0 * RATE_HZ


@pytest.mark.parametrize("batch_spans", [1, 4])
def test_the_spoof_model_beside_it_hears_its_own_rate(
    models: Path, tmp_path: Path, batch_spans: int
) -> None:
    """The layer that looks for synthetic speech runs with any speaker model, on the same spans."""
    add_spoof_model(models)
    settings = Settings(
        storage=StorageSettings(data_dir=tmp_path / "data"),
        models=ModelSettings(directory=models, batch_spans=batch_spans),
    )
    place = np.arange(3 * RATE_HZ) / RATE_HZ
    span = (0.2 + 0.1 * np.sin(2 * np.pi * 200.0 * place)).astype(np.float32)

    with assembled(settings) as engine:
        assert engine.spoof is not None
        detector = engine.spoof.detector
        assert isinstance(detector, ResampledSpoof)
        assert detector.least_samples == RATE_HZ
        # The made-up score is ten times the mean, which resampling keeps.
        assert detector.score(span) == pytest.approx(2.0, abs=0.01)
        assert isinstance(detector, BatchDetector) == (batch_spans > 1)
        if isinstance(detector, BatchDetector):
            assert detector.score_many([span, span]) == pytest.approx([2.0, 2.0], abs=0.01)
