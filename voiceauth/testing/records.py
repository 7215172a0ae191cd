# SPDX-License-Identifier: Apache-2.0
"""Made-up consents, segments, voiceprints and recordings for tests: valid, repeatable, nobody's."""

from datetime import datetime

import numpy as np

from voiceauth.testing.fakes import EPOCH, FakeRandom
from voiceauth.types import (
    Bandwidth,
    CallId,
    Consent,
    Embedding,
    EnrolmentSegment,
    Fingerprint,
    HeardRecording,
    ModelHash,
    SubjectId,
    Voiceprint,
    VoiceprintId,
)

MODEL = ModelHash("a1" * 32)
OTHER_MODEL = ModelHash("b2" * 32)


def made_up_embedding(seed: int, dimension: int = 192) -> Embedding:
    """Return a random unit vector, float32, shape (dimension,)."""
    vector = np.random.default_rng(seed).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def made_up_consent(given_at: datetime = EPOCH, purpose: str = "authentication") -> Consent:
    """Return a consent without a fixed end."""
    return Consent("c0" * 32, purpose, "de-CH", "ivr-keypress", given_at)


def made_up_segment(seed: int, net_seconds: float = 3.0, call: str = "call-1") -> EnrolmentSegment:
    """Return a segment; its seed decides the voice."""
    return EnrolmentSegment(
        embedding=made_up_embedding(seed),
        net_seconds=net_seconds,
        call=CallId(call),
        start_seconds=float(seed),
        end_seconds=seed + net_seconds,
        snr_db=None if seed % 2 else 20.0,
        bandwidth=Bandwidth.WIDEBAND if seed % 3 == 0 else Bandwidth.NARROWBAND,
    )


def made_up_voiceprint(
    name: str, subject: str, *, model: ModelHash = MODEL, seed: int = 1, segments: int = 2
) -> Voiceprint:
    """Return a voiceprint with some provenance."""
    parts = tuple(made_up_segment(seed + n) for n in range(segments))
    return Voiceprint(
        voiceprint=VoiceprintId(name),
        subject=SubjectId(subject),
        model=model,
        embedding=made_up_embedding(seed),
        net_seconds=20.0 + seed,
        created_at=EPOCH,
        segments=parts,
    )


def made_up_recording(
    seed: int, *, call: str = "call-1", heard_at: datetime = EPOCH, frames: int = 100
) -> HeardRecording:
    """Return a recording whose bits depend on the seed only."""
    bits = FakeRandom(seed).token(4 * frames)
    return HeardRecording(CallId(call), heard_at, Fingerprint("made-up", frames, bits))
