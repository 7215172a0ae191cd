# SPDX-License-Identifier: Apache-2.0
"""A child process that enrols subjects until it is killed, and says what was acknowledged.

Usage: python enrolment_worker.py DATA_DIR FIRST. Each line of its output is an acknowledgement that
was printed after the use case returned, as a server would answer after its commit.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import Settings, StorageSettings
from voiceauth.decision.policy import Policy
from voiceauth.gallery.flat import FaissGallery
from voiceauth.keys.keyring import FileKeyring
from voiceauth.signal.net_speech import SpeechOptions
from voiceauth.types import (
    AudioFormat,
    Bandwidth,
    CallId,
    Consent,
    Embedding,
    Encoding,
    ModelHash,
    Quality,
    Samples,
    Score,
    Span,
    SubjectId,
    TenantId,
)
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.assemble import VAULT_FILE, open_keys
from voiceauth.usecases.engine import Engine, EnrolmentRules
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.vault.open import open_vault

TENANT = TenantId("bank")
MODEL = ModelHash("ab" * 32)
DIMENSION = 192


class SeededEmbedder:
    """Stands in for the model: the loop is about storage, not about voices."""

    model = MODEL
    rate_hz = 8000
    dimension = DIMENSION

    def embed(self, samples: Samples) -> Embedding:
        """Return a unit vector that depends on the first sample only."""
        generator = np.random.default_rng(int(abs(samples[0]) * 1e6))
        vector = generator.standard_normal(DIMENSION).astype(np.float32)
        return vector / np.float32(np.linalg.norm(vector))


class AgreeingScorer:
    """Finds every segment coherent and no voice familiar."""

    version = "fake"

    def score(
        self, probe: Embedding, enrolled: Embedding, *, net_seconds: float, bandwidth: Bandwidth
    ) -> Score:
        """Return the same middling score for every pair."""
        del probe, enrolled, net_seconds, bandwidth
        return Score(raw=0.5, llr=0.0, false_match_rate=0.5, false_non_match_rate=0.5)


def make_engine(data_dir: Path, *, needed_seconds: float = 9.0) -> Engine:
    """Return an engine over the real keys and vault of a directory."""
    clock, random = SystemClock(), SystemRandom()
    settings = Settings(storage=StorageSettings(data_dir=data_dir))
    keys: FileKeyring = open_keys(settings, clock=clock, random=random)
    vault = open_vault(data_dir / VAULT_FILE, keys, clock=clock, random=random)
    embedder = SeededEmbedder()
    return Engine(
        vault=vault,
        gallery=FaissGallery(DIMENSION),
        embedder=embedder,
        scorer=AgreeingScorer(),
        clock=clock,
        random=random,
        secret=keys.derive,
        speech=SpeechOptions(),
        policies={"standard": Policy("standard")},
        default_policy="standard",
        enrolment=replace(EnrolmentRules(), needed_seconds=needed_seconds),
        decoys=(embedder.embed(np.ones(1, np.float32)),),
        models=(),
    )


def span(seed: int) -> Span:
    """Return three counted seconds of speech, told apart by its first sample."""
    samples = np.full(24_000, (seed % 900 + 1) / 1000, dtype=np.float32)
    quality = Quality(20.0, -20.0, 0.0, 0.0, Bandwidth.NARROWBAND)
    return Span(samples, 3.0, 0.0, 3.0, quality)


def consent(engine: Engine) -> Consent:
    """Return a consent given now."""
    return Consent("ab" * 32, "authentication", "en", "spoken", engine.clock.now())


def enrol_once(engine: Engine, subject: SubjectId, call: str, spans: int) -> str:
    """Run one enrolment call of so many three-second spans; return its outcome."""
    request = EnrolmentRequest(CallId(call), TENANT, subject, AudioFormat(Encoding.MULAW))
    enrolment = EnrolCall(engine, request)
    enrolment.load()
    for number in range(spans):
        one = span(number + 1)
        enrolment.weigh(one, engine.embedder.embed(one.samples))
    return enrolment.conclude().outcome.value


def main(data_dir: Path, first: int) -> None:
    """Create and enrol subjects for ever: half a voiceprint in one call, the rest in the next."""
    engine = make_engine(data_dir)
    print("ready", flush=True)
    for number in range(first, first + 1_000_000):
        subject = SubjectId(f"caller-{number}")
        manage_subjects.create_subject(engine, TENANT, subject, frozenset())
        print(f"created {subject}", flush=True)
        manage_subjects.record_consent(engine, TENANT, subject, consent(engine))
        print(f"consented {subject}", flush=True)
        print(f"{enrol_once(engine, subject, 'first', 2)} {subject}", flush=True)
        print(f"{enrol_once(engine, subject, 'second', 2)} {subject}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
