# SPDX-License-Identifier: Apache-2.0
"""PINs: argon2id over a keyed hash, and the ones that everybody tries first refused.

A PIN of six digits has at most 20 bits, which no hash protects for long from whoever has it and
can try. So it is hashed with a secret of the installation before: the vault alone is not enough.
"""

import hmac
from dataclasses import dataclass
from itertools import pairwise

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from voiceauth.errors import IntegrityError, WeakPinError

MOST_DIGITS = 12
_COMMON = frozenset(
    {"112233", "121314", "159753", "147258", "159357", "102030", "142536", "131313"}
)
_LEAST_DISTINCT = 3
_LONGEST_PERIOD = 3
_TELLING = 4
"""Digits of something known that make a PIN which holds them easy to guess."""


@dataclass(frozen=True, slots=True)
class PinCost:
    """What one check costs; whoever tries PINs pays it each time.

    Attributes:
        passes: over the memory.
        memory_kib: of one check.
        lanes: that may run side by side.
    """

    passes: int = 2
    memory_kib: int = 19_456
    lanes: int = 1


class PinHasher:
    """Hashes PINs. Safe from several threads.

    Args:
        pepper: 32 bytes of the installation.
        cost: of one check.
    """

    def __init__(self, pepper: bytes, cost: PinCost | None = None) -> None:
        cost = cost or PinCost()
        self._pepper = pepper
        self._hasher = PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes
        )
        self._nobody = self._hasher.hash(self._keyed("", "no PIN is like this"))

    def hash(self, owner: str, pin: str) -> str:
        """Return what a PIN is kept as, bound to its owner. Slow on purpose."""
        return self._hasher.hash(self._keyed(owner, pin))

    def matches(self, owner: str, pin: str, kept: str | None) -> bool:
        """Say whether a PIN is the owner's. As slow where there is none.

        Raises:
            IntegrityError: what was kept is no hash of ours.
        """
        try:
            right = self._hasher.verify(kept or self._nobody, self._keyed(owner, pin))
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError) as error:
            raise IntegrityError(detail="a stored PIN is malformed") from error
        return right and kept is not None

    def _keyed(self, owner: str, pin: str) -> str:
        message = f"{len(owner)}:{owner}:{pin}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._pepper, message, "sha256").hex()


def check_pin(pin: str, *, least_digits: int, known: tuple[str, ...] = ()) -> None:
    """Refuse a PIN that is easily guessed.

    Args:
        pin: as it was chosen.
        least_digits: that it needs.
        known: what an attacker knows of the person, for example the customer number.

    Raises:
        WeakPinError: it is too short, not made of digits, or among the first that anybody tries.
    """
    if not (pin.isascii() and pin.isdecimal() and least_digits <= len(pin) <= MOST_DIGITS):
        raise WeakPinError(f"A PIN has {least_digits} to {MOST_DIGITS} digits.")
    steps = {(int(b) - int(a)) % 10 for a, b in pairwise(pin)}
    if len(set(pin)) < _LEAST_DISTINCT or len(steps) == 1 or pin in _COMMON:
        raise WeakPinError
    for period in range(1, _LONGEST_PERIOD + 1):
        if pin == (pin[:period] * len(pin))[: len(pin)]:
            raise WeakPinError
    if any(pin in text or (len(text) >= _TELLING and text in pin) for text in known):
        raise WeakPinError
