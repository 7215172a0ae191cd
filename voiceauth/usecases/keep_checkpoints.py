# SPDX-License-Identifier: Apache-2.0
"""State, signed, how far the ledger has come, and put that where nobody here can change it.

A checkpoint is only ever signed over entries that were walked: those since the last checkpoint are
chained onto the head that it signed. So a history that was rewritten behind a checkpoint does not
get another one, and the attempt names the first bad entry.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voiceauth.errors import ChainBrokenError, IntegrityError
from voiceauth.keys.signing import SigningKey
from voiceauth.ledger.chain import GENESIS, Head, check_link, head_of
from voiceauth.ledger.checkpoint import Checkpoint, opened, signed
from voiceauth.ledger.merkle import EMPTY, HASH_BYTES, Frontier, extended, leaf_hash, root
from voiceauth.ports import Clock, KeyService, LedgerStore
from voiceauth.types import LedgerEntry, StoredCheckpoint
from voiceauth.vault.second_place import SecondPlace

_BATCH = 500


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointDesk:
    """What is needed to state how far the ledger has come.

    Attributes:
        store: the ledger.
        key: signs; of this installation.
        clock: dates the statement.
        export: the second place; None for none.
    """

    store: LedgerStore
    key: SigningKey
    clock: Clock
    export: Path | None = None

    def run(self) -> None:
        """Make a checkpoint and copy it to the second place. Errors as the two functions."""
        made = make_checkpoint(self)
        if made is not None and self.export is not None:
            copy_out(self, made, self.export)


def signing_key(keys: KeyService) -> SigningKey:
    """Return the key that this installation signs its ledger and its receipts with.

    Raises:
        KeyServiceError: the key service is down.
    """
    return SigningKey(keys.derive("ledger-signing"))


def make_checkpoint(desk: CheckpointDesk) -> Checkpoint | None:
    """Sign a checkpoint over all entries there are; the last one if there are no newer entries.

    Returns:
        None for an empty ledger.

    Raises:
        ChainBrokenError: the entries do not continue the last checkpoint; nothing was signed.
        IntegrityError: the stored checkpoint was changed.
        StorageError: the vault cannot be read or written.
    """
    last, tree = _last(desk)
    head = GENESIS if last is None else Head(last.size, last.head)
    _require_unchanged(desk.store, head)
    for page in ledger_pages(desk.store, head.sequence):
        for entry in page:
            check_link(head, entry)
            head = head_of(entry)
        tree = extended(tree, (leaf_hash(one.entry_hash) for one in page))
    if tree.size == (0 if last is None else last.size):
        return last
    made = Checkpoint(head.sequence, root(tree), desk.clock.now(), head.entry_hash)
    note = signed(made, desk.key)
    desk.store.put_checkpoint(StoredCheckpoint(note, b"".join(tree.peaks)))
    return made


def copy_out(desk: CheckpointDesk, checkpoint: Checkpoint, directory: Path) -> int:
    """Append to a second place what it does not have yet; return how many hashes that were.

    Raises:
        ChainBrokenError: the second place tells of another history than the vault.
        StorageError: the directory cannot be read or written.
    """
    place = SecondPlace(directory)
    known, stored = place.count(), desk.store.checkpoint()
    if stored is None or known > checkpoint.size:
        detail = f"the tail is missing: the second place has {known} entries"
        raise ChainBrokenError(checkpoint.size + 1, detail=detail)
    _require_unchanged(desk.store, Head(known, place.last_hash()) if known else GENESIS)
    if known == checkpoint.size and place.notes():
        return 0
    new = [
        one.entry_hash
        for page in ledger_pages(desk.store, known)
        for one in page
        if one.sequence <= checkpoint.size
    ]
    place.extend(known, b"".join(new), signed(checkpoint, desk.key))
    return len(new)


def stored_checkpoint(store: LedgerStore, public: bytes) -> Checkpoint | None:
    """Return the vault's newest checkpoint, its signature checked; None before the first.

    Raises:
        IntegrityError: it was changed, or is another installation's.
    """
    stored = store.checkpoint()
    return None if stored is None else opened(stored.note, public)


def _last(desk: CheckpointDesk) -> tuple[Checkpoint | None, Frontier]:
    stored = desk.store.checkpoint()
    if stored is None:
        return None, EMPTY
    last = opened(stored.note, desk.key.public)
    peaks = tuple(
        stored.peaks[place : place + HASH_BYTES]
        for place in range(0, len(stored.peaks), HASH_BYTES)
    )
    tree = Frontier(last.size, peaks)
    if len(peaks) != last.size.bit_count() or root(tree) != last.root:
        raise IntegrityError(detail="the stored Merkle tree is not the one that was signed")
    return last, tree


def _require_unchanged(store: LedgerStore, head: Head) -> None:
    """Check that the entry at a known head is there and still has its hash."""
    if head.sequence == 0:
        return
    found = store.ledger(after=head.sequence - 1, limit=1)
    if not found or found[0].sequence != head.sequence:
        raise ChainBrokenError(head.sequence, detail="it is missing, but was signed or copied")
    if found[0].entry_hash != head.entry_hash:
        raise ChainBrokenError(head.sequence, detail="another entry was signed or copied")


def ledger_pages(store: LedgerStore, after: int) -> Iterator[list[LedgerEntry]]:
    """Read all entries behind a sequence number, some at a time."""
    while page := list(store.ledger(after=after, limit=_BATCH)):
        yield page
        after = page[-1].sequence
