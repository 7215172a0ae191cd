# SPDX-License-Identifier: Apache-2.0
import base64
from collections.abc import Sequence
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID

from voiceauth.access.certificates import (
    NameKind,
    PeerName,
    check_server_files,
    expires_at,
    peer_name,
    read_certificate,
)
from voiceauth.access.doorkeeper import Doorkeeper, Shown
from voiceauth.access.issuing import VALID_DAYS, DevelopmentAuthority
from voiceauth.access.principal import Means, Principal
from voiceauth.errors import SettingsError, UnauthenticatedError
from voiceauth.testing.fakes import EPOCH

SAN = ExtensionOID.SUBJECT_ALTERNATIVE_NAME
AUTHORITY = DevelopmentAuthority(EPOCH)
NAMES = (
    PeerName(NameKind.URI, "spiffe://bank/ivr"),
    PeerName(NameKind.DNS, "ivr.bank.example"),
    PeerName(NameKind.EMAIL, "ivr@bank.example"),
)


def plain_certificate(
    common_name: str,
    *names: x509.GeneralName,
    extensions: Sequence[x509.UnrecognizedExtension] = (),
) -> bytes:
    """Return a certificate without any purpose, self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(EPOCH - timedelta(days=1))
        .not_valid_after(EPOCH + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for one in extensions:
        builder = builder.add_extension(one, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def detail_of(pem: bytes, days: float = 0) -> str | None:
    """Return why a certificate is refused."""
    with pytest.raises(UnauthenticatedError) as caught:
        read_certificate(pem, EPOCH + timedelta(days=days))
    return caught.value.detail


@pytest.mark.parametrize("name", NAMES, ids=str)
def test_a_certificate_is_read_by_its_alternative_names(name: PeerName) -> None:
    """Each kind of name comes back as it was issued, and as settings write it."""
    found = read_certificate(AUTHORITY.client(name).certificate, EPOCH)

    assert found.names == {name} == {peer_name(str(name))}
    assert len(found.thumbprint) == 32


def test_the_common_name_says_nothing() -> None:
    """A certificate without alternative names names nobody, whatever its subject reads."""
    pem = plain_certificate("spiffe://bank/ivr")

    assert read_certificate(pem, EPOCH).names == frozenset()


def test_other_kinds_of_names_say_nothing() -> None:
    """Only URI, DNS and mail names can name a principal."""
    pem = plain_certificate("x", x509.RegisteredID(x509.ObjectIdentifier("1.2.3")))

    assert read_certificate(pem, EPOCH).names == frozenset()


def test_host_names_are_equal_whatever_their_case() -> None:
    """DNS has no case; other names are as they are written."""
    pem = plain_certificate("x", x509.DNSName("IVR.Bank.example"))

    assert read_certificate(pem, EPOCH).names == {peer_name("DNS:ivr.BANK.example")}
    assert peer_name("URI:A") != peer_name("URI:a")


def test_a_certificate_of_two_principals_names_neither() -> None:
    """Where a certificate fits two principals, nobody guesses which one is meant."""
    pem = plain_certificate("x", x509.DNSName("a.example"), x509.DNSName("b.example"))
    keeper = Doorkeeper(
        {
            peer_name("DNS:a.example"): Principal(Means.CERTIFICATE, "a", frozenset(), None),
            peer_name("DNS:b.example"): Principal(Means.CERTIFICATE, "b", frozenset(), None),
        }
    )

    with pytest.raises(UnauthenticatedError) as caught:
        keeper.identify(Shown(certificate=pem), EPOCH)

    assert caught.value.detail == "certificate_ambiguous"


@pytest.mark.parametrize("moment", [timedelta(minutes=-5), timedelta(days=VALID_DAYS)])
def test_a_certificate_counts_from_its_first_to_its_last_moment(moment: timedelta) -> None:
    """Both ends belong to its validity, and a second beyond each does not."""
    pem = AUTHORITY.client(NAMES[0]).certificate
    beyond = moment + timedelta(seconds=1 if moment > timedelta(0) else -1)

    assert read_certificate(pem, EPOCH + moment).names == {NAMES[0]}
    assert detail_of(pem, beyond / timedelta(days=1)) == "certificate_expired"


@pytest.mark.parametrize("days", [-1, VALID_DAYS + 1])
def test_a_certificate_counts_only_within_its_time(days: int) -> None:
    """Before and after its validity a certificate is refused."""
    assert detail_of(AUTHORITY.client(NAMES[0]).certificate, days) == "certificate_expired"


def test_a_servers_certificate_names_no_client() -> None:
    """What was issued to a server does not let anybody in as a client."""
    pem = AUTHORITY.server(["ivr.bank.example"]).certificate

    assert detail_of(pem) == "certificate_of_another_purpose"


@pytest.mark.parametrize("pem", [b"", b"nonsense", plain_certificate("x")[:-60]])
def test_garbage_is_refused(pem: bytes) -> None:
    """Bytes that are no certificate never come out as another exception."""
    assert detail_of(pem) == "certificate_unreadable"


@pytest.mark.parametrize(
    "extensions",
    [
        [x509.UnrecognizedExtension(SAN, bytes.fromhex("3002a300"))],
        [x509.UnrecognizedExtension(SAN, bytes.fromhex("300482026162"))] * 2,
    ],
    ids=["x400-address", "two-lists-of-names"],
)
def test_a_certificate_with_odd_names_is_refused(
    extensions: list[x509.UnrecognizedExtension], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kind of name that the library does not read, or two lists of names, name nobody."""
    monkeypatch.setattr(x509.base, "_reject_duplicate_extension", lambda *_: None, raising=True)

    assert detail_of(plain_certificate("x", extensions=extensions)) == "certificate_unreadable"


