# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import (
    LivenessSettings,
    ModelSettings,
    PolicySettings,
    Settings,
    StorageSettings,
)
from voiceauth.errors import (
    ChainBrokenError,
    IntegrityError,
    KeyServiceError,
    ModelHashMismatchError,
    SettingsError,
    StorageError,
    WrongKeyError,
)
from voiceauth.liveness.synthetic import SyntheticCalibration, format_calibration
from voiceauth.models.bundle import read_cohort, write_cohort
from voiceauth.models.install import install_spoof
from voiceauth.models.locate import default_model_directory
from voiceauth.testing.records import made_up_consent
from voiceauth.types import LivenessLayer, ModelHash, SubjectId, TenantId, Voiceprint, VoiceprintId
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.assemble import assemble, assembled
from voiceauth.usecases.check_models import verify_models
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.key_services import VAULT_FILE

TINY_SPOOF = Path(__file__).parents[1] / "data" / "tiny-spoof.onnx"
TENANT, ANNA = TenantId("bank"), SubjectId("anna")


def settings(directory: Path, models: Path | None = None) -> Settings:
    """Return settings that keep everything in one directory."""
    return Settings(
        storage=StorageSettings(data_dir=directory), models=ModelSettings(directory=models)
    )


def copied_models(target: Path) -> Path:
    """Copy the shipped models to where a test may damage them."""
    shutil.copytree(default_model_directory(), target)
    return target


def enrol_anna(engine: Engine) -> None:
    """Store a voiceprint without a call."""
    manage_subjects.create_subject(engine, TENANT, ANNA, frozenset())
    manage_subjects.record_consent(engine, TENANT, ANNA, made_up_consent(engine.clock.now()))
    voiceprint = Voiceprint(
        VoiceprintId("1"), ANNA, engine.embedder.model, engine.decoys[0], 20.0, engine.clock.now()
    )
    with engine.vault.begin() as transaction:
        transaction.add_voiceprint(TENANT, voiceprint)


def test_the_first_start_needs_nothing(tmp_path: Path) -> None:
    """An empty directory becomes an installation: keys, vault and a recorded start."""
    with assembled(settings(tmp_path / "new")) as engine:
        entries = engine.vault.ledger()

    body = json.loads(entries[0].body)
    assert [entry.event for entry in entries] == ["engine.started"]
    assert body["models"]["speaker"] == engine.embedder.model
    assert body["calibration"] == engine.scorer.version
    assert (tmp_path / "new" / "keys.json").stat().st_mode & 0o077 == 0


def test_a_restart_finds_the_voiceprints_again(tmp_path: Path) -> None:
    """The gallery is rebuilt from the vault, and finds a voice that was stored before."""
    with assembled(settings(tmp_path)) as engine:
        enrol_anna(engine)
        voice = engine.decoys[0]

    with assembled(settings(tmp_path)) as engine:
        found = engine.gallery.search(TENANT, voice, group=None, limit=1)

    assert [subject for subject, _ in found] == [ANNA]


def test_a_vault_without_its_keys_is_refused(tmp_path: Path) -> None:
    """Losing the key file must not quietly make a new one."""
    with assembled(settings(tmp_path)):
        pass
    (tmp_path / "keys.json").unlink()

    with pytest.raises(KeyServiceError, match="missing"):
        assemble(settings(tmp_path))

    assert not (tmp_path / "keys.json").exists()


def test_another_installations_keys_are_refused(tmp_path: Path) -> None:
    """A vault opens only under the keys it was written with."""
    for name in ("one", "two"):
        with assembled(settings(tmp_path / name)):
            pass
    shutil.copy(tmp_path / "two" / "keys.json", tmp_path / "one" / "keys.json")

    with pytest.raises(WrongKeyError):
        assemble(settings(tmp_path / "one"))


@pytest.mark.parametrize("part", ["file", "calibration", "cohort", "continuity"])
def test_a_changed_model_file_is_refused(tmp_path: Path, part: str) -> None:
    """One flipped bit in the model or in any table that belongs to it stops the start."""
    models = copied_models(tmp_path / "models")
    entry = json.loads((models / "manifest.json").read_text())["models"][0]
    victim = models / (entry[part] if part == "file" else entry[part]["file"])
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(bytes(content))

    with pytest.raises(ModelHashMismatchError):
        assemble(settings(tmp_path / "data", models))


