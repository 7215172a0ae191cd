# SPDX-License-Identifier: Apache-2.0
import base64

import pyotp
import pytest

from voiceauth.factors.totp import matching_step, new_secret, provisioning_uri
from voiceauth.testing.fakes import FakeRandom

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_the_vectors_of_the_standard_hold(at: int, code: str) -> None:
    """RFC 6238, appendix B, SHA-1: each code belongs to its step, and to no other."""
    assert matching_step(SECRET, code, at=at, window=0, after=-1, digits=8) == at // 30
    assert matching_step(SECRET, code, at=at + 30, window=0, after=-1, digits=8) is None


@pytest.mark.parametrize(("steps", "taken"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_a_clock_may_be_off_by_the_window(steps: int, taken: bool) -> None:
    """One step early or late is taken, two are not."""
    code = pyotp.TOTP(SECRET).at(90_000 + 30 * steps)
    found = matching_step(SECRET, code, at=90_000, window=1, after=-1)

    assert (found == 3000 + steps) is taken
    assert (found is None) is not taken


def test_a_step_is_taken_once() -> None:
    """A code of a step that was taken, or of an earlier one, is not taken any more."""
    code = pyotp.TOTP(SECRET).at(90_000)

    assert matching_step(SECRET, code, at=90_000, window=1, after=2999) == 3000
    assert matching_step(SECRET, code, at=90_000, window=1, after=3000) is None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "\ud800"])  # noqa: RUF001
def test_what_is_no_code_is_wrong(code: str) -> None:
    """Nothing that a caller can send is anything but wrong."""
    assert matching_step(SECRET, code, at=90_000, window=1, after=-1) is None


def test_before_1970_there_is_no_code() -> None:
    """A clock at its very beginning has no earlier steps to compare with."""
    assert matching_step(SECRET, "", at=0, window=2, after=-1) is None


def test_a_secret_has_160_bits_and_reads_as_an_address() -> None:
    """What an authenticator gets names the issuer and holds the secret."""
    secret = new_secret(FakeRandom())
    uri = provisioning_uri(secret, label="telephone", issuer="a bank")

    assert len(base64.b32decode(secret)) == 20
    assert pyotp.parse_uri(uri).secret == secret
    assert uri.startswith("otpauth://totp/a%20bank:telephone?")
