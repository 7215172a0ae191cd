# SPDX-License-Identifier: Apache-2.0
"""Read the ledger as it grows, and raise what the rules find: each entry once, each alert once.

One look, in this order; the numbers stand again at the code:

(1) Trouble of the engine itself, the clock's included, becomes entries of the ledger.
(2) What the rules remember is read back, if this is the first look since the start, and its seal
    checked. If it was changed, that is an alert, and everything is derived again from the first
    entry on: alerts that are there already have the same ids, and are not raised twice.
(3) The entry that was looked at last is still there and still the same; otherwise that is an alert.
(4) Further entries are read, each is checked to follow the one before, and shown to the rules. One
    that does not is an alert, and none of what it says is believed.
(5) The alerts, their own ledger entries, what has to be delivered and how far this has come are
    written in one transaction: all of it is there, or nothing, and the next look does it again.

What was in the ledger before alerts were first switched on is learnt from, not told of.
Where nothing can be written, the trouble is told straight to the sinks, without a record.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from voiceauth.alerts.evaluate import Evaluator
from voiceauth.alerts.payload import content
from voiceauth.alerts.reading import Observation, observed
from voiceauth.alerts.table import Rule
from voiceauth.errors import ChainBrokenError, EngineError, IntegrityError
from voiceauth.ledger.body import framed
from voiceauth.ledger.chain import GENESIS, Head, check_link, head_of
from voiceauth.ports import AlertSink, AlertTransaction, AlertVault, Clock
from voiceauth.types import Alert, LedgerEntry, Severity, TenantId
from voiceauth.units import Seconds
from voiceauth.usecases.troubles import TroubleBook

INSTALLATION = TenantId("")
TROUBLE = "engine.trouble"
OWN_EVENTS = "alert."
_BATCH = 500
_CURSOR, _SEAL = "cursor", "seal"
_CLOCK_SECONDS: Seconds = 30.0
_CRY_SECONDS: Seconds = 600.0


@dataclass(frozen=True, slots=True, eq=False)
class Outlet:
    """One sink, and from which severity on it is served."""

    sink: AlertSink
    least: Severity = Severity.LOW


@dataclass(frozen=True, slots=True, eq=False)
class AlertDesk:
    """What alerts need.

    Attributes:
        secret: purpose -> 32-byte installation secret.
        outlets: by name.
        runbooks: what stands before a runbook's file name.
    """

    vault: AlertVault
    clock: Clock
    secret: Callable[[str], bytes]
    rules: Mapping[str, Rule]
    troubles: TroubleBook
    outlets: Mapping[str, Outlet]
    runbooks: str = "docs/runbooks/"


@dataclass(slots=True)
class _Standing:
    """How far this has come, in memory. Mutable: it is thrown away after any failure."""

    head: Head
    history: int
    evaluator: Evaluator
    parts: dict[str, str]
    fresh: bool = False


class LedgerWatch:
    """Looks at the ledger. Not thread-safe: one chore, one caller."""

    def __init__(self, desk: AlertDesk) -> None:
        self._desk = desk
        self._standing: _Standing | None = None
        self._offset = self._clock_offset()
        self._cried: Seconds | None = None

    def begin(self) -> None:
        """Note where the ledger ends, if alerts were never on before: what comes now is told.

        Raises:
            StorageError: the vault cannot be read or written.
        """
        head = self._desk.vault.ledger_head()
        with self._desk.vault.begin() as transaction:
            if not transaction.alert_memory():  # here, as another process may begin, too
                standing = self._begun(history=head)
                transaction.put_alert_memory(self._written(standing))

    def run(self) -> None:
        """Look once, as far as there are entries.

        Raises:
            StorageError: the vault cannot be read or written; nothing is lost.
            KeyServiceError: the key service is down.
        """
        try:
            self._note_troubles()  # (1)
            self._look()
        except EngineError as error:
            self._standing = None
            self._cry(error)
            raise

    def _look(self) -> None:
        try:
            standing = self._standing or self._restored()  # (2)
        except IntegrityError:
            standing = self._begun(history=0)
            here = self._desk.vault.ledger_head()
            self._commit(standing, self._told(standing, IntegrityError.code, here))
        self._standing = standing
        lost = self._lost(standing)  # (3)
        if lost is not None:
            self._commit(standing, lost)
        while page := self._desk.vault.ledger(after=standing.head.sequence, limit=_BATCH):
            self._commit(standing, self._evaluated(standing, page))  # (4), (5)

    def _note_troubles(self) -> None:
        desk, offset = self._desk, self._clock_offset()
        if abs(offset - self._offset) > _CLOCK_SECONDS:
            desk.troubles.tell("clock", "clock_jumped")
        self._offset = offset
        note_troubles(desk)

    def _restored(self) -> _Standing:
        with self._desk.vault.read() as view:
            parts = dict(view.alert_memory())
        if not parts:
            self.begin()
            return self._restored()
        seal = parts.pop(_SEAL, "")
        if not hmac.compare_digest(seal.encode(), self._seal(parts).encode()):
            raise IntegrityError(detail="what the alert rules remember was changed")
        try:
            sequence, entry_hash, history = json.loads(parts[_CURSOR])
            head = Head(int(sequence), bytes.fromhex(entry_hash))
        except (ValueError, TypeError, KeyError):
            raise IntegrityError(detail="the alerts' place in the ledger is lost") from None
        return _Standing(head, int(history), self._evaluator(parts), parts)

    def _begun(self, *, history: int) -> _Standing:
        return _Standing(GENESIS, history, self._evaluator({}), {}, fresh=True)

    def _evaluator(self, parts: Mapping[str, str]) -> Evaluator:
        return Evaluator(self._desk.rules, parts, runbooks=self._desk.runbooks)

    def _lost(self, standing: _Standing) -> list[Alert] | None:
        """Hold the ledger against the entry that was looked at last."""
        head = standing.head
        if head.sequence == 0:
            return None
        found = self._desk.vault.ledger(after=head.sequence - 1, limit=1)
        if found and found[0].entry_hash == head.entry_hash:
            return None
        if found:  # rewritten: it is looked at again, from this one on
            first = found[0]
            standing.head = Head(first.sequence - 1, first.previous_hash)
        else:  # cut off: what comes next follows what is there now
            last = self._desk.vault.ledger_head()
            ends = self._desk.vault.ledger(after=last - 1, limit=1) if last else ()
            standing.head = head_of(ends[0]) if ends else GENESIS
        return self._told(standing, ChainBrokenError.code, head.sequence)

    def _evaluated(self, standing: _Standing, page: Sequence[LedgerEntry]) -> list[Alert]:
        found: list[Alert] = []
        for entry in page:
            try:
                check_link(standing.head, entry)
            except ChainBrokenError:
                found += self._told(standing, ChainBrokenError.code, entry.sequence)
            else:
                if not entry.event.startswith(OWN_EVENTS):
                    alerts = standing.evaluator.observe(observed(entry))
                    found += alerts if entry.sequence > standing.history else []
            standing.head = head_of(entry)
        return found

    def _told(self, standing: _Standing, code: str, sequence: int) -> list[Alert]:
        """Show the rules a trouble that this look has found."""
        return standing.evaluator.observe(self._trouble(code, sequence))

    def _trouble(self, code: str, sequence: int) -> Observation:
        at = self._desk.clock.now().timestamp()
        body = {"place": "alerts", "code": code, "count": 1}
        return Observation(sequence, at, INSTALLATION, TROUBLE, body)

    def _commit(self, standing: _Standing, alerts: Iterable[Alert]) -> None:
        changed = self._written(standing)
        with self._desk.vault.begin() as transaction:
            for alert in alerts:
                self._raise(transaction, alert)
            transaction.put_alert_memory(changed, anew=standing.fresh)
        standing.fresh = False

    def _written(self, standing: _Standing) -> dict[str, str]:
        """Return what of the memory has changed, sealed together with the rest."""
        head = standing.head
        cursor = json.dumps([head.sequence, head.entry_hash.hex(), standing.history])
        changed = {**standing.evaluator.changed(), _CURSOR: cursor}
        standing.parts.update(changed)
        return {**changed, _SEAL: self._seal(standing.parts)}

    def _raise(self, transaction: AlertTransaction, alert: Alert) -> None:
        if transaction.alert(alert.alert) is not None:
            return
        desk, now = self._desk, self._desk.clock.now()
        body = content(alert)
        for ours in ("type", "tenant", "record_id"):
            del body[ours]
        entry = transaction.append(at=now, tenant=alert.tenant, event="alert.raised", body=body)
        transaction.add_alert(replace(alert, record_id=entry.sequence))
        for name, outlet in desk.outlets.items():
            if alert.severity.rank >= outlet.least.rank:
                transaction.queue_delivery(name, alert.alert, now)

    def _seal(self, parts: Mapping[str, str]) -> str:
        texts = [text for item in sorted(parts.items()) for text in item]
        digest = hashlib.sha256(framed("alert-memory", *texts)).digest()
        return hmac.digest(self._desk.secret("alert-memory"), digest, "sha256").hex()

    def _clock_offset(self) -> Seconds:
        return self._desk.clock.now().timestamp() - self._desk.clock.monotonic()

    def _cry(self, error: EngineError) -> None:
        """Tell the sinks of trouble that cannot be recorded; not more often than every 10 min."""
        now = self._desk.clock.monotonic()
        if self._cried is not None and now - self._cried < _CRY_SECONDS:
            return
        self._cried = now
        cry_out(self._desk.rules, self._desk.outlets, error.code, self._desk.clock.now())


def note_troubles(desk: AlertDesk) -> None:
    """Write what went wrong in this process into the ledger, where one process looks at it.

    Raises:
        StorageError: the vault cannot be written; the trouble is kept.
    """
    taken = desk.troubles.take()
    if not taken:
        return
    try:
        with desk.vault.begin() as transaction:
            for (place, code), count in sorted(taken.items()):
                body = {"place": place, "code": code, "count": count}
                transaction.append(
                    at=desk.clock.now(), tenant=INSTALLATION, event=TROUBLE, body=body
                )
    except EngineError:
        desk.troubles.give_back(taken)
        raise


def cry_out(
    rules: Mapping[str, Rule], outlets: Mapping[str, Outlet], code: str, at: datetime
) -> int:
    """Send what the rules make of a trouble straight to the sinks; return how many took it.

    For what cannot go the proper way, because ledger or keys are what is in trouble. The alert has
    no record, and is not tried again.
    """
    body = {"place": "engine", "code": code, "count": 1}
    seen = Observation(0, at.timestamp(), INSTALLATION, TROUBLE, body)
    taken = 0
    for alert in Evaluator(rules).observe(seen):
        for outlet in outlets.values():
            try:
                outlet.sink.send(alert)
                taken += 1
            except EngineError:
                continue
    return taken
