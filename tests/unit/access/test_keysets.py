# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from issuer import KEYS, document, jwk

from voiceauth.access.keysets import RETRY_SECONDS, KeySet, read_keys
from voiceauth.errors import DependencyError
from voiceauth.testing.fakes import FakeClock

GOOD = jwk("ES256", KEYS["ES256"], "good")


def listing(*keys: Any) -> bytes:
    """Return a document that lists keys."""
    return json.dumps({"keys": keys}).encode()


def detail_of(action: Callable[[], object]) -> str | None:
    """Return what the log says of an issuer that is down."""
    with pytest.raises(DependencyError) as caught:
        action()
    return caught.value.detail


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"keys": 7}', b'{"keys": [7]}', b"\xff", b'{"keys":' + b"[" * 100_000],
    ids=["empty", "list", "object", "number", "no-key", "no-text", "deep"],
)
def test_what_is_no_key_document_is_told_as_such(text: bytes) -> None:
    """Whatever an issuer sends, it is the issuer that is at fault, and the log says how."""
    told = detail_of(lambda: read_keys(text))

    assert told == "the token issuer's keys are no JWKS document"


@pytest.mark.parametrize("keys", [(), ({"kty": "EC"},), (GOOD | {"use": "enc"},)])
def test_a_document_without_a_usable_key_is_told_as_such(keys: tuple[Any, ...]) -> None:
    """Nothing can be checked with it, and the log says why."""
    told = detail_of(lambda: read_keys(listing(*keys)))

    assert told == "the token issuer has no key that can be used"


@pytest.mark.parametrize("failure", [ValueError, TypeError, jwt.PyJWTError])
def test_a_key_that_the_library_stumbles_over_is_left_out(
    failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One odd key of an issuer does not take the others along."""

    def stumble(listed: dict[str, Any], algorithm: str) -> jwt.PyJWK:
        if listed["kid"] == "odd":
            raise failure
        return real(listed, algorithm=algorithm)

    real = jwt.PyJWK
    monkeypatch.setattr(jwt, "PyJWK", stumble)

    assert set(read_keys(listing(GOOD | {"kid": "odd"}, GOOD))) == {"good"}


def test_a_private_key_in_the_open_is_left_out() -> None:
    """An issuer that publishes it has lost it: everybody could sign with it."""
    private = jwt.algorithms.ECAlgorithm.to_jwk(KEYS["ES256"], as_dict=True)

    assert set(read_keys(listing(private | {"kid": "lost"}, GOOD))) == {"good"}


def test_a_key_without_a_use_is_taken() -> None:
    """The standard lets an issuer leave it out; a key without a name is of no use, though."""
    bare = {name: value for name, value in GOOD.items() if name != "use"}
    unnamed = {name: value for name, value in GOOD.items() if name != "kid"}

    assert set(read_keys(listing(unnamed, bare))) == {"good"}


def test_a_key_that_names_its_own_algorithm_is_taken() -> None:
    """Right is right, and a name that is a number is a name."""
    keys = read_keys(listing(GOOD | {"alg": "ES256", "kid": 7}))

    assert keys["7"].algorithm == "ES256"


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_key_serves_its_one_algorithm(algorithm: str) -> None:
    """The kind of a key says what it signs with."""
    assert read_keys(document())[algorithm].algorithm == algorithm


def test_keys_are_used_until_the_moment_at_which_they_are_stale() -> None:
    """A second before they serve on without the issuer; at that moment no token is taken."""
    clock, documents = FakeClock(), [document()]

    def fetch() -> bytes:
        if not documents:
            raise DependencyError
        return documents.pop()

    keys = KeySet(fetch, clock, refresh_seconds=300, stale_seconds=3600)
    assert keys.key("ES256") is not None
    clock.advance(3600 - RETRY_SECONDS)
    assert keys.key("ES256") is not None
    clock.advance(RETRY_SECONDS)

    assert detail_of(lambda: keys.key("ES256")) == "the token issuer's keys cannot be fetched"


def test_an_issuer_that_was_never_reached_lets_nobody_in() -> None:
    """Without any keys a token is neither good nor bad, but cannot be checked."""
    keys = KeySet(lambda: b"", FakeClock(), refresh_seconds=300, stale_seconds=3600)

    for _ in range(2):
        told = detail_of(lambda: keys.key("ES256"))
        assert told == "the token issuer's keys cannot be fetched"


def test_an_issuer_is_asked_again_after_ten_seconds() -> None:
    """Not before, however many tokens come; and then once."""
    clock, asked = FakeClock(), []

    def fetch() -> bytes:
        asked.append(clock.monotonic())
        return listing(GOOD)

    keys = KeySet(fetch, clock, refresh_seconds=300, stale_seconds=3600)
    for seconds in (0.0, 9.9, 0.1, 5.0):
        clock.advance(seconds)
        assert keys.key("made-up") is None

    assert asked == [0.0, 10.0]


def test_keys_that_are_fresh_are_not_fetched_again() -> None:
    """Not even long after the pause between two tries, up to the last second."""
    clock, asked = FakeClock(), []

    def fetch() -> bytes:
        asked.append(clock.monotonic())
        return listing(GOOD)

    keys = KeySet(fetch, clock, refresh_seconds=300, stale_seconds=3600)
    for seconds in (0.0, 60.0, 239.0, 1.0):
        clock.advance(seconds)
        assert keys.key("good") is not None

    assert asked == [0.0, 300.0]


class Watched:
    """A lock that notes whether whoever takes it would have waited for it."""

    def __init__(self) -> None:
        self.waits: list[bool] = []

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take it."""
        self.waits.append(blocking)
        return True

    def release(self) -> None:
        """Give it back."""


def test_only_who_has_nothing_to_go_on_with_waits_for_another_threads_fetch() -> None:
    """Without keys and with stale ones, yes; with old keys, or for an unknown name, no."""
    clock, lock = FakeClock(), Watched()
    keys = KeySet(lambda: listing(GOOD), clock, refresh_seconds=300, stale_seconds=3600)
    keys._fetching = lock  # type: ignore[assignment]

    def waits(seconds: float, name: str) -> list[bool]:
        clock.advance(seconds)
        lock.waits.clear()
        keys.key(name)
        return list(lock.waits)

    assert waits(0, "good") == [True]
    assert waits(299, "good") == []
    assert waits(1, "good") == [False]
    assert waits(3599, "good") == [False]
    assert waits(3600, "good") == [True]
    assert waits(100, "made-up") == [False]
