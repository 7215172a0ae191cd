# SPDX-License-Identifier: Apache-2.0
"""Where a token issuer's public keys come from: a file, or an HTTPS address."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from voiceauth.access.keysets import LARGEST_BYTES, KeySet
from voiceauth.access.tokens import TokenChecker, TokenRules
from voiceauth.config import TokenSettings
from voiceauth.errors import DependencyError, SettingsError
from voiceauth.ports import Clock

FETCH_SECONDS = 3.0
"""Below the deadline of a unary request, so that a slow issuer is told as such."""


def token_checker(settings: TokenSettings, clock: Clock) -> TokenChecker | None:
    """Return the checker of the settings' issuer, None where no tokens are taken.

    Raises:
        SettingsError: the authorities for the address cannot be read.
    """
    if settings.issuer is None or settings.audience is None:
        return None
    rules = TokenRules(
        issuer=settings.issuer,
        audience=settings.audience,
        algorithms=frozenset(settings.algorithms),
        leeway_seconds=settings.leeway_seconds,
        longest_seconds=settings.longest_seconds,
        bound_only=settings.bound_only,
        tenant_claim=settings.tenant_claim,
        roles_claim=settings.roles_claim,
        person_claim=settings.person_claim,
    )
    keys = KeySet(
        _source(settings),
        clock,
        refresh_seconds=settings.refresh_seconds,
        stale_seconds=settings.stale_seconds,
    )
    return TokenChecker(rules, keys)


def _source(settings: TokenSettings) -> Callable[[], bytes]:
    path, url = settings.jwks_file, settings.jwks_url
    if path is not None:
        return lambda: read_file(path)
    try:
        trust = ssl.create_default_context(cafile=settings.jwks_ca)
    except OSError as error:
        raise SettingsError(f"tokens.jwks_ca {settings.jwks_ca} cannot be read.") from error
    return lambda: fetch(url or "", trust)


def read_file(path: Path) -> bytes:
    """Read a key document. Raises DependencyError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DependencyError(detail=f"the token issuer's keys: {error.strerror}") from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow no redirect: the settings name the one address that is trusted."""


def fetch(url: str, trust: ssl.SSLContext) -> bytes:
    """Fetch a key document over HTTPS, within a few seconds and no larger than it may be.

    Raises:
        DependencyError: the address does not answer with one.
    """
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust), _NoRedirects())
    try:
        with opener.open(url, timeout=FETCH_SECONDS) as reply:
            document: bytes = reply.read(LARGEST_BYTES + 1)
    except (OSError, HTTPException, ValueError) as error:
        kind = type(error).__name__
        raise DependencyError(detail=f"the token issuer's keys: {kind}") from error
    if len(document) > LARGEST_BYTES:
        raise DependencyError(detail="the token issuer's keys are too large a document")
    return document
