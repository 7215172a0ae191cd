# SPDX-License-Identifier: Apache-2.0
"""What the killed process of ``tests/fault/kill_loops.py`` does until it is killed.

It works through the use cases, as a server would, and tells each step before it is begun and once
it is done: ``begin WHAT WHO`` and ``done WHAT WHO``. What was told as done is durable, or the loop
has found a fault. Some steps run while the disk is full; these may fail, and must then change
nothing.
"""

import os
import random
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fake_engine import TENANT, CosineScorer, SeededEmbedder, consent, make_engine, span

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import BackupSettings, Settings, StorageSettings
from voiceauth.errors import BusyError, EngineError, PolicyError
from voiceauth.ports import ManagedKeys
from voiceauth.types import AudioFormat, CallId, Counter, Decision, Encoding, SubjectId
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.attempt_desk import AttemptDesk
from voiceauth.usecases.back_up import BackupDesk, create_backup
from voiceauth.usecases.backup_keys import open_backup_keys
from voiceauth.usecases.canary import Hearing
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.erase_subject import erase_subject
from voiceauth.usecases.keep_checkpoints import CheckpointDesk, signing_key
from voiceauth.usecases.keep_keys import KeyDesk, destroy, rotate
from voiceauth.usecases.key_services import open_keys
from voiceauth.usecases.verify_call import VerifyCall
from voiceauth.vault.store import SqliteVault

MULAW = AudioFormat(Encoding.MULAW)
VOICES = 997
SEGMENTS = 3


@dataclass(frozen=True, eq=False)
class Works:
    """The parts of one process."""

    engine: Engine
    vault: SqliteVault
    keys: ManagedKeys
    backups: BackupDesk
    checkpoints: CheckpointDesk
    chance: random.Random
    home: Path


def voice_of(name: SubjectId) -> int:
    """Return the number of somebody's voice; two people of one loop rarely share one."""
    return int(name.rpartition("-")[2]) % VOICES + 1


def settings_of(home: Path) -> Settings:
    """Return the settings of the installation in a directory."""
    return Settings(
        storage=StorageSettings(data_dir=home / "live"),
        backup=BackupSettings(directory=home / "backups"),
    )


def backup_desk(home: Path, vault: SqliteVault, keys: ManagedKeys) -> BackupDesk:
    """Return what backs the installation up."""
    clock, chance = SystemClock(), SystemRandom()
    sealing = open_backup_keys(settings_of(home), keys, clock=clock, random=chance, create=True)
    return BackupDesk(
        vault=vault,
        keys=keys,
        sealing=sealing,
        hearing=Hearing(SeededEmbedder(), CosineScorer()),
        clock=clock,
        random=chance,
        directory=home / "backups",
        keep_daily=3,
        keep_weekly=0,
    )


def opened(home: Path, seed: int) -> Works:
    """Open the installation as a starting server does."""
    clock = SystemClock()
    built = make_engine(home / "live", clock=clock)
    engine = replace(built, attempts=AttemptDesk(clock))
    vault = engine.vault
    if not isinstance(vault, SqliteVault):
        raise TypeError
    keys = open_keys(settings_of(home), clock=clock, random=SystemRandom())
    backups = backup_desk(home, vault, keys)
    vault.after_burial = backups.journal.run
    checkpoints = CheckpointDesk(vault, signing_key(keys), clock, home / "second")
    return Works(engine, vault, keys, backups, checkpoints, random.Random(seed), home)


def tell(text: str) -> None:
    """Say something in one write, so that it is there whole or not at all."""
    os.write(1, f"{text}\n".encode())


