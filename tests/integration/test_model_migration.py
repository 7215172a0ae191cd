# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from served import (
    DIMENSION,
    MODEL,
    PCM,
    TENANT,
    FakeEmbedder,
    Parts,
    Served,
    pieces,
    served,
    speech,
    voice_of,
)
from typer.testing import CliRunner

from voiceauth.cli.app import app
from voiceauth.cli.kept_recordings import kept_recordings
from voiceauth.client import VerifyOptions
from voiceauth.config import ModelSettings, Settings, StorageSettings
from voiceauth.errors import InputError, PolicyError, SettingsError
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest
from voiceauth.types import Embedding, MigrationAction, ModelHash, Samples
from voiceauth.usecases.assemble import assemble

OLD = ModelHash("0d" * 32)


class OldEmbedder(FakeEmbedder):
    """The model before, which hears in a space of its own."""

    @property
    def model(self) -> ModelHash:
        """Another hash."""
        return OLD

    def embed(self, samples: Samples) -> Embedding:
        """Return the voice in the old space."""
        del samples
        self.calls += 1
        return voice_of(f"old {self.voice}")


def migrating(parts: Parts, old: OldEmbedder) -> tuple[Parts, Parts]:
    """Return the installation before the migration, and in it."""
    gallery = FaissGallery(DIMENSION)
    before = replace(parts.engine, embedder=old, gallery=gallery)
    now = replace(parts.engine, previous=before)
    return replace(parts, engine=before), replace(parts, engine=now)


async def call(running: Served, number: int) -> ModelHash:
    """Verify alice with her own voice; return the model that the verdict names."""
    options = VerifyOptions(f"call-{number}", TENANT, "alice", PCM, policy="long")
    async with running.client.verify(options) as stream:
        verdict = await stream.run(pieces(speech(8.0, seed=number)))
    return verdict.model


async def test_a_migration_over_grpc(parts: Parts) -> None:
    """Served by the old model, moved by calls, counted, and finished; each call costs one model."""
    old = OldEmbedder()
    before, now = migrating(parts, old)
    async with served(before) as running:
        await running.enrolled("alice")
    async with served(now) as running:
        maintenance = running.client.maintenance
        assert (await maintenance.migrate_models()).waiting == 1
        with pytest.raises(PolicyError, match="wait"):
            await maintenance.migrate_models(MigrationAction.FINISH)
        old.voice = parts.embedder.voice = "alice"
        models = [await call(running, number) for number in range(1, 9)]
    assert models[0] == OLD
    async with served(now) as running:  # what ran after the last answer has ended
        result = await asyncio.to_thread(
            CliRunner().invoke,
            app,
            ["models", "migrate", "finish", "--server", running.listening.target, "--json"],
        )
        assert await call(running, 20) == MODEL
    assert '"moved": 1' in result.stdout  # among the lines of the server
    assert "models.moved" in parts.events()
    assert parts.last("models.migration").body.count("finish") == 1
    assert parts.events().count("models.migration") == 2  # one look, one end: none looked twice


async def test_people_move_with_recordings_that_were_kept(parts: Parts, tmp_path: Path) -> None:
    """The command sends them, says what became of each, and nobody moves with another's voice."""
    old = OldEmbedder()
    before, now = migrating(parts, old)
    async with served(before) as running:
        for name in ("alice", "bob"):
            old.voice = name
            await running.enrolled(name)
    sound = np.frombuffer(speech(12.0, seed=1), dtype="<i2")
    soundfile.write(tmp_path / "alice.wav", sound, PCM.rate_hz)
    (tmp_path / "noise.wav").write_bytes(b"RIFF, and then no sound at all")
    rows = ["subject,path", "alice,alice.wav", "alice,alice.wav", "bob,alice.wav", "bob,noise.wav"]
    (tmp_path / "kept.csv").write_text("\n".join(rows))
    async with served(now) as running:
        old.voice = parts.embedder.voice = "alice"
        command = ["models", "migrate", "--recordings", str(tmp_path / "kept.csv"), "--json"]
        where = ["--tenant", TENANT, "--server", running.listening.target]
        result = await asyncio.to_thread(CliRunner().invoke, app, [*command, *where])
    found = json.loads(result.stdout[result.stdout.index("{\n") :])
    assert (found["moved"], found["waiting"]) == (1, 1)
    assert found["recordings"] == {
        "enrolled": 1,
        "of people who do not wait": 1,
        "incoherent": 1,
        "bad_audio": 1,
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("subject,file\nalice,alice.wav\n", "line 2"),
        ("subject,path\nalice,\n", "line 2"),
        ("subject,path\nalice,gone.wav\n", "there is no file"),
        (None, "cannot be read"),
    ],
)
def test_a_list_that_is_wrong_sends_nothing(tmp_path: Path, text: str | None, told: str) -> None:
    """It is read whole before anything is sent."""
    listing = tmp_path / "kept.csv"
    if text is not None:
        listing.write_text(text)

    with pytest.raises(InputError, match=told):
        kept_recordings(listing, None, TENANT)


def test_a_list_names_tenants_row_by_row(tmp_path: Path) -> None:
    """A row without one takes the command's."""
    (tmp_path / "a.wav").touch()
    listing = tmp_path / "kept.csv"
    listing.write_text("tenant,subject,path\nshop,anna,a.wav\n,ben,a.wav\n")

    assert [(one.tenant, one.subject) for one in kept_recordings(listing, None, TENANT)] == [
        ("shop", "anna"),
        (TENANT, "ben"),
    ]


def test_a_model_cannot_be_its_own_predecessor(tmp_path: Path) -> None:
    """The start refuses it, and leaves the vault closed."""
    name = read_manifest(default_model_directory()).default
    settings = Settings(
        storage=StorageSettings(data_dir=tmp_path), models=ModelSettings(previous=name)
    )

    with pytest.raises(SettingsError, match="one and the same"):
        assemble(settings)
