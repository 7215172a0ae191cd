# SPDX-License-Identifier: Apache-2.0
"""Where one-time codes go: a file for trials and bridges, or a signed webhook.

The engine sends nothing itself: what stands behind these is the operator's own SMS, mail or push.
A code that could not be handed over is never waited for: the request fails, and another factor is
open.
"""

import hmac
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from voiceauth.errors import DeliveryError, SettingsError
from voiceauth.ports import Clock
from voiceauth.types import CodeMessage
from voiceauth.units import Seconds

_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


def message_body(message: CodeMessage) -> str:
    """Write a code for whoever delivers it."""
    return json.dumps(
        {
            "destination": message.destination,
            "code": message.code,
            "expires_at": message.expires_at.isoformat(),
            "reference": message.reference,
        },
        sort_keys=True,
    )


class FileDelivery:
    """Appends codes to a file that only this user reads, one JSON object a line.

    Args:
        path: of the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, message: CodeMessage) -> None:
        """Hand a code over. Raises DeliveryError."""
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            file = os.open(self._path, flags, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as stream:
                stream.write(message_body(message) + "\n")
        except OSError as error:
            raise DeliveryError(detail=f"code file: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where codes are posted to.

    Attributes:
        url: https, or http on this machine.
        key: of the signature.
        timeout_seconds: after that the delivery has failed.
    """

    url: str
    key: bytes = field(repr=False)
    timeout_seconds: Seconds = 3.0


class WebhookDelivery:
    """Posts codes, signed: ``X-Voiceauth-Signature: t=SECONDS,v1=HMAC-SHA256(key, "t.body")``.

    Args:
        webhook: where to.
        clock: dates the signature, so that an old request cannot be sent again.

    Raises:
        SettingsError: the address is not encrypted.
    """

    def __init__(self, webhook: Webhook, clock: Clock) -> None:
        parts = urlsplit(webhook.url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
            raise SettingsError("step_up.webhook_url must be https, or http on this machine.")
        self._webhook = webhook
        self._clock = clock
        # No proxy of the environment, and no other place that the answer names, sees a code.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())

    def deliver(self, message: CodeMessage) -> None:
        """Post a code. Raises DeliveryError unless the answer is a success."""
        body = message_body(message).encode()
        moment = str(int(self._clock.now().timestamp()))
        signature = hmac.digest(self._webhook.key, moment.encode() + b"." + body, "sha256").hex()
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._webhook.url,
            data=body,
            method="POST",
            headers={
                "Content-Type": "application/json",
                "X-Voiceauth-Signature": f"t={moment},v1={signature}",
            },
        )
        try:
            with self._opener.open(request, timeout=self._webhook.timeout_seconds):
                pass
        except (OSError, ValueError) as error:
            raise DeliveryError(detail=f"code webhook: {type(error).__name__}") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes every redirection for a failure."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""
        return
