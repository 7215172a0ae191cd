# SPDX-License-Identifier: Apache-2.0
"""Kill a process in the middle of a re-keying: every voice stays readable, and the rest is done."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.gallery.protected import ProtectedGallery
from voiceauth.keys.keyring import FileKeyring
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeRandom
from voiceauth.testing.records import MODEL, made_up_embedding, made_up_voiceprint
from voiceauth.types import SubjectId, TenantId
from voiceauth.usecases.rekey_voiceprints import RekeyDesk
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK = TenantId("bank")
PEOPLE = [SubjectId(f"s{number}") for number in range(40)]
KILLS = 8
SEED = 20260202


def opened(home: Path, seed: int) -> SqliteVault:
    """Open the vault of ``home`` under its key file."""
    clock, chance = FakeClock(), FakeRandom(seed)
    keys = FileKeyring.load(home / "keys.json", clock=clock, random=chance)
    return open_vault(home / "vault.db", keys, clock=clock, random=chance)


def desk_over(vault: SqliteVault) -> RekeyDesk:
    """Return what re-keys it, a subject at a time: many moments to be killed in."""
    gallery = ProtectedGallery(partial(FaissGallery, 192), vault.voice_transform)
    return RekeyDesk(vault, gallery, MODEL, FakeClock(), batch=1)


def rekey_until_killed(home: Path, number: int) -> None:
    """Re-key for ever; say so before the first step and after each whole re-keying."""
    vault = opened(home, seed=100 + number)
    desk = desk_over(vault)
    os.write(1, b"begun\n")
    while True:
        os.write(1, f"{desk.step(BANK).generation}\n".encode())


def killed(home: Path, number: int, delay_seconds: float) -> int:
    """Run a process, kill it after a while; return the generation that it last reached, or 0."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(  # noqa: S603 - this very file
        [sys.executable, __file__, str(home), str(number)],
        stdout=subprocess.PIPE,
        env=environment,
    )
    if child.stdout is None:
        raise RuntimeError
    with child, child.stdout as output:
        output.readline()
        time.sleep(delay_seconds)
        child.send_signal(signal.SIGKILL)
        said = output.read().split()
    return int(said[-1]) if said else 0


def unharmed(vault: SqliteVault) -> bool:
    """Hold every stored voice against what it was."""
    with vault.read() as view:
        return all(
            np.allclose(
                view.voiceprints(BANK, subject, MODEL)[0].embedding,
                made_up_embedding(seed),
                atol=1e-5,
            )
            for seed, subject in enumerate(PEOPLE)
        )


def test_a_re_keying_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """After each kill every voice reads as it was and the ledger holds; at last it is finished."""
    FileKeyring.create(tmp_path / "keys.json", clock=FakeClock(), random=FakeRandom(SEED))
    vault = opened(tmp_path, seed=1)
    with vault.begin() as change:
        for seed, subject in enumerate(PEOPLE):
            change.create_subject(BANK, subject, at=EPOCH, groups=frozenset())
            change.add_voiceprint(BANK, made_up_voiceprint(f"v-{seed}", subject, seed=seed))
    vault.close()
    moments = random.Random(SEED)
    halfway, reached = 0, 1
    for number in range(KILLS):
        reached = max(reached, killed(tmp_path, number, moments.uniform(0.0, 0.4)))
        vault = opened(tmp_path, seed=1000 + number)
        assert unharmed(vault)
        vault.verify_ledger()
        with vault.read() as view:
            halfway += view.rekeying().due(BANK)
        assert vault.voice_transform(BANK).generation >= reached  # nothing acknowledged is lost
        vault.close()

    vault = opened(tmp_path, seed=2000)
    desk_over(vault).run()
    assert unharmed(vault)
    with vault.read() as view:
        assert not view.rekeying().due(BANK)
        assert len(view._select("SELECT DISTINCT generation FROM voiceprints")) == 1
    vault.close()
    assert halfway > 0  # some were really hit in the middle


if __name__ == "__main__":
    rekey_until_killed(Path(sys.argv[1]), int(sys.argv[2]))
