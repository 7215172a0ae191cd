# SPDX-License-Identifier: Apache-2.0
"""An alert as a syslog message (RFC 5424), over UDP, TCP or TLS.

Over streams, messages are framed by octet counting (RFC 6587, RFC 5425). Structured data carries
the alert's fields; its name has the enterprise number that RFC 5612 reserves for examples, as the
project has none of its own.

Rules:

* Everything is printable ASCII; the three characters that end a value are escaped (6.3.3).
* UDP may lose a message and nobody learns of it; over a TCP stream the last ones before a cut may
  be lost. Where every alert has to arrive, use the webhook: it is acknowledged.
"""

import re
import socket
import ssl
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from voiceauth.errors import SettingsError, SinkError
from voiceauth.types import Alert, Severity
from voiceauth.units import Seconds

_FACILITY = 10
"""Security and authorisation messages."""
_LEVELS = {Severity.CRITICAL: 2, Severity.HIGH: 3, Severity.MEDIUM: 4, Severity.LOW: 5}
_ELEMENT = "voiceauth@32473"
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_NO_NAME = re.compile(r"[^\x21-\x7e]")
_LONGEST_HOST = 255


class Transport(StrEnum):
    """How messages travel."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Collector:
    """Where messages go.

    Attributes:
        ca: authorities of its certificate, PEM; None for the system's.
    """

    host: str
    port: int
    transport: Transport = Transport.TLS
    ca: Path | None = None
    timeout_seconds: Seconds = 5.0


class SyslogSink:
    """Sends alerts to a syslog collector, one connection per alert: alerts are few.

    Raises:
        SettingsError: the authorities cannot be read.
    """

    def __init__(self, collector: Collector, *, host: str | None = None) -> None:
        self._collector = collector
        self._host = socket.gethostname() if host is None else host
        self._context = _context(collector) if collector.transport is Transport.TLS else None

    def send(self, alert: Alert) -> None:
        """Send one alert. Raises SinkError."""
        collector, message = self._collector, syslog_message(alert, self._host)
        place = (collector.host, collector.port)
        try:
            if collector.transport is Transport.UDP:
                self._datagram(message, place)
                return
            framed = b"%d %s" % (len(message), message)
            with closing(self._connected(place)) as connection:
                connection.sendall(framed)
                _end(connection)
        except (OSError, UnicodeError) as error:  # a malformed host name is a UnicodeError
            raise SinkError(detail=f"syslog: {type(error).__name__}: {error}") from error

    def _datagram(self, message: bytes, place: tuple[str, int]) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(*place, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as connection:
            connection.settimeout(self._collector.timeout_seconds)
            connection.sendto(message, address)

    def _connected(self, place: tuple[str, int]) -> socket.socket:
        plain = socket.create_connection(place, timeout=self._collector.timeout_seconds)
        if self._context is None:
            return plain
        try:
            return self._context.wrap_socket(plain, server_hostname=place[0])
        except BaseException:
            plain.close()
            raise


def syslog_message(alert: Alert, host: str) -> bytes:
    """Return one message in the form of RFC 5424, without framing."""
    fields = {
        "id": alert.alert,
        "rule": alert.rule,
        "severity": alert.severity.value,
        "tenant": alert.tenant,
        "about": alert.about,
        "pseudonym": alert.pseudonym,
        **{name: f"{number:g}" for name, number in alert.counts},
        "records": " ".join(str(one) for one in alert.records),
        "runbook": alert.runbook,
        "record": str(alert.record_id),
    }
    data = "".join(f' {_name(name)}="{_value(told)}"' for name, told in fields.items())
    priority = _FACILITY * 8 + _LEVELS[alert.severity]
    at = alert.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = f"<{priority}>1 {at} {_header(host)} voiceauth - alert [{_ELEMENT}{data}]"
    return f"{head} {_plain(alert.rule)}: see {_plain(alert.runbook)}".encode("ascii")


def _context(collector: Collector) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=collector.ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"alerts: the authorities in {collector.ca} cannot be read.") from error


def _end(connection: socket.socket) -> None:
    """Say that no more comes and wait for the other side, so that a reset is not lost unnoticed."""
    if isinstance(connection, ssl.SSLSocket):
        connection.unwrap()
        return
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)


def _header(text: str) -> str:
    return _NO_NAME.sub("", text)[:_LONGEST_HOST] or "-"


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "", text)[:32] or "x"


def _value(text: str) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", _plain(text))


def _plain(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)
