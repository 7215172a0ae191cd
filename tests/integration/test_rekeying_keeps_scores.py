# SPDX-License-Identifier: Apache-2.0
"""The shipped model, its cohort and its tables on stored voices: a re-keying moves no score."""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from voiceauth.config import ServerSettings, Settings, StorageSettings
from voiceauth.types import (
    Bandwidth,
    Consent,
    Embedding,
    Score,
    SubjectId,
    TenantId,
    Voiceprint,
    VoiceprintId,
)
from voiceauth.usecases.assemble import assembled
from voiceauth.usecases.claimed_voice import claimed_voice
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.manage_subjects import create_subject, record_consent

BANK = TenantId("bank")
CALLERS = [f"caller-{number:02d}" for number in range(1, 7)]
RATE_HZ = 8000
SPAN = 3 * RATE_HZ


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """The engine as it ships, on an empty vault."""
    settings = Settings(storage=StorageSettings(data_dir=tmp_path), server=ServerSettings(port=0))
    with assembled(settings) as opened:
        yield opened


def voices(engine: Engine, name: str) -> list[Embedding]:
    """Return the embeddings of the first spans of a demo recording."""
    with as_file(files("voiceauth").joinpath("_demo", f"{name}.opus")) as path:
        audio, rate = soundfile.read(path, dtype="float32")
    samples = np.asarray(soxr.resample(audio, rate, RATE_HZ), dtype=np.float32)
    return [engine.embedder.embed(samples[at : at + SPAN]) for at in (0, SPAN)]


def enrol(engine: Engine, name: str) -> None:
    """Store a caller's voice, and put it into the gallery."""
    subject = SubjectId(name)
    create_subject(engine, BANK, subject, frozenset())
    consent = Consent("c0" * 32, "authentication", "en", "test", datetime.now(UTC))
    record_consent(engine, BANK, subject, consent)
    voice = voices(engine, f"{name}-enrol")[0]
    print_ = Voiceprint(
        VoiceprintId(f"v-{name}"), subject, engine.embedder.model, voice, 20.0, datetime.now(UTC)
    )
    with engine.vault.begin() as change:
        change.add_voiceprint(BANK, print_)
    engine.gallery.add(BANK, subject, print_.voiceprint, voice, frozenset())


def rekey(engine: Engine) -> None:
    """Re-key to the end, however many steps of a second a busy machine takes for it."""
    desk = engine.rekeying
    assert desk is not None
    step = desk.step(BANK)
    for _ in range(60):
        if step.finished:
            return
        step = desk.step(BANK, step.generation)
    raise AssertionError(step)


def scores(engine: Engine, probes: list[Embedding]) -> list[Score]:
    """Score every probe against every stored caller."""
    found = []
    for name in CALLERS:
        with engine.vault.read() as view:
            claimed = claimed_voice(engine, view, BANK, SubjectId(name))
        found += [
            engine.scorer.score(
                probe,
                claimed.embedding,
                net_seconds=6.0,
                bandwidth=Bandwidth.NARROWBAND,
                enrolled_seconds=claimed.net_seconds,
                snr_db=20.0,
            )
            for probe in probes
        ]
    return found


def searched(engine: Engine, probes: list[Embedding]) -> NDArray[np.float64]:
    """Return the cosine of every probe with every caller, as the gallery finds it."""
    rows = []
    for probe in probes:
        found = dict(engine.gallery.search(BANK, probe, group=None, limit=len(CALLERS)))
        rows.append([found[SubjectId(name)] for name in CALLERS])
    return np.array(rows)


def test_scores_rates_and_searches_are_what_they_were(engine: Engine) -> None:
    """Normalised score, likelihood ratio, rates and cosines are the same to rounding."""
    for name in CALLERS:
        enrol(engine, name)
    probes = [voices(engine, f"{name}-genuine")[0] for name in CALLERS]
    before, cosines = scores(engine, probes), searched(engine, probes)
    rekey(engine)
    after = scores(engine, probes)

    for was, now in zip(before, after, strict=True):
        assert now.raw == pytest.approx(was.raw, abs=1e-4)
        assert now.llr == pytest.approx(was.llr, abs=1e-3)
        assert now.false_match_rate == pytest.approx(was.false_match_rate, rel=1e-3)
    np.testing.assert_allclose(searched(engine, probes), cosines, atol=1e-5)
    assert len({round(one.raw, 3) for one in before}) > len(CALLERS)  # the scores do differ


def test_an_old_vector_scores_like_a_strangers_against_the_new_ones(engine: Engine) -> None:
    """What was taken before a re-keying is no nearer to its owner's new vector than to others'."""
    plain = np.stack([voice for name in CALLERS for voice in voices(engine, f"{name}-enrol")])
    for name in CALLERS:
        enrol(engine, name)
    vault = engine.vault
    old = vault.voice_transform(BANK)  # type: ignore[attr-defined]
    rekey(engine)
    new = vault.voice_transform(BANK)  # type: ignore[attr-defined]
    across = old.protect(plain) @ new.protect(plain).T
    own = np.diag(across)
    others = across[~np.eye(len(plain), dtype=bool)]

    assert old.generation + 1 == new.generation
    assert float(own.max()) < 0.4 < float((plain @ plain.T).max())
    assert (
        abs(own.mean() - others.mean()) < 0.15
    )  # seven deviations: the secret is another each run
