# SPDX-License-Identifier: Apache-2.0
"""Certificate revocation lists: which certificates of which authorities count no more.

The transport checks a certificate's chain, and knows nothing of revocation; this runs with every
request, so that a certificate is out of use at the next one, on open connections, too. Rules:

* A list counts only with the signature of an authority that clients' certificates come from.
* A certificate whose authority has no list here is refused: what cannot be checked is not believed.
* A list states until when it holds. After that it still revokes what it names; whether anybody else
  is let in by it is the settings' to say (``allow_stale``).
* Delta lists, indirect lists and lists of some reasons only are not taken: they say less than they
  seem to.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from voiceauth.errors import SettingsError, UnauthenticatedError

CLOCKS_DIFFER = timedelta(minutes=5)
_PEM = b"-----BEGIN X509 CRL-----"
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_UNDERSTOOD = frozenset({x509.CRLNumber.oid, x509.AuthorityKeyIdentifier.oid})
_PARTIAL = frozenset({x509.DeltaCRLIndicator.oid, x509.IssuingDistributionPoint.oid})


@dataclass(frozen=True, slots=True)
class RevocationList:
    """One checked list.

    Attributes:
        issuer: the authority's name, DER.
        key_id: of the authority's key; None where the list does not say.
        made_at: UTC.
        holds_until: UTC.
        serials: of the certificates that count no more.
    """

    issuer: bytes
    key_id: bytes | None
    made_at: datetime
    holds_until: datetime
    serials: frozenset[int] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Revocations:
    """All lists in use.

    Attributes:
        allow_stale: whether a list whose time is over still lets in whom it does not name.
    """

    lists: tuple[RevocationList, ...]
    allow_stale: bool = False

    @property
    def hold_until(self) -> datetime:
        """When the time of the first list is over. There is one at least."""
        return min(one.holds_until for one in self.lists)

    def stale(self, now: datetime) -> bool:
        """Say whether the time of a list is over."""
        return any(not _holds(one, now) for one in self.lists)

    def check(self, certificate: bytes, now: datetime) -> None:
        """Refuse a certificate that counts no more.

        Args:
            certificate: PEM; the transport has checked its chain.
            now: the time of the request.

        Raises:
            UnauthenticatedError: it is revoked, or it cannot be said that it is not.
        """
        shown = x509.load_pem_x509_certificate(certificate)
        issuer, key_id = shown.issuer.public_bytes(), _key_id(shown.extensions)
        mine = [one for one in self.lists if one.issuer == issuer and _fits(one, key_id)]
        if any(shown.serial_number in one.serials for one in mine):
            raise UnauthenticatedError(detail="certificate_revoked")
        if not mine:
            raise UnauthenticatedError(detail="certificate_without_revocation_list")
        if not self.allow_stale and not any(_holds(one, now) for one in mine):
            raise UnauthenticatedError(detail="certificate_revocation_list_stale")

    def require_not_older(self, before: "Revocations") -> None:
        """Refuse lists of which one was made before the one in use: a revocation is not taken back.

        A list that is gone needs no rule: its authority's certificates are refused without it.

        Raises:
            SettingsError: such a list is among them.
        """
        newest = {(one.issuer, one.key_id): one.made_at for one in before.lists}
        for one in self.lists:
            if one.made_at < newest.get((one.issuer, one.key_id), one.made_at):
                raise SettingsError("tls.client_crl holds a list older than the one in use.")


def read_revocations(data: bytes, authorities: bytes, *, allow_stale: bool) -> Revocations:
    """Read and check a file of lists.

    Args:
        data: one list in DER, or one or several in PEM.
        authorities: PEM, of clients' certificates.
        allow_stale: see ``Revocations``.

    Raises:
        SettingsError: there is none, one cannot be read or is of a kind that is not taken, or one
            has not the signature of an authority.
    """
    try:
        known = x509.load_pem_x509_certificates(authorities)
        found = [x509.load_pem_x509_crl(_PEM + one) for one in data.split(_PEM)[1:]]
        found = found or [x509.load_der_x509_crl(data)]
        lists = tuple(_checked(one, known) for one in found)
    except _UNREADABLE as error:
        raise SettingsError("tls.client_crl is no certificate revocation list.") from error
    return Revocations(lists, allow_stale)


def _checked(
    found: x509.CertificateRevocationList, known: Iterable[x509.Certificate]
) -> RevocationList:
    if any(
        one.oid in _PARTIAL or (one.critical and one.oid not in _UNDERSTOOD)
        for one in found.extensions
    ):
        raise SettingsError("tls.client_crl holds a list of a kind that is not taken.")
    if found.next_update_utc is None:
        raise SettingsError("tls.client_crl holds a list that states no next update.")
    if not any(_signed_by(found, one) for one in known):
        raise SettingsError(
            "tls.client_crl holds a list that no authority of tls.client_ca signed."
        )
    return RevocationList(
        issuer=found.issuer.public_bytes(),
        key_id=_key_id(found.extensions),
        made_at=found.last_update_utc,
        holds_until=found.next_update_utc,
        serials=frozenset(one.serial_number for one in found),
    )


def _signed_by(found: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if found.issuer != authority.subject:
        return False
    try:
        return found.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, TypeError):
        return False  # a key of a kind that signs nothing


def _key_id(extensions: x509.Extensions) -> bytes | None:
    try:
        found = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return found.value.key_identifier


def _fits(one: RevocationList, key_id: bytes | None) -> bool:
    """Two authorities may have one name; where both say it, the key decides."""
    return one.key_id is None or key_id is None or one.key_id == key_id


def _holds(one: RevocationList, now: datetime) -> bool:
    return one.made_at - CLOCKS_DIFFER <= now <= one.holds_until
