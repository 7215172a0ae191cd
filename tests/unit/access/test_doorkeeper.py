# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from voiceauth.access.certificates import NameKind, PeerName
from voiceauth.access.doorkeeper import Doorkeeper, Shown
from voiceauth.access.issuing import DevelopmentAuthority
from voiceauth.access.principal import Means, Principal
from voiceauth.access.roles import Role
from voiceauth.access.tokens import TokenChecker
from voiceauth.errors import UnauthenticatedError
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import TenantId

BANK, SHOP = TenantId("bank"), TenantId("shop")
IVR_NAME = PeerName(NameKind.URI, "spiffe://bank/ivr")
IVR = Principal(Means.CERTIFICATE, "ivr", frozenset({Role.IVR}), frozenset({BANK}))
AGENT = Principal(Means.TOKEN, "jo", frozenset({Role.AGENT}), frozenset({BANK, SHOP}))
LOCAL = Principal(Means.LOCAL, "local", frozenset(Role), None)
AUTHORITY = DevelopmentAuthority(EPOCH)


class Tokens(TokenChecker):
    """Stands in for the checker: takes one word, and says who was asked about."""

    def __init__(self, found: Principal = AGENT) -> None:
        self.found = found
        self.asked: list[tuple[str, bytes | None]] = []

    def principal(self, token: str, now: object, thumbprint: bytes | None) -> Principal:
        """Return the agent for the right word."""
        del now
        self.asked.append((token, thumbprint))
        if not token.startswith("good"):
            raise UnauthenticatedError(detail="token_malformed")
        return self.found


def shown(name: PeerName | None = None, authorization: str | None = None) -> Shown:
    """Return what a peer shows over TLS 1.3."""
    certificate = None if name is None else AUTHORITY.client(name).certificate
    return Shown(True, "TLSv1.3", certificate, authorization)


def refusal(keeper: Doorkeeper, peer: Shown) -> str | None:
    """Return why a peer is refused."""
    with pytest.raises(UnauthenticatedError) as caught:
        keeper.identify(peer, EPOCH)
    return caught.value.detail


def test_a_known_certificate_names_its_principal() -> None:
    """The name in the certificate is looked up in the settings' principals."""
    assert Doorkeeper({IVR_NAME: IVR}).identify(shown(IVR_NAME), EPOCH) == IVR


def test_a_name_of_another_kind_is_another_name() -> None:
    """A DNS name that reads like a principal's URI is not that principal."""
    other = replace(IVR_NAME, kind=NameKind.DNS, value="ivr.bank")
    keeper = Doorkeeper({replace(other, kind=NameKind.EMAIL): IVR})

    assert refusal(keeper, shown(other)) == "certificate_not_known"


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1", "", None])
def test_older_tls_is_refused_unless_it_is_allowed(version: str | None) -> None:
    """What is not TLS 1.3 is not served, nor what the transport does not tell."""
    peer = replace(shown(IVR_NAME), tls_version=version)

    assert refusal(Doorkeeper({IVR_NAME: IVR}), peer) == "tls_version"
    assert Doorkeeper({IVR_NAME: IVR}, allow_tls_1_2=True).identify(peer, EPOCH) == IVR


def test_who_shows_nothing_is_nobody() -> None:
    """Without a local principal, a certificate or a token is needed."""
    keeper = Doorkeeper({})

    assert not keeper.is_open
    assert refusal(keeper, Shown()) == "nothing_shown"


def test_who_shows_nothing_is_the_local_principal_where_there_is_one() -> None:
    """On loopback in plain text the settings may say that whoever comes is the operator."""
    keeper = Doorkeeper({}, local=LOCAL)

    assert keeper.is_open
    assert keeper.identify(Shown(), EPOCH) == LOCAL


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (shown(PeerName(NameKind.URI, "spiffe://bank/other")), "certificate_not_known"),
        (Shown(certificate=b"garbage"), "certificate_unreadable"),
        (Shown(authorization="Bearer bad"), "token_malformed"),
        (Shown(authorization="Basic good"), "authorization_of_another_kind"),
        (Shown(authorization=""), "authorization_of_another_kind"),
    ],
)
def test_what_was_shown_and_fails_never_falls_through(peer: Shown, reason: str) -> None:
    """A bad credential does not become the local principal, nor the certificate's."""
    keeper = Doorkeeper({IVR_NAME: IVR}, tokens=Tokens(), local=LOCAL)

    assert refusal(keeper, peer) == reason


def test_a_bad_token_beside_a_good_certificate_is_refused() -> None:
    """Who shows a token speaks by it alone."""
    keeper = Doorkeeper({IVR_NAME: IVR}, tokens=Tokens())

    assert refusal(keeper, shown(IVR_NAME, "Bearer bad")) == "token_malformed"


def test_a_token_without_an_issuer_is_refused() -> None:
    """Where no tokens are taken, one that is shown is not overlooked."""
    keeper = Doorkeeper({IVR_NAME: IVR}, local=LOCAL)

    assert refusal(keeper, shown(IVR_NAME, "Bearer good")) == "tokens_not_taken"


def test_the_checker_gets_the_word_and_the_certificates_thumbprint() -> None:
    """A bound token can be held against the certificate that came with it."""
    tokens = Tokens()
    keeper = Doorkeeper({}, tokens=tokens)

    keeper.identify(shown(IVR_NAME, "bearer  good "), EPOCH)
    keeper.identify(Shown(authorization="Bearer good"), EPOCH)

    assert [word for word, _ in tokens.asked] == ["good", "good"]
    assert [len(thumb or b"") for _, thumb in tokens.asked] == [32, 0]


@pytest.mark.parametrize(
    ("speaker", "gateway", "expected"),
    [
        (frozenset({BANK, SHOP}), frozenset({BANK}), frozenset({BANK})),
        (frozenset({SHOP}), frozenset({BANK}), frozenset()),
        (frozenset({SHOP}), None, frozenset({SHOP})),
        (None, frozenset({BANK}), frozenset({BANK})),
    ],
)
def test_a_gateway_bounds_the_tenants_of_the_tokens_it_brings(
    speaker: frozenset[TenantId] | None,
    gateway: frozenset[TenantId] | None,
    expected: frozenset[TenantId],
) -> None:
    """Only tenants that are both the token's and the certificate's can be reached."""
    tokens = Tokens(replace(AGENT, tenants=speaker))
    keeper = Doorkeeper({IVR_NAME: replace(IVR, tenants=gateway)}, tokens=tokens)

    found = keeper.identify(shown(IVR_NAME, "Bearer good"), EPOCH)

    assert found == replace(AGENT, tenants=expected)


def test_what_a_peer_shows_stands_in_no_log() -> None:
    """Neither token nor certificate is in the text form that an error or a log line would take."""
    told = repr(Shown(encrypted=True, certificate=b"PEM-BYTES", authorization="Bearer SECRET"))

    assert "PEM-BYTES" not in told
    assert "SECRET" not in told
