# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for identifiers, so that ledger and logs name nobody."""

import base64
import hmac

from voiceauth.ledger.body import framed
from voiceauth.types import TenantId

_BYTES = 16


def pseudonym(key: bytes, tenant: TenantId, identifier: str, secret: bytes = b"") -> str:
    """Return the keyed hash that stands for ``identifier`` within ``tenant``.

    The same identifier always gets the same stand-in in one installation and tenant, and unrelated
    ones elsewhere. Without the key it can be neither reversed nor tried out.

    Args:
        key: 32 bytes from ``KeyService.derive``.
        tenant: whose identifier it is.
        identifier: a subject or call id.
        secret: of the subject alone. Once it is destroyed, nobody can say any more whom the
            stand-in means, with the installation's key neither.

    Returns:
        26 characters of lower-case base32 (128 bits).
    """
    message = framed("pseudonym", tenant, identifier)
    if secret:
        key = hmac.digest(key, secret, "sha256")
    digest = hmac.digest(key, message, "sha256")[:_BYTES]
    return base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def commitment(token: str, tenant: TenantId, subject: str) -> str:
    """Return what ties an erasure to a person for whoever has the token, and for nobody else.

    Args:
        token: given out with the erasure and kept nowhere.
        tenant: whose subject it was.
        subject: the person.

    Returns:
        64 hexadecimal digits.
    """
    return hmac.digest(token.encode(), framed("erasure", tenant, subject), "sha256").hex()
