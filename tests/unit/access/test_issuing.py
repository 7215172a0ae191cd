# SPDX-License-Identifier: Apache-2.0
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from voiceauth.access.certificates import NameKind, PeerName
from voiceauth.access.issuing import VALID_DAYS, DevelopmentAuthority, Issued
from voiceauth.testing.fakes import EPOCH

AUTHORITY = DevelopmentAuthority(EPOCH)
ROOT = x509.load_pem_x509_certificate(AUTHORITY.certificate)
SERVER = AUTHORITY.server(["localhost", "127.0.0.1"])
CLIENT = AUTHORITY.client(PeerName(NameKind.URI, "voiceauth:dev:ivr"))
FLAGS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


def read(issued: Issued) -> x509.Certificate:
    """Return an issued certificate."""
    return x509.load_pem_x509_certificate(issued.certificate)


def extensions(certificate: x509.Certificate) -> dict[str, tuple[bool, object]]:
    """Return what a certificate says of its own use, by kind: whether critical, and what."""
    return {type(one.value).__name__: (one.critical, one.value) for one in certificate.extensions}


def name_of(name: x509.Name) -> list[object]:
    """Return the common names in a name, which must hold nothing else."""
    return [one.value for one in name if one.oid == NameOID.COMMON_NAME] + [
        one for one in name if one.oid != NameOID.COMMON_NAME
    ]


@pytest.mark.parametrize(
    ("issued", "holder", "purpose"),
    [
        (SERVER, "localhost", ExtendedKeyUsageOID.SERVER_AUTH),
        (CLIENT, "client", ExtendedKeyUsageOID.CLIENT_AUTH),
    ],
    ids=["server", "client"],
)
def test_a_holders_certificate_is_for_its_one_purpose(
    issued: Issued, holder: str, purpose: x509.ObjectIdentifier
) -> None:
    """It signs, and cannot issue; it says what it is for and by whom it was issued."""
    told = extensions(read(issued))

    assert told["BasicConstraints"] == (True, x509.BasicConstraints(ca=False, path_length=None))
    assert told["ExtendedKeyUsage"] == (False, x509.ExtendedKeyUsage([purpose]))
    critical, usage = told["KeyUsage"]
    assert critical
    assert [getattr(usage, one) for one in FLAGS] == [True] + [False] * 6
    assert not told["SubjectAlternativeName"][0]
    assert name_of(read(issued).subject) == [holder]
    assert len(told) == 6


def test_the_authority_issues_and_does_nothing_else() -> None:
    """Its certificate signs certificates and lists, for holders and no further authorities."""
    told = extensions(ROOT)

    assert told["BasicConstraints"] == (True, x509.BasicConstraints(ca=True, path_length=0))
    critical, usage = told["KeyUsage"]
    assert critical
    assert [getattr(usage, one) for one in FLAGS] == [False] * 5 + [True] * 2
    assert name_of(ROOT.subject) == ["voiceauth development authority"]
    assert len(told) == 4


@pytest.mark.parametrize("issued", [SERVER, CLIENT], ids=["server", "client"])
def test_a_certificate_leads_to_its_authority(issued: Issued) -> None:
    """Name, key identifiers and signature are those of the authority, and no critical surprise."""
    own, root = extensions(read(issued)), extensions(ROOT)
    authority, subject = own["AuthorityKeyIdentifier"], root["SubjectKeyIdentifier"]

    read(issued).verify_directly_issued_by(ROOT)
    assert authority == root["AuthorityKeyIdentifier"]
    assert (authority[0], subject[0], own["SubjectKeyIdentifier"][0]) == (False, False, False)
    assert getattr(authority[1], "key_identifier", 1) == getattr(subject[1], "digest", 2)
    assert isinstance(read(issued).signature_hash_algorithm, hashes.SHA256)


@pytest.mark.parametrize("issued", [SERVER, CLIENT], ids=["server", "client"])
def test_a_key_is_its_certificates_on_p_256(issued: Issued) -> None:
    """The key is unencrypted PKCS 8 in PEM, on the curve that TLS libraries all know."""
    key = serialization.load_pem_private_key(issued.key, password=None)

    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert key.public_key() == read(issued).public_key()
    assert issued.key.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in repr(issued)


def test_certificates_are_valid_from_a_little_earlier_for_ninety_days() -> None:
    """Clocks differ by minutes; the end is counted from the time of issue."""
    for one in (ROOT, read(SERVER), read(CLIENT)):
        assert one.not_valid_before_utc == EPOCH - timedelta(minutes=5)
        assert one.not_valid_after_utc == EPOCH + timedelta(days=90)
    short = x509.load_pem_x509_certificate(DevelopmentAuthority(EPOCH, days=1).certificate)

    assert short.not_valid_after_utc == EPOCH + timedelta(days=1)
    assert VALID_DAYS == 90


def test_no_two_certificates_share_a_number() -> None:
    """A serial number names one certificate."""
    numbers = {one.serial_number for one in (ROOT, read(SERVER), read(CLIENT))}

    assert len(numbers) == 3
