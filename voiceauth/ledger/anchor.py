# SPDX-License-Identifier: Apache-2.0
"""A keyed copy of the chain's head, to be kept outside the database.

The chain alone cannot show that its tail was cut off. The anchor remembers how far it had come, and
without the key it cannot be forged to fit a shorter chain. It may be older than the chain, because
it is written after the commit; it may never be ahead of it.
"""

import hmac
import json

from voiceauth.errors import IntegrityError
from voiceauth.ledger.body import framed
from voiceauth.ledger.chain import HASH_BYTES, Head


def encode(key: bytes, head: Head) -> bytes:
    """Write a head and its keyed hash as one line of JSON.

    Args:
        key: 32 bytes from ``KeyService.derive``.
        head: the end of the chain that is committed.
    """
    record = {
        "sequence": head.sequence,
        "entry_hash": head.entry_hash.hex(),
        "mac": _mac(key, head).hex(),
    }
    return json.dumps(record, sort_keys=True).encode("ascii") + b"\n"


def decode(key: bytes, data: bytes) -> Head:
    """Read a head back.

    Raises:
        IntegrityError: the bytes are not an anchor written under this key.
    """
    try:
        record = json.loads(data)
        head = Head(int(record["sequence"]), bytes.fromhex(record["entry_hash"]))
        mac = bytes.fromhex(record["mac"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise IntegrityError(detail="the ledger's anchor cannot be read") from None
    if head.sequence < 0 or len(head.entry_hash) != HASH_BYTES:
        raise IntegrityError(detail="the ledger's anchor is malformed")
    if not hmac.compare_digest(mac, _mac(key, head)):
        raise IntegrityError(detail="the ledger's anchor was changed, or made under another key")
    return head


def _mac(key: bytes, head: Head) -> bytes:
    message = framed("ledger-anchor", head.sequence, head.entry_hash.hex())
    return hmac.digest(key, message, "sha256")
