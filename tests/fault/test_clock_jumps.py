# SPDX-License-Identifier: Apache-2.0
"""A clock that somebody, NTP or a dead battery sets anywhere costs no data and no safety."""

import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from backed_up import ALICE, BANK, BOB, installation
from fake_engine import MODEL, TENANT, consenting, make_engine, span
from killed_worker import MULAW, enrol, opened

from voiceauth.testing.fakes import FakeClock
from voiceauth.testing.records import MODEL as MADE_UP
from voiceauth.types import CallId, Decision, SubjectId
from voiceauth.usecases.back_up import check_backup, list_backups
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.keep_checkpoints import CheckpointDesk, signing_key
from voiceauth.usecases.keep_keys import KeyDesk
from voiceauth.usecases.verify_call import VerifyCall

YEAR = timedelta(days=365)
SEEDS = (1, 2, 3)


def jumped(clock: FakeClock, chance: random.Random) -> None:
    """Set the clock to anywhere within ten years of now."""
    target = timedelta(seconds=chance.uniform(-10, 10) * YEAR.total_seconds())
    clock.jump((clock_start() + target - clock.now()).total_seconds())


def clock_start() -> datetime:
    """Return where a fake clock begins."""
    return FakeClock().now()


def called(engine: Engine, who: SubjectId, voice: int) -> Decision:
    """Verify with a voice."""
    call = VerifyCall(engine, Claim(CallId("v"), TENANT, who, MULAW))
    call.load()
    piece = span(voice)
    call.weigh(piece, engine.embedder.embed(piece.samples))
    return call.conclude().decision


@pytest.mark.parametrize("seed", SEEDS)
def test_no_clock_lets_somebody_else_in(tmp_path: Path, seed: int) -> None:
    """Impostors stay out at every hour, and the ledger's chain does not depend on the time."""
    chance, clock = random.Random(seed), FakeClock()
    opened(tmp_path, 1).vault.close()
    engine = make_engine(tmp_path / "live", clock=clock)
    who = consenting(engine, "s-1")
    works = opened(tmp_path, 1)
    enrol(works, who)
    works.vault.close()
    for _ in range(20):
        jumped(clock, chance)
        assert called(engine, who, 500) is not Decision.ACCEPT
        with engine.vault.read() as view:
            assert len(view.voiceprints(TENANT, who, MODEL)) == 1
    engine.vault.close()
    works = opened(tmp_path, 1)
    assert works.vault.verify_ledger() > 20
    works.vault.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_no_clock_costs_keys_backups_or_the_ledger(tmp_path: Path, seed: int) -> None:
    """Chores that go by the calendar run at any date: what the vault needs stays readable."""
    chance = random.Random(seed)
    with installation(tmp_path) as live:
        desk = KeyDesk(
            live.vault,
            live.keys,
            live.clock,
            rotate_after=timedelta(days=30),
            backups_kept=timedelta(days=90),
        )
        checkpoints = CheckpointDesk(
            live.vault, signing_key(live.keys), live.clock, live.settings.ledger.export_dir
        )
        for _ in range(15):
            jumped(live.clock, chance)
            desk.run()
            live.desk.run()
            checkpoints.run()
            archives = list_backups(live.desk.directory)
            assert archives
            check_backup(live.desk.directory / archives[-1].name, live.desk.sealing)
            with live.vault.read() as view:
                for who in (ALICE, BOB):
                    assert len(view.voiceprints(BANK, who, MADE_UP)) == 1
        live.vault.verify_ledger()