def work_until_killed(home: Path, seed: int, known: tuple[str, ...]) -> None:
    """Do one random thing after the other; ``known`` are people of earlier processes."""
    works = opened(home, seed)
    people = [SubjectId(name) for name in known]
    tell("ready")
    steps: tuple[tuple[Callable[[Works, SubjectId], None], str], ...] = (
        (enrol, "enrol"),
        (enrol, "enrol"),
        (verify, "verify"),
        (impersonate, "impersonate"),
        (erase, "erase"),
        (withdraw, "withdraw"),
        (opt_out, "opt-out"),
        (rotate_keys, "rotate"),
        (checkpoint, "checkpoint"),
        (back_up, "backup"),
    )
    number = 0
    while True:
        number += 1
        new = SubjectId(f"s-{seed * 1000 + number}")
        tell(f"begin create {new}")
        manage_subjects.create_subject(works.engine, TENANT, new, frozenset())
        manage_subjects.record_consent(works.engine, TENANT, new, consent(works.engine))
        tell(f"done create {new}")
        people.append(new)
        for _ in range(3):
            step, name = works.chance.choice(steps)
            who = new if name == "enrol" else works.chance.choice(people)
            tell(f"begin {name} {who}")
            try:
                with full_disk(works) if works.chance.random() < 0.1 else _nothing():
                    step(works, who)
            except EngineError as error:  # refused, or the disk was full: nothing was done
                tell(f"failed {name} {who} {error.code}")
            else:
                tell(f"done {name} {who}")


def enrol(works: Works, who: SubjectId) -> None:
    """Enrol in one call or in two, so that unfinished enrolments are killed, too."""
    for call, spans in ((1, 1), (2, 2)) if works.chance.random() < 0.5 else ((1, SEGMENTS),):
        request = EnrolmentRequest(CallId(f"e-{call}"), TENANT, who, MULAW)
        one = EnrolCall(works.engine, request)
        one.load()
        for _ in range(spans):
            piece = span(voice_of(who))
            one.weigh(piece, works.engine.embedder.embed(piece.samples))
        one.conclude()


def verify(works: Works, who: SubjectId) -> None:
    """Verify with the right voice; it may be rejected for want of a voiceprint, not for more."""
    _called(works, who, voice_of(who))


def impersonate(works: Works, who: SubjectId) -> None:
    """Verify with another voice: never an ACCEPT."""
    if _called(works, who, voice_of(who) % VOICES + 1) is Decision.ACCEPT:
        tell(f"wrong impersonate {who}")
    with works.vault.read() as view:  # durable before the answer, so it must be there for ever
        tell(f"count failures {who} {view.attempts(TENANT, Counter.VOICE, who).total}")


def erase(works: Works, who: SubjectId) -> None:
    """Erase somebody."""
    erase_subject(works.engine, TENANT, who)


def withdraw(works: Works, who: SubjectId) -> None:
    """Withdraw a consent."""
    manage_subjects.withdraw_consent(works.engine, TENANT, who)


def opt_out(works: Works, who: SubjectId) -> None:
    """Opt somebody out who is known."""
    manage_subjects.get_subject(works.engine, TENANT, who)
    manage_subjects.opt_out(works.engine, TENANT, who)


def rotate_keys(works: Works, who: SubjectId) -> None:
    """Replace the tenant's key, and now and then destroy one that nothing needs any more."""
    del who
    desk = KeyDesk(works.vault, works.keys, works.engine.clock)
    rotate(desk, scopes=(TENANT,))
    if works.chance.random() < 0.3:
        for one in works.keys.inventory():
            if not one.current and one.scope == TENANT:
                destroy(desk, one.key_id)
                return


def checkpoint(works: Works, who: SubjectId) -> None:
    """Sign how far the ledger has come, and copy it to the second place."""
    del who
    works.checkpoints.run()


def back_up(works: Works, who: SubjectId) -> None:
    """Make a backup."""
    del who
    try:
        create_backup(works.backups)
    except BusyError as error:  # a killed process holds no lock
        raise PolicyError(detail="busy") from error


def _called(works: Works, who: SubjectId, voice: int) -> Decision:
    call = VerifyCall(works.engine, Claim(CallId("v"), TENANT, who, MULAW))
    call.load()
    piece = span(voice)
    call.weigh(piece, works.engine.embedder.embed(piece.samples))
    return call.conclude().decision


@contextmanager
def full_disk(works: Works) -> Iterator[None]:
    """Let every write fail that makes a file longer than the vault's log is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = works.home / "live" / "vault.db-wal"
    size = log.stat().st_size if log.exists() else 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _nothing() -> Iterator[None]:
    yield
