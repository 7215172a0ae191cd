# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for trying out: made once, used for a few certificates, then forgotten.

It is not for production: it issues to whoever asks. Keys are P-256;
certificates name their holder in the subject alternative names and say what they are for.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from voiceauth.access.certificates import NameKind, PeerName

VALID_DAYS = 90
_EARLIER = timedelta(minutes=5)
"""Clocks differ: a certificate is valid from a little before it was made."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


class DevelopmentAuthority:
    """An authority whose key exists in this object only, unless it is written down.

    Args:
        now: when everything is issued.
        days: how long everything is valid.
    """

    def __init__(self, now: datetime, *, days: int = VALID_DAYS) -> None:
        self._begin, self._end = now - _EARLIER, now + timedelta(days=days)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("voiceauth development authority")
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_usage(signs_certificates=True), True)
        self._certificate = builder.sign(self._key, hashes.SHA256())

    @property
    def certificate(self) -> bytes:
        """The authority's own certificate, PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, hosts: Sequence[str]) -> Issued:
        """Issue a server's certificate.

        Args:
            hosts: names and addresses under which clients reach it, at least one.
        """
        return self._issue(hosts[0], [_host(one) for one in hosts], ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, name: PeerName) -> Issued:
        """Issue a client's certificate."""
        named: x509.GeneralName = x509.DNSName(name.value)
        if name.kind is NameKind.URI:
            named = x509.UniformResourceIdentifier(name.value)
        elif name.kind is NameKind.EMAIL:
            named = x509.RFC822Name(name.value)
        return self._issue("client", [named], ExtendedKeyUsageOID.CLIENT_AUTH)

    def revocation_list(
        self, certificates: Sequence[bytes], *, now: datetime, holds: timedelta
    ) -> bytes:
        """Return a list that takes certificates (PEM) back, PEM.

        Args:
            certificates: all that count no more.
            now: when the list is made.
            holds: how long it holds.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now)
            .next_update(now + holds)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
            )
        )
        for one in certificates:
            serial = x509.load_pem_x509_certificate(one).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _issue(
        self, common_name: str, names: list[x509.GeneralName], purpose: x509.ObjectIdentifier
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name(common_name), key.public_key())
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage([purpose]), False),
            (x509.SubjectAlternativeName(names), False),
        ):
            builder = builder.add_extension(extension, critical)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begin)
            .not_valid_after(self._end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
            .add_extension(authority, False)
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
