# SPDX-License-Identifier: Apache-2.0
"""The checks that stand before every RPC. Pure; each raises instead of returning a flag."""

from dataclasses import dataclass, replace
from enum import StrEnum

from voiceauth.access.principal import Means, Principal
from voiceauth.access.roles import machine_roles, permissions_of
from voiceauth.access.rpcs import Row
from voiceauth.errors import AccessError, SecondFactorMissingError
from voiceauth.types import TenantId


class Refusal(StrEnum):
    """Why somebody was refused: the detail of the error, for ledger and log."""

    UNAUTHENTICATED = "unauthenticated"
    ROLE = "role_missing"
    TENANT = "wrong_tenant"
    SECOND_FACTOR = "second_factor_missing"


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """What shows that a person signed in with a second factor; empty demands nothing.

    Attributes:
        methods: any one of these in ``amr`` is enough.
        assurances: any one of these as ``acr`` is enough.
    """

    methods: frozenset[str] = frozenset()
    assurances: frozenset[str] = frozenset()

    @property
    def demanded(self) -> bool:
        """True if people have to show anything."""
        return bool(self.methods or self.assurances)

    def shown_by(self, principal: Principal) -> bool:
        """Say whether the principal's sign-in is enough. The local one never signed in."""
        return bool(self.methods & principal.methods) or principal.assurance in self.assurances


def authorise(principal: Principal, row: Row, second_factor: SecondFactor) -> Principal:
    """Check that a principal may use an RPC.

    (1) One of its roles grants the permission.
    (2) If the settings demand a second factor, roles of people count only with evidence of it. A
        certificate carries none, so behind one only the roles of machines are left. The local
        principal is the machine's own operator and is outside this demand.

    Returns:
        The principal with the roles that count.

    Raises:
        AccessError: no role grants it.
        SecondFactorMissingError: one does, but only to a person who showed a second factor.
    """
    if row.permission not in permissions_of(principal.roles):  # (1)
        raise AccessError(detail=Refusal.ROLE)
    if not second_factor.demanded or principal.means is Means.LOCAL:
        return principal
    if second_factor.shown_by(principal):
        return principal
    left = replace(principal, roles=machine_roles(principal.roles))  # (2)
    if row.permission not in permissions_of(left.roles):
        raise SecondFactorMissingError(detail=Refusal.SECOND_FACTOR)
    return left


def require_tenant(principal: Principal, tenant: str) -> None:
    """Check that a tenant is one of the principal's. Raises AccessError."""
    if principal.tenants is not None and TenantId(tenant) not in principal.tenants:
        raise AccessError(detail=Refusal.TENANT)
