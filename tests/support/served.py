# SPDX-License-Identifier: Apache-2.0
"""An engine with a made-up model behind a real vault, and a real server in front of it.

The voice of a call is what the test says it is (``parts.embedder.voice``), so that a test of the
service never depends on a model. Speech-like audio is synthetic and passes the real signal room.
"""

import hashlib
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from voiceauth.client import Client, EnrolOptions, VerifyOptions
from voiceauth.config import ServerSettings, Settings
from voiceauth.decision.policy import Policy
from voiceauth.errors import TooShortError
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.gallery.protected import ProtectedGallery
from voiceauth.liveness.synthetic import SyntheticCalibration
from voiceauth.ports import KeyService, Transaction, Vault
from voiceauth.service.server import Listening, running_server
from voiceauth.signal.net_speech import SpeechOptions
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.types import (
    AudioFormat,
    Bandwidth,
    Consent,
    Embedding,
    Encoding,
    EnrolmentOutcome,
    LedgerEntry,
    ModelCard,
    ModelHash,
    Samples,
    Score,
    TenantId,
)
from voiceauth.units import Hertz, Seconds
from voiceauth.usecases.engine import Engine, EnrolmentRules
from voiceauth.usecases.rekey_voiceprints import RekeyDesk
from voiceauth.vault.open import open_vault

DIMENSION = 16
RATE_HZ = 8000
PCM = AudioFormat(Encoding.PCM16LE, rate_hz=RATE_HZ)
MODEL = ModelHash("ab" * 32)
TENANT = "bank"
CONSENT = Consent(
    text_sha256="cd" * 32,
    purpose="authentication",
    locale="en-GB",
    method="ivr-keypress",
    given_at=EPOCH,
)