def test_a_mail_name_is_written_in_small_letters() -> None:
    """The kinds are those of the settings' documentation."""
    assert peer_name("email:ivr@bank.example") == NAMES[2]
    assert [str(one).partition(":")[0] for one in NAMES] == ["URI", "DNS", "email"]


@pytest.mark.parametrize("text", ["", "ivr", "URI:", "uri:x", "CN:ivr", ":x"])
def test_a_name_that_is_none_is_refused(text: str) -> None:
    """Settings with a name of no known kind refuse to start."""
    with pytest.raises(SettingsError, match="is not a name"):
        peer_name(text)


def test_a_servers_own_files_are_held_against_each_other() -> None:
    """Certificate, key and authorities that fit together pass."""
    server = AUTHORITY.server(["localhost"])

    check_server_files(server.certificate, server.key, AUTHORITY.certificate)
    check_server_files(server.certificate, server.key, None)


def test_a_key_of_another_certificate_is_refused() -> None:
    """A renewal of which only half has arrived is noticed."""
    one, other = AUTHORITY.server(["localhost"]), AUTHORITY.server(["localhost"])

    with pytest.raises(SettingsError, match="not the key"):
        check_server_files(one.certificate, other.key, None)


def test_a_key_that_signs_nothing_is_refused() -> None:
    """A private key without a public half that could be compared fits no certificate."""
    from cryptography.hazmat.primitives.asymmetric import x25519  # noqa: PLC0415

    key = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

    with pytest.raises(SettingsError):
        check_server_files(AUTHORITY.server(["localhost"]).certificate, key, None)


def test_a_key_behind_a_passphrase_is_refused() -> None:
    """Nobody is there to type it when the server starts."""
    sealed = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )

    with pytest.raises(SettingsError, match="passphrase"):
        check_server_files(AUTHORITY.server(["localhost"]).certificate, sealed, None)


def test_a_key_of_an_unknown_kind_is_refused() -> None:
    """A key that the library cannot use is told like one that is none."""
    unknown = base64.b64encode(bytes.fromhex("300c020100300406022a03040100")).decode()
    pem = f"-----BEGIN PRIVATE KEY-----\n{unknown}\n-----END PRIVATE KEY-----\n".encode()

    with pytest.raises(SettingsError, match="PEM"):
        check_server_files(AUTHORITY.server(["localhost"]).certificate, pem, None)


@pytest.mark.parametrize("broken", range(3))
def test_files_that_are_no_pem_are_refused(broken: int) -> None:
    """Each of the three files is looked at before it is used."""
    server = AUTHORITY.server(["localhost"])
    files = [server.certificate, server.key, AUTHORITY.certificate]
    files[broken] = b"nonsense"

    with pytest.raises(SettingsError, match="PEM"):
        check_server_files(*files)


def test_a_server_is_reached_by_name_and_by_address() -> None:
    """Hosts that are addresses are issued as such."""
    pem = AUTHORITY.server(["localhost", "127.0.0.1", "::1"]).certificate
    names = (
        x509.load_pem_x509_certificate(pem)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )

    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_of_several_certificates_the_first_to_end_counts() -> None:
    """What an operator is told is when something stops working."""
    longer = DevelopmentAuthority(EPOCH, days=VALID_DAYS + 30).certificate
    end = EPOCH + timedelta(days=VALID_DAYS)

    assert expires_at(longer + AUTHORITY.certificate) == end
    with pytest.raises(SettingsError, match="PEM"):
        expires_at(b"no certificate")


@pytest.mark.parametrize("failure", [ValueError, UnsupportedAlgorithm])
def test_a_certificate_that_cannot_be_read_tells_no_end(
    failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever way the library stumbles, it is an error of the engine's own family."""

    def stumble(_: bytes) -> None:
        raise failure("odd")

    for name in ("load_pem_x509_certificate", "load_pem_x509_certificates"):
        monkeypatch.setattr(x509, name, stumble)

    with pytest.raises(SettingsError):
        expires_at(b"pem")
