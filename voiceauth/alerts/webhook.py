# SPDX-License-Identifier: Apache-2.0
"""An alert as a signed HTTP POST, in the form of Standard Webhooks.

Headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``; the signature is ``v1,``
and the base64 of HMAC-SHA256 over ``id.timestamp.body``. So a receiver can check who sent it,
refuse what is old, and drop what comes twice, with a library that exists for its language.

The standard library's client is enough here and brings no further dependency: one POST, no
redirects (an alert goes where the settings say or nowhere), retries from the durable outbox.
"""

import base64
import binascii
import hmac
import http.client
import ipaddress
import ssl
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from voiceauth.alerts.payload import line
from voiceauth.errors import SettingsError, SinkError, SinkRefusedError
from voiceauth.ports import Clock
from voiceauth.types import Alert
from voiceauth.units import Seconds

TOLERANCE_SECONDS: Seconds = 300.0
"""How old or new a receiver should let a timestamp be."""
_PREFIX = "whsec_"
_LEAST_SECRET_BYTES = 24
_LATER = frozenset({408, 425, 429})
"""Refusals that ask for another try."""
_OK, _REDIRECT, _MISTAKE, _SERVER_FAULT = 200, 300, 400, 500


@dataclass(frozen=True, slots=True)
class Address:
    """Where alerts are posted.

    Attributes:
        url: ``https://…``; ``http://`` only to this machine itself.
        ca: authorities of its certificate, PEM; None for the system's.
    """

    url: str
    ca: Path | None = None
    timeout_seconds: Seconds = 5.0


class WebhookSink:
    """Posts alerts.

    Args:
        address: where to.
        secret: shared with the receiver: ``whsec_`` and base64, or any other bytes; at least 24.
        clock: dates each attempt.

    Raises:
        SettingsError: the address or the secret cannot be used.
    """

    def __init__(self, address: Address, secret: bytes, clock: Clock) -> None:
        parts = urlsplit(address.url)
        host = parts.hostname or ""
        secure = parts.scheme == "https"
        if not host or not (secure or (parts.scheme == "http" and _is_this_machine(host))):
            raise SettingsError("alerts: a webhook needs an https:// address.")
        if parts.username is not None:
            raise SettingsError("alerts: a webhook's address may hold no password.")
        self._host, self._port = host, parts.port
        self._path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        self._key = webhook_key(secret)
        self._clock = clock
        self._timeout = address.timeout_seconds
        self._context = _context(address) if secure else None

    def send(self, alert: Alert) -> None:
        """Post one alert.

        Raises:
            SinkRefusedError: the receiver does not take this alert.
            SinkError: it cannot be reached, or asks for another try.
        """
        body = line(alert).encode("ascii")
        headers = {
            "content-type": "application/json",
            "user-agent": "voiceauth-alerts/1",
            **signed_headers(self._key, alert.alert, self._clock.now(), body),
        }
        try:
            with closing(self._connection()) as connection:
                connection.request("POST", self._path, body=body, headers=headers)
                status = connection.getresponse().status
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise SinkError(detail=f"webhook: {type(error).__name__}") from error
        if _OK <= status < _REDIRECT:
            return
        if _MISTAKE <= status < _SERVER_FAULT and status not in _LATER:
            raise SinkRefusedError(detail=f"webhook: status {status}")
        raise SinkError(detail=f"webhook: status {status}")

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=self._context
        )


def webhook_key(secret: bytes) -> bytes:
    """Return the key that a shared secret stands for.

    Raises:
        SettingsError: it is too short, or no base64 behind ``whsec_``.
    """
    key = secret
    if secret.startswith(_PREFIX.encode()):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX.encode()), validate=True)
        except binascii.Error:
            raise SettingsError("alerts: the webhook's secret is no base64.") from None
    if len(key) < _LEAST_SECRET_BYTES:
        raise SettingsError(f"alerts: a webhook's secret has at least {_LEAST_SECRET_BYTES} bytes.")
    return key


def signed_headers(key: bytes, identifier: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers of a signed message."""
    moment = str(int(at.timestamp()))
    signature = base64.b64encode(_mac(key, identifier, moment, body)).decode()
    return {
        "webhook-id": identifier,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{signature}",
    }


def is_genuine(key: bytes, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Say whether a message was signed with this key lately: what a receiver does.

    Args:
        key: from ``webhook_key``.
        headers: of the request, names in lower case.
        body: as it came.
        now: the receiver's time.
    """
    identifier, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not moment.isascii() or not moment.isdigit() or len(moment) > len(str(10**12)):
        return False
    if abs(now.timestamp() - int(moment)) > TOLERANCE_SECONDS:
        return False
    due = "v1," + base64.b64encode(_mac(key, identifier, moment, body)).decode()
    shown = headers.get("webhook-signature", "").encode("utf-8", "surrogatepass").split()
    return any(hmac.compare_digest(one, due.encode()) for one in shown)


def _mac(key: bytes, identifier: str, moment: str, body: bytes) -> bytes:
    message = f"{identifier}.{moment}.".encode("utf-8", "surrogatepass") + body
    return hmac.digest(key, message, "sha256")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _context(address: Address) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=address.ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"alerts: the authorities in {address.ca} cannot be read.") from error
