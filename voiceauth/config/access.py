# SPDX-License-Identifier: Apache-2.0
"""Who may come in: certificates, principals and tokens."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from voiceauth.access.roles import Role
from voiceauth.config.section import PositiveSeconds, Section
from voiceauth.types import Operation


class PrincipalSettings(Section):
    """A program that is known by its certificate."""

    san: str = Field(
        min_length=1,
        description="Name in its certificate: `URI:…`, `DNS:…` or `email:…`.",
    )
    roles: tuple[Role, ...] = Field(min_length=1, description="What it may do.")
    tenants: tuple[str, ...] = Field(
        min_length=1, description='Whose data it may touch; `["*"]` for every tenant.'
    )
    person: str = Field(
        "",
        max_length=256,
        description="The human being who holds it, by the name in `tokens.person_claim` or in "
        "`sub`: no two credentials of one person approve each other.",
    )


class AccessSettings(Section):
    """Who may do what. `docs/security.md` has the roles."""

    anonymous_roles: tuple[Role, ...] | None = Field(
        None,
        description="Roles of whoever shows nothing. None: every role on loopback where neither "
        "`[tls]` nor `[tokens]` is set up, and nobody elsewhere.",
    )
    staff_amr: tuple[str, ...] = Field(
        (),
        description="Sign-in methods of which a person's token must name one in `amr`, for example "
        '`["mfa", "hwk"]`. Roles of people count for nothing without.',
    )
    staff_acr: tuple[str, ...] = Field(
        (), description="Or: values of `acr` of which it must have one."
    )
    principals: dict[str, PrincipalSettings] = Field(
        default_factory=dict, description="Programs by name; see `[access.principals.NAME]`."
    )


class ApprovalSettings(Section):
    """What takes two persons. `docs/second-person.md` explains it."""

    demanded_for: tuple[Operation, ...] = Field(
        tuple(Operation),
        description="Operations that a second person has to approve. What is left out, one person "
        "may do alone, and the ledger says so.",
    )
    valid_hours: float = Field(
        24.0, gt=0, le=720, description="Life of an approval, from the request on."
    )


class TokenSettings(Section):
    """Bearer tokens of one issuer, for people. Without an issuer none are taken."""

    issuer: str | None = Field(None, description="Exact `iss` of the tokens.")
    audience: str | None = Field(None, description="What `aud` must name: this installation.")
    jwks_file: Path | None = Field(None, description="The issuer's public keys, as a file.")
    jwks_url: str | None = Field(
        None, pattern=r"^https://", description="The issuer's public keys, as an address."
    )
    jwks_ca: Path | None = Field(
        None, description="Authorities to trust for `jwks_url`, PEM; default the system's."
    )
    algorithms: tuple[Literal["ES256", "EdDSA", "RS256"], ...] = Field(
        ("ES256", "EdDSA", "RS256"), min_length=1, description="Signatures that are taken."
    )
    leeway_seconds: float = Field(
        30.0, ge=0, le=120, description="How far the issuer's clock may be off."
    )
    longest_seconds: PositiveSeconds = Field(
        3600.0, description="Longest life of a token, from `iat` to `exp`."
    )
    bound_only: bool = Field(
        default=False,
        description="Take only tokens that are bound to the client's certificate (RFC 8705).",
    )
    tenant_claim: str = Field(
        "tenant", min_length=1, description="Claim with the tenant or the list of tenants."
    )
    roles_claim: str = Field("roles", min_length=1, description="Claim with the list of roles.")
    person_claim: str = Field(
        "",
        description="Claim that is the same in all accounts of one human being; then every token "
        "needs it. Empty: `sub` is all that is known.",
    )
    refresh_seconds: PositiveSeconds = Field(
        300.0, description="Age at which the issuer's keys are fetched again."
    )
    stale_seconds: PositiveSeconds = Field(
        3600.0, description="Age at which keys that cannot be fetched again are no longer used."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> "TokenSettings":
        if self.issuer is None:
            return self
        if self.audience is None or (self.jwks_file is None) == (self.jwks_url is None):
            message = "an issuer needs an audience, and either jwks_file or jwks_url"
            raise ValueError(message)
        return self
