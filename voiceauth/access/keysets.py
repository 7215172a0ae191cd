# SPDX-License-Identifier: Apache-2.0
"""The public keys of a token issuer: fetched, kept for a while, fetched again.

Rules:

* A key's algorithm comes from the key itself, never from a token: an elliptic key signs ES256, an
  Ed25519 key EdDSA, an RSA key of 2048 bits or more RS256. Symmetric and other keys are left out.
* Keys are fetched again when they are old, and when a token names a key that is not there; the
  latter at most every ``RETRY_SECONDS``, so that made-up names do not hammer the issuer.
* When the issuer is down the last keys serve on, until they are too stale; then no token is taken.
* One thread fetches at a time; the others go on with the keys they have.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from voiceauth.errors import DependencyError, EngineError
from voiceauth.ports import Clock
from voiceauth.units import Seconds

ALGORITHMS = ("ES256", "EdDSA", "RS256")
LARGEST_BYTES = 262_144
RETRY_SECONDS: Seconds = 10.0
_LEAST_RSA_BITS = 2048


@dataclass(frozen=True, slots=True, eq=False)
class IssuerKey:
    """One public key and the one algorithm that it may be used with."""

    algorithm: str
    key: Any


class KeySet:
    """The issuer's keys by their ids. Safe from several threads.

    Args:
        fetch: returns the JWKS document; raises DependencyError.
        clock: measures age.
        refresh_seconds: age at which keys are fetched again.
        stale_seconds: age at which keys that could not be fetched again are no longer used.
    """

    def __init__(
        self,
        fetch: Callable[[], bytes],
        clock: Clock,
        *,
        refresh_seconds: Seconds,
        stale_seconds: Seconds,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._stale_seconds = stale_seconds
        self._keys: Mapping[str, IssuerKey] = {}
        self._fetched: Seconds | None = None
        self._tried: Seconds | None = None
        self._fetching = threading.Lock()

    def key(self, key_id: str) -> IssuerKey | None:
        """Return a key, None if the issuer does not have it.

        Raises:
            DependencyError: there are no keys that are fresh enough to trust.
        """
        age = self._age(self._fetched)
        if age is None or age >= self._refresh_seconds:
            self._renew(must=age is None or age >= self._stale_seconds)
        if key_id not in self._keys:
            self._renew(must=False)
        return self._keys.get(key_id)

    def _renew(self, *, must: bool) -> None:
        """Fetch the keys; ``must`` if there is nothing to go on with."""
        if not self._fetching.acquire(blocking=must):
            return
        try:
            tried = self._age(self._tried)
            if tried is not None and tried < RETRY_SECONDS:
                self._require_fresh()
                return
            self._tried = self._clock.monotonic()
            try:
                keys = read_keys(self._fetch())
            except EngineError:
                self._require_fresh()
                return
            self._keys, self._fetched = keys, self._clock.monotonic()
        finally:
            self._fetching.release()

    def _require_fresh(self) -> None:
        age = self._age(self._fetched)
        if age is None or age >= self._stale_seconds:
            raise DependencyError(detail="the token issuer's keys cannot be fetched")

    def _age(self, since: Seconds | None) -> Seconds | None:
        return None if since is None else self._clock.monotonic() - since


def read_keys(document: bytes) -> Mapping[str, IssuerKey]:
    """Read a JWKS document; keys that cannot serve here are left out.

    Raises:
        DependencyError: it is not a JWKS document, or none of its keys can serve.
    """
    try:
        listed = json.loads(document)["keys"]
        found = [(str(one["kid"]), _issuer_key(one)) for one in listed if "kid" in one]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DependencyError(detail="the token issuer's keys are no JWKS document") from None
    keys = {key_id: key for key_id, key in found if key is not None}
    if not keys:
        raise DependencyError(detail="the token issuer has no key that can be used")
    return keys


def _issuer_key(listed: Mapping[str, Any]) -> IssuerKey | None:
    if listed.get("use", "sig") != "sig":
        return None
    kinds: Mapping[tuple[Any, Any], str] = {
        ("EC", "P-256"): "ES256",
        ("OKP", "Ed25519"): "EdDSA",
        ("RSA", None): "RS256",
    }
    algorithm = kinds.get((listed.get("kty"), listed.get("crv")))
    if algorithm is None or listed.get("alg", algorithm) != algorithm or "d" in listed:
        return None
    try:
        key = jwt.PyJWK(dict(listed), algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if algorithm == "RS256" and key.key_size < _LEAST_RSA_BITS:
        return None
    return IssuerKey(algorithm, key)
