# SPDX-License-Identifier: Apache-2.0
import base64
import json
import threading
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from issuer import ATTACKS, AUDIENCE, ISSUER, KEYS, claims, document, jwk, token

from voiceauth.access.keysets import LARGEST_BYTES, RETRY_SECONDS, KeySet, read_keys
from voiceauth.access.principal import Means, Principal
from voiceauth.access.roles import Role
from voiceauth.access.tokens import LARGEST_TOKEN, TokenChecker, TokenRules
from voiceauth.config import TokenSettings
from voiceauth.errors import DependencyError, UnauthenticatedError
from voiceauth.testing.fakes import EPOCH, FakeClock
from voiceauth.types import TenantId

WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - is refused


class Source:
    """A key document that can be exchanged, or be down."""

    def __init__(self) -> None:
        self.document: bytes | None = document()
        self.fetches = 0

    def __call__(self) -> bytes:
        """Return the document, or fail."""
        self.fetches += 1
        if self.document is None:
            raise DependencyError
        return self.document


def key_set(source: Source, clock: FakeClock) -> KeySet:
    """Return keys that are renewed after 5 minutes and stale after an hour."""
    return KeySet(source, clock, refresh_seconds=300, stale_seconds=3600)


def checker(**rules: Any) -> TokenChecker:
    """Return a checker of the test's issuer."""
    return TokenChecker(TokenRules(ISSUER, AUDIENCE, **rules), key_set(Source(), FakeClock()))


def detail_of(text: str, thumbprint: bytes | None = None, **rules: Any) -> str | None:
    """Return why a token is refused."""
    with pytest.raises(UnauthenticatedError) as caught:
        checker(**rules).principal(text, EPOCH, thumbprint)
    return caught.value.detail


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_good_token_speaks_for_its_subject(algorithm: str) -> None:
    """Each of the three signatures is taken, and the claims say who, whose and what."""
    text = token(EPOCH, algorithm, amr=["pwd", "mfa"], acr="gold")

    assert checker().principal(text, EPOCH, None) == Principal(
        Means.TOKEN,
        "jo@bank.example",
        frozenset({Role.AGENT}),
        frozenset({TenantId("bank")}),
        frozenset({"pwd", "mfa"}),
        "gold",
    )


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(name: str) -> None:
    """Each thing that an attacker would try is refused for its own reason."""
    reason, made = ATTACKS[name]

    assert detail_of(made(EPOCH)) == reason


def test_an_algorithm_that_the_settings_do_not_take_is_refused() -> None:
    """The settings may narrow the signatures, however good the key is."""
    text = token(EPOCH, "RS256")

    assert detail_of(text, algorithms=frozenset({"ES256"})) == "token_algorithm"


def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    """Thirty seconds after its end, or before its begin, a token still holds; then it does not."""
    moment = int(EPOCH.timestamp())
    good = [
        token(EPOCH, iat=moment - 600, exp=moment - 29),
        token(EPOCH, iat=moment + 30, exp=moment + 90),
        token(EPOCH, nbf=moment + 30),
    ]

    assert {checker().principal(one, EPOCH, None).name for one in good} == {"jo@bank.example"}
    ended = token(EPOCH, iat=moment - 600, exp=moment - 30)
    assert detail_of(ended) == "token_expired"


def test_a_bound_token_holds_with_its_own_certificate_only() -> None:
    """A token that was stolen from the wire is of no use without the certificate's key."""
    own, other = b"o" * 32, b"x" * 32
    named = base64.urlsafe_b64encode(own).rstrip(b"=").decode()
    text = token(EPOCH, cnf={"x5t#S256": named})

    assert checker().principal(text, EPOCH, own).name == "jo@bank.example"
    assert detail_of(text, other) == "token_of_another_certificate"
    assert detail_of(text, None) == "token_of_another_certificate"


@pytest.mark.parametrize("named", ["", "\ud800", 7, None])
@pytest.mark.parametrize("shown", [None, b"", b"o" * 32])
def test_a_token_that_is_bound_to_no_certificate_holds_with_none(
    named: object, shown: bytes | None
) -> None:
    """An empty or odd name is not the certificate that nobody showed."""
    text = token(EPOCH, cnf={"x5t#S256": named})

    assert detail_of(text, shown) == "token_of_another_certificate"


@pytest.mark.parametrize("claim", ["tenant", "roles"])
def test_a_list_with_something_odd_in_it_is_no_list(claim: str) -> None:
    """What is not a text, or an empty one, spoils the claim, whatever stands beside it."""
    for odd in (7, "", None):
        changed: dict[str, Any] = {claim: ["agent", odd]}
        assert detail_of(token(EPOCH, **changed)) == "token_claims"


def test_a_token_may_name_every_role_and_no_assurance() -> None:
    """All roles are roles; what the issuer does not say of the sign-in is nothing."""
    principal = checker().principal(token(EPOCH, roles=list(Role)), EPOCH, None)

    assert principal.roles == set(Role)
    assert (principal.assurance, principal.methods, principal.person) == ("", frozenset(), "")


