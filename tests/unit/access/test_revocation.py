# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import x25519

from voiceauth.access import revocation
from voiceauth.access.certificates import NameKind, PeerName
from voiceauth.access.doorkeeper import Doorkeeper, Shown
from voiceauth.access.issuing import DevelopmentAuthority
from voiceauth.access.principal import Means, Principal
from voiceauth.access.revocation import Revocations, read_revocations
from voiceauth.access.roles import Role
from voiceauth.errors import SettingsError, UnauthenticatedError
from voiceauth.testing.fakes import EPOCH

AUTHORITY, OTHER = DevelopmentAuthority(EPOCH), DevelopmentAuthority(EPOCH)
NAME = PeerName(NameKind.URI, "spiffe://bank/ivr")
GOOD, BAD = AUTHORITY.client(NAME).certificate, AUTHORITY.client(NAME).certificate
DAY = timedelta(days=1)


def listed(
    *revoked: bytes, authority: DevelopmentAuthority = AUTHORITY, age: timedelta = timedelta(0)
) -> bytes:
    """Return a list of an authority, made some time ago, that holds for a day."""
    return authority.revocation_list(revoked, now=EPOCH - age, holds=DAY)


def read(*lists: bytes, allow_stale: bool = False) -> Revocations:
    """Read lists as of two authorities with one name."""
    both = AUTHORITY.certificate + OTHER.certificate
    return read_revocations(b"\n".join(lists), both, allow_stale=allow_stale)


def refusal(revocations: Revocations, certificate: bytes, after: timedelta = timedelta(0)) -> str:
    """Return why a certificate is refused, empty if it is not."""
    try:
        revocations.check(certificate, EPOCH + after)
    except UnauthenticatedError as error:
        return str(error.detail)
    return ""


def with_extension(extension: x509.ExtensionType, *, critical: bool) -> bytes:
    """Return a list of the authority that says more of itself."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(AUTHORITY._name)
        .last_update(EPOCH)
        .next_update(EPOCH + DAY)
        .add_extension(extension, critical)
    )
    found = builder.sign(AUTHORITY._key, hashes.SHA256())
    return found.public_bytes(serialization.Encoding.PEM)


def test_a_revoked_certificate_is_refused() -> None:
    """What its authority took back counts no more; its neighbour does."""
    revocations = read(listed(BAD))

    assert refusal(revocations, BAD) == "certificate_revoked"
    assert refusal(revocations, GOOD) == ""


def test_an_authority_without_a_list_is_not_believed() -> None:
    """Same name, another key: a list of the one says nothing of the other's certificates."""
    stranger = OTHER.client(NAME).certificate

    assert refusal(read(listed()), stranger) == "certificate_without_revocation_list"
    assert refusal(Revocations((), allow_stale=True), GOOD) == "certificate_without_revocation_list"
    assert refusal(read(listed(), listed(authority=OTHER)), stranger) == ""


def test_each_authoritys_list_revokes_its_own_only() -> None:
    """Several lists stand in one file, and each counts for its authority."""
    stranger = OTHER.client(NAME).certificate
    revocations = read(listed(BAD), listed(stranger, authority=OTHER))

    assert refusal(revocations, BAD) == "certificate_revoked"
    assert refusal(revocations, stranger) == "certificate_revoked"
    assert refusal(revocations, GOOD) == ""


def test_a_stale_list_lets_nobody_in() -> None:
    """When its time is over, it cannot be said who was revoked since."""
    revocations = read(listed(BAD))

    assert refusal(revocations, GOOD, DAY) == ""
    assert not revocations.stale(EPOCH + DAY)
    late = DAY + timedelta(seconds=1)
    assert refusal(revocations, GOOD, late) == "certificate_revocation_list_stale"
    assert refusal(revocations, BAD, late) == "certificate_revoked"
    assert revocations.stale(EPOCH + late)


def test_a_stale_list_still_revokes_where_it_only_alarms() -> None:
    """The setting lets in whom it does not name, and never whom it does."""
    revocations = read(listed(BAD), allow_stale=True)

    assert refusal(revocations, GOOD, 9 * DAY) == ""
    assert refusal(revocations, BAD, 9 * DAY) == "certificate_revoked"
    assert revocations.stale(EPOCH + 9 * DAY)


def test_a_list_of_the_future_does_not_hold_yet() -> None:
    """Clocks may differ by five minutes, not more."""
    assert refusal(read(listed(age=timedelta(minutes=-5))), GOOD) == ""
    later = read(listed(age=timedelta(minutes=-6)))
    assert refusal(later, GOOD) == "certificate_revocation_list_stale"


def test_a_list_that_another_made_is_not_taken() -> None:
    """The right name with a wrong signature, or an unknown name, empties nobody's list."""
    with pytest.raises(SettingsError, match="signed"):
        read_revocations(listed(authority=OTHER), AUTHORITY.certificate, allow_stale=False)
    stranger = DevelopmentAuthority(EPOCH)
    stranger._name = x509.Name([])
    with pytest.raises(SettingsError, match="signed"):
        read(listed(authority=stranger))


def test_a_changed_list_is_not_taken() -> None:
    """Every byte of a list is signed."""
    der = x509.load_pem_x509_crl(listed(BAD)).public_bytes(serialization.Encoding.DER)
    serial = x509.load_pem_x509_certificate(BAD).serial_number.to_bytes(20, "big").lstrip(b"\0")
    assert serial in der
    other = bytes([serial[0]]) + bytes(len(serial) - 2) + b"\x01"

    with pytest.raises(SettingsError):
        read_revocations(der.replace(serial, other), AUTHORITY.certificate, allow_stale=False)


