# SPDX-License-Identifier: Apache-2.0
"""Voices that are changed without end and labelled by the teacher as they come."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from voiceauth.testing.channel import Severity, Sounds
from voiceauth.training import endless
from voiceauth.training.corpus import Corpus, load_corpus
from voiceauth.training.crops import CropPlan, Targets, build_targets, unit
from voiceauth.training.endless import HEARD_SECONDS, EndlessStream
from voiceauth.training.objective import UNLABELLED
from voiceauth.training.teacher import load_store, planned

pytestmark = pytest.mark.train
PLAN = CropPlan(batch=8, shortest=1.0, longest=1.5, views=4, severity=Severity(slow_codecs=0.0))


@pytest.fixture(scope="module")
def corpus(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The pack's train speech."""
    return load_corpus(pack, tmp_path_factory.mktemp("decoded"), "speech", "train")


@pytest.fixture(scope="module")
def targets(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Targets:
    """Targets from a store of random embeddings."""
    pairs = np.array(planned(corpus, variants=False))
    rng = np.random.default_rng(1)
    file = tmp_path_factory.mktemp("store") / "teacher.npz"
    np.savez(
        file,
        path=np.array([corpus.clips[i].path for i in pairs[:, 0]]),
        samples=np.array([corpus.clips[i].length for i in pairs[:, 0]]),
        variant=pairs[:, 1].astype(np.int8),
        embedding=unit(rng.standard_normal((len(pairs), 192)).astype(np.float32)),
    )
    return build_targets(corpus, load_store(corpus, file))


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.float32]]:
    """Every waveform that the teacher is given; it answers each with a direction of its own."""
    given: list[NDArray[np.float32]] = []

    def answer(
        model: object, waveforms: list[NDArray[np.float32]], *, half: bool
    ) -> NDArray[np.float32]:
        del model, half
        given.extend(waveforms)
        count = len(given)
        return np.eye(192, dtype=np.float32)[count - len(waveforms) : count]

    monkeypatch.setattr(endless, "load_teacher", lambda: None)
    monkeypatch.setattr(endless, "embed_alike", answer)
    return given


@pytest.fixture
def batches(corpus: Corpus, targets: Targets) -> Iterator[dict[str, torch.Tensor]]:
    """An endless stream, seeded."""
    return iter(EndlessStream(corpus, targets, Sounds((), (), ()), PLAN, seed=3))


def test_crops_of_one_utterance_share_the_teachers_answer(
    heard: list[NDArray[np.float32]], batches: Iterator[dict[str, torch.Tensor]]
) -> None:
    """The teacher is asked once for each ``views`` crops, and its answer is the target of all."""
    batch = next(batches)
    assert batch["waveform"].shape[0] == 8
    assert len(heard) == 2
    rows = batch["target"].view(2, 4, 192)
    assert torch.equal(rows, rows[:, :1].expand_as(rows))
    assert not torch.equal(rows[0], rows[1])


def test_the_crops_differ(
    heard: list[NDArray[np.float32]], batches: Iterator[dict[str, torch.Tensor]]
) -> None:
    """Each crop is another stretch through another call: a copy would teach nothing."""
    waves = next(batches)["waveform"]
    assert len(heard) == 2
    for i in range(len(waves)):
        for k in range(i):
            assert not torch.allclose(waves[i], waves[k], atol=1e-3)


def test_the_teacher_hears_clean_wideband_utterances_of_one_length(
    heard: list[NDArray[np.float32]], batches: Iterator[dict[str, torch.Tensor]]
) -> None:
    """A channel on the teacher's side would put the channel into the target."""
    for _ in range(4):
        next(batches)
    assert {len(one) for one in heard} == {round(HEARD_SECONDS * 16000)}
    assert all(np.isfinite(one).all() for one in heard)


def test_changed_voices_have_no_class(
    heard: list[NDArray[np.float32]],
    batches: Iterator[dict[str, torch.Tensor]],
    targets: Targets,
) -> None:
    """Only an unchanged recording is its speaker; a changed voice is nobody that is known."""
    labels = torch.cat([next(batches)["label"] for _ in range(20)])
    known = set(targets.own[targets.own != UNLABELLED].tolist())
    assert set(labels.tolist()) <= known | {UNLABELLED}
    share = float((labels == UNLABELLED).float().mean())
    assert 0.4 < share < 0.95
    assert len(heard) == 40


def test_an_unchanged_recordings_target_leans_to_its_speaker(
    heard: list[NDArray[np.float32]],
    batches: Iterator[dict[str, torch.Tensor]],
    targets: Targets,
) -> None:
    """The centroid has its share in the target of a labelled crop and none in a changed one's."""
    checked = 0
    for _ in range(12):
        batch = next(batches)
        for row in range(0, 8, 4):
            index = len(heard) - 2 + row // 4
            live = unit(np.eye(192, dtype=np.float32)[index] - targets.centre)
            target, label = batch["target"][row].numpy(), int(batch["label"][row])
            if label == UNLABELLED:
                np.testing.assert_allclose(target, live, atol=1e-6)
            else:
                checked += 1
                centroid = targets.centroid[label]
                assert float(target @ centroid) > float(live @ centroid)
    assert checked > 0
