# SPDX-License-Identifier: Apache-2.0
"""Hand over what is in the outbox: at least once, in order as far as receivers let it.

A sink that is down costs one attempt per round, and its deliveries wait. A sink that refuses one
alert gets the others all the same, and that one again later. No transaction is open while a sink is
waited for, and nothing of this is on a call's path.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from voiceauth.alerts.retry import LONGEST_SECONDS, delay
from voiceauth.errors import SinkError, SinkRefusedError
from voiceauth.types import Delivery
from voiceauth.units import Seconds
from voiceauth.usecases.raise_alerts import AlertDesk, Outlet

MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did: numbers of deliveries."""

    delivered: int = 0
    failed: int = 0


class AlertPost:
    """Delivers. Not thread-safe: one chore, one caller."""

    def __init__(self, desk: AlertDesk) -> None:
        self._desk = desk
        self._down: dict[str, tuple[int, Seconds]] = {}

    def run(self) -> None:
        """Do one round. Errors as ``deliver``."""
        self.deliver()

    def deliver(self) -> Round:
        """Do one round.

        Raises:
            StorageError: the vault cannot be read or written; what was handed over already may
                come again, with the same id.
        """
        delivered = failed = 0
        for name, outlet in self._desk.outlets.items():
            one = self._serve(name, outlet)
            delivered, failed = delivered + one.delivered, failed + one.failed
        return Round(delivered, failed)

    def _serve(self, name: str, outlet: Outlet) -> Round:
        failures, until = self._down.get(name, (0, 0.0))
        if failures and self._desk.clock.monotonic() < until:
            return Round()
        delivered = failed = 0
        for one in self._waiting(name):
            try:
                outlet.sink.send(one.alert)
            except SinkRefusedError:
                self._postpone(one)
                failed += 1
            except SinkError:
                self._postpone(one)
                pause = delay(failures + 1)
                self._down[name] = (failures + 1, self._desk.clock.monotonic() + pause)
                return Round(delivered, failed + 1)
            else:
                with self._desk.vault.begin() as transaction:
                    transaction.finish_delivery(one.delivery)
                delivered += 1
            self._down.pop(name, None)
        return Round(delivered, failed)

    def _waiting(self, name: str) -> Sequence[Delivery]:
        now = self._desk.clock.now()
        # One that is due later than the longest delay was put off while the clock stood wrong.
        beyond = now + timedelta(seconds=LONGEST_SECONDS)
        with self._desk.vault.read() as view:
            return view.deliveries(name, MOST_AT_ONCE, until=now, beyond=beyond)

    def _postpone(self, one: Delivery) -> None:
        attempts = one.attempts + 1
        due = self._desk.clock.now() + timedelta(seconds=delay(attempts))
        with self._desk.vault.begin() as transaction:
            transaction.postpone_delivery(one.delivery, attempts, due)
