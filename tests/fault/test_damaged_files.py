# SPDX-License-Identifier: Apache-2.0
"""Flipped bits, torn blocks and files that end too early, in every file of an installation."""

import random
from pathlib import Path

import pytest
from damaged import Good, damage, damage_models, good_installation

from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest

ROUNDS = 12


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    """An undamaged installation."""
    return good_installation(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize(
    ("name", "always"),
    [
        ("live/vault.db", False),
        ("live/vault.db.anchor", True),
        ("live/keys.json", False),
        ("live/backup-keys.json", False),
        ("second/entry-hashes", False),
        ("second/checkpoints.jsonl", False),
        ("backups/erasures.jsonl", False),
        ("backups/ARCHIVE", True),
    ],
)
def test_a_damaged_file_deceives_nobody(
    good: Good, tmp_path: Path, name: str, always: bool
) -> None:
    """It is refused, or the damage lies where nothing stands; nobody is accepted through it."""
    chance = random.Random(name)
    file = name.replace("ARCHIVE", good.archive)
    outcomes = [damage(good, tmp_path / "copy", file, chance) for _ in range(ROUNDS)]

    assert "refused" in outcomes
    assert not always or set(outcomes) == {"refused"}


def model_files() -> list[str]:
    """List what the manifest of the packaged models names, and the manifest."""
    manifest = read_manifest(default_model_directory())
    entry = manifest.entry(None)
    return ["manifest.json", entry.file, entry.calibration.file, entry.cohort.file]


@pytest.mark.parametrize("name", model_files())
def test_a_damaged_model_or_calibration_is_not_loaded(tmp_path: Path, name: str) -> None:
    """Every bit of model, tables and cohort counts."""
    chance = random.Random(name)
    outcomes = {damage_models(tmp_path / "copy", name, chance) for _ in range(ROUNDS)}

    assert outcomes == {"refused"} or name == "manifest.json"
    assert "refused" in outcomes
