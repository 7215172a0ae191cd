# SPDX-License-Identifier: Apache-2.0
"""Crops, targets and a whole small run."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from voiceauth.errors import IntegrityError, SettingsError
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.testing.channel import Severity, Sounds
from voiceauth.training.cohort import build_cohort
from voiceauth.training.commands import seconds_until
from voiceauth.training.corpus import Corpus, load_corpus
from voiceauth.training.crops import CropPlan, CropStream, Targets, build_targets, unit
from voiceauth.training.evaluation import equal_error_rate
from voiceauth.training.objective import UNLABELLED
from voiceauth.training.run import RunPlan, elapsed, learning_rate, train
from voiceauth.training.student import StudentShape
from voiceauth.training.teacher import VARIANT_CLIPS, load_store, planned
from voiceauth.training.voices import VARIANTS

pytestmark = pytest.mark.train
CROPS = CropPlan(batch=4, shortest=0.8, longest=1.0, severity=Severity(slow_codecs=0.0))


@pytest.fixture(scope="module")
def corpus(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The pack's train speech."""
    return load_corpus(pack, tmp_path_factory.mktemp("decoded"), "speech", "train")


def write_store(corpus: Corpus, file: Path, *, variants: bool) -> Path:
    """A store as the teacher would write it, with random embeddings."""
    pairs = np.array(planned(corpus, variants=variants))
    rng = np.random.default_rng(len(pairs))
    np.savez(
        file,
        path=np.array([corpus.clips[i].path for i in pairs[:, 0]]),
        samples=np.array([corpus.clips[i].length for i in pairs[:, 0]]),
        variant=pairs[:, 1].astype(np.int8),
        embedding=unit(rng.standard_normal((len(pairs), 192)).astype(np.float32)),
    )
    return file


@pytest.fixture
def targets(corpus: Corpus, tmp_path: Path) -> Targets:
    """Targets from stores of the recordings and of changed voices."""
    stores = [
        write_store(corpus, tmp_path / f"{variants}.npz", variants=variants)
        for variants in (False, True)
    ]
    return build_targets(corpus, load_store(corpus, *stores))


def test_teacher_plans_every_clip_and_few_variants(corpus: Corpus) -> None:
    """Every clip is embedded as it is; at most three per labelled speaker in each variant."""
    assert len(planned(corpus, variants=False)) == len(corpus.clips)
    variants = planned(corpus, variants=True)
    assert len(variants) == 4 * VARIANT_CLIPS * (len(VARIANTS) - 1)
    assert all(corpus.clips[clip].speaker for clip, _ in variants)


