# SPDX-License-Identifier: Apache-2.0
"""From made attacks to a loaded spoof model, on two minutes of synthetic voices."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from voiceauth.errors import BadAudioError, IntegrityError, ModelHashMismatchError, TooShortError
from voiceauth.models.spoof import OnnxSpoof
from voiceauth.testing.channel import Severity, Sounds
from voiceauth.training.attacks import COPIED, RECORDED, AttackPlan, make
from voiceauth.training.copying import COPYING
from voiceauth.training.corpus import load_corpus
from voiceauth.training.spoof_crops import (
    GROUP,
    Pool,
    SpoofCropPlan,
    SpoofStream,
    build_sources,
    by_system,
    draw_group,
    systems_of,
)
from voiceauth.training.spoof_export import export_spoof
from voiceauth.training.spoof_net import SpoofNet, SpoofShape
from voiceauth.training.spoof_publish import calibrate, fit_calibration
from voiceauth.training.spoof_run import SpoofRunPlan, load_network, train_spoof
from voiceauth.training.spoof_trials import BONA_FIDE, Presentation, rates
from voiceauth.types import ModelHash

pytestmark = pytest.mark.train
SMALL = SpoofShape(widths=(4, 4, 4, 8), hidden=8)
NEEDS_WORLD = {"world", "world-changed"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a network with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("spoof") / "spoof.onnx"
    export_spoof(SpoofNet(SMALL), path, "Apache-2.0")
    return path


@pytest.mark.parametrize("system", sorted(set(COPYING) - NEEDS_WORLD))
def test_a_vocoder_keeps_length_and_speaks(system: str) -> None:
    """Copy-synthesis gives finite speech of the same length, audible and not the same samples."""
    time = np.arange(16000) / 16000
    voice = (0.2 * np.sign(np.sin(2 * np.pi * 120 * time)) * np.sin(9 * time)).astype(np.float32)
    copied = COPYING[system](voice, np.random.default_rng(1))
    assert copied.shape == voice.shape
    assert np.isfinite(copied).all()
    assert 0.1 < np.std(copied) / np.std(voice) < 5.0
    assert not np.allclose(copied, voice, atol=1e-3)


def test_a_run_from_attacks_to_a_checkpoint(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attacks are made of the train speakers only, learnt from, and a run goes on where it was."""
    for name in NEEDS_WORLD:
        monkeypatch.delitem(COPYING, name)
    made = tmp_path / "made"
    counts = make(AttackPlan(pack, tmp_path / "c", made, originals=2, each=0, readings=0, neural=0))
    assert counts["lpc"] == 2
    with (made / "manifest.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["speaker"] for row in rows} <= {"", "S0", "S1", "S2", "S3"}
    assert {row["split"] for row in rows} == {"train"}
    data = _with_spoofs(pack, made, rows, tmp_path / "data")
    crops = SpoofCropPlan(
        batch=4, shortest=0.5, seconds=1.0, reuse=2, pool=8, severity=Severity(slow_codecs=0.0)
    )
    plan = SpoofRunPlan(
        data, made, tmp_path / "c2", tmp_path / "run", 1.0, workers=0, crops=crops, shape=SMALL
    )
    first = torch.load(train_spoof(plan), weights_only=True)
    longer = dataclasses.replace(plan, budget=first["elapsed"] + 0.5)
    second = torch.load(train_spoof(longer), weights_only=True)
    assert first["step"] >= 1
    assert second["step"] > first["step"]
    network, steps = load_network(tmp_path / "run" / "last.pt")
    assert (network.shape, steps) == (SMALL, second["step"])
    # What is published is the average of the steps, which trails behind the last of them.
    name = "answer.weight"
    published = network.state_dict()[name]
    assert torch.equal(published, second["average"][name])
    assert not torch.equal(published, second["network"][name])
    assert torch.linalg.vector_norm(published) > 0.0


def test_a_copy_passes_the_call_of_its_original(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording and its copy are the same stretch after the same call.

    An unchanged copy is the recording again, sample by sample.
    """
    monkeypatch.setattr("voiceauth.training.attacks.COPYING", {"nothing": lambda wave, _: wave})
    monkeypatch.setattr("voiceauth.training.attacks.cannot_copy", lambda _: True)
    made = tmp_path / "made"
    make(AttackPlan(pack, tmp_path / "c", made, originals=3, readings=0, neural=0))
    systems = systems_of(made)
    copies = load_corpus(made, tmp_path / "c2", COPIED, "train")
    speech = load_corpus(pack, tmp_path / "c", "speech", "train")
    plan = SpoofCropPlan(seconds=1.0)
    voices = (speech, {clip.path: "voice" for clip in speech.clips})
    originals = load_corpus(made, tmp_path / "c2", RECORDED, "train")
    sources = build_sources(speech, voices, originals, (copies, systems), None, plan)
    stream = SpoofStream(sources, Sounds(), plan, 1)
    rng = np.random.default_rng(0)
    for _ in range(5):
        group = draw_group(rng, stream)
        assert group.shape == (GROUP, 8000)
        np.testing.assert_array_equal(group[0], group[1])
        assert not np.array_equal(group[0], group[3])


def _with_spoofs(pack: Path, made: Path, rows: list[dict[str, str]], root: Path) -> Path:
    """The pack with some attacks as its own synthetic speech."""
    root.mkdir()
    for folder in ("speech", "noise", "ir"):
        (root / folder).symlink_to(pack / folder)
    (root / "train").symlink_to(made / "train")
    with (pack / "manifest.csv").open(encoding="utf-8", newline="") as handle:
        recorded = list(csv.DictReader(handle))
    with (root / "manifest.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0].keys(), restval="")
        writer.writeheader()
        copied = [row | {"kind": "spoof"} for row in rows if row["kind"] == COPIED]
        writer.writerows(recorded + copied[:4])
    return root


def test_left_out_systems_are_not_drawn(pack: Path, tmp_path: Path) -> None:
    """A system that is left out has no clips among the sources."""
    speech = load_corpus(pack, tmp_path, "speech", "train")
    systems = {clip.path: ("a", "b")[i % 2] for i, clip in enumerate(speech.clips)}
    assert set(by_system(speech, systems, ("b",))) == {"a"}


def test_a_full_pool_forgets_the_oldest(tmp_path: Path) -> None:
    """Fresh crops replace the oldest ones, and a batch has the planned size."""
    plan = SpoofCropPlan(batch=2 * GROUP, pool=3, seconds=1.0, shortest=1.0)
    pool = Pool(plan, np.random.default_rng(0), tmp_path / "pool")
    for value in range(5):
        pool.add(torch.full((GROUP, 8000), value + 1, dtype=torch.int16))
    groups = pool.draw()
    assert len(pool) == 3
    assert groups.shape == (2, GROUP, 8000)
    assert set((groups * 32767.0).round().flatten().tolist()) <= {3.0, 4.0, 5.0}
    assert len(Pool(plan, np.random.default_rng(0), tmp_path / "pool")) == 3


def test_the_model_ignores_level_and_offset(model: Path) -> None:
    """Louder speech, or speech with an offset, has the same score."""
    spoof = OnnxSpoof.of_file(model)
    wave = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * np.float32(0.05)
    assert spoof.score(wave * 4) == pytest.approx(spoof.score(wave), abs=0.01)
    assert spoof.score(wave + np.float32(0.02)) == pytest.approx(spoof.score(wave), abs=0.01)


def test_a_batch_scores_like_its_spans(model: Path) -> None:
    """Spans scored together and alone have the same scores."""
    spoof = OnnxSpoof.of_file(model)
    spans = np.random.default_rng(0).standard_normal((3, 12000)).astype(np.float32)
    alone = [spoof.score(span) for span in spans]
    assert spoof.score_batch(spans) == pytest.approx(alone, abs=1e-4)


def test_spans_that_cannot_be_scored_are_refused(model: Path) -> None:
    """Too short, not finite or of another shape: an error of the engine, never a score."""
    spoof = OnnxSpoof.of_file(model)
    with pytest.raises(TooShortError):
        spoof.score(np.zeros(spoof.least_samples - 1, np.float32))
    with pytest.raises(BadAudioError):
        spoof.score(np.full(16000, np.nan, np.float32))
    with pytest.raises(BadAudioError):
        spoof.score(np.zeros((1, 16000), np.float32))


def test_silence_has_a_finite_score(model: Path) -> None:
    """Digital silence is scored without a division by zero."""
    assert np.isfinite(OnnxSpoof.of_file(model).score(np.zeros(16000, np.float32)))


def test_another_file_is_refused(model: Path, tmp_path: Path) -> None:
    """Neither a changed file nor something else is taken for the model."""
    with pytest.raises(ModelHashMismatchError):
        OnnxSpoof.of_file(model, sha256="0" * 64)
    other = tmp_path / "other.onnx"
    other.write_bytes(b"not a model")
    with pytest.raises(IntegrityError):
        OnnxSpoof.of_file(other)


def test_calibration_and_rates_of_separate_classes() -> None:
    """Well separated classes give a falling line and low rates; every species counts alike."""
    rng = np.random.default_rng(0)
    found = [
        Presentation(system, f"{system}{i % 10}", "G.711", float(rng.normal(mean, 1.0)))
        for system, mean, count in ((BONA_FIDE, -1.0, 400), ("many", 1.0, 400), ("few", 1.0, 40))
        for i in range(count)
    ]
    line = fit_calibration(found, ModelHash("a" * 64))
    assert line.slope < 0.0
    assert abs(line.offset) < 1.0
    bona = [one for one in found if one.system == BONA_FIDE]
    attacks = [one for one in found if one.system == "many"]
    row = rates(bona, attacks, "many", draws=20)
    assert row.eer < 0.25
    assert row.apcer_5_low <= row.apcer_5 <= row.apcer_5_high
    reversed_row = rates(attacks, bona, "wrong way round", draws=20)
    assert reversed_row.eer > 0.75


def test_rates_come_from_unheard_systems_and_other_voices() -> None:
    """The table knows a system that the network never heard; one that it heard has no say in it."""
    rng = np.random.default_rng(0)
    means = {BONA_FIDE: -2.0, "heard": 2.0, "unheard": -2.0}
    found = [
        Presentation(system, f"{system}{i % 40}", "G.711", float(rng.normal(mean, 1.0)))
        for system, mean in means.items()
        for i in range(400)
    ]
    found += [Presentation("smoothed", f"p{i}", "G.711", -30.0) for i in range(40)]
    line = calibrate(found, ModelHash("a" * 64), ("unheard:voice",))
    assert line.slope < 0.0
    assert line.lowest > -10.0
    assert line.rates is not None
    # The unheard system scores as people do: half of it must pass where half of the people do.
    middle = line.slope * -2.0 + line.offset
    assert line.rates.accept(middle) > 0.4
