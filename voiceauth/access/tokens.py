# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens: signed JWTs of one issuer, checked in numbered steps.

(0) It is no longer than ``LARGEST_TOKEN`` characters.
(1) Its header names a key of the issuer. The header's ``alg`` must be the one algorithm of that
    key, and one that the settings take: ``none``, HMAC with a public key as its secret, and any
    other choice of the token's own are refused before a signature is looked at.
(2) The signature holds.
(3) ``iss`` and ``aud`` are the settings'; ``exp``, ``iat`` and ``sub`` are there.
(4) ``exp``, ``nbf`` and ``iat`` fit the clock, within a bounded skew, and the token's whole life is
    no longer than the settings allow: a stolen one does not serve for long.
(5) A token bound to a client certificate (``cnf``/``x5t#S256``, RFC 8705) comes from a peer that
    showed this certificate; the settings may take only such tokens.
(6) The tenant claim names at least one tenant, and every role in the roles claim is known.

What fails raises ``UnauthenticatedError``; its detail is a stable word for ledger and log.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt

from voiceauth.access.keysets import ALGORITHMS, IssuerKey, KeySet
from voiceauth.access.principal import Means, Principal
from voiceauth.access.roles import Role
from voiceauth.errors import UnauthenticatedError
from voiceauth.types import TenantId
from voiceauth.units import Seconds

LARGEST_TOKEN = 6000
"""The metadata of a request holds 8192 bytes."""
_LONGEST_NAME = 256
_LATEST = 1e11
"""Seconds since 1970 beyond any calendar."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must satisfy.

    Attributes:
        algorithms: a subset of ``ALGORITHMS``.
        leeway_seconds: how far the issuer's clock may be off.
        longest_seconds: from ``iat`` to ``exp``.
        bound_only: take only tokens that are bound to a client certificate.
        person_claim: claim that is the same in all accounts of a human being; empty for none.
    """

    issuer: str
    audience: str
    algorithms: frozenset[str] = frozenset(ALGORITHMS)
    leeway_seconds: Seconds = 30.0
    longest_seconds: Seconds = 3600.0
    bound_only: bool = False
    tenant_claim: str = "tenant"
    roles_claim: str = "roles"
    person_claim: str = ""


class TokenChecker:
    """Checks tokens of one issuer. Safe from several threads; may block while keys are fetched."""

    def __init__(self, rules: TokenRules, keys: KeySet) -> None:
        self._rules = rules
        self._keys = keys

    def principal(self, token: str, now: datetime, thumbprint: bytes | None) -> Principal:
        """Return who a token speaks for.

        Args:
            token: as it came, without ``Bearer``.
            now: the time that it must be valid at.
            thumbprint: SHA-256 of the client certificate that the peer showed, if it did.

        Raises:
            UnauthenticatedError: the token does not hold.
            DependencyError: the issuer's keys cannot be had, so nothing can be said.
        """
        if len(token) > LARGEST_TOKEN:  # (0)
            raise UnauthenticatedError(detail="token_too_long")
        claims = self._verified(token, self._key(token))
        self._check_time(claims, now)
        self._check_binding(claims, thumbprint)
        return self._named(claims)

    def _key(self, token: str) -> IssuerKey:  # (1)
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise UnauthenticatedError(detail="token_malformed") from None
        algorithm = header.get("alg")
        if algorithm not in self._rules.algorithms:
            raise UnauthenticatedError(detail="token_algorithm")
        key = self._keys.key(str(header.get("kid", "")))
        if key is None:
            raise UnauthenticatedError(detail="token_key_unknown")
        if key.algorithm != algorithm:
            raise UnauthenticatedError(detail="token_algorithm")
        return key

    def _verified(self, token: str, key: IssuerKey) -> Mapping[str, Any]:
        options: Any = {
            "require": ["iss", "aud", "sub", "exp", "iat"],
            # The times are held against the engine's own clock, in (4).
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
        }
        try:
            claims: Mapping[str, Any] = jwt.decode(  # (2), (3)
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._rules.issuer,
                audience=self._rules.audience,
                options=options,
            )
        except jwt.InvalidSignatureError:
            raise UnauthenticatedError(detail="token_tampered") from None
        except jwt.InvalidIssuerError:
            raise UnauthenticatedError(detail="token_issuer") from None
        except jwt.InvalidAudienceError:
            raise UnauthenticatedError(detail="token_audience") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise UnauthenticatedError(detail="token_malformed") from None
        return claims

    def _check_time(self, claims: Mapping[str, Any], now: datetime) -> None:  # (4)
        moment, leeway = now.timestamp(), self._rules.leeway_seconds
        issued, expires = _number(claims["iat"]), _number(claims["exp"])
        if expires <= moment - leeway:
            raise UnauthenticatedError(detail="token_expired")
        if max(issued, _number(claims.get("nbf", issued))) > moment + leeway:
            raise UnauthenticatedError(detail="token_not_yet_valid")
        if expires - issued > self._rules.longest_seconds:
            raise UnauthenticatedError(detail="token_lives_too_long")

    def _check_binding(self, claims: Mapping[str, Any], thumbprint: bytes | None) -> None:  # (5)
        confirmed = claims.get("cnf")
        if confirmed is None:
            if self._rules.bound_only:
                raise UnauthenticatedError(detail="token_not_bound")
            return
        named = confirmed.get("x5t#S256") if isinstance(confirmed, dict) else None
        shown = base64.urlsafe_b64encode(thumbprint or b"").rstrip(b"=")
        if not isinstance(named, str) or not thumbprint:
            raise UnauthenticatedError(detail="token_of_another_certificate")
        if not hmac.compare_digest(named.encode("utf-8", "replace"), shown):
            raise UnauthenticatedError(detail="token_of_another_certificate")

    def _named(self, claims: Mapping[str, Any]) -> Principal:  # (6)
        name = claims["sub"]
        tenants = _texts(claims.get(self._rules.tenant_claim))
        roles = _texts(claims.get(self._rules.roles_claim))
        if not name or len(name) > _LONGEST_NAME or not tenants or not roles:
            raise UnauthenticatedError(detail="token_claims")
        if not roles <= set(Role):
            raise UnauthenticatedError(detail="token_role_unknown")
        assurance = claims.get("acr", "")
        return Principal(
            means=Means.TOKEN,
            name=name,
            roles=frozenset(Role(role) for role in roles),
            # "*" in a token is the name of no tenant: only the settings can grant all of them.
            tenants=frozenset(TenantId(tenant) for tenant in tenants),
            methods=_texts(claims.get("amr")),
            assurance=assurance if isinstance(assurance, str) else "",
            person=self._person(claims),
        )

    def _person(self, claims: Mapping[str, Any]) -> str:
        """Return who the human being is; a token that should say so and does not is refused."""
        if not self._rules.person_claim:
            return ""
        person = claims.get(self._rules.person_claim)
        if not isinstance(person, str) or not 0 < len(person) <= _LONGEST_NAME:
            raise UnauthenticatedError(detail="token_claims")
        return person


def _number(value: object) -> float:
    """Read a time; NaN would pass every comparison, so it is refused with all that is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnauthenticatedError(detail="token_claims")
    if not abs(value) < _LATEST:
        raise UnauthenticatedError(detail="token_claims")
    return float(value)


def _texts(claim: object) -> frozenset[str]:
    """Read a claim that is one text or a list of them; anything else is empty."""
    if isinstance(claim, str):
        claim = [claim]
    if not isinstance(claim, list) or not all(isinstance(one, str) and one for one in claim):
        return frozenset()
    return frozenset(claim)
