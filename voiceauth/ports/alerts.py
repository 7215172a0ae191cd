# SPDX-License-Identifier: Apache-2.0
"""What alerts are derived from, kept in and told through."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from voiceauth.ports.vault import Transaction, Vault
from voiceauth.types import (
    Acknowledgement,
    Alert,
    AlertId,
    Bandwidth,
    Delivery,
    Embedding,
    TenantId,
)
from voiceauth.units import Decibels, Seconds


class AlertSink(Protocol):
    """Takes alerts out of the house."""

    def send(self, alert: Alert) -> None:
        """Hand one alert over. It may come twice, with the same id.

        Raises:
            SinkRefusedError: this one is not taken; others may be.
            SinkError: nothing can be handed over now.
        """
        ...


class AlertTransaction(Transaction, Protocol):
    """What the alerts keep in the vault: the alerts, what is to be delivered, what rules know."""

    def alert_memory(self) -> Mapping[str, str]:
        """Read what was put last, by name; empty before the first time."""
        ...

    def put_alert_memory(self, parts: Mapping[str, str], *, anew: bool = False) -> None:
        """Replace the named parts of the memory; leave the others, or begin anew without them."""
        ...

    def add_alert(self, alert: Alert) -> None:
        """Keep an alert. Its record is part of the same transaction."""
        ...

    def alert(self, alert: AlertId) -> Alert | None:
        """Read one alert, or None."""
        ...

    def alerts(
        self,
        tenant: TenantId,
        *,
        after: int = 0,
        limit: int = 100,
        pseudonym: str = "",
        newest: bool = False,
        unseen: bool = False,
    ) -> Sequence[Alert]:
        """Read a tenant's alerts.

        Args:
            tenant: empty for the installation's own.
            after: only those whose ``record_id`` is larger.
            limit: most alerts.
            pseudonym: only those about this one; empty for all.
            newest: begin with the newest instead of the oldest.
            unseen: only those that nobody has acknowledged.
        """
        ...

    def acknowledge_alert(self, alert: AlertId, acknowledgement: Acknowledgement) -> None:
        """Note that somebody has looked; the last word counts."""
        ...

    def queue_delivery(self, sink: str, alert: AlertId, due: datetime) -> None:
        """Put a delivery into the outbox."""
        ...

    def deliveries(
        self, sink: str, limit: int, *, until: datetime, beyond: datetime
    ) -> Sequence[Delivery]:
        """Read a sink's deliveries that are due, in the order in which they were queued.

        Args:
            sink: by name.
            limit: most deliveries.
            until: due at this time or before,
            beyond: or after this one, which is further ahead than any delay.
        """
        ...

    def postpone_delivery(self, delivery: int, attempts: int, due: datetime) -> None:
        """Note a failed attempt, and when to try again."""
        ...

    def finish_delivery(self, delivery: int) -> None:
        """Take a delivery out of the outbox."""
        ...


class AlertVault(Vault, Protocol):
    """A vault that keeps alerts, too."""

    def begin(self) -> AbstractContextManager[AlertTransaction]:
        """As of every vault."""
        ...

    def read(self) -> AbstractContextManager[AlertTransaction]:
        """As of every vault."""
        ...

    def ledger_head(self) -> int:
        """Return the sequence number of the newest entry, 0 for none."""
        ...


class VoiceMemory(Protocol):
    """Tells whether a voice that was rejected was rejected before, under whatever name."""

    def token(
        self,
        tenant: TenantId,
        voice: Embedding,
        *,
        net_seconds: Seconds,
        bandwidth: Bandwidth,
        snr_db: Decibels | None = None,
    ) -> str:
        """Return what stands for a voice in the ledger: the same for a voice that comes again.

        Args:
            tenant: voices are never compared across tenants.
            voice: embedding of the speech of one call, shape (dimension,).
            net_seconds: speech behind it.
            bandwidth: of that speech.
            snr_db: of that speech.

        Returns:
            26 characters of lower-case base32 that say nothing about the voice.
        """
        ...
