# SPDX-License-Identifier: Apache-2.0
"""Proofs about the ledger that stand alone: whoever has one needs neither vault nor keys.

A proof of inclusion shows that one entry is among those that a signed checkpoint covers; a proof of
growth shows that a later checkpoint rewrote nothing of an earlier one. Both are JSON documents with
all that a checker needs except trust in the verifier key, which must come another way.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from voiceauth.errors import IntegrityError, NotFoundError
from voiceauth.ledger.chain import Head, check_link
from voiceauth.ledger.checkpoint import Checkpoint, opened, public_key, verifier
from voiceauth.ledger.merkle import (
    consistency_proof,
    extends,
    includes,
    inclusion_proof,
    leaf_hash,
)
from voiceauth.types import LedgerEntry, TenantId
from voiceauth.usecases.keep_checkpoints import CheckpointDesk, ledger_pages, make_checkpoint

Document = dict[str, object]
INCLUSION, GROWTH = "inclusion", "growth"


def prove_inclusion(desk: CheckpointDesk, sequence: int) -> Document:
    """Prove that an entry is in the ledger, by a checkpoint made now.

    Raises:
        NotFoundError: there is no such entry.
        ChainBrokenError: the ledger does not hold; nothing is proved.
    """
    latest = make_checkpoint(desk)
    if latest is None or not 1 <= sequence <= latest.size:
        raise NotFoundError("There is no such ledger entry.")
    entry = desk.store.ledger(after=sequence - 1, limit=1)[0]
    proof = inclusion_proof(_leaves(desk, latest.size), sequence - 1)
    return {
        "kind": INCLUSION,
        "entry": _entry_to_document(entry),
        "proof": [one.hex() for one in proof],
        "checkpoint": _note(desk),
        "verifier": verifier(desk.key.public),
    }


def prove_growth(desk: CheckpointDesk, earlier: str) -> Document:
    """Prove that the ledger of an earlier checkpoint is the beginning of today's.

    Args:
        desk: of the ledger.
        earlier: the signed checkpoint.

    Raises:
        IntegrityError: the checkpoint is not this installation's.
        ChainBrokenError: the ledger does not hold; nothing is proved.
        NotFoundError: the ledger is shorter than the checkpoint says: its tail is gone.
    """
    old = opened(earlier, desk.key.public)
    latest = make_checkpoint(desk)
    if latest is None or latest.size < old.size:
        raise NotFoundError("The ledger is shorter than this checkpoint says.")
    proof = consistency_proof(_leaves(desk, latest.size), old.size)
    return {
        "kind": GROWTH,
        "earlier": earlier,
        "proof": [one.hex() for one in proof],
        "checkpoint": _note(desk),
        "verifier": verifier(desk.key.public),
    }


def check_proof(document: Mapping[str, object], trusted: str | None = None) -> Checkpoint:
    """Check a proof. Needs nothing but the document.

    Args:
        document: from ``prove_inclusion`` or ``prove_growth``.
        trusted: verifier key of the installation, learnt another way; None takes the document's
            own, which shows only that it is consistent in itself.

    Returns:
        The checkpoint that it leads to.

    Raises:
        IntegrityError: anything in it was changed, or it was signed by another key.
    """
    try:
        public = public_key(trusted or str(document["verifier"]))
        later = opened(str(document["checkpoint"]), public)
        proof = _hashes(document["proof"])
        if document["kind"] == GROWTH:
            _check_growth(opened(str(document["earlier"]), public), later, proof)
        else:
            _check_inclusion(_entry_from_document(document["entry"]), later, proof)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise IntegrityError("This is no proof.", detail=type(error).__name__) from None
    return later


def _check_growth(earlier: Checkpoint, later: Checkpoint, proof: Sequence[bytes]) -> None:
    if not extends((earlier.size, earlier.root), (later.size, later.root), proof):
        raise IntegrityError("The later checkpoint does not continue the earlier one.")


def _check_inclusion(entry: LedgerEntry, later: Checkpoint, proof: Sequence[bytes]) -> None:
    check_link(Head(entry.sequence - 1, entry.previous_hash), entry)
    leaf = leaf_hash(entry.entry_hash)
    if not includes(leaf, entry.sequence - 1, later.size, proof, later.root):
        raise IntegrityError("The entry is not in the ledger that was signed.")


def _leaves(desk: CheckpointDesk, size: int) -> list[bytes]:
    pages = ledger_pages(desk.store, 0)
    return [leaf_hash(one.entry_hash) for page in pages for one in page][:size]


def _note(desk: CheckpointDesk) -> str:
    stored = desk.store.checkpoint()
    if stored is None:
        raise IntegrityError(detail="the checkpoint disappeared")
    return stored.note


def _entry_to_document(entry: LedgerEntry) -> Document:
    return {
        "sequence": entry.sequence,
        "at": entry.at.isoformat(),
        "tenant": entry.tenant,
        "event": entry.event,
        "body": entry.body,
        "previous_hash": entry.previous_hash.hex(),
        "entry_hash": entry.entry_hash.hex(),
    }


def _entry_from_document(found: object) -> LedgerEntry:
    if not isinstance(found, Mapping):
        raise TypeError
    return LedgerEntry(
        sequence=int(found["sequence"]),
        at=datetime.fromisoformat(found["at"]),
        tenant=TenantId(found["tenant"]),
        event=found["event"],
        body=found["body"],
        previous_hash=bytes.fromhex(found["previous_hash"]),
        entry_hash=bytes.fromhex(found["entry_hash"]),
    )


def _hashes(found: object) -> list[bytes]:
    if not isinstance(found, list):
        raise TypeError
    return [bytes.fromhex(one) for one in found]