@pytest.mark.parametrize(
    "data", [b"", b"no list", listed()[:-60], b"-----BEGIN X509 CRL-----\n", GOOD]
)
def test_what_is_no_list_is_not_taken(data: bytes) -> None:
    """An empty or broken file is not a list that revokes nobody."""
    with pytest.raises(SettingsError):
        read(data)


@pytest.mark.parametrize(
    ("extension", "critical"),
    [
        (x509.DeltaCRLIndicator(1), True),
        (x509.IssuingDistributionPoint(None, None, False, False, None, True, False), False),
        (x509.IssuingDistributionPoint(None, None, True, False, None, False, False), True),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),
    ],
)
def test_a_list_that_says_less_than_it_seems_is_not_taken(
    extension: x509.ExtensionType, critical: bool
) -> None:
    """Deltas, indirect lists, lists of some certificates, and what is critical and not known."""
    with pytest.raises(SettingsError, match="kind"):
        read(with_extension(extension, critical=critical))


@pytest.mark.parametrize(
    "extension",
    [
        x509.CRLNumber(7),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
    ],
)
def test_harmless_additions_are_taken(extension: x509.ExtensionType) -> None:
    """A number, and what may be ignored; without a key's name, the authority's name decides."""
    revocations = read(with_extension(extension, critical=False))

    assert refusal(revocations, GOOD) == ""


def test_a_list_that_repeats_itself_is_not_taken() -> None:
    """An extension that stands there twice is an error in the settings, not in the engine."""
    der = x509.load_pem_x509_crl(with_extension(x509.CRLNumber(7), critical=False)).public_bytes(
        serialization.Encoding.DER
    )
    number = bytes.fromhex("300a0603551d140403020107")  # the extension, as it stands in the list
    assert number in der

    def longer(data: bytes, place: int) -> bytes:
        """Let an element whose length byte stands at a place hold twelve bytes more."""
        return data[:place] + bytes([data[place] + len(number)]) + data[place + 1 :]

    at = der.index(number)
    twice = der[:at] + number + der[at:]
    for place in (at - 1, at - 3):  # the list of extensions, and what says that they come
        twice = longer(twice, place)
    start = 2 if der[1] < 0x80 else 2 + (der[1] & 0x7F)  # where the signed part begins
    for element in (start, 0):
        length = (
            element + 1 if twice[element + 1] < 0x80 else element + 1 + (twice[element + 1] & 0x7F)
        )
        twice = longer(twice, length)

    with pytest.raises(SettingsError, match="no certificate revocation list"):
        read(twice)


def test_lists_hold_until_the_first_one_ends() -> None:
    """What is told to the operator is the moment from which somebody may be refused."""
    revocations = read(listed(), listed(authority=OTHER, age=DAY / 2))

    assert revocations.hold_until == EPOCH + DAY / 2


def test_a_list_in_der_is_read() -> None:
    """Authorities publish it in this form."""
    der = x509.load_pem_x509_crl(listed(BAD)).public_bytes(serialization.Encoding.DER)

    assert refusal(read(der), BAD) == "certificate_revoked"


def test_a_list_without_an_end_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could never be stale."""

    class Endless(Sequence[int]):
        """As a list that states no next update."""

        extensions = x509.Extensions([])
        next_update_utc = None

        def __len__(self) -> int:
            return 0

        def __getitem__(self, index: object) -> int:  # type: ignore[override]
            raise IndexError

    monkeypatch.setattr(x509, "load_pem_x509_crl", lambda _: Endless())
    with pytest.raises(SettingsError, match="next update"):
        read(listed())


def test_a_key_that_signs_nothing_signed_no_list() -> None:
    """An authority's certificate with a key of another kind is no way around the signature."""

    class Odd:
        """An authority whose key only agrees on keys."""

        subject = AUTHORITY._name

        def public_key(self) -> x25519.X25519PublicKey:
            return x25519.X25519PrivateKey.generate().public_key()

    found = x509.load_pem_x509_crl(listed())
    assert not revocation._signed_by(found, Odd())  # type: ignore[arg-type]


def test_an_older_list_does_not_replace_a_newer_one() -> None:
    """Yesterday's list does not let in again whom today's revoked."""
    today, yesterday = read(listed(BAD)), read(listed(age=DAY / 2))

    with pytest.raises(SettingsError, match="older"):
        yesterday.require_not_older(today)
    today.require_not_older(today)
    today.require_not_older(yesterday)
    read(listed(authority=OTHER)).require_not_older(today)


def test_the_doorkeeper_asks_with_every_request() -> None:
    """A revoked certificate is refused even with a good token beside it: nothing falls through."""
    ivr = Principal(Means.CERTIFICATE, "ivr", frozenset({Role.IVR}), None)
    keeper = Doorkeeper({NAME: ivr}, not_revoked=read(listed(BAD)).check)

    assert keeper.identify(Shown(True, "TLSv1.3", GOOD), EPOCH) == ivr
    for authorization in (None, "Bearer good"):
        with pytest.raises(UnauthenticatedError) as caught:
            keeper.identify(Shown(True, "TLSv1.3", BAD, authorization), EPOCH)
        assert caught.value.detail == "certificate_revoked"
