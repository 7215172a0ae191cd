# SPDX-License-Identifier: Apache-2.0
"""An engine in the middle of a migration: a new model, and the one before, both made up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fake_engine import (
    DIMENSION,
    TENANT,
    CosineScorer,
    SeededEmbedder,
    consenting,
    make_engine,
    span,
)

from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.types import (
    AudioFormat,
    CallId,
    Embedding,
    Encoding,
    ModelHash,
    Samples,
    Score,
    SubjectId,
    Verdict,
)
from voiceauth.usecases.attempt_desk import AttemptDesk
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.two_models import CarryOver
from voiceauth.usecases.verify_call import VerifyCall

MULAW = AudioFormat(Encoding.MULAW)
OLD = ModelHash("0d" * 32)
ANNA, STRANGER = 7, 9


class OldEmbedder(SeededEmbedder):
    """The model before: it hears the same voices, in a space that has nothing to do with it."""

    model = OLD

    def embed(self, samples: Samples) -> Embedding:
        """Return the unit vector of the voice in the first sample, in the old space."""
        generator = np.random.default_rng(1_000_000 + round(float(samples[0]) * 1000))
        vector = generator.standard_normal(DIMENSION).astype(np.float32)
        return vector / np.float32(np.linalg.norm(vector))


class WatchedScorer(CosineScorer):
    """Remembers which pairs it was asked for."""

    def __init__(self, space: SeededEmbedder) -> None:
        self.foreign = 0
        self._known = [space.embed(span(voice).samples) for voice in (ANNA, STRANGER, 999)]

    def score(self, probe: Embedding, enrolled: Embedding, **terms: Any) -> Score:
        """Count every embedding that is of no voice in this model's space."""
        for one in (probe, enrolled):
            self.foreign += max(float(known @ one) for known in self._known) < 0.9
        return super().score(probe, enrolled, **terms)


def two_worlds(directory: Path) -> tuple[Engine, Engine]:
    """Return the engine before the migration, and the one in it, over one vault."""
    built = make_engine(directory)
    new = replace(built, scorer=WatchedScorer(SeededEmbedder()), attempts=AttemptDesk(built.clock))
    before = replace(
        new,
        embedder=OldEmbedder(),
        scorer=WatchedScorer(OldEmbedder()),
        gallery=FaissGallery(DIMENSION),
        decoys=(OldEmbedder().embed(span(999).samples),),
    )
    return before, replace(new, previous=before)


def enrolled(engine: Engine, name: str, voice: int) -> SubjectId:
    """Create a consenting subject with a voiceprint of an engine's model."""
    subject = consenting(engine, name)
    enrol_again(engine, subject, voice)
    return subject


def enrol_again(engine: Engine, subject: SubjectId, voice: int) -> EnrolCall:
    """Run an enrolment call."""
    call = EnrolCall(engine, EnrolmentRequest(CallId("enrol"), TENANT, subject, MULAW))
    call.load()
    for _ in range(3):
        call.weigh(span(voice), call.embedder.embed(span(voice).samples))
    call.conclude()
    return call


def called(engine: Engine, subject: SubjectId, voice: int) -> tuple[Verdict, CarryOver | None]:
    """Run a verification; return the verdict and what it leaves for the new model."""
    call = VerifyCall(engine, Claim(CallId("v"), TENANT, subject, MULAW))
    call.load()
    while not call.decided:
        call.weigh(span(voice), call.embedder.embed(span(voice).samples))
    return call.conclude(), call.carry_over()


def carried(engine: Engine, over: CarryOver | None) -> bool:
    """Let the new model hear what was left, as the service does; say whether the subject moved."""
    if over is None:
        return False
    return over.store([engine.embedder.embed(samples) for samples in over.samples])