def test_unbound_tokens_may_be_refused_altogether() -> None:
    """An installation may take only tokens that cannot be replayed from elsewhere."""
    assert detail_of(token(EPOCH), b"o" * 32, bound_only=True) == "token_not_bound"


def test_an_assurance_that_is_no_text_says_nothing() -> None:
    """A claim of an odd type is not evidence."""
    principal = checker().principal(token(EPOCH, acr=7, amr=7), EPOCH, None)

    assert principal.assurance == ""
    assert principal.methods == frozenset()


def test_claims_may_have_other_names() -> None:
    """Issuers name their claims as they please."""
    rules = {"tenant_claim": "org", "roles_claim": "groups"}
    text = token(EPOCH, tenant=None, roles=None, org=["a", "b"], groups="auditor")

    principal = checker(**rules).principal(text, EPOCH, None)

    assert principal.tenants == frozenset({TenantId("a"), TenantId("b")})
    assert principal.roles == {Role.AUDITOR}


def test_a_star_in_a_token_is_no_wildcard() -> None:
    """Only the settings can grant every tenant."""
    principal = checker().principal(token(EPOCH, tenant="*"), EPOCH, None)

    assert principal.tenants == frozenset({TenantId("*")})


# The issuer's keys.


@pytest.mark.parametrize(
    "listed",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "x"},
        jwk("ES256", KEYS["ES256"], "x") | {"use": "enc"},
        jwk("ES256", KEYS["ES256"], "x") | {"alg": "ES512"},
        jwk("ES256", KEYS["ES256"], "x") | {"x": "AAAA"},
        jwk("ES256", KEYS["ES256"], "x") | {"d": "AAAA"},
        jwk("ES256", ec.generate_private_key(ec.SECP384R1()), "x"),
        jwk("RS256", WEAK, "x"),
    ],
    ids=["hmac", "bare", "encrypts", "misnamed", "not-on-curve", "private", "p384", "weak"],
)
def test_a_key_that_cannot_serve_is_left_out(listed: dict[str, Any]) -> None:
    """Symmetric, weak, private and misnamed keys are not there for any token."""
    good = jwk("ES256", KEYS["ES256"], "good")
    keys = read_keys(json.dumps({"keys": [listed, good, {"kty": "EC"}]}).encode())

    assert set(keys) == {"good"}


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": 7}', b'{"keys": [7]}', b"\xff"]
)
def test_a_document_without_keys_is_an_issuer_that_is_down(text: bytes) -> None:
    """Nothing can be checked with it, and nothing is let in."""
    with pytest.raises(DependencyError):
        read_keys(text)


def test_keys_are_kept_and_fetched_again_when_they_are_old() -> None:
    """The issuer is asked every five minutes, not for each token."""
    source, clock = Source(), FakeClock()
    keys = key_set(source, clock)
    for _ in range(3):
        assert keys.key("ES256") is not None
    assert source.fetches == 1

    clock.advance(300)

    assert keys.key("ES256") is not None
    assert source.fetches == 2


def test_a_new_key_is_fetched_when_a_token_names_it_but_not_for_every_made_up_name() -> None:
    """A rotation at the issuer is noticed at once; made-up key ids do not hammer it."""
    source, clock = Source(), FakeClock()
    keys = key_set(source, clock)
    keys.key("ES256")
    clock.advance(RETRY_SECONDS)
    source.document = json.dumps({"keys": [jwk("ES256", KEYS["ES256"], "new")]}).encode()

    assert keys.key("new") is not None
    for number in range(5):
        assert keys.key(f"made-up-{number}") is None

    assert source.fetches == 2
    assert keys.key("ES256") is None  # the issuer withdrew it


def test_the_last_keys_serve_on_until_they_are_stale() -> None:
    """An issuer that is down for a while stops nobody; down for long, it lets nobody in."""
    source, clock = Source(), FakeClock()
    keys = key_set(source, clock)
    keys.key("ES256")
    source.document = None
    clock.advance(3599)
    assert keys.key("ES256") is not None

    clock.advance(RETRY_SECONDS + 1)

    with pytest.raises(DependencyError):
        keys.key("ES256")
    with pytest.raises(DependencyError):  # and at once, without asking again
        keys.key("ES256")
    assert source.fetches == 3


def test_while_one_thread_fetches_the_others_go_on() -> None:
    """A slow issuer delays no token that the known keys can check."""
    source, clock = Source(), FakeClock()
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> bytes:
        begun.set()
        go_on.wait(10)
        return document()

    def fetch() -> bytes:
        return slow() if source.fetches else source()

    keys = KeySet(fetch, clock, refresh_seconds=300, stale_seconds=3600)
    keys.key("ES256")
    clock.advance(301)
    thread = threading.Thread(target=keys.key, args=("ES256",))
    thread.start()
    begun.wait(10)

    assert keys.key("ES256") is not None

    go_on.set()
    thread.join()


