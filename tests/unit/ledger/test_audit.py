# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from dataclasses import replace

import pytest

from voiceauth.errors import ChainBrokenError
from voiceauth.ledger.audit import Testimony as Known
from voiceauth.ledger.audit import audit
from voiceauth.ledger.chain import GENESIS, Head, head_of, next_entry
from voiceauth.ledger.checkpoint import Checkpoint
from voiceauth.ledger.merkle import EMPTY, extended, leaf_hash, root
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import LedgerEntry, TenantId


def chain(words: list[str]) -> list[LedgerEntry]:
    """Chain one made-up event per word."""
    entries: list[LedgerEntry] = []
    head = GENESIS
    for word in words:
        entry = next_entry(head, at=EPOCH, tenant=TenantId("bank"), event=word, body={})
        entries.append(entry)
        head = head_of(entry)
    return entries


def stated(entries: list[LedgerEntry]) -> Checkpoint:
    """Return an honest checkpoint over entries."""
    tree = extended(EMPTY, (leaf_hash(one.entry_hash) for one in entries))
    return Checkpoint(len(entries), root(tree), EPOCH, entries[-1].entry_hash)


def hashes(entries: list[LedgerEntry]) -> bytes:
    """Return what a second place holds of entries."""
    return b"".join(one.entry_hash for one in entries)


def first_bad(entries: list[LedgerEntry], known: Known) -> int:
    """Return the index that the audit names."""
    with pytest.raises(ChainBrokenError) as caught:
        audit(entries, known)
    return caught.value.index


HONEST = chain(list("abcdefghij"))
REWRITTEN = chain(list("abcdeFghij"))
"""A whole new history from the sixth entry on, chained as if it had always been so."""


@pytest.mark.parametrize("place", [0, 4, 9])
@pytest.mark.parametrize(
    "tamper",
    [
        lambda all_, n: [*all_[:n], replace(all_[n], body='{"n":1}'), *all_[n + 1 :]],
        lambda all_, n: all_[:n] + all_[n + 1 :],
        lambda all_, n: [*all_[:n], all_[n - 1 if n else 1], *all_[n + 1 :]],
    ],
    ids=["changed", "dropped", "exchanged"],
)
def test_a_change_in_the_chain_is_named(
    place: int, tamper: Callable[[list[LedgerEntry], int], list[LedgerEntry]]
) -> None:
    """Whatever else is known, the entry itself is named."""
    known = Known(head_of(HONEST[-1]), [stated(HONEST)], hashes(HONEST))

    assert first_bad(tamper(HONEST, place), known) == place + 1


def test_a_rewritten_history_is_named_exactly_by_the_copy_of_the_hashes() -> None:
    """The second place tells which entry was the first to be rewritten, although all chain up."""
    audit(REWRITTEN, Known())

    assert first_bad(REWRITTEN, Known(hashes=hashes(HONEST))) == 6
    assert first_bad(REWRITTEN, Known(hashes=hashes(HONEST) + b"torn")) == 6


def test_a_rewritten_history_is_bounded_by_the_checkpoints_alone() -> None:
    """Without the copy, the first entry that no agreeing checkpoint covers is named."""
    known = Known(checkpoints=[stated(HONEST), stated(HONEST[:4]), stated(HONEST[:7])])

    assert first_bad(REWRITTEN, known) == 5
    assert first_bad(REWRITTEN, Known(checkpoints=[stated(HONEST)])) == 1


def test_a_rewritten_history_is_found_by_the_anchor() -> None:
    """The anchored head is another one."""
    assert first_bad(REWRITTEN, Known(head_of(HONEST[-1]))) == 10


@pytest.mark.parametrize(
    "known",
    [
        Known(head_of(HONEST[-1])),
        Known(checkpoints=[stated(HONEST)]),
        Known(hashes=hashes(HONEST)),
    ],
    ids=["anchor", "checkpoint", "copy"],
)
@pytest.mark.parametrize("left", [0, 7, 9])
def test_a_cut_off_tail_is_found_by_each_of_them_alone(known: Known, left: int) -> None:
    """The first missing entry is named, even if all are missing."""
    assert first_bad(HONEST[:left], known) == left + 1


def test_a_ledger_that_holds_tells_what_it_was_held_against() -> None:
    """Entries that are newer than all testimony are fine."""
    known = Known(head_of(HONEST[7]), [stated(HONEST[:6])], hashes(HONEST[:5]))

    found = audit(HONEST, known)

    assert (found.entries, found.covered, found.checkpoints, found.copied) == (10, 6, 1, 5)


def test_an_empty_ledger_holds() -> None:
    """Nothing is known of nothing."""
    assert audit([], Known()).entries == 0
    assert audit([], Known(Head(0, GENESIS.entry_hash))).entries == 0
