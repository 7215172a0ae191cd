# SPDX-License-Identifier: Apache-2.0
"""Who speaks: a name, roles and tenants, and how that was established."""

from dataclasses import dataclass
from enum import StrEnum

from voiceauth.access.roles import Role
from voiceauth.types import TenantId


class Means(StrEnum):
    """How it was established who speaks."""

    CERTIFICATE = "certificate"
    TOKEN = "token"  # noqa: S105 - a name, no secret
    LOCAL = "local"
    """Not at all: whoever reaches the port. Only where the settings allow it."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who speaks.

    Attributes:
        means: how that was established.
        name: of the settings' principal, or the token's subject.
        roles: what it may do.
        tenants: whose data it may touch; None for every tenant.
        methods: the token's ``amr``: how the person signed in.
        assurance: the token's ``acr``: how strong that sign-in was.
        person: a name that all credentials of the same human being share; empty if none is known.
    """

    means: Means
    name: str
    roles: frozenset[Role]
    tenants: frozenset[TenantId] | None
    methods: frozenset[str] = frozenset()
    assurance: str = ""
    person: str = ""

    @property
    def identity(self) -> str:
        """The one text that stands for this principal; equal for the same one, unique otherwise."""
        return f"{self.means}:{self.name}"
