# SPDX-License-Identifier: Apache-2.0
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from voiceauth.access import revocation
from voiceauth.access.certificates import NameKind, PeerName
from voiceauth.access.issuing import DevelopmentAuthority
from voiceauth.access.revocation import Revocations, read_revocations
from voiceauth.errors import SettingsError
from voiceauth.testing.fakes import EPOCH

AUTHORITY = DevelopmentAuthority(EPOCH)
GOOD = AUTHORITY.client(PeerName(NameKind.URI, "spiffe://bank/ivr")).certificate
DAY = timedelta(days=1)


def with_extension(extension: x509.ExtensionType, *, critical: bool) -> Revocations:
    """Read a list of the authority that says more of itself."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(AUTHORITY._name)
        .last_update(EPOCH)
        .next_update(EPOCH + DAY)
        .add_extension(extension, critical)
    )
    found = builder.sign(AUTHORITY._key, hashes.SHA256())
    data = found.public_bytes(serialization.Encoding.PEM)
    return read_revocations(data, AUTHORITY.certificate, allow_stale=False)


def listed(age: timedelta, *revoked: bytes) -> bytes:
    """Return a list that was made some time ago and holds for a day."""
    return AUTHORITY.revocation_list(revoked, now=EPOCH - age, holds=DAY)


@pytest.mark.parametrize(
    "extension",
    [
        x509.CRLNumber(7),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(AUTHORITY._key.public_key()),
    ],
)
def test_what_is_understood_may_be_critical(extension: x509.ExtensionType) -> None:
    """Number and key of the authority are known here, so a list may insist on them."""
    with_extension(extension, critical=True).check(GOOD, EPOCH)


def test_a_delta_is_not_taken_for_a_whole_list() -> None:
    """Not even one that does not insist on being one."""
    with pytest.raises(SettingsError, match="kind"):
        with_extension(x509.DeltaCRLIndicator(1), critical=False)


def test_of_two_lists_of_one_authority_the_one_that_holds_counts() -> None:
    """The older one is stale, which is told, and lets nobody be refused for it."""
    data = listed(2 * DAY) + listed(timedelta(0))
    both = read_revocations(data, AUTHORITY.certificate, allow_stale=False)

    assert both.stale(EPOCH)
    both.check(GOOD, EPOCH)


def test_nothing_said_means_that_stale_lists_refuse() -> None:
    """Leniency is a choice."""
    assert not Revocations(()).allow_stale


def test_the_numbers_of_the_revoked_stand_in_no_log() -> None:
    """A list's text form tells whose it is and until when, and not whom it names."""
    found = read_revocations(listed(timedelta(0), GOOD), AUTHORITY.certificate, allow_stale=False)
    (serial,) = found.lists[0].serials

    assert str(serial) not in repr(found)


def test_a_list_of_the_development_authority_insists_on_nothing() -> None:
    """Its one addition, the key of the authority, may be ignored."""
    found = x509.load_pem_x509_crl(listed(timedelta(0)))

    assert [(type(one.value), one.critical) for one in found.extensions] == [
        (x509.AuthorityKeyIdentifier, False)
    ]


def test_a_list_under_another_name_is_not_the_authoritys() -> None:
    """Its own key under a stranger's name says nothing of its certificates."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody else")]))
        .last_update(EPOCH)
        .next_update(EPOCH + DAY)
    )
    found = builder.sign(AUTHORITY._key, hashes.SHA256())

    with pytest.raises(SettingsError, match="signed"):
        read_revocations(
            found.public_bytes(serialization.Encoding.PEM),
            AUTHORITY.certificate,
            allow_stale=False,
        )


@pytest.mark.parametrize(
    "failure",
    [
        ValueError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ],
)
def test_a_file_that_the_library_stumbles_over_is_no_list(
    failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever way it stumbles, the settings are at fault and say so."""

    def stumble(_: bytes) -> None:
        if failure in {ValueError, UnsupportedAlgorithm}:
            raise failure("odd")
        raise failure("odd", 1)

    monkeypatch.setattr(x509, "load_pem_x509_crl", stumble)

    with pytest.raises(SettingsError, match="no certificate revocation list"):
        read_revocations(listed(timedelta(0)), AUTHORITY.certificate, allow_stale=False)


@pytest.mark.parametrize("failure", [InvalidSignature, TypeError])
def test_a_signature_that_cannot_be_checked_is_none(failure: type[Exception]) -> None:
    """Whichever way the library says so, the authority has not signed it."""

    class Odd:
        issuer = subject = "one"

        def public_key(self) -> None:
            """Return nothing that checks."""

        def is_signature_valid(self, _: object) -> bool:
            """Fail as told."""
            raise failure

    assert not revocation._signed_by(Odd(), Odd())  # type: ignore[arg-type]
