# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from pathlib import Path

import pytest

from voiceauth.testing.fakes import FakeClock, FakeKeyService, FakeRandom
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault


@pytest.fixture
def keys() -> FakeKeyService:
    """Keys of the installation."""
    return FakeKeyService()


@pytest.fixture
def vault(tmp_path: Path, keys: FakeKeyService) -> Iterator[SqliteVault]:
    """An empty vault."""
    opened = open_vault(tmp_path / "vault.db", keys, clock=FakeClock(), random=FakeRandom(1))
    yield opened
    opened.close()
