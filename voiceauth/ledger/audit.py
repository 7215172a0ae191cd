# SPDX-License-Identifier: Apache-2.0
"""Hold a whole ledger against everything that is known of it from elsewhere, in one walk.

The chain shows changes of single entries. A history that was rewritten and chained anew shows
against what was said of it before: the anchor, signed checkpoints, and the copy of the entries'
hashes in a second place, which alone can name the first rewritten entry exactly.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from voiceauth.errors import ChainBrokenError
from voiceauth.ledger.chain import GENESIS, Head, check_link, head_of, require_same
from voiceauth.ledger.checkpoint import Checkpoint
from voiceauth.ledger.merkle import EMPTY, HASH_BYTES, extended, leaf_hash, root
from voiceauth.types import LedgerEntry


@dataclass(frozen=True, slots=True)
class Testimony:
    """What is known of a ledger besides itself.

    Attributes:
        anchored: the head that the anchor remembers; None for an empty ledger.
        checkpoints: signatures already checked; in any order, repetitions allowed.
        hashes: of the entries from the first on, 32 bytes each, as copied to a second place.
    """

    anchored: Head | None = None
    checkpoints: Sequence[Checkpoint] = ()
    hashes: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Audit:
    """A ledger that holds.

    Attributes:
        entries: how many it has.
        covered: how many of them the largest checkpoint covers.
        checkpoints: how many were compared.
        copied: how many hashes of the second place were compared.
    """

    entries: int
    covered: int
    checkpoints: int
    copied: int


def audit(entries: Iterable[LedgerEntry], known: Testimony) -> Audit:
    """Walk a ledger from its first entry to its end.

    Args:
        entries: in order; may be a generator over any number of entries.
        known: what it must agree with. Entries beyond it are fine: they are newer.

    Raises:
        ChainBrokenError: its ``index`` is the first entry that is changed, missing or out of
            place. Where only a checkpoint disagrees, it is the first one that the checkpoint
            before does not cover, and the message names both.
    """
    due = _by_size(known.checkpoints)
    head, tree, covered = GENESIS, EMPTY, 0
    for entry in entries:
        check_link(head, entry)
        head = head_of(entry)
        _compare_copy(head, known.hashes)
        _compare_anchor(head, known.anchored)
        tree = extended(tree, [leaf_hash(head.entry_hash)])
        for one in due.get(head.sequence, ()):
            if not hmac.compare_digest(one.root, root(tree)):
                between = f"between entries {covered + 1} and {one.size} history was rewritten"
                raise ChainBrokenError(covered + 1, detail=between)
            covered = one.size
    _require_whole(head, known)
    return Audit(head.sequence, covered, len(known.checkpoints), len(known.hashes) // HASH_BYTES)


def _by_size(checkpoints: Sequence[Checkpoint]) -> dict[int, list[Checkpoint]]:
    found: dict[int, list[Checkpoint]] = {}
    for one in checkpoints:
        found.setdefault(one.size, []).append(one)
    return found


def _compare_copy(head: Head, hashes: bytes) -> None:
    copy = hashes[(head.sequence - 1) * HASH_BYTES : head.sequence * HASH_BYTES]
    if len(copy) == HASH_BYTES and not hmac.compare_digest(copy, head.entry_hash):
        detail = "the copy in the second place tells of another entry"
        raise ChainBrokenError(head.sequence, detail=detail)


def _compare_anchor(head: Head, anchored: Head | None) -> None:
    if anchored is not None and head.sequence == anchored.sequence:
        require_same(head, anchored)


def _require_whole(head: Head, known: Testimony) -> None:
    last = max(
        0 if known.anchored is None else known.anchored.sequence,
        len(known.hashes) // HASH_BYTES,
        *(one.size for one in known.checkpoints),
    )
    if head.sequence < last:
        detail = f"the tail is missing: {last} was the last"
        raise ChainBrokenError(head.sequence + 1, detail=detail)