@pytest.mark.parametrize("change", [{"path": "elsewhere.flac"}, {"length": 5}])
def test_store_of_other_data_is_refused(
    corpus: Corpus, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Embeddings of a recording that is gone, or has changed, must not become targets."""
    store = write_store(corpus, tmp_path / "teacher.npz", variants=False)
    clips = (dataclasses.replace(corpus.clips[0], **change), *corpus.clips[1:])
    with pytest.raises(IntegrityError):
        load_store(dataclasses.replace(corpus, clips=clips), store)


def test_store_serves_a_corpus_that_has_grown(corpus: Corpus, tmp_path: Path) -> None:
    """Embeddings follow their recordings by path, wherever these stand in a larger corpus."""
    store = load_store(corpus, write_store(corpus, tmp_path / "teacher.npz", variants=False))
    grown = dataclasses.replace(
        corpus, clips=(dataclasses.replace(corpus.clips[0], path="new.flac"), *corpus.clips)
    )
    found = load_store(grown, tmp_path / "teacher.npz")
    np.testing.assert_array_equal(found.clip, store.clip + 1)
    np.testing.assert_array_equal(found.embedding, store.embedding)


def test_targets_are_unit_and_unlabelled_clips_have_no_class(
    corpus: Corpus, targets: Targets
) -> None:
    """Every embedded clip has a unit target; the unlabelled one has no class."""
    np.testing.assert_allclose(np.linalg.norm(targets.clip, axis=1), 1.0, atol=1e-5)
    free = [v for v in targets.voices if v.classes == (UNLABELLED,)]
    assert [corpus.clips[v.clips[0]].source for v in free] == ["picovoice"]
    labelled = [v for v in targets.voices if v not in free]
    assert sorted(c for v in labelled for c in v.classes) == list(range(4 * len(VARIANTS)))


def test_batches_repeat_and_ranks_share_lengths(corpus: Corpus, targets: Targets) -> None:
    """The same seed gives the same batch; another rank gives other crops of the same length."""
    batches = [
        next(iter(CropStream(corpus, targets, Sounds(), CROPS, seed=5, rank=rank)))
        for rank in (0, 0, 1)
    ]
    assert torch.equal(batches[0]["waveform"], batches[1]["waveform"])
    assert batches[0]["waveform"].shape == batches[2]["waveform"].shape
    assert not torch.equal(batches[0]["waveform"], batches[2]["waveform"])


def test_crops_have_their_label_and_target(corpus: Corpus, targets: Targets) -> None:
    """A crop's target is its clip's or, for a changed voice, its pseudo-speaker's centroid."""
    stream = iter(CropStream(corpus, targets, Sounds(), CROPS, seed=1))
    known = np.concatenate([targets.clip, targets.centroid])
    for _ in range(5):
        batch = next(stream)
        assert 0.8 * 8000 <= batch["waveform"].shape[1] <= 8000
        for target, label in zip(batch["target"].numpy(), batch["label"].tolist(), strict=True):
            assert np.abs(known - target).sum(axis=1).min() == 0.0
            if label != UNLABELLED and label % len(VARIANTS):
                np.testing.assert_array_equal(target, targets.centroid[label])


def test_learning_rate_warms_up_and_ends_at_zero(tmp_path: Path) -> None:
    """The rate rises to its peak at the end of the warm-up and falls to zero at the end."""
    plan = RunPlan(tmp_path, tmp_path, tmp_path, 60.0)
    assert learning_rate(plan, 0.01) == pytest.approx(plan.rate / 2)
    assert learning_rate(plan, 0.02) == pytest.approx(plan.rate)
    assert learning_rate(plan, 1.0) == pytest.approx(0.0, abs=1e-9)
    assert learning_rate(plan, 1.2) == pytest.approx(0.0, abs=1e-9)


def test_equal_error_rate_of_known_scores() -> None:
    """One of four targets below one of four others is an equal error rate of a quarter."""
    target = np.array([0.9, 0.8, 0.7, 0.2])
    other = np.array([0.1, 0.0, 0.05, 0.5])
    assert equal_error_rate(target, other) == pytest.approx(0.25)
    assert equal_error_rate(target + 1.0, other) == pytest.approx(0.0)


def test_until_is_the_next_such_time() -> None:
    """A time that has passed means tomorrow; anything but a time is refused."""
    now = dt.datetime(2026, 3, 1, 22, 0, tzinfo=dt.UTC)
    assert seconds_until("23:30", now) == 5400.0
    assert seconds_until("21:00", now) == 23 * 3600.0
    with pytest.raises(SettingsError):
        seconds_until("late", now)


def test_small_run_trains_stops_and_resumes(pack: Path, tmp_path: Path) -> None:
    """A run ends at its budget with a checkpoint, a snapshot and a record, and can go on."""
    cache, out = tmp_path / "cache", tmp_path / "run"
    corpus = load_corpus(pack, cache, "speech", "train")
    write_store(corpus, cache / "teacher.npz", variants=False)
    shape = StudentShape(channels=32, attention=16)
    plan = RunPlan(pack, cache, out, 3.0, threads=1, crops=CROPS, shape=shape)
    train(plan)
    first = elapsed(out)
    assert first >= 3.0
    speaker = OnnxSpeaker.of_file(out / "snapshot.onnx")
    assert speaker.dimension == 192
    train(dataclasses.replace(plan, budget=first + 1.5))
    record = json.loads((out / "run.json").read_text())
    assert [m["elapsed"] for m in record["metrics"]] == sorted(
        m["elapsed"] for m in record["metrics"]
    )
    assert record["metrics"][1]["step"] > record["metrics"][0]["step"] > 0
    assert str(tmp_path) not in json.dumps(record)
    cohort = build_cohort(speaker.embed, corpus)
    assert cohort.shape == (4, 192)
    np.testing.assert_allclose(np.linalg.norm(cohort, axis=1), 1.0, atol=1e-5)
