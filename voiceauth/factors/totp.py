# SPDX-License-Identifier: Apache-2.0
"""Codes of an authenticator app: TOTP, RFC 6238, over a well-kept library.

Rules:

* SHA-1, 6 digits, 30 s: what every authenticator understands. 160 random bits are the secret.
* A code is taken within the window around the time, and only for a step after the last one that
  was taken: nobody who overheard a code can use it.
* All steps of the window are compared, each in constant time.

Example:
    >>> secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    >>> matching_step(secret, "94287082", at=59, window=0, after=-1, digits=8)
    1
    >>> matching_step(secret, "94287082", at=59, window=0, after=1, digits=8) is None
    True
"""

import base64
import hmac

import pyotp

from voiceauth.ports import Random

STEP_SECONDS = 30
DIGITS = 6
_SECRET_BYTES = 20


def new_secret(random: Random) -> str:
    """Make a secret; return it in base32."""
    return base64.b32encode(random.token(_SECRET_BYTES)).decode("ascii")


def provisioning_uri(secret: str, *, label: str, issuer: str) -> str:
    """Return the ``otpauth://`` address that authenticators read, mostly as a QR code."""
    return str(pyotp.TOTP(secret).provisioning_uri(name=label, issuer_name=issuer))


def matching_step(
    secret: str, code: str, *, at: float, window: int, after: int, digits: int = DIGITS
) -> int | None:
    """Return the time step that a code belongs to, None if it is not to be taken.

    Args:
        secret: in base32.
        code: as the caller gave it.
        at: seconds since 1970.
        window: steps that the caller's clock may be off, either way.
        after: newest step that was taken before; -1 for none.
        digits: of the code.
    """
    given = code.encode("utf-8", "surrogatepass")
    totp, now = pyotp.TOTP(secret, digits=digits), int(at) // STEP_SECONDS
    found = None
    for step in range(now - window, now + window + 1):
        right = totp.generate_otp(step) if step >= 0 else ""
        same = bool(right) and hmac.compare_digest(right.encode(), given)
        if same and step > after:
            found = step
    return found
