# SPDX-License-Identifier: Apache-2.0
"""Make and check the links of the audit chain.

An entry's hash is SHA-256 over the UTF-8 bytes of one compact JSON array (``json.dumps`` with
``ensure_ascii=False`` and separators ``,`` and ``:``)::

    ["ledger-entry", sequence, microseconds since 1970, tenant, event, body, previous hash in hex]

where body is the stored text as a JSON string. No byte of an entry can change without its hash, and
so every later one, changing too.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from voiceauth.errors import ChainBrokenError, InternalError
from voiceauth.ledger.body import canonical_json, framed
from voiceauth.types import LedgerEntry, TenantId

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: its last sequence number and hash."""

    sequence: int
    entry_hash: bytes = field(repr=False)


GENESIS = Head(0, bytes(HASH_BYTES))
"""The end of an empty chain."""


def next_entry(
    previous: Head,
    *,
    at: datetime,
    tenant: TenantId,
    event: str,
    body: Mapping[str, object],
) -> LedgerEntry:
    """Make the entry that follows ``previous``.

    Args:
        previous: ``GENESIS``, or ``head_of`` the last entry.
        at: time of the event, aware; kept in UTC to the microsecond.
        tenant: whose event it is; empty for the installation itself.
        event: stable dotted name.
        body: see ``canonical_json``.

    Raises:
        InternalError: ``at`` has no time zone, or the body cannot be written canonically.
    """
    if at.tzinfo is None:
        raise InternalError(detail="a ledger entry's time needs a time zone")
    draft = LedgerEntry(
        sequence=previous.sequence + 1,
        at=at.astimezone(UTC),
        tenant=tenant,
        event=event,
        body=canonical_json(body),
        previous_hash=previous.entry_hash,
        entry_hash=b"",
    )
    return replace(draft, entry_hash=_hash(draft))


def head_of(entry: LedgerEntry) -> Head:
    """Return the head of a chain that ends with ``entry``."""
    return Head(entry.sequence, entry.entry_hash)


def verify(
    entries: Iterable[LedgerEntry], *, after: Head = GENESIS, expected: Head | None = None
) -> int:
    """Walk a chain from ``after`` to its end.

    Args:
        entries: in order; may be a generator over any number of entries.
        after: where the walk starts, already trusted.
        expected: a head known from elsewhere that the chain must contain. Entries after it are
            fine: the anchor is written after the commit. Without it a cut-off tail goes unnoticed.

    Returns:
        Sequence number of the last entry; ``after.sequence`` for none.

    Raises:
        ChainBrokenError: its ``index`` is the first entry that is changed, missing or out of place.
    """
    head = after
    for entry in entries:
        check_link(head, entry)
        head = head_of(entry)
        if expected is not None and head.sequence == expected.sequence:
            require_same(head, expected)
    if expected is not None and head.sequence < expected.sequence:
        raise ChainBrokenError(
            head.sequence + 1, detail=f"the tail is missing: {expected.sequence} was the last"
        )
    return head.sequence


def check_link(head: Head, entry: LedgerEntry) -> None:
    """Check that ``entry`` follows ``head`` unchanged. Raises ChainBrokenError."""
    due = head.sequence + 1
    if entry.sequence != due:
        raise ChainBrokenError(due, detail=f"found entry {entry.sequence} in its place")
    if not hmac.compare_digest(entry.previous_hash, head.entry_hash):
        raise ChainBrokenError(due, detail="it does not follow the entry before it")
    if not hmac.compare_digest(_hash(entry), entry.entry_hash):
        raise ChainBrokenError(due, detail="its content does not match its hash")


def microseconds(moment: datetime) -> int:
    """Return whole microseconds since 1970 UTC: the exact form of a time in hash and database."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def require_same(head: Head, expected: Head) -> None:
    """Check that two heads of one sequence number are one. Raises ChainBrokenError."""
    if not hmac.compare_digest(head.entry_hash, expected.entry_hash):
        raise ChainBrokenError(head.sequence, detail="the chain was rewritten: another hash stood")


def _hash(entry: LedgerEntry) -> bytes:
    linked = framed(
        "ledger-entry",
        entry.sequence,
        microseconds(entry.at),
        entry.tenant,
        entry.event,
        entry.body,
        entry.previous_hash.hex(),
    )
    return hashlib.sha256(linked).digest()
