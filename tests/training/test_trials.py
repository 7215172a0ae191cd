# SPDX-License-Identifier: Apache-2.0
"""Figures on a trial list and the model card."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.training.card import write_card
from voiceauth.training.corpus import load_corpus
from voiceauth.training.trials import Figure, figures

pytestmark = pytest.mark.train


def write_trials(path: Path, people: range) -> None:
    """Three utterances enrol, two probe, all pairs."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["enrol_id", "enrol_paths", "test_path", "target"])
        for one in people:
            enrol = "|".join(f"speech/test/{one}-{k}.flac" for k in range(3))
            for other in people:
                for k in (3, 4):
                    writer.writerow(
                        [f"S{one}", enrol, f"speech/test/{other}-{k}.flac", one == other]
                    )


def spectrum(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """A crude embedding: the long-term spectrum without its mean."""
    frames = waveform[: len(waveform) // 400 * 400].reshape(-1, 400)
    rows = np.log(np.mean(np.abs(np.fft.rfft(frames, axis=1)) ** 2, axis=0)[8:200] + 1e-9)
    return np.asarray(rows - rows.mean(), dtype=np.float32)


@pytest.fixture
def found(pack: Path, tmp_path: Path) -> list[Figure]:
    """Figures of the crude embedding on the test speakers."""
    trials = tmp_path / "trials.csv"
    write_trials(trials, range(7, 10))
    text = trials.read_text().replace("True", "1").replace("False", "0")
    trials.write_text(text)
    return figures(spectrum, pack, trials, load_corpus(pack, tmp_path, "speech", "test"))


def test_every_condition_and_group_is_measured(found: list[Figure]) -> None:
    """Three conditions times three groups, with the numbers of trials that the list has."""
    assert len(found) == 9
    whole = [one for one in found if one.group == "all"]
    assert {(one.targets, one.others) for one in whole} == {(6, 12)}
    same = [one for one in found if one.group == "same gender"]
    assert {(one.targets, one.others) for one in same} == {(6, 4)}


def test_distinct_voices_are_told_apart(found: list[Figure]) -> None:
    """Synthetic voices of different pitch are told apart at wideband, even crudely."""
    wideband = next(one for one in found if one.condition == "wideband" and one.group == "all")
    assert wideband.rate < 0.2
    assert 0.0 <= wideband.low <= wideband.high <= 1.0


def test_card_tells_the_figures(found: list[Figure], tmp_path: Path) -> None:
    """The card holds hash, amount of training and rates, and says that calls are simulated."""
    plan = {"shape": {"stem": 16}, "crops": {"shortest": 1.0, "longest": 3.5}}
    rates = {"wideband": 0.03, "telephone": 0.06, "crossed": 0.05}
    agreement = {
        "fp32": rates,
        "int8": rates | {"crossed": 0.051},
        "mean_cosine": 0.9987,
        "least_cosine": 0.98,
    }
    record = {
        "name": "voiceauth-test",
        "sha256": "ab" * 32,
        "channels": 256,
        "weights": 2_100_000,
        "people": 448,
        "synthetic_voices": 321,
        "variants": 13,
        "int8": {"agreement": agreement},
        "parity_cosine": 0.99999,
        "run": {"plan": plan, "metrics": [{"segments": 123456, "elapsed": 5400.0}]},
        "dev_eer": {"wideband": 0.031, "telephone": 0.062, "crossed": 0.055},
        "test": [vars(one) for one in found],
    }
    write_card(tmp_path / "card.md", record)
    card = (tmp_path / "card.md").read_text()
    told = ("ab" * 32, "123,456 crops", "90 minutes", "3.1 %", "6.2 %", "**simulated**")
    for part in (
        *told,
        "321 synthetic voices",
        "1 to 3.5 s",
        "0.10\n  points",
        "16 and 24 channels",
    ):
        assert " ".join(part.split()) in " ".join(card.split())
    assert "{" not in card
