# SPDX-License-Identifier: Apache-2.0
"""An engine over the real keys, vault and gallery, with a stand-in model and scorer.

A voice is a number: spans of the same voice embed alike, spans of different voices do not.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from voiceauth.adapters import SystemRandom
from voiceauth.config import Settings, StorageSettings
from voiceauth.decision.policy import Policy
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.ports import Clock
from voiceauth.signal.net_speech import SpeechOptions
from voiceauth.testing.fakes import FakeClock
from voiceauth.types import (
    Bandwidth,
    Consent,
    Embedding,
    GroupName,
    ModelHash,
    Quality,
    Samples,
    Score,
    Span,
    SubjectId,
    TenantId,
)
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.engine import Engine, EnrolmentRules
from voiceauth.usecases.key_services import VAULT_FILE, open_keys
from voiceauth.vault.open import open_vault

TENANT = TenantId("bank")
MODEL = ModelHash("ab" * 32)
DIMENSION = 192
NOBODY = 999


class SeededEmbedder:
    """Stands in for the model: the first sample says whose voice it is."""

    model = MODEL
    rate_hz = 8000
    dimension = DIMENSION

    def embed(self, samples: Samples) -> Embedding:
        """Return the unit vector of the voice in the first sample."""
        generator = np.random.default_rng(round(float(samples[0]) * 1000))
        vector = generator.standard_normal(DIMENSION).astype(np.float32)
        return vector / np.float32(np.linalg.norm(vector))


class CosineScorer:
    """Stands in for calibration: alike is a match, unlike a mismatch, between is unsure."""

    version = "fake-1"

    def score(
        self,
        probe: Embedding,
        enrolled: Embedding,
        *,
        net_seconds: float,
        bandwidth: Bandwidth,
        enrolled_seconds: float | None = None,
        snr_db: float | None = None,
    ) -> Score:
        """Score by three steps of the cosine; less than 1.5 s has no support."""
        del bandwidth, enrolled_seconds, snr_db
        cosine = float(probe @ enrolled)
        if net_seconds < 1.5:
            return Score(cosine, None, None, None)
        if cosine > 0.9:
            return Score(cosine, 14.0, 1e-6, 0.9)
        if cosine < 0.5:
            return Score(cosine, -9.0, 0.9, 1e-6)
        return Score(cosine, 0.0, 0.2, 0.2)


class AgreeingScorer:
    """Finds every segment coherent and no voice familiar."""

    version = "fake-2"

    def score(
        self,
        probe: Embedding,
        enrolled: Embedding,
        *,
        net_seconds: float,
        bandwidth: Bandwidth,
        enrolled_seconds: float | None = None,
        snr_db: float | None = None,
    ) -> Score:
        """Return the same middling score for every pair."""
        del probe, enrolled, net_seconds, bandwidth, enrolled_seconds, snr_db
        return Score(raw=0.5, llr=0.0, false_match_rate=0.5, false_non_match_rate=0.5)


def make_engine(
    data_dir: Path,
    *,
    needed_seconds: float = 9.0,
    scorer: CosineScorer | AgreeingScorer | None = None,
    clock: Clock | None = None,
) -> Engine:
    """Return an engine over the real keys and vault of a directory."""
    clock, random = clock or FakeClock(), SystemRandom()
    settings = Settings(storage=StorageSettings(data_dir=data_dir))
    keys = open_keys(settings, clock=clock, random=random)
    vault = open_vault(data_dir / VAULT_FILE, keys, clock=clock, random=random)
    embedder = SeededEmbedder()
    return Engine(
        vault=vault,
        gallery=FaissGallery(DIMENSION),
        embedder=embedder,
        scorer=scorer or CosineScorer(),
        clock=clock,
        random=random,
        secret=keys.derive,
        speech=SpeechOptions(),
        policies={
            "standard": Policy("standard", accept_on_voice_alone=True, synthetic_seconds=0.0)
        },
        default_policy="standard",
        enrolment=replace(EnrolmentRules(), needed_seconds=needed_seconds),
        decoys=(embedder.embed(span(NOBODY).samples),),
        models=(),
    )


def span(voice: int, net_seconds: float = 3.0) -> Span:
    """Return counted speech of a voice, 1 to 999."""
    samples = np.full(round(8000 * net_seconds), voice / 1000, dtype=np.float32)
    quality = Quality(20.0, -20.0, 0.0, 0.0, Bandwidth.NARROWBAND)
    return Span(samples, net_seconds, 0.0, net_seconds, quality)


def consent(engine: Engine) -> Consent:
    """Return a consent given now."""
    return Consent("ab" * 32, "authentication", "en", "spoken", engine.clock.now())


def consenting(engine: Engine, name: str, *groups: str) -> SubjectId:
    """Create a subject with a consent in force."""
    subject = SubjectId(name)
    names = frozenset(GroupName(group) for group in groups)
    manage_subjects.create_subject(engine, TENANT, subject, names)
    manage_subjects.record_consent(engine, TENANT, subject, consent(engine))
    return subject