def speech(seconds: Seconds, seed: int = 0) -> bytes:
    """Return synthetic voiced sound that counts as speech, PCM16 at 8 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    pitch_hz = 110 + 15 * np.sin(2 * np.pi * 0.7 * time) + 5 * np.sin(2 * np.pi * 3.1 * time)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    voice = sum(np.sin(k * phase) / k for k in range(1, 25))
    syllables = np.clip(0.75 + 0.9 * np.sin(2 * np.pi * 3.5 * time), 0, 1)
    loudness = 0.12 * syllables * (1 + 0.2 * np.sin(2 * np.pi * 0.9 * time))
    sound = loudness * voice + 0.0008 * rng.standard_normal(len(time))
    return (np.clip(sound, -0.95, 0.95) * 32767).astype("<i2").tobytes()


def silence(seconds: Seconds) -> bytes:
    """Return digital silence, PCM16 at 8 kHz."""
    return bytes(2 * int(seconds * RATE_HZ))


def pieces(data: bytes, size: int = 1600) -> list[bytes]:
    """Cut audio into chunks, 100 ms each by default."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def voice_of(name: str) -> Embedding:
    """Return the embedding of a made-up person; two names are nearly orthogonal or opposite."""
    digest = hashlib.sha256(name.encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    vector = rng.standard_normal(DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class FakeEmbedder:
    """A ``ports.SpeakerEmbedder`` that hears whom the test tells it to hear."""

    def __init__(self) -> None:
        self.voice = "alice"
        self.failure: Exception | None = None
        self.output: Embedding | None = None
        self.calls = 0
        self.may_run = threading.Event()
        self.may_run.set()
        self.running = threading.Event()

    @property
    def model(self) -> ModelHash:
        """A made-up hash."""
        return MODEL

    @property
    def rate_hz(self) -> Hertz:
        """Telephone rate."""
        return RATE_HZ

    @property
    def dimension(self) -> int:
        """A small one."""
        return DIMENSION

    def embed(self, samples: Samples) -> Embedding:
        """Return the voice that was set, or fail as told; waits while ``may_run`` is clear."""
        del samples
        self.calls += 1
        self.running.set()
        self.may_run.wait(timeout=30)
        if self.failure is not None:
            raise self.failure
        return voice_of(self.voice) if self.output is None else self.output


class FakeSpoof:
    """A ``ports.SpoofDetector`` that says what the test tells it to; 3 is synthetic, -3 live."""

    model = ModelHash("cd" * 32)
    least_samples = RATE_HZ

    def __init__(self) -> None:
        self.output = -3.0
        self.failure: Exception | None = None
        self.calls = 0

    def score(self, waveform: Samples) -> float:
        """Return the output that was set, or fail as told."""
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        if len(waveform) < self.least_samples:
            raise TooShortError
        return self.output


SPOOF_LINE = SyntheticCalibration(FakeSpoof.model, -3.0, 0.0, -3.0, 3.0, 2.0)
"""Nine nats at either end."""


class FakeScorer:
    """A ``ports.Scorer`` with two certain answers."""

    version = "fake-1"

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.calls = 0

    def score(
        self,
        probe: Embedding,
        enrolled: Embedding,
        *,
        net_seconds: Seconds,
        bandwidth: Bandwidth,
        enrolled_seconds: float | None = None,
        snr_db: float | None = None,
    ) -> Score:
        """Return a sure match for the same voice and a sure mismatch for any other."""
        del net_seconds, bandwidth, enrolled_seconds, snr_db
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        cosine = float(probe @ enrolled)
        if cosine > 0.9:
            return Score(cosine, llr=12.0, false_match_rate=1e-6, false_non_match_rate=0.7)
        return Score(cosine, llr=-12.0, false_match_rate=0.9, false_non_match_rate=1e-6)


class BreakableVault:
    """A ``ports.Vault`` in front of another one, which fails when told to and counts its calls."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.write_failure: Exception | None = None
        self.read_failure: Exception | None = None
        self.writes = 0
        self.reads = 0

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """Open a write transaction, or fail."""
        self.writes += 1
        if self.write_failure is not None:
            raise self.write_failure
        with self._vault.begin() as transaction:
            yield transaction

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a view, or fail."""
        self.reads += 1
        if self.read_failure is not None:
            raise self.read_failure
        with self._vault.read() as view:
            yield view

    def tenants(self) -> Sequence[TenantId]:
        """As the vault."""
        return self._vault.tenants()

    def ledger(self, *, after: int = 0, limit: int = 1000) -> Sequence[LedgerEntry]:
        """As the vault."""
        return self._vault.ledger(after=after, limit=limit)

    def ledger_head(self) -> int:
        """As the vault."""
        return self.ledger(limit=100_000)[-1].sequence if self.ledger(limit=1) else 0

    def close(self) -> None:
        """As the vault."""
        self._vault.close()


@dataclass(frozen=True, eq=False)
class Parts:
    """An engine and the parts of it that a test turns."""

    engine: Engine
    vault: BreakableVault
    embedder: FakeEmbedder
    scorer: FakeScorer
    clock: FakeClock

    def events(self) -> list[str]:
        """Return the names of all ledger entries, oldest first."""
        return [entry.event for entry in self.vault.ledger()]

    def last(self, event: str) -> LedgerEntry:
        """Return the newest ledger entry of that name."""
        return [entry for entry in self.vault.ledger() if entry.event == event][-1]


@contextmanager
def fake_parts(directory: Path, keys: KeyService | None = None) -> Iterator[Parts]:
    """Open an engine of a made-up model and a real vault in ``directory``."""
    clock, random, keys = FakeClock(), FakeRandom(), keys or FakeKeyService()
    record = open_vault(directory / "vault.db", keys, clock=clock, random=random)
    vault = BreakableVault(record)
    gallery = ProtectedGallery(partial(FaissGallery, DIMENSION), record.voice_transform)
    embedder, scorer = FakeEmbedder(), FakeScorer()
    engine = Engine(
        vault=vault,
        gallery=gallery,
        embedder=embedder,
        scorer=scorer,
        clock=clock,
        random=random,
        secret=keys.derive,
        speech=SpeechOptions(),
        policies={
            "standard": Policy("standard", accept_on_voice_alone=True, synthetic_seconds=0.0),
            "long": Policy(
                "long", full_seconds=60.0, accept_on_voice_alone=True, synthetic_seconds=0.0
            ),
        },
        default_policy="standard",
        enrolment=EnrolmentRules(needed_seconds=10.0),
        decoys=tuple(voice_of(f"decoy-{index}") for index in range(7)),
        rekeying=RekeyDesk(record, gallery, MODEL, clock),
        models=(ModelCard("speaker", "fake", MODEL, "Apache-2.0", RATE_HZ, DIMENSION),),
    )
    try:
        yield Parts(engine, vault, embedder, scorer, clock)
    finally:
        vault.close()


def server_settings(**limits: Any) -> Settings:
    """Return settings for a server on a free port with the given limits."""
    return Settings(server=limits_of(**limits))


def limits_of(**limits: Any) -> ServerSettings:
    """Return the section of a server on a free port."""
    return ServerSettings(**{"port": 0, "drain_seconds": 10.0, **limits})


@dataclass(frozen=True, eq=False)
class Served:
    """A running server, a client of it and the engine behind it."""

    parts: Parts
    client: Client
    listening: Listening

    async def enrolled(self, subject: str, *, voice: str | None = None) -> None:
        """Create a subject with consent and a voiceprint of ``voice``, its own name by default."""
        await self.client.create_subject(TENANT, subject)
        await self.client.record_consent(TENANT, subject, CONSENT)
        self.parts.embedder.voice = voice or subject
        async with self.client.enrol(EnrolOptions("enrol-1", TENANT, subject, PCM)) as stream:
            result = await stream.run(pieces(speech(14.0)))
        if result.outcome is not EnrolmentOutcome.ENROLLED:
            raise AssertionError(result)

    def claim(self, subject: str = "alice", **more: Any) -> VerifyOptions:
        """Return a claim of the test's tenant."""
        return VerifyOptions("call-1", TENANT, subject, PCM, **more)


@asynccontextmanager
async def served(parts: Parts, **limits: Any) -> AsyncIterator[Served]:
    """Serve the parts on a free port for the time of the block."""
    async with (
        running_server(parts.engine, server_settings(**limits)) as listening,
        Client(listening.target, timeout_seconds=10.0) as client,
    ):
        yield Served(parts, client, listening)
