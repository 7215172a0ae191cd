# SPDX-License-Identifier: Apache-2.0
"""Signed statements of how far the ledger had come: a size, a root hash and a time.

The text is a *signed note* that holds a *tlog checkpoint* (C2SP), so that witnesses and monitors
made for certificate-transparency logs can read it::

    voiceauth/0a1b2c3d4e5f6071
    1000
    <root hash, base64>
    at <microseconds since 1970>
    head <hash of entry 1000, hex>

    — voiceauth/0a1b2c3d4e5f6071 <key id and Ed25519 signature, base64>

Kept on another system, it shows later that entries were rewritten or cut off, whatever else an
attacker could change. The name is made from the public key.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from voiceauth.errors import IntegrityError
from voiceauth.keys.signing import PUBLIC_KEY_BYTES, SigningKey, check_signature
from voiceauth.ledger.chain import microseconds
from voiceauth.ledger.merkle import HASH_BYTES

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_LINES = 5
_DASH = "\u2014"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is stated.

    Attributes:
        size: entries covered, from the first one on; at least 1.
        root: Merkle root over their hashes (see ``merkle``).
        at: when it was stated, UTC.
        head: hash of the last entry covered.
    """

    size: int
    root: bytes = field(repr=False)
    at: datetime
    head: bytes = field(repr=False)


def name_of(public: bytes) -> str:
    """Return the name that a public key signs under."""
    return f"voiceauth/{hashlib.sha256(public).hexdigest()[:16]}"


def verifier(public: bytes) -> str:
    """Return a public key as other tools take it: name, key id and key, joined by ``+``."""
    key = base64.b64encode(_ED25519 + public).decode()
    return f"{name_of(public)}+{_key_id(public).hex()}+{key}"


def public_key(text: str) -> bytes:
    """Read what ``verifier`` wrote.

    Raises:
        IntegrityError: it is something else, or its parts do not belong together.
    """
    try:
        _, _, key = text.strip().split("+", 2)
        public = base64.b64decode(key, validate=True)[1:]
    except (ValueError, binascii.Error):
        raise IntegrityError("This is no verifier key.") from None
    if len(public) != PUBLIC_KEY_BYTES or verifier(public) != text.strip():
        raise IntegrityError("This is no verifier key.")
    return public


def signed(checkpoint: Checkpoint, key: SigningKey) -> str:
    """Write a checkpoint and sign it."""
    name = name_of(key.public)
    text = _text(name, checkpoint)
    mark = base64.b64encode(_key_id(key.public) + key.sign(text.encode())).decode()
    return f"{text}\n{_DASH} {name} {mark}\n"


def opened(note: str, public: bytes) -> Checkpoint:
    """Read a signed checkpoint. Signatures of others, such as witnesses, are passed over.

    Raises:
        IntegrityError: not signed by this key, changed, or no checkpoint.
    """
    text, blank, marks = note.partition(f"\n\n{_DASH} ")
    if not blank:
        raise IntegrityError(detail="a checkpoint is unsigned")
    text += "\n"
    check_signature(public, text.encode("utf-8", "surrogatepass"), _signature(marks, public))
    checkpoint = _parsed(text)
    if text != _text(name_of(public), checkpoint):
        raise IntegrityError(detail="a checkpoint is not in its one form")
    return checkpoint


def _text(name: str, one: Checkpoint) -> str:
    root = base64.b64encode(one.root).decode()
    return f"{name}\n{one.size}\n{root}\nat {microseconds(one.at)}\nhead {one.head.hex()}\n"


def _parsed(text: str) -> Checkpoint:
    lines = text.splitlines()
    if len(lines) != _LINES:
        raise IntegrityError(detail="a checkpoint has the wrong number of lines")
    try:
        checkpoint = Checkpoint(
            size=int(lines[1]),
            root=base64.b64decode(lines[2], validate=True),
            at=_EPOCH + timedelta(microseconds=int(lines[3].removeprefix("at "))),
            head=bytes.fromhex(lines[4].removeprefix("head ")),
        )
    except (ValueError, binascii.Error, OverflowError):
        raise IntegrityError(detail="a checkpoint cannot be read") from None
    if checkpoint.size < 1 or {len(checkpoint.root), len(checkpoint.head)} != {HASH_BYTES}:
        raise IntegrityError(detail="a checkpoint is impossible")
    return checkpoint


def _signature(marks: str, public: bytes) -> bytes:
    """Return the signature of one key; empty if it has not signed."""
    for line in marks.splitlines():
        name, _, mark = line.removeprefix(f"{_DASH} ").rpartition(" ")
        try:
            raw = base64.b64decode(mark, validate=True)
        except (ValueError, binascii.Error):
            continue
        if name == name_of(public) and raw[:_KEY_ID_BYTES] == _key_id(public):
            return raw[_KEY_ID_BYTES:]
    return b""


def _key_id(public: bytes) -> bytes:
    stem = name_of(public).encode() + b"\n" + _ED25519 + public
    return hashlib.sha256(stem).digest()[:_KEY_ID_BYTES]
