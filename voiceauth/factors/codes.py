# SPDX-License-Identifier: Apache-2.0
"""One-time codes: drawn evenly, bound to one step-up, kept as a keyed hash.

A code has about 20 bits, so a plain hash of it could be tried out at once; the key of this one
never leaves the key service's installation secret.
"""

import hmac

from voiceauth.ports import Random

DIGITS = 6
_RANGE = 10**DIGITS
_DRAW_BYTES = 4
_EVEN = (256**_DRAW_BYTES // _RANGE) * _RANGE
"""Draws from here on are thrown away: with them, low codes would be likelier."""


def new_code(random: Random) -> str:
    """Draw a code of six digits, each as likely as any other."""
    while True:
        drawn = int.from_bytes(random.token(_DRAW_BYTES), "big")
        if drawn < _EVEN:
            return f"{drawn % _RANGE:0{DIGITS}d}"


def code_hash(key: bytes, step_up: str, code: str) -> str:
    """Return what a code is kept as: a keyed hash, bound to the step-up that it is for."""
    message = f"{len(step_up)}:{step_up}:{code}".encode("utf-8", "surrogatepass")
    return hmac.digest(key, message, "sha256").hex()


def is_code(key: bytes, step_up: str, code: str, kept: str) -> bool:
    """Say whether a code is the one that was kept, in constant time; never without one."""
    return bool(kept) and hmac.compare_digest(code_hash(key, step_up, code), kept)
