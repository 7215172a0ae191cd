# SPDX-License-Identifier: Apache-2.0
"""Damage one file of a copied installation, and see that nobody is deceived by what is left.

A damaged file may be refused, or it may turn out that the damage lies where nothing stands. What
must never happen: another content than was written is taken for good, or somebody is accepted who
should not be.
"""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fake_engine import MODEL, TENANT, consent, span
from killed_worker import MULAW, enrol, opened, voice_of

from voiceauth.backup.journal import ErasureJournal
from voiceauth.errors import EngineError
from voiceauth.models.bundle import load_bundle
from voiceauth.models.locate import default_model_directory
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.types import CallId, Decision, SubjectId
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.back_up import check_backup, create_backup
from voiceauth.usecases.check_ledger import audit
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.erase_subject import erase_subject
from voiceauth.usecases.erasure_journal import PURPOSE
from voiceauth.usecases.verify_call import VerifyCall

PEOPLE = tuple(SubjectId(f"s-{number}") for number in range(1, 5))
GONE = SubjectId("s-9")
BLOCK = 512


class Deceived(AssertionError):  # noqa: N818 - what a test that fails raises
    """Damage that was taken for good."""


@dataclass(frozen=True)
class Good:
    """An undamaged installation, and what is true of it."""

    home: Path
    hashes: tuple[bytes, ...]
    erasures: int
    archive: str


def flip(data: bytes, chance: random.Random) -> bytes:
    """Flip one bit."""
    changed = bytearray(data)
    changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def tear(data: bytes, chance: random.Random) -> bytes:
    """Let a write have stopped somewhere: the rest of a block is zeros."""
    start = chance.randrange(len(data))
    end = min(len(data), (start // BLOCK + 1) * BLOCK)
    return data[:start] + bytes(end - start) + data[end:]


def cut(data: bytes, chance: random.Random) -> bytes:
    """End the file too early."""
    return data[: chance.randrange(len(data))]


KINDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (flip, tear, cut)


def good_installation(home: Path) -> Good:
    """Make an installation with four enrolled people, one erased one, and a backup."""
    works = opened(home, 1)
    for who in (*PEOPLE, GONE):
        manage_subjects.create_subject(works.engine, TENANT, who, frozenset())
        manage_subjects.record_consent(works.engine, TENANT, who, consent(works.engine))
        enrol(works, who)
    erase_subject(works.engine, TENANT, GONE)
    works.checkpoints.run()
    archive = create_backup(works.backups).path.name
    hashes = tuple(one.entry_hash for one in works.vault.ledger(limit=10_000))
    stones = len(works.vault.tombstones(limit=10_000))
    works.vault.close()
    return Good(home, hashes, stones, archive)


def damage(good: Good, place: Path, name: str, chance: random.Random) -> str:
    """Copy the installation, damage one file of it, use it; say ``refused`` or ``unharmed``.

    Raises:
        Deceived: the damage was taken for good.
    """
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(good.home, place)
    path = place / name
    before = path.read_bytes()
    after = chance.choice(KINDS)(before, chance)
    if after == before:
        return "unharmed"
    path.write_bytes(after)
    try:
        _use(good, place)
    except EngineError:
        return "refused"
    return "unharmed"


def damage_models(place: Path, name: str, chance: random.Random) -> str:
    """Copy the packaged models, damage a file of them, load them. Returns and raises likewise."""
    source = default_model_directory()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for one in source.iterdir():
        if one.is_file():
            (place / one.name).symlink_to(one)
    (place / name).unlink()
    before = (source / name).read_bytes()
    after = chance.choice(KINDS)(before, chance)
    (place / name).write_bytes(after)
    if after == before:
        return "unharmed"
    try:
        bundle = load_bundle(place)
        CalibratedScorer(bundle.calibration, bundle.cohort, bundle.speaker.model)
    except EngineError:
        return "refused"
    good = load_bundle(source)
    same = (bundle.speaker.model, bundle.calibration) == (good.speaker.model, good.calibration)
    if not same or name != "manifest.json":  # a letter of a licence is nobody's measurement
        raise Deceived(f"{name} was damaged, and loaded")
    return "unharmed"


def _use(good: Good, place: Path) -> None:
    """Do what a server and its operator do: whatever is wrong must show."""
    works = opened(place, 1)
    try:
        audit(works.vault, works.checkpoints, place / "second")
        found = tuple(one.entry_hash for one in works.vault.ledger(limit=10_000))
        if found != good.hashes:
            raise Deceived("the ledger verifies, and is another one")
        with works.vault.read() as view:
            if view.subject(TENANT, GONE) is not None:
                raise Deceived("an erased person is back")
            for who in PEOPLE:
                for one in view.voiceprints(TENANT, who, MODEL):
                    voice = works.engine.embedder.embed(span(voice_of(who)).samples)
                    if abs(float(one.embedding @ voice) - 1) > 1e-5:
                        raise Deceived(f"{who} has another voiceprint")
        journal = ErasureJournal(place / "backups" / "erasures.jsonl", works.keys.derive(PURPOSE))
        if len(journal.since(0, "")) < good.erasures:
            works.backups.journal.run()  # a line that a crash cut off is written again
        if len(journal.read()) != good.erasures:
            raise Deceived("the journal verifies, and is another one")
        works.checkpoints.run()
        check_backup(place / "backups" / good.archive, works.backups.sealing)
        for who in PEOPLE:
            call = VerifyCall(works.engine, Claim(CallId("v"), TENANT, who, MULAW))
            call.load()
            other = span(voice_of(who) + 1)
            call.weigh(other, works.engine.embedder.embed(other.samples))
            if call.conclude().decision is Decision.ACCEPT:
                raise Deceived(f"somebody else was accepted as {who}")
    finally:
        works.vault.close()
