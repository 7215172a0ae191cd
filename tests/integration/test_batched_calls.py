# SPDX-License-Identifier: Apache-2.0
"""Calls whose spans share runs end as they end when each span runs alone."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voiceauth.cli.demo_callers import mulaw
from voiceauth.client import Client, EnrolOptions, VerifyOptions
from voiceauth.config import ModelSettings, ServerSettings, Settings, StorageSettings
from voiceauth.models.padded import PaddedSession
from voiceauth.service.server import running_server
from voiceauth.types import (
    AudioFormat,
    Consent,
    Encoding,
    EnrolmentOutcome,
    Samples,
    Verdict,
)
from voiceauth.usecases.assemble import assembled

MULAW = AudioFormat(Encoding.MULAW)
CALLS = (
    ("caller-01", "caller-01-genuine"),
    ("caller-04", "caller-04-impostor"),
    ("caller-04", "caller-04-genuine"),
)
"""Who is claimed, and what is heard."""


def chunks(name: str) -> list[bytes]:
    """Return a demo recording as G.711 mu-law, 100 ms at a time."""
    with as_file(files("voiceauth").joinpath("_demo", f"{name}.opus")) as path:
        audio, rate = soundfile.read(path, dtype="float32")
    data = mulaw(np.asarray(soxr.resample(audio, rate, 8000), dtype=np.float32))
    return [data[start : start + 800] for start in range(0, len(data), 800)]


async def enrol(client: Client, subject: str) -> None:
    """Enrol a subject with its demo recording."""
    await client.create_subject("bank", subject)
    consent = Consent("ab" * 32, "authentication", "en", "test", datetime.now(UTC))
    await client.record_consent("bank", subject, consent)
    async with client.enrol(EnrolOptions(f"enrol-{subject}", "bank", subject, MULAW)) as stream:
        result = await stream.run(chunks(f"{subject}-enrol"))
    assert result.outcome is EnrolmentOutcome.ENROLLED


async def verify(client: Client, subject: str, heard: str) -> Verdict:
    """Verify a claim with a demo recording."""
    async with client.verify(VerifyOptions(f"call-{heard}", "bank", subject, MULAW)) as stream:
        return await stream.run(chunks(heard))


async def verdicts(directory: Path, models: ModelSettings) -> list[Verdict]:
    """Serve an empty vault, enrol two people, and take all calls at once."""
    settings = Settings(
        storage=StorageSettings(data_dir=directory), server=ServerSettings(port=0), models=models
    )
    with assembled(settings) as engine:
        async with (
            running_server(engine, settings) as listening,
            Client(listening.target, timeout_seconds=60.0) as client,
        ):
            await asyncio.gather(*(enrol(client, name) for name in ("caller-01", "caller-04")))
            return await asyncio.gather(*(verify(client, *call) for call in CALLS))


async def test_calls_end_alike_whether_their_spans_share_runs_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decision, reasons and evidence are the same within rounding, and runs were shared."""
    sizes: list[int] = []
    run = PaddedSession.run

    def noted(self: PaddedSession, spans: Sequence[Samples]) -> object:
        sizes.append(len(spans))
        return run(self, spans)

    monkeypatch.setattr(PaddedSession, "run", noted)
    alone = await verdicts(tmp_path / "alone", ModelSettings())
    assert sizes == []

    together = await verdicts(
        tmp_path / "together", ModelSettings(batch_spans=3, batch_wait_milliseconds=100)
    )

    assert max(sizes) > 1
    for one, other in zip(alone, together, strict=True):
        assert (one.decision, one.evidence.reasons) == (other.decision, other.evidence.reasons)
        for value, expected in (
            (other.evidence.score, one.evidence.score),
            (other.evidence.liveness.synthetic, one.evidence.liveness.synthetic),
        ):
            assert value is not None
            assert expected is not None
            assert expected.llr is not None
            assert value.llr == pytest.approx(expected.llr, abs=1e-2)
