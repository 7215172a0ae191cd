# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to the files that ship."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from voiceauth.models.bundle import read_cohort
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.training.checkpoint import Progress, load_student, save
from voiceauth.training.crops import CropPlan
from voiceauth.training.objective import Objective
from voiceauth.training.publish import NAME, Places, publish
from voiceauth.training.student import Student

pytestmark = pytest.mark.train


@pytest.fixture
def places(pack: Path, tmp_path: Path) -> Places:
    """A pack with a trial list, and a run that stopped at once."""
    data = tmp_path / "pack"
    data.mkdir()
    for part in ("speech", "manifest.csv"):
        (data / part).symlink_to(pack / part)
    (data / "trials").mkdir()
    with (data / "trials" / "speechocean762-test.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["enrol_id", "enrol_paths", "test_path", "target"])
        for one in (7, 8, 9):
            enrol = "|".join(f"speech/test/{one}-{k}.flac" for k in range(3))
            for other in (7, 8, 9):
                writer.writerow(
                    [f"S{one}", enrol, f"speech/test/{other}-4.flac", int(one == other)]
                )
    run = tmp_path / "run"
    run.mkdir()
    student = Student()
    optimiser = torch.optim.AdamW(student.parameters())
    progress = Progress(step=10, segments=640, elapsed=60.0)
    save(run / "last.pt", student, Objective(torch.randn(4, 192)), optimiser, progress)
    plan = {"init": None, "shape": asdict(student.shape), "crops": asdict(CropPlan())}
    record = {"plan": plan, "metrics": [{"segments": 640, "elapsed": 60.0}]}
    (run / "run.json").write_text(json.dumps(record))
    return Places(data, tmp_path / "cache", run, tmp_path / "models")


def test_everything_that_ships_is_written_and_fits(places: Places) -> None:
    """Graph, cohort, weights, record and card are there and belong to one another."""
    record = publish(places)
    speaker = OnnxSpeaker.of_file(places.models / f"{NAME}.onnx")
    assert record["sha256"] == speaker.model
    content = (places.models / f"{NAME}-cohort.npz").read_bytes()
    cohort = read_cohort(content, speaker.dimension, speaker.model, stated=True)
    assert len(cohort) == 4
    student = Student().eval()
    load_student(places.models / "training" / f"{NAME}.npz", student)
    wave = np.sin(np.arange(9000, dtype=np.float32) * 0.3) * np.float32(0.1)
    with torch.inference_mode():
        again = student(torch.from_numpy(wave)[None])[0].numpy()
    assert float(speaker.embed(wave) @ again) > 0.999
    assert record["channels"] == 256
    int8 = places.models / f"{NAME}-int8.onnx"
    assert int8.exists() == ("refused" not in record["int8"])
    if int8.exists():
        assert OnnxSpeaker.of_file(int8).notes["form_of"] == speaker.model
    card = (places.models / f"{NAME}.md").read_text()
    assert speaker.model in card
    stored = (places.models / f"{NAME}.json").read_text()
    assert json.loads(stored)["dev_eer"] == record["dev_eer"]
    assert str(places.data.parent) not in stored + card
