# SPDX-License-Identifier: Apache-2.0
"""The shipped model on the demo's real callers, over gRPC: what a stand-in model cannot show."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voiceauth.cli.demo_callers import mulaw
from voiceauth.client import Client, EnrolOptions, IdentifyOptions
from voiceauth.config import ServerSettings, Settings, StorageSettings
from voiceauth.service.server import running_server
from voiceauth.types import (
    AudioFormat,
    Consent,
    Encoding,
    EnrolmentOutcome,
    EnrolmentProgress,
    EnrolmentResult,
    Reason,
    SegmentReport,
)
from voiceauth.usecases.assemble import assembled

MULAW = AudioFormat(Encoding.MULAW)
SECOND = 8000
CHUNK = 800


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """Return a client of a server that runs the shipped model on an empty vault."""
    settings = Settings(storage=StorageSettings(data_dir=tmp_path), server=ServerSettings(port=0))
    with assembled(settings) as engine:
        async with (
            running_server(engine, settings) as listening,
            Client(listening.target) as connected,
        ):
            yield connected


def clip(name: str) -> bytes:
    """Return a demo recording as G.711 mu-law."""
    with as_file(files("voiceauth").joinpath("_demo", f"{name}.opus")) as path:
        audio, rate = soundfile.read(path, dtype="float32")
    return mulaw(np.asarray(soxr.resample(audio, rate, SECOND), dtype=np.float32))


async def enrol(
    client: Client, subject: str, audio: bytes
) -> tuple[EnrolmentResult, list[SegmentReport]]:
    """Create a consenting subject and enrol it; return the result and every segment's fate."""
    await client.create_subject("bank", subject)
    consent = Consent("ab" * 32, "authentication", "en", "test", datetime.now(UTC))
    await client.record_consent("bank", subject, consent)
    async with client.enrol(EnrolOptions(f"call-{subject}", "bank", subject, MULAW)) as stream:

        async def speak() -> None:
            for start in range(0, len(audio), CHUNK):
                await stream.send(audio[start : start + CHUNK])
            await stream.end()

        speaking = asyncio.create_task(speak())
        segments = [
            update.segment
            async for update in stream
            if isinstance(update, EnrolmentProgress) and update.segment is not None
        ]
        await asyncio.gather(speaking, return_exceptions=True)
        return await stream.result(), segments


async def test_a_voice_under_a_second_name_is_found_out(client: Client) -> None:
    """Other recordings of an enrolled caller do not enrol again under another name."""
    first, _ = await enrol(client, "anna", clip("caller-01-enrol"))
    other, _ = await enrol(client, "carl", clip("caller-04-enrol"))
    again, _ = await enrol(
        client,
        "berta",
        clip("caller-01-genuine") + clip("caller-01-impostor") + clip("caller-01-enrol"),
    )

    assert first.outcome is other.outcome is EnrolmentOutcome.ENROLLED
    assert again.outcome is EnrolmentOutcome.DUPLICATE
    # Found, and not named: whoever enrols may not learn who else has this voice.
    assert again.duplicate == "****"


async def test_a_second_person_on_the_line_is_not_enrolled_along(client: Client) -> None:
    """Twelve seconds of somebody else in the middle are heard, named incoherent, and left out."""
    one, other = clip("caller-04-enrol"), clip("caller-05-enrol")
    handed_over = one[: 8 * SECOND] + other[8 * SECOND : 20 * SECOND] + one[12 * SECOND :]

    _, segments = await enrol(client, "anna", handed_over)

    strange = [part for part in segments if part.start_seconds >= 9 and part.end_seconds <= 19]
    own = [part for part in segments if part.end_seconds <= 8 or part.start_seconds >= 21]
    assert strange
    assert own
    assert all(part.reasons == (Reason.INCOHERENT,) for part in strange)
    assert all(part.counted for part in own)


async def test_the_caller_leads_the_ranking(client: Client) -> None:
    """Identify puts the speaker first among enrolled people, far ahead of the next."""
    for name in ("caller-01", "caller-04", "caller-05"):
        await enrol(client, name, clip(f"{name}-enrol"))
    audio = clip("caller-05-genuine")
    chunks = [audio[start : start + CHUNK] for start in range(0, len(audio), CHUNK)]

    async with client.identify(IdentifyOptions("call", "bank", None, MULAW, 3)) as stream:
        ranking = await stream.run(chunks)

    best, second = ranking.candidates[:2]
    assert best.subject == "caller-05"
    assert best.score.llr is not None
    assert second.score.llr is not None
    assert best.score.llr > 0 > second.score.llr
