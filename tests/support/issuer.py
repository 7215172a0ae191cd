# SPDX-License-Identifier: Apache-2.0
"""A token issuer for tests, and the tokens that an attacker would try."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER, AUDIENCE = "https://login.example", "voiceauth"
KEYS: dict[str, Any] = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}
STRANGER = ec.generate_private_key(ec.SECP256R1())


def jwk(algorithm: str, key: Any, key_id: str) -> dict[str, Any]:
    """Return a public key as a key document lists it."""
    kinds: dict[str, Any] = {
        "ES256": jwt.algorithms.ECAlgorithm,
        "EdDSA": jwt.algorithms.OKPAlgorithm,
        "RS256": jwt.algorithms.RSAAlgorithm,
    }
    listed: dict[str, Any] = kinds[algorithm].to_jwk(key.public_key(), as_dict=True)
    return {**listed, "kid": key_id, "use": "sig"}


def document() -> bytes:
    """Return the issuer's key document; each key's id is its algorithm."""
    return json.dumps({"keys": [jwk(name, key, name) for name, key in KEYS.items()]}).encode()


def claims(now: datetime, **other: Any) -> dict[str, Any]:
    """Return good claims of an agent of the bank; a value of None leaves the claim out."""
    moment = int(now.timestamp())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "jo@bank.example",
        "iat": moment,
        "exp": moment + 600,
        "tenant": "bank",
        "roles": ["agent"],
    }
    return {name: one for name, one in {**good, **other}.items() if one is not None}


def token(now: datetime, algorithm: str = "ES256", **other: Any) -> str:
    """Sign a token with the issuer's key."""
    headers = {"kid": algorithm}
    return jwt.encode(claims(now, **other), KEYS[algorithm], algorithm=algorithm, headers=headers)


def _part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(header: Mapping[str, Any], body: Mapping[str, Any], secret: bytes | None) -> str:
    """Put a token together by hand, HMAC-signed or not at all."""
    text = f"{_part(header)}.{_part(body)}"
    mac = b"" if secret is None else hmac.digest(secret, text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def public_pem(algorithm: str) -> bytes:
    """Return a public key as everybody can have it."""
    told: bytes = (
        KEYS[algorithm]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return told


def _tampered(now: datetime) -> str:
    header, _, signature = token(now).split(".")
    return f"{header}.{_part(claims(now, roles=['privacy-officer']))}.{signature}"


def _signed_by_a_stranger(now: datetime) -> str:
    return jwt.encode(claims(now), STRANGER, algorithm="ES256", headers={"kid": "ES256"})


def _own_key_in_the_header(now: datetime) -> str:
    own = jwk("ES256", STRANGER, "mine")
    headers = {"kid": "mine", "jwk": own}
    return jwt.encode(claims(now), STRANGER, algorithm="ES256", headers=headers)


def _another_keys_algorithm(now: datetime) -> str:
    return jwt.encode(claims(now), KEYS["RS256"], algorithm="RS256", headers={"kid": "ES256"})


def _hmac_with_the_public_key(now: datetime) -> str:
    header = {"alg": "HS256", "typ": "JWT", "kid": "RS256"}
    return forged(header, claims(now), public_pem("RS256"))


ATTACKS: Mapping[str, tuple[str, Callable[[datetime], str]]] = {
    "expired": ("token_expired", lambda now: token(now, iat=_at(now, -900), exp=_at(now, -31))),
    "not_yet_valid": ("token_not_yet_valid", lambda now: token(now, nbf=_at(now, 60))),
    "issued_in_the_future": (
        "token_not_yet_valid",
        lambda now: token(now, iat=_at(now, 60), exp=_at(now, 120)),
    ),
    "lives_too_long": ("token_lives_too_long", lambda now: token(now, exp=_at(now, 86_400))),
    "never_expires": ("token_malformed", lambda now: token(now, exp=None)),
    "expiry_that_is_no_number": ("token_claims", lambda now: token(now, exp=float("nan"))),
    "expiry_that_is_a_truth": ("token_claims", lambda now: token(now, exp=True)),
    "of_another_issuer": ("token_issuer", lambda now: token(now, iss="https://evil.example")),
    "for_another_audience": ("token_audience", lambda now: token(now, aud="payroll")),
    "without_a_subject": ("token_malformed", lambda now: token(now, sub=None)),
    "with_an_empty_subject": ("token_claims", lambda now: token(now, sub="")),
    "with_an_endless_subject": ("token_claims", lambda now: token(now, sub="x" * 257)),
    "without_a_tenant": ("token_claims", lambda now: token(now, tenant=None)),
    "with_a_tenant_that_is_no_text": ("token_claims", lambda now: token(now, tenant=[7])),
    "without_roles": ("token_claims", lambda now: token(now, roles=[])),
    "with_an_unknown_role": ("token_role_unknown", lambda now: token(now, roles=["root"])),
    "tampered": ("token_tampered", _tampered),
    "signed_by_a_stranger": ("token_tampered", _signed_by_a_stranger),
    "own_key_in_the_header": ("token_key_unknown", _own_key_in_the_header),
    "another_keys_algorithm": ("token_algorithm", _another_keys_algorithm),
    "hmac_with_the_public_key": ("token_algorithm", _hmac_with_the_public_key),
    "algorithm_none": (
        "token_algorithm",
        lambda now: forged({"alg": "none", "kid": "ES256"}, claims(now), None),
    ),
    "no_algorithm": ("token_algorithm", lambda now: forged({"kid": "ES256"}, claims(now), None)),
    "stripped_signature": (
        "token_tampered",
        lambda now: token(now).rpartition(".")[0] + ".",
    ),
    "no_token_at_all": ("token_malformed", lambda _: "abc"),
    "too_long": ("token_too_long", lambda _: "x" * 6001),
    "of_another_certificate": (
        "token_of_another_certificate",
        lambda now: token(now, cnf={"x5t#S256": "A" * 43}),
    ),
    "bound_to_nothing": ("token_of_another_certificate", lambda now: token(now, cnf="x")),
}
"""What is wrong with it → the reason that stands in the ledger, and how it is made."""


def _at(now: datetime, seconds: int) -> int:
    return int(now.timestamp()) + seconds
