# SPDX-License-Identifier: Apache-2.0
"""A server with mutual TLS and a principal per role, and clients that hold its certificates."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from served import TENANT, Parts, limits_of

from voiceauth.access.certificates import NameKind, PeerName
from voiceauth.access.issuing import DevelopmentAuthority, Issued
from voiceauth.access.roles import Role
from voiceauth.client import Client, with_token
from voiceauth.config import (
    AccessSettings,
    PrincipalSettings,
    Settings,
    TlsSettings,
    TokenSettings,
)
from voiceauth.service.server import Listening, running_server
from voiceauth.testing.fakes import FakeClock


def name_of(holder: str) -> PeerName:
    """Return the name in the certificate of a holder."""
    return PeerName(NameKind.URI, f"spiffe://bank/{holder}")


def to_the_present(clock: FakeClock) -> datetime:
    """Set the engine's clock to the time that the TLS library sees, and return it."""
    now = datetime.now(UTC)
    clock.jump((now - clock.now()).total_seconds())
    return now


@dataclass(frozen=True, eq=False)
class Secured:
    """A running server with mutual TLS."""

    parts: Parts
    listening: Listening
    authority: DevelopmentAuthority
    directory: Path

    def credentials(self, issued: Issued | None) -> grpc.ChannelCredentials:
        """Return TLS credentials that trust the server and show a certificate, if one is given."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.authority.certificate,
            private_key=None if issued is None else issued.key,
            certificate_chain=None if issued is None else issued.certificate,
        )

    def holder(self, holder: str) -> Issued:
        """Issue the certificate of a role, or of anybody else."""
        return self.authority.client(name_of(holder))

    def client(
        self, holder: str | None, *, issued: Issued | None = None, token: str | None = None
    ) -> Client:
        """Return a client that shows the certificate of a holder, another one, or none."""
        shown = issued or (None if holder is None else self.holder(holder))
        credentials = self.credentials(shown)
        if token is not None:
            credentials = with_token(credentials, lambda: token)
        return Client(
            self.listening.target, timeout_seconds=10.0, retries=0, credentials=credentials
        )

    def denials(self) -> list[dict[str, Any]]:
        """Return the refusals in the ledger, oldest first."""
        entries = [one for one in self.parts.vault.ledger() if one.event == "access.denied"]
        return [json.loads(one.body) for one in entries]

    def reasons(self) -> list[str]:
        """Return why people were refused, oldest first."""
        return [str(one["reason"]) for one in self.denials()]


def write_server(directory: Path, authority: DevelopmentAuthority) -> None:
    """Write the files of a server and of the authority of its clients."""
    issued = authority.server(["localhost", "127.0.0.1"])
    (directory / "server.key").write_bytes(issued.key)
    (directory / "server.pem").write_bytes(issued.certificate)
    (directory / "ca.pem").write_bytes(authority.certificate)


def revoke(directory: Path, authority: DevelopmentAuthority, *revoked: Issued) -> None:
    """Publish the authority's list of what counts no more."""
    given = [one.certificate for one in revoked]
    data = authority.revocation_list(given, now=datetime.now(UTC), holds=timedelta(hours=1))
    draft = directory / "clients.crl.new"
    draft.write_bytes(data)
    draft.replace(directory / "clients.crl")


def principals(tenant: str = TENANT) -> Mapping[str, PrincipalSettings]:
    """Return one principal for each role, named after it."""
    return {
        role.value: PrincipalSettings(
            san=str(name_of(role.value)), roles=(role,), tenants=(tenant,)
        )
        for role in Role
    }


@asynccontextmanager
async def secured(
    parts: Parts,
    directory: Path,
    *,
    tokens: TokenSettings | None = None,
    client_ca: bool = True,
    lists: bool = False,
    **access: Any,
) -> AsyncIterator[Secured]:
    """Serve the parts with mutual TLS for the time of the block; with revocation lists if asked."""
    authority = DevelopmentAuthority(to_the_present(parts.clock))
    write_server(directory, authority)
    revoke(directory, authority)
    extra = {
        "elsewhere": PrincipalSettings(
            san=str(name_of("elsewhere")), roles=tuple(Role), tenants=("shop",)
        )
    }
    settings = Settings(
        server=limits_of(),
        tls=TlsSettings(
            certificate=directory / "server.pem",
            key=directory / "server.key",
            client_ca=directory / "ca.pem" if client_ca else None,
            client_crl=directory / "clients.crl" if lists else None,
        ),
        access=AccessSettings(principals={**principals(), **extra}, **access),
        tokens=tokens or TokenSettings(),
    )
    async with running_server(parts.engine, settings) as listening:
        yield Secured(parts, listening, authority, directory)


def self_signed(now: datetime, holder: str) -> Issued:
    """Return a certificate with the right name, from an authority that nobody trusts."""
    return DevelopmentAuthority(now).client(name_of(holder))


def expired(authority_of: Secured, holder: str) -> Issued:
    """Return a certificate of the right authority whose time is over."""
    stale = DevelopmentAuthority.__new__(DevelopmentAuthority)
    stale.__dict__.update(vars(authority_of.authority))
    now = datetime.now(UTC)
    stale.__dict__.update(_begin=now - timedelta(days=2), _end=now - timedelta(days=1))
    return stale.client(name_of(holder))
