# SPDX-License-Identifier: Apache-2.0
"""What must hold after every kill of ``tests/fault/kill_loops.py``.

The book holds, for each person, what was told as durable. One step may have been under way when the
process died: then the state before it and the state after it are both right, and whichever is found
must stay.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fake_engine import MODEL, TENANT
from killed_worker import SEGMENTS, backup_desk, settings_of

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.backup.journal import ErasureJournal
from voiceauth.errors import KeyServiceError
from voiceauth.ports import ManagedKeys
from voiceauth.types import Counter, SubjectId, SubjectState
from voiceauth.usecases.back_up import check_backup, list_backups
from voiceauth.usecases.check_ledger import audit
from voiceauth.usecases.erasure_journal import PURPOSE
from voiceauth.usecases.keep_checkpoints import CheckpointDesk, signing_key
from voiceauth.usecases.key_services import VAULT_FILE, open_keys
from voiceauth.usecases.restored_vault import RestoreDesk, brought_back
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault
from voiceauth.vault.transaction import SqliteTransaction

NONE, CONSENTED, PARTIAL, ENROLLED = "none", "consented", "partial", "enrolled"
ERASED, WITHDRAWN, OPTED_OUT = "erased", "withdrawn", "opted-out"
_CREATED = "created"
"""Known, without a consent: only between two steps of one."""
_AFTER: dict[str, frozenset[str]] = {
    "create": frozenset({CONSENTED}),
    "enrol": frozenset({ENROLLED}),
    "erase": frozenset({ERASED}),
    "withdraw": frozenset({WITHDRAWN}),
    "opt-out": frozenset({OPTED_OUT}),
}
_UNDER_WAY: dict[str, frozenset[str]] = {
    "create": frozenset({_CREATED}),
    "enrol": frozenset({PARTIAL}),
}


class Broken(AssertionError):  # noqa: N818 - what a test that fails raises
    """An invariant that does not hold."""


@dataclass
class Book:
    """What is known to be durable."""

    state: dict[str, frozenset[str]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    def take(self, lines: Iterable[str]) -> set[str]:
        """Note what a killed process told; return whom it spoke of."""
        touched: set[str] = set()
        for line in lines:
            word, what, who, *why = line.split()
            if word == "wrong":
                raise Broken(f"somebody else was accepted as {who}")
            if word == "count":
                self.failures[who] = int(why[0])
                continue
            if what == "erase":  # the counters of a person go with the person
                self.failures.pop(who, None)
            if what not in _AFTER:
                self._count(word, what, why)
                continue
            touched.add(who)
            before = self.state.get(who, frozenset({NONE}))
            if word == "begin":
                under_way = _AFTER[what] | _UNDER_WAY.get(what, frozenset())
                self.state[who] = before | under_way
            elif word == "done":
                self._count(word, what, why)
                still_out = what == "withdraw" and OPTED_OUT in before
                self.state[who] = frozenset({OPTED_OUT}) if still_out else _AFTER[what]
            else:  # it failed: it may have come half way, where there is one
                self._count(word, what, why)
        return touched

    def hold(self, who: str, found: str) -> None:
        """Compare what is found with what may be, and keep it to that from now on."""
        allowed = self.state.get(who, frozenset({NONE, ERASED}))
        if found == NONE and ERASED in allowed:
            found = ERASED
        if found not in allowed:
            raise Broken(f"{who} is {found} and should be {' or '.join(sorted(allowed))}")
        self.state[who] = frozenset({found})

    def hold_failures(self, who: str, found: int) -> None:
        """See that a counter of failures did not go down, and keep it to that from now on."""
        if found < self.failures.get(who, 0):
            raise Broken(f"{who} had {self.failures[who]} failures and has {found}")
        self.failures[who] = found

    def _count(self, word: str, what: str, why: list[str]) -> None:
        if word == "begin":
            return
        name = what if word == "done" else f"{what}: {why[0]}"
        self.steps[name] = self.steps.get(name, 0) + 1


def state_of(view: SqliteTransaction, who: str) -> str:
    """Say what the vault holds of somebody, and refuse half of anything."""
    name = SubjectId(who)
    found = view.subject(TENANT, name)
    prints = view.voiceprints(TENANT, name, MODEL)
    pending = view.pending_segments(TENANT, name, MODEL)
    if found is None:
        if prints or pending:
            raise Broken(f"{who} is not there, and something of them is")
        return NONE
    for one in prints:
        whole = len(one.segments) >= SEGMENTS
        if not whole or abs(one.net_seconds - 3.0 * len(one.segments)) > 1e-6:
            raise Broken(f"{who} has half a voiceprint")
    if found.state is SubjectState.OPTED_OUT:
        return OPTED_OUT if not prints and not pending else "opted out with a voiceprint"
    if found.consent is None:
        return _CREATED
    if found.consent.withdrawn_at is not None:
        return WITHDRAWN if not prints and not pending else "withdrawn with a voiceprint"
    if prints:
        return ENROLLED  # and perhaps half way to another one
    return PARTIAL if pending else CONSENTED


def check(home: Path, book: Book, who: Iterable[str], *, deep: bool) -> int:
    """Open the installation anew and hold it against the book; return the ledger's length.

    Args:
        home: of the installation.
        book: of what is durable.
        who: to look at.
        deep: look at everybody, at the backups, and at what a restore gives.
    """
    clock, chance = SystemClock(), SystemRandom()
    keys = open_keys(settings_of(home), clock=clock, random=chance)
    vault = open_vault(home / "live" / VAULT_FILE, keys, clock=clock, random=chance)
    try:
        desk = CheckpointDesk(vault, signing_key(keys), clock, home / "second")
        entries = audit(vault, desk, home / "second").entries
        with vault.read() as view:
            for one in sorted(book.state) if deep else sorted(who):
                book.hold(one, state_of(view, one))
                total = view.attempts(TENANT, Counter.VOICE, one).total
                book.hold_failures(one, total)
        _check_journal(home, vault, keys)
        if deep:
            _check_backups(home, vault, keys, book)
        return entries
    finally:
        vault.close()


def _check_journal(home: Path, vault: SqliteVault, keys: ManagedKeys) -> None:
    journal = ErasureJournal(home / "backups" / "erasures.jsonl", keys.derive(PURPOSE))
    told, there = journal.read(), list(vault.tombstones(limit=1_000_000))
    if list(told) != there[: len(told)]:
        raise Broken("the erasure journal tells of other erasures than the vault")


def _check_backups(home: Path, vault: SqliteVault, keys: ManagedKeys, book: Book) -> None:
    desk = backup_desk(home, vault, keys)
    desk.journal.run()
    archives = list_backups(desk.directory)
    for one in archives:
        check_backup(desk.directory / one.name, desk.sealing)
    if not archives:
        return
    place = home / "drill"
    place.mkdir()
    restore = RestoreDesk(keys, desk.sealing, desk.journal.journal, desk.clock, desk.random)
    newest = desk.directory / archives[-1].name
    try:
        with brought_back(newest, place, restore) as back, back.vault.read() as view:
            for who, state in book.state.items():
                _check_restored(view, who, state, lost=bool(back.lost_keys))
    finally:
        for left in place.iterdir():
            left.unlink()
        place.rmdir()


def _check_restored(
    view: SqliteTransaction, who: str, state: frozenset[str], *, lost: bool
) -> None:
    """Whoever is gone now must be gone from a restored backup, too."""
    try:
        found = state_of(view, who)
    except KeyServiceError:
        if lost:  # its key was destroyed since: nothing brings it back
            return
        raise
    gone = {
        ERASED: {NONE},
        WITHDRAWN: {NONE, WITHDRAWN},
        OPTED_OUT: {NONE, OPTED_OUT},
    }
    for one, allowed in gone.items():
        if state == {one} and found not in allowed:
            raise Broken(f"{who} is {one}, and a restored backup has {found}")
