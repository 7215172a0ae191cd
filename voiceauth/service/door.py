# SPDX-License-Identifier: Apache-2.0
"""The door of the service: who speaks, whether they may, and the record of who was turned away.

The rules are those of the ``access`` room; here they meet gRPC, the settings and the ledger.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from voiceauth.access.certificates import PeerName, peer_name
from voiceauth.access.denials import DenialBook
from voiceauth.access.doorkeeper import Doorkeeper, Shown
from voiceauth.access.principal import Means, Principal
from voiceauth.access.roles import Role
from voiceauth.access.rules import SecondFactor
from voiceauth.config import Settings
from voiceauth.errors import SettingsError, UnauthenticatedError
from voiceauth.ports import Clock
from voiceauth.service.address import is_loopback
from voiceauth.service.issuer import token_checker
from voiceauth.service.revocation import revocation_file
from voiceauth.types import TenantId

AUTHORIZATION = "authorization"
_EVERY_TENANT = ("*",)


@dataclass(frozen=True, slots=True, eq=False)
class Door:
    """What the interceptor asks.

    Attributes:
        blocks: identifying may wait for another machine, and so is done beside the event loop.
    """

    keeper: Doorkeeper
    second_factor: SecondFactor
    blocks: bool = False
    denials: DenialBook = field(default_factory=DenialBook)


def make_door(settings: Settings, clock: Clock) -> Door:
    """Put the door together.

    Raises:
        SettingsError: two principals share a name, a certificate's name is malformed, whoever
            shows nothing has been given roles beside TLS, or the revocation lists cannot be used.
    """
    access = settings.access
    tokens = token_checker(settings.tokens, clock)
    revoked = revocation_file(settings.tls, clock)
    return Door(
        keeper=Doorkeeper(
            _principals(settings),
            tokens=tokens,
            local=_local(settings),
            allow_tls_1_2=settings.tls.allow_tls_1_2,
            not_revoked=None if revoked is None else revoked.check,
        ),
        second_factor=SecondFactor(frozenset(access.staff_amr), frozenset(access.staff_acr)),
        blocks=tokens is not None,
    )


def _principals(settings: Settings) -> Mapping[PeerName, Principal]:
    found: dict[PeerName, Principal] = {}
    for name, given in settings.access.principals.items():
        peer = peer_name(given.san)
        if peer in found:
            raise SettingsError(f"access.principals: two of them are {given.san}.")
        tenants = frozenset(TenantId(one) for one in given.tenants)
        found[peer] = Principal(
            means=Means.CERTIFICATE,
            name=name,
            roles=frozenset(given.roles),
            tenants=None if given.tenants == _EVERY_TENANT else tenants,
            person=given.person,
        )
    return found


def _local(settings: Settings) -> Principal | None:
    """Return the principal of whoever shows nothing, None where that is nobody."""
    roles, encrypted = settings.access.anonymous_roles, settings.tls.certificate is not None
    if encrypted and roles:
        raise SettingsError(
            "access.anonymous_roles gives roles to everybody who reaches the port, beside TLS that "
            "says who they are: take one away."
        )
    if roles is None:
        open_door = (
            is_loopback(settings.server.host) and not encrypted and settings.tokens.issuer is None
        )
        roles = tuple(Role) if open_door else ()
    return Principal(Means.LOCAL, "local", frozenset(roles), None) if roles else None


def shown_by(context: Any) -> Shown:
    """Return what a peer shows with one request.

    Raises:
        UnauthenticatedError: it shows more than one authorization.
    """
    told = context.auth_context() or {}
    shown = [
        value
        for key, value in context.invocation_metadata() or ()
        if key == AUTHORIZATION and isinstance(value, str)
    ]
    if len(shown) > 1:
        raise UnauthenticatedError(detail="authorization_twice")
    certificate = _first(told, "x509_pem_cert")
    version = _first(told, "ssl_tls_version")
    return Shown(
        encrypted=_first(told, "transport_security_type") == b"ssl",
        tls_version=None if version is None else version.decode("ascii", "replace"),
        certificate=certificate or None,
        authorization=shown[0] if shown else None,
    )


def _first(told: Mapping[Any, Any], name: str) -> bytes | None:
    """Return one property of a connection; gRPC gives its names as text or bytes."""
    values = told.get(name) or told.get(name.encode())
    return None if not values else bytes(values[0])
