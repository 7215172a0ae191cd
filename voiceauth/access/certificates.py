# SPDX-License-Identifier: Apache-2.0
"""What a client certificate says, and whether a server's own files fit together.

The chain to a trusted authority is checked by the transport before anything here runs. Rules:

* A peer is named by its subject alternative names only, with their kind; the common name says
  nothing, because authorities do not check it.
* A certificate that is expired now is refused, although its connection began while it was valid.
* A certificate for other than client authentication is refused, where it says what it is for.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from voiceauth.errors import SettingsError, UnauthenticatedError


class NameKind(StrEnum):
    """Kinds of subject alternative names that can name a principal."""

    URI = "URI"
    DNS = "DNS"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class PeerName:
    """One subject alternative name, as settings write it: ``KIND:value``."""

    kind: NameKind
    value: str

    def __str__(self) -> str:
        """Return it as settings write it."""
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A certificate whose chain the transport has checked.

    Attributes:
        thumbprint: SHA-256 of its DER bytes, as a token bound to it has it.
    """

    names: frozenset[PeerName]
    thumbprint: bytes


def peer_name(text: str) -> PeerName:
    """Read a name as settings write it.

    Raises:
        SettingsError: it is not ``URI:…``, ``DNS:…`` or ``email:…``.
    """
    kind, _, value = text.partition(":")
    if kind not in set(NameKind) or not value:
        raise SettingsError(f"{text!r} is not a name like URI:…, DNS:… or email:….")
    return PeerName(NameKind(kind), _folded(NameKind(kind), value))


def read_certificate(pem: bytes, now: datetime) -> PeerCertificate:
    """Read the certificate that a peer showed.

    Raises:
        UnauthenticatedError: it cannot be read, is not valid now, or is not a client's.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = frozenset(_names(certificate))
        purposes = _purposes(certificate)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise UnauthenticatedError(detail="certificate_unreadable") from None
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise UnauthenticatedError(detail="certificate_expired")
    if purposes is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        raise UnauthenticatedError(detail="certificate_of_another_purpose")
    return PeerCertificate(names, certificate.fingerprint(hashes.SHA256()))


def expires_at(pem: bytes) -> datetime:
    """Return when the first of some certificates ends. Raises SettingsError if they are none."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError("A certificate file is not PEM.") from None
    return min(one.not_valid_after_utc for one in found)


def check_server_files(certificate: bytes, key: bytes, client_ca: bytes | None) -> None:
    """Check that a server's files can be used together.

    Args:
        certificate: PEM, the server's own first, then those between it and its authority.
        key: PEM, without a passphrase.
        client_ca: PEM, the authorities that clients' certificates come from.

    Raises:
        SettingsError: one cannot be read, or the key is another certificate's.
    """
    try:
        chain = x509.load_pem_x509_certificates(certificate)
        private = serialization.load_pem_private_key(key, password=None)
        if client_ca is not None:
            x509.load_pem_x509_certificates(client_ca)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SettingsError(
            "tls.certificate, tls.key or tls.client_ca is not PEM, or the key has a passphrase."
        ) from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if chain[0].public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        raise SettingsError("tls.key is not the key of tls.certificate.")


def _names(certificate: x509.Certificate) -> list[PeerName]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    kinds: tuple[tuple[NameKind, type[x509.GeneralName]], ...] = (
        (NameKind.URI, x509.UniformResourceIdentifier),
        (NameKind.DNS, x509.DNSName),
        (NameKind.EMAIL, x509.RFC822Name),
    )
    return [
        PeerName(kind, _folded(kind, str(name.value)))
        for kind, wanted in kinds
        for name in found
        if isinstance(name, wanted)
    ]


def _folded(kind: NameKind, value: str) -> str:
    """Host names are equal whatever their case; other names only if their letters are."""
    return value.lower() if kind is NameKind.DNS else value


def _purposes(certificate: x509.Certificate) -> x509.ExtendedKeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