def test_tables_of_another_cohort_are_refused(tmp_path: Path) -> None:
    """A cohort that the manifest names and the tables do not know starts no engine."""
    models = copied_models(tmp_path / "models")
    manifest = json.loads((models / "manifest.json").read_text())
    cohort = manifest["models"][0]["cohort"]
    rows = read_cohort((models / cohort["file"]).read_bytes(), manifest["models"][0]["dimension"])
    write_cohort(models / cohort["file"], rows[:-1])
    cohort["sha256"] = hashlib.sha256((models / cohort["file"]).read_bytes()).hexdigest()
    (models / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(ModelHashMismatchError, match="another cohort"):
        assemble(settings(tmp_path / "data", models))
    with pytest.raises(ModelHashMismatchError, match="another cohort"):
        verify_models(settings(tmp_path / "data", models))


def test_a_missing_model_file_is_refused(tmp_path: Path) -> None:
    """A model that the manifest names and the disk lacks stops the start with an engine error."""
    models = copied_models(tmp_path / "models")
    next(models.glob("*.onnx")).unlink()

    with pytest.raises(SettingsError, match="onnx"):
        assemble(settings(tmp_path / "data", models))


def test_a_damaged_vault_is_refused(tmp_path: Path) -> None:
    """A vault file overwritten with noise is an integrity error, not an empty vault."""
    with assembled(settings(tmp_path)):
        pass
    (tmp_path / VAULT_FILE).write_bytes(b"noise" * 4096)

    with pytest.raises(IntegrityError):
        assemble(settings(tmp_path))


def test_a_cut_off_ledger_is_refused(tmp_path: Path) -> None:
    """Removing the newest entries behind the engine's back is noticed at the next start."""
    with assembled(settings(tmp_path)) as engine:
        manage_subjects.create_subject(engine, TENANT, ANNA, frozenset())
    connection = sqlite3.connect(tmp_path / VAULT_FILE)
    connection.execute("DROP TRIGGER ledger_keeps_entries")
    connection.execute("DELETE FROM ledger WHERE sequence = (SELECT max(sequence) FROM ledger)")
    connection.commit()
    connection.close()

    with pytest.raises(ChainBrokenError):
        assemble(settings(tmp_path))


def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file where the directory should be is reported as storage trouble."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError):
        assemble(settings(tmp_path / "file" / "data"))


def test_voiceprints_of_another_model_are_not_searched(tmp_path: Path) -> None:
    """A voiceprint that another model made never meets this model's probes."""
    with assembled(settings(tmp_path)) as engine:
        enrol_anna(engine)
        other = Voiceprint(
            VoiceprintId("2"),
            ANNA,
            ModelHash("0" * 64),
            engine.decoys[1],
            20.0,
            engine.clock.now(),
        )
        with engine.vault.begin() as transaction:
            transaction.add_voiceprint(TENANT, other)

    with assembled(settings(tmp_path)) as engine:
        assert len(engine.gallery) == 1


def test_clock_and_randomness_are_the_systems_by_default(tmp_path: Path) -> None:
    """An engine that was given neither uses the operating system's clock and generator."""
    with assembled(settings(tmp_path)) as engine:
        assert isinstance(engine.clock, SystemClock)
        assert isinstance(engine.random, SystemRandom)


def with_spoof(directory: Path, calibration: SyntheticCalibration | None = None) -> Path:
    """Enter the tiny spoof model in a copy of the shipped models."""
    models = copied_models(directory)
    content = TINY_SPOOF.read_bytes()
    model = ModelHash(hashlib.sha256(content).hexdigest())
    line = calibration or SyntheticCalibration(model, -1.0, 0.0, -5.0, 5.0, 2.0)
    (models / "tiny.onnx").write_bytes(content)
    (models / "tiny-calibration.json").write_text(format_calibration(line))
    (models / "tiny.md").write_text("A card.")
    install_spoof(models, "tiny", licence="Apache-2.0")
    return models


def test_a_spoof_model_in_the_manifest_is_all_that_the_layer_needs(tmp_path: Path) -> None:
    """Entered in the manifest, the model runs, is recorded at start, and may be required."""
    chosen = settings(tmp_path / "data", with_spoof(tmp_path / "models"))
    needs = {"needs": PolicySettings(require_liveness=frozenset({"synthetic"}))}
    with assembled(chosen.model_copy(update={"policies": needs})) as engine:
        body = json.loads(engine.vault.ledger()[0].body)

    assert engine.spoof is not None
    assert body["models"]["spoof"] == engine.spoof.detector.model
    assert engine.policy("needs").require_liveness == {LivenessLayer.SYNTHETIC}


def test_a_policy_that_requires_a_missing_model_refuses_to_start(tmp_path: Path) -> None:
    """A policy that could never accept anybody is told at start, not on every call."""
    chosen = settings(tmp_path / "data", with_spoof(tmp_path / "models"))
    needs = {"needs": PolicySettings(require_liveness=frozenset({"synthetic"}))}
    off = chosen.model_copy(
        update={"policies": needs, "liveness": LivenessSettings(synthetic="off")}
    )

    with pytest.raises(SettingsError, match="needs"):
        assemble(off)


def test_a_spoof_calibration_of_another_model_is_refused(tmp_path: Path) -> None:
    """Scores of one model read by another's line would mean nothing."""
    other = SyntheticCalibration(ModelHash("ab" * 32), -1.0, 0.0, -5.0, 5.0, 2.0)

    with pytest.raises(ModelHashMismatchError):
        assemble(settings(tmp_path / "data", with_spoof(tmp_path / "models", other)))
