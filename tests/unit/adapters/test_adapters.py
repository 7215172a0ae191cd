# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, timedelta

import pytest

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.errors import KeyServiceError, TagMismatchError
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.types import KeyId


def test_the_system_clock_is_in_utc_and_never_goes_back() -> None:
    """Times carry their zone, and durations cannot be negative."""
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]

    assert clock.now().tzinfo is UTC
    assert readings == sorted(readings)


def test_the_system_generator_gives_fresh_bytes_of_the_right_length() -> None:
    """No two tokens are alike."""
    tokens = {SystemRandom().token(32) for _ in range(100)}

    assert len(tokens) == 100
    assert {len(one) for one in tokens} == {32}


def test_a_fake_clock_moves_only_when_told() -> None:
    """Time passes on both clocks; a jump moves the wall clock alone."""
    clock = FakeClock()
    clock.advance(2.0)
    clock.jump(-3600.0)

    assert clock.monotonic() == 2.0
    assert clock.now() == EPOCH + timedelta(seconds=2.0 - 3600.0)


def test_fake_randomness_repeats_by_seed_and_not_within_it() -> None:
    """A run can be repeated, and nonces are still unique in it."""
    one, same, other = FakeRandom(1), FakeRandom(1), FakeRandom(2)
    tokens = [one.token(12) for _ in range(50)]

    assert tokens == [same.token(12) for _ in range(50)]
    assert len(set(tokens)) == 50
    assert other.token(12) not in tokens
    assert len(one.token(100)) == 100


def test_the_fake_key_service_refuses_like_a_real_one() -> None:
    """Changed keys, changed contexts and unknown names raise what the port promises."""
    keys = FakeKeyService()
    name, wrapped = keys.wrap(bytes(range(32)), b"context")

    assert keys.unwrap(name, wrapped, b"context") == bytes(range(32))
    for key, context in ((wrapped[:-1] + b"x", b"context"), (wrapped, b"other"), (b"", b"context")):
        with pytest.raises(TagMismatchError):
            keys.unwrap(name, key, context)
    with pytest.raises(KeyServiceError):
        keys.unwrap(KeyId("fake-9"), wrapped, b"context")
    with pytest.raises(TagMismatchError):
        FakeKeyService(1).unwrap(name, wrapped, b"context")
