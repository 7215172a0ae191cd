# SPDX-License-Identifier: Apache-2.0
"""Time, randomness and keys that a test controls.

None of these is secure: ``FakeRandom`` repeats itself on purpose and ``FakeKeyService`` keeps its
keys in memory. They are for tests, of the engine and of its users.

Example:
    >>> clock = FakeClock()
    >>> clock.advance(1.5)
    >>> clock.monotonic()
    1.5
"""

import hashlib
import hmac
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from voiceauth.errors import KeyServiceError, TagMismatchError
from voiceauth.ports import WrappedKey
from voiceauth.types import KeyId
from voiceauth.units import Seconds

_TAG_BYTES = 32
EPOCH = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class FakeClock:
    """A ``ports.Clock`` that stands still until it is moved."""

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        """Return the current fake time, UTC."""
        return self._now

    def monotonic(self) -> Seconds:
        """Return the seconds advanced since the start."""
        return self._monotonic

    def advance(self, seconds: Seconds) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, seconds: Seconds) -> None:
        """Set the wall clock forward or back, as an administrator or NTP would."""
        self._now += timedelta(seconds=seconds)


class FakeRandom:
    """A ``ports.Random`` whose bytes depend on the seed only. Safe from several threads."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._calls = 0
        self._lock = threading.Lock()

    def token(self, size: int) -> bytes:
        """Return the next ``size`` bytes of the seed's sequence."""
        with self._lock:
            self._calls += 1
            call = self._calls
        stem = f"{self._seed}/{call}/".encode()
        blocks = (hashlib.sha256(stem + str(n).encode()).digest() for n in range(size // 32 + 1))
        return b"".join(blocks)[:size]


class FakeKeyService:
    """A ``ports.KeyService`` in memory, with a switch that takes it down.

    Args:
        seed: two services of one seed know the same keys; of different seeds, none in common.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = FakeRandom(seed)
        self._secret = self._random.token(32)
        self._keys: dict[KeyId, bytes] = {}
        self._down = False
        self.rotate()

    def go_down(self) -> None:
        """Answer every further request with KeyServiceError."""
        self._down = True

    def come_up(self) -> None:
        """Answer again."""
        self._down = False

    def rotate(self) -> KeyId:
        """Make a new current key; the old ones still unwrap."""
        name = KeyId(f"fake-{len(self._keys) + 1}")
        self._keys[name] = self._random.token(32)
        return name

    def current(self, scope: str = "") -> KeyId:
        """Return the newest key's id; all scopes share it."""
        del scope
        self._reachable()
        return list(self._keys)[-1]

    def wrap(self, key: bytes, context: bytes, scope: str = "") -> tuple[KeyId, bytes]:
        """Wrap a data key under the current key, bound to ``context``."""
        name = self.current(scope)
        return name, _locked(self._keys[name], key, context)

    def unwrap(self, key_id: KeyId, wrapped: bytes, context: bytes) -> bytes:
        """Unwrap a data key; raises like ``ports.KeyService.unwrap``."""
        self._reachable()
        found = self._keys.get(key_id)
        if found is None:
            raise KeyServiceError(detail=f"unknown key {key_id}")
        tag, hidden = wrapped[:_TAG_BYTES], wrapped[_TAG_BYTES:]
        key = _masked(found, tag, hidden)
        if not hmac.compare_digest(_locked(found, key, context), wrapped):
            raise TagMismatchError
        return key

    def unwrap_many(self, wrapped: Sequence[WrappedKey]) -> Sequence[bytes]:
        """Unwrap data keys; raises like ``ports.KeyService.unwrap_many``."""
        return [self.unwrap(*one) for one in wrapped]

    def derive(self, purpose: str) -> bytes:
        """Return a 32-byte secret of this seed and ``purpose``."""
        self._reachable()
        return hmac.digest(self._secret, purpose.encode(), "sha256")

    def _reachable(self) -> None:
        if self._down:
            raise KeyServiceError(detail="the fake key service is down")


def _locked(key: bytes, secret: bytes, context: bytes) -> bytes:
    """Bind and mask a secret with HMAC alone: enough for a fake, and free of the keys room."""
    message = len(context).to_bytes(8, "big") + context + secret
    tag = hmac.digest(key, message, "sha256")
    return tag + _masked(key, tag, secret)


def _masked(key: bytes, tag: bytes, secret: bytes) -> bytes:
    blocks = len(secret) // _TAG_BYTES + 1
    stream = b"".join(hmac.digest(key, tag + bytes([n]), "sha256") for n in range(blocks))
    return bytes(left ^ right for left, right in zip(secret, stream, strict=False))
