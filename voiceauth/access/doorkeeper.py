# SPDX-License-Identifier: Apache-2.0
"""From what a peer shows to the principal that speaks, in numbered steps.

(1) Over TLS, the connection has at least the version that the settings demand.
(2) A certificate, if one was shown, is valid now, a client's, and not revoked.
(3) A token, if one was shown, holds; it then speaks for the principal. A certificate that names a
    principal beside it bounds the tenants: a stolen token is of no use through another tenant's
    gateway.
(4) Without a token, the certificate names exactly one principal of the settings.
(5) With neither, the peer is the local principal, where the settings have one.

A credential that was shown and fails never falls through to a later step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from voiceauth.access.certificates import PeerCertificate, PeerName, read_certificate
from voiceauth.access.principal import Principal
from voiceauth.access.tokens import TokenChecker
from voiceauth.errors import UnauthenticatedError

_BEARER = "bearer "
_STRONG = "TLSv1.3"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a peer shows with one request.

    Attributes:
        encrypted: whether the connection is TLS at all.
        tls_version: as the transport names it; None where it does not tell.
        certificate: PEM; the transport has checked its chain.
        authorization: the metadata of that name.
    """

    encrypted: bool = False
    tls_version: str | None = None
    certificate: bytes | None = field(default=None, repr=False)
    authorization: str | None = field(default=None, repr=False)


class Doorkeeper:
    """Says who speaks. Safe from several threads; may block while an issuer's keys are fetched.

    Args:
        principals: of the settings, by the name in their certificates.
        tokens: None where no tokens are taken.
        local: None where whoever shows nothing is nobody.
        allow_tls_1_2: whether connections older than TLS 1.3 are let in.
        not_revoked: raises UnauthenticatedError for a certificate (PEM) that counts no more; None
            where there are no revocation lists.
    """

    def __init__(
        self,
        principals: Mapping[PeerName, Principal],
        *,
        tokens: TokenChecker | None = None,
        local: Principal | None = None,
        allow_tls_1_2: bool = False,
        not_revoked: Callable[[bytes, datetime], None] | None = None,
    ) -> None:
        self._principals = principals
        self._tokens = tokens
        self._local = local
        self._allow_tls_1_2 = allow_tls_1_2
        self._not_revoked = not_revoked

    @property
    def is_open(self) -> bool:
        """True where whoever shows nothing may act."""
        return self._local is not None

    def identify(self, shown: Shown, now: datetime) -> Principal:
        """Return who speaks.

        Raises:
            UnauthenticatedError: nobody can be said to.
            DependencyError: a token cannot be checked, because its issuer's keys cannot be had.
        """
        if shown.encrypted and not self._allow_tls_1_2 and shown.tls_version != _STRONG:  # (1)
            raise UnauthenticatedError(detail="tls_version")
        certificate = None
        if shown.certificate is not None:
            certificate = read_certificate(shown.certificate, now)  # (2)
            if self._not_revoked is not None:
                self._not_revoked(shown.certificate, now)
        named = None if certificate is None else self._named(certificate)
        if shown.authorization is not None:  # (3)
            speaker = self._token_principal(shown.authorization, now, certificate)
            return speaker if named is None else _bounded(speaker, named)
        if certificate is not None:  # (4)
            if named is None:
                raise UnauthenticatedError(detail="certificate_not_known")
            return named
        if self._local is None:  # (5)
            raise UnauthenticatedError(detail="nothing_shown")
        return self._local

    def _named(self, certificate: PeerCertificate) -> Principal | None:
        found = {self._principals[one] for one in certificate.names if one in self._principals}
        if len(found) > 1:
            raise UnauthenticatedError(detail="certificate_ambiguous")
        return next(iter(found), None)

    def _token_principal(
        self, authorization: str, now: datetime, certificate: PeerCertificate | None
    ) -> Principal:
        if not authorization.lower().startswith(_BEARER):
            raise UnauthenticatedError(detail="authorization_of_another_kind")
        if self._tokens is None:
            raise UnauthenticatedError(detail="tokens_not_taken")
        thumbprint = None if certificate is None else certificate.thumbprint
        return self._tokens.principal(authorization[len(_BEARER) :].strip(), now, thumbprint)


def _bounded(speaker: Principal, gateway: Principal) -> Principal:
    """Return the speaker with those of its tenants that are the gateway's, too."""
    if gateway.tenants is None or speaker.tenants is None:
        tenants = speaker.tenants if gateway.tenants is None else gateway.tenants
    else:
        tenants = speaker.tenants & gateway.tenants
    return replace(speaker, tenants=tenants)
