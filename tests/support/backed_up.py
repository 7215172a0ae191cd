# SPDX-License-Identifier: Apache-2.0
"""An installation with real keys, a vault and backups, and a stand-in for the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from voiceauth.config import BackupSettings, LedgerSettings, Settings, StorageSettings
from voiceauth.ports import ManagedKeys
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeRandom
from voiceauth.testing.records import MODEL, made_up_consent, made_up_voiceprint
from voiceauth.types import Bandwidth, Embedding, Samples, Score, SubjectId, TenantId
from voiceauth.usecases.back_up import BackupDesk
from voiceauth.usecases.backup_keys import open_backup_keys
from voiceauth.usecases.canary import Hearing
from voiceauth.usecases.key_services import VAULT_FILE, open_keys
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK, ALICE, BOB = TenantId("bank"), SubjectId("alice"), SubjectId("bob")


class SpectralEmbedder:
    """Stands in for the model: sounds of like spectrum embed alike."""

    model = MODEL
    rate_hz = 8000
    dimension = 192
    deaf = False

    def embed(self, samples: Samples) -> Embedding:
        """Return the spectrum in 192 bands, unit norm; something else when deaf."""
        power = np.abs(np.fft.rfft(samples)) ** 2
        bands = np.log([part.sum() + 1e-9 for part in np.array_split(power, self.dimension)])
        bands = bands - bands.mean()
        if self.deaf:
            bands = np.roll(bands, 90)
        return np.asarray(bands / np.linalg.norm(bands), dtype=np.float32)


class CosineScorer:
    """Stands in for calibration: the ratio is positive above a cosine of 0.9."""

    version = "fake"

    def score(
        self,
        probe: Embedding,
        enrolled: Embedding,
        *,
        net_seconds: float,
        bandwidth: Bandwidth,
        enrolled_seconds: float | None = None,
        snr_db: float | None = None,
    ) -> Score:
        """Score the cosine."""
        del net_seconds, bandwidth, enrolled_seconds, snr_db
        cosine = float(probe @ enrolled)
        return Score(cosine, 100.0 * (cosine - 0.9), 0.1, 0.1)


@dataclass(frozen=True, eq=False)
class Installation:
    """A vault with two people, its keys, and what backs it up."""

    settings: Settings
    vault: SqliteVault
    keys: ManagedKeys
    desk: BackupDesk
    clock: FakeClock
    embedder: SpectralEmbedder

    def events(self) -> list[str]:
        """Return the names of all ledger entries."""
        return [one.event for one in self.vault.ledger()]

    def elsewhere(self, home: Path) -> Settings:
        """Return settings of a machine with the same keys and an empty data directory."""
        files = self.settings.storage
        backup = self.settings.backup
        return self.settings.model_copy(
            update={
                "storage": StorageSettings(data_dir=home, key_file=files.keys),
                "backup": backup.model_copy(
                    update={"key_file": backup.key_file or files.data_dir / "backup-keys.json"}
                ),
            }
        )


@contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    """Open an installation in a folder."""
    settings = Settings(
        storage=StorageSettings(data_dir=folder / "live"),
        backup=BackupSettings(directory=folder / "backups"),
        ledger=LedgerSettings(export_dir=folder / "second"),
    )
    clock, random = FakeClock(), FakeRandom(3)
    keys = open_keys(settings, clock=clock, random=random)
    vault = open_vault(folder / "live" / VAULT_FILE, keys, clock=clock, random=random)
    for name in (ALICE, BOB):
        with vault.begin() as change:
            change.create_subject(BANK, name, at=EPOCH, groups=frozenset())
            change.put_consent(BANK, name, made_up_consent())
            change.add_voiceprint(BANK, made_up_voiceprint(f"v-{name}", name))
            change.append(at=EPOCH, tenant=BANK, event="enrolled", body={})
    embedder = SpectralEmbedder()
    desk = BackupDesk(
        vault=vault,
        keys=keys,
        sealing=open_backup_keys(settings, keys, clock=clock, random=random, create=True),
        hearing=Hearing(embedder, CosineScorer()),
        clock=clock,
        random=random,
        directory=folder / "backups",
    )
    vault.after_burial = desk.journal.run
    try:
        yield Installation(settings, vault, keys, desk, clock, embedder)
    finally:
        vault.close()


def keeping(desk: BackupDesk, daily: int, weekly: int) -> BackupDesk:
    """Return the desk with other numbers."""
    return replace(desk, keep_daily=daily, keep_weekly=weekly)