@pytest.mark.parametrize("year", [2000, 2199])
def test_times_are_held_against_the_engines_clock_alone(year: int) -> None:
    """Whatever the machine's own clock says, the clock that was handed in decides."""
    now = EPOCH.replace(year=year)
    text = token(now, nbf=int(now.timestamp()))

    assert checker().principal(text, now, None).name == "jo@bank.example"


def test_the_rules_are_the_documented_ones() -> None:
    """What nobody has set is what the settings' reference says."""
    rules, settings = TokenRules(ISSUER, AUDIENCE), TokenSettings()

    assert (rules.leeway_seconds, rules.longest_seconds) == (30.0, 3600.0)
    assert (rules.bound_only, rules.tenant_claim, rules.roles_claim) == (False, "tenant", "roles")
    assert rules.algorithms == {"ES256", "EdDSA", "RS256"} == set(settings.algorithms)
    assert (LARGEST_TOKEN, LARGEST_BYTES, RETRY_SECONDS) == (6000, 262_144, 10.0)
    for name in ("leeway_seconds", "longest_seconds", "bound_only", "tenant_claim", "roles_claim"):
        assert getattr(rules, name) == getattr(settings, name)


def test_a_token_is_looked_at_up_to_the_longest() -> None:
    """The last length that is read, and the first that is not."""
    assert detail_of("x" * 6000) == "token_malformed"
    assert detail_of("x" * 6001) == "token_too_long"


def test_a_token_that_names_no_key_finds_none() -> None:
    """Not even one that the issuer has called after nothing."""
    listed = [jwk("ES256", KEYS["ES256"], name) for name in ("None", "X", "other")]
    keys = KeySet(
        lambda: json.dumps({"keys": listed}).encode(),
        FakeClock(),
        refresh_seconds=300,
        stale_seconds=3600,
    )
    unnamed = jwt.encode(claims(EPOCH), KEYS["ES256"], algorithm="ES256")

    with pytest.raises(UnauthenticatedError) as caught:
        TokenChecker(TokenRules(ISSUER, AUDIENCE), keys).principal(unnamed, EPOCH, None)
    assert caught.value.detail == "token_key_unknown"


@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
@pytest.mark.parametrize("value", [1e11, -1e11, "1", [1]])
def test_a_time_beyond_any_calendar_is_none(claim: str, value: object) -> None:
    """Neither far ones nor texts come as far as a comparison."""
    changed: dict[str, Any] = {claim: value}

    assert detail_of(token(EPOCH, **changed)) == "token_claims"


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "exp", "iat"])
def test_a_token_without_one_of_its_claims_is_refused(claim: str) -> None:
    """What the rules are held against has to be there."""
    left_out: dict[str, Any] = {claim: None}

    assert detail_of(token(EPOCH, **left_out)) == "token_malformed"


def test_a_life_of_exactly_the_longest_is_taken() -> None:
    """The limit belongs to what is allowed, and a second more does not."""
    moment = int(EPOCH.timestamp())

    assert checker().principal(token(EPOCH, exp=moment + 3600), EPOCH, None)
    assert detail_of(token(EPOCH, exp=moment + 3601)) == "token_lives_too_long"


def test_a_subject_of_256_letters_is_a_name() -> None:
    """The longest name that stands for somebody."""
    assert checker().principal(token(EPOCH, sub="x" * 256), EPOCH, None).name == "x" * 256


@pytest.mark.parametrize("failure", [ValueError, TypeError, jwt.PyJWTError])
def test_whatever_the_library_raises_is_a_refusal(
    failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No odd token becomes a fault of the engine, whichever way the library stumbles over it."""

    def stumble(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(jwt, "decode", stumble)

    assert detail_of(token(EPOCH)) == "token_malformed"


def test_a_token_says_who_the_person_is_where_that_is_asked_for() -> None:
    """The claim that all accounts of one human being share is read only where it is named."""
    text = token(EPOCH, employee="e4711")

    assert checker(person_claim="employee").principal(text, EPOCH, None).person == "e4711"
    assert checker().principal(text, EPOCH, None).person == ""


@pytest.mark.parametrize("person", [None, "", 7, ["e4711"], "x" * 257])
def test_a_token_that_does_not_say_who_the_person_is_is_refused(person: object) -> None:
    """Where the claim is asked for, a token without one stands for nobody."""
    text = token(EPOCH, employee=person)

    assert detail_of(text, person_claim="employee") == "token_claims"
    for name in ("x", "x" * 256):
        found = checker(person_claim="employee").principal(token(EPOCH, employee=name), EPOCH, None)
        assert found.person == name


def test_the_test_issuer_makes_good_claims() -> None:
    """The control: what the attacks change is otherwise in order."""
    assert claims(EPOCH)["roles"] == ["agent"]
