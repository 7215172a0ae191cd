# SPDX-License-Identifier: Apache-2.0
"""Put the alerts together from the settings: rules, sinks, and the chores that keep them going."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from voiceauth.adapters import SystemClock
from voiceauth.alerts.jsonl import FileSink
from voiceauth.alerts.syslog import Collector, SyslogSink, Transport
from voiceauth.alerts.table import rules
from voiceauth.alerts.webhook import Address, WebhookSink
from voiceauth.config import AlertSettings, SinkSettings
from voiceauth.errors import EngineError, SettingsError, SinkError
from voiceauth.keys.secret_file import read_secret
from voiceauth.ports import AlertSink, AlertVault, Clock, Random, Scorer, VoiceMemory
from voiceauth.types import Alert, AlertId, Severity, TenantId
from voiceauth.units import Seconds
from voiceauth.usecases.deliver_alerts import AlertPost
from voiceauth.usecases.engine import Chore
from voiceauth.usecases.failed_voices import FailedVoices
from voiceauth.usecases.raise_alerts import AlertDesk, LedgerWatch, Outlet, cry_out, note_troubles
from voiceauth.usecases.troubles import TroubleBook

_HOUR_SECONDS: Seconds = 3600.0


def alert_desk(
    settings: AlertSettings,
    vault: AlertVault,
    clock: Clock,
    secret: Callable[[str], bytes],
    troubles: TroubleBook,
) -> AlertDesk | None:
    """Return what alerts need, None where they are switched off.

    Raises:
        SettingsError: a rule or a sink of the settings cannot be used.
        KeyServiceError: a webhook's secret cannot be read.
    """
    if not settings.enabled:
        return None
    return AlertDesk(
        vault=vault,
        clock=clock,
        secret=secret,
        rules=rules(settings.rules),
        troubles=troubles,
        outlets=outlets(settings, clock),
        runbooks=settings.runbooks,
    )


def alert_chores(
    desk: AlertDesk | None, settings: AlertSettings, audit: Callable[[], object]
) -> tuple[Chore, ...]:
    """Return what keeps alerts going while a server runs.

    Args:
        desk: None where they are switched off.
        settings: of the alerts.
        audit: walks the whole ledger and raises where it does not hold.

    Raises:
        StorageError: the vault cannot be written.
    """
    if desk is None:
        return ()
    watch = LedgerWatch(desk)
    watch.begin()
    chores = [
        Chore("alerts", settings.every_seconds, watch.run),
        Chore("troubles", settings.every_seconds, partial(note_troubles, desk)),
    ]
    if settings.deliver and desk.outlets:
        post = AlertPost(desk)
        chores.append(Chore("alert delivery", settings.every_seconds, post.run, at_end=False))
    if settings.ledger_audit_hours:
        every = settings.ledger_audit_hours * _HOUR_SECONDS
        seldom = SeldomAudit(audit, desk.clock, every)
        chores.append(Chore("ledger audit", _HOUR_SECONDS, seldom.run, at_end=False))
    return tuple(chores)


def failed_voices(
    settings: AlertSettings, scorer: Scorer, clock: Clock, random: Random
) -> VoiceMemory | None:
    """Return the memory of rejected voices, None where it or the alerts are switched off."""
    if not (settings.enabled and settings.failed_voice_hours):
        return None
    kept = settings.failed_voice_hours * _HOUR_SECONDS
    return FailedVoices(scorer, clock, random, kept_seconds=kept)


def tell_of_failed_start(settings: AlertSettings, code: str, at: datetime) -> int:
    """Tell the sinks that the engine could not start; return how many took it.

    Whatever is wrong with the alerts themselves must not hide why the engine did not start.

    Args:
        settings: of the alerts.
        code: of the error.
        at: when.
    """
    if not settings.enabled:
        return 0
    try:
        return cry_out(rules(settings.rules), outlets(settings, SystemClock()), code, at)
    except EngineError:
        return 0


@dataclass(slots=True)
class SeldomAudit:
    """An audit that takes long, done only when it is due. Mutable: it notes when it was."""

    audit: Callable[[], object]
    clock: Clock
    every_seconds: Seconds
    last: Seconds = 0.0

    def __post_init__(self) -> None:
        """Begin to count: the start of a server has checks of its own."""
        self.last = self.clock.monotonic()

    def run(self) -> None:
        """Audit, if it is due. Raises what the audit raises."""
        now = self.clock.monotonic()
        if now - self.last >= self.every_seconds:
            self.last = now
            self.audit()


def outlets(settings: AlertSettings, clock: Clock) -> Mapping[str, Outlet]:
    """Return the sinks of the settings by name. Errors as ``alert_desk``."""
    return {
        name: Outlet(_sink(name, one, clock), Severity(one.least))
        for name, one in settings.sinks.items()
    }


def send_test_alert(settings: AlertSettings, at: datetime) -> dict[str, str]:
    """Send an alert of no rule to every sink; return what was wrong with each, empty for nothing.

    Raises:
        SettingsError: a sink of the settings cannot be used.
        KeyServiceError: a webhook's secret cannot be read.
    """
    moment = at.isoformat(timespec="microseconds")
    alert = Alert(
        alert=AlertId(hashlib.sha256(f"test {moment}".encode()).hexdigest()[:32]),
        at=at,
        rule="test",
        severity=Severity.LOW,
        tenant=TenantId(""),
        about="installation",
        pseudonym="",
        counts=(),
        records=(),
        runbook="docs/alerts.md",
    )
    results = {}
    for name, outlet in outlets(settings, SystemClock()).items():
        try:
            outlet.sink.send(alert)
            results[name] = ""
        except SinkError as error:
            results[name] = error.detail or error.public
    return results


def _sink(name: str, one: SinkSettings, clock: Clock) -> AlertSink:
    if one.kind == "webhook" and one.url is not None and one.secret_file is not None:
        address = Address(one.url, one.ca, one.timeout_seconds)
        return WebhookSink(address, read_secret(one.secret_file), clock)
    if one.kind == "syslog" and one.host is not None:
        transport = Transport(one.transport)
        return SyslogSink(Collector(one.host, one.port, transport, one.ca, one.timeout_seconds))
    if one.kind == "file" and one.path is not None:
        return FileSink(one.path)
    raise SettingsError(f"alerts.sinks.{name} is not whole.")
