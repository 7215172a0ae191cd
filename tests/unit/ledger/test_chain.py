# SPDX-License-Identifier: Apache-2.0
import hashlib
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import pytest

from voiceauth.errors import ChainBrokenError, InternalError
from voiceauth.ledger.body import canonical_json
from voiceauth.ledger.chain import GENESIS, Head, head_of, next_entry, verify
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import LedgerEntry, TenantId


def chain(length: int, word: str = "verify") -> list[LedgerEntry]:
    """Make a chain of made-up events."""
    entries: list[LedgerEntry] = []
    head = GENESIS
    for number in range(length):
        at = EPOCH + timedelta(seconds=number)
        entry = next_entry(
            head, at=at, tenant=TenantId("bank"), event=f"{word}.done", body={"n": number, "x": 0.1}
        )
        entries.append(entry)
        head = head_of(entry)
    return entries


def first_bad(entries: list[LedgerEntry], expected: Head | None = None) -> int:
    """Return the index that verification names."""
    with pytest.raises(ChainBrokenError) as caught:
        verify(entries, expected=expected)
    return caught.value.index


@pytest.mark.parametrize("place", [0, 4, 9])
@pytest.mark.parametrize(
    "change",
    [
        {"at": EPOCH + timedelta(days=1)},
        {"tenant": TenantId("shop")},
        {"event": "verify.undone"},
        {"body": '{"n":99}'},
        {"previous_hash": bytes(31) + b"\x01"},
        {"entry_hash": bytes(31) + b"\x01"},
        {"sequence": 77},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_field_is_found_where_it_is(place: int, change: dict[str, object]) -> None:
    """Every field of every entry is covered, and the first bad entry is named."""
    entries = chain(10)
    entries[place] = replace(entries[place], **change)  # type: ignore[arg-type]

    assert first_bad(entries) == place + 1


def test_a_changed_entry_with_a_mended_hash_breaks_the_next_link() -> None:
    """Recomputing one hash only moves the break by one entry."""
    entries = chain(10)
    forged = next_entry(
        head_of(entries[3]), at=EPOCH, tenant=TenantId("bank"), event="forged", body={}
    )
    entries[4] = forged

    assert first_bad(entries) == 6


@pytest.mark.parametrize("place", [0, 5, 8])
def test_a_dropped_entry_is_found(place: int) -> None:
    """A missing entry is named by its own number."""
    entries = chain(10)
    del entries[place]

    assert first_bad(entries) == place + 1


def test_swapped_entries_are_found() -> None:
    """Order is part of the chain."""
    entries = chain(10)
    entries[3], entries[4] = entries[4], entries[3]

    assert first_bad(entries) == 4


def test_a_repeated_entry_is_found() -> None:
    """An entry can stand only once."""
    entries = chain(5)

    assert first_bad([*entries[:3], entries[2], *entries[3:]]) == 4


def test_a_cut_tail_needs_an_expected_head() -> None:
    """The chain alone cannot show a missing tail; a head that was kept elsewhere does."""
    entries = chain(10)
    expected = head_of(entries[-1])

    assert verify(entries[:7]) == 7
    assert first_bad(entries[:7], expected) == 8
    assert first_bad([], expected) == 1


def test_a_rewritten_chain_needs_an_expected_head() -> None:
    """A chain that was written anew from the start is found by the head that was kept."""
    expected = head_of(chain(10)[6])

    assert first_bad(chain(10, word="forged"), expected) == 7


def test_entries_beyond_the_expected_head_are_fine() -> None:
    """The anchor is written after the commit, so it may lag."""
    entries = chain(10)

    assert verify(entries, expected=head_of(entries[4])) == 10
    assert verify(entries, expected=GENESIS) == 10


def test_a_walk_can_go_on_from_a_trusted_head() -> None:
    """A long ledger can be checked piece by piece."""
    entries = chain(10)

    assert verify(entries[4:], after=head_of(entries[3])) == 10
    assert verify([], after=head_of(entries[3])) == 4


def test_the_hash_is_the_documented_one() -> None:
    """An auditor can recompute an entry's hash from the documentation alone."""
    at = datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)
    entry = next_entry(GENESIS, at=at, tenant=TenantId("bänk"), event="a.b", body={"z": 1, "a": ""})
    text = (
        '["ledger-entry",1,1000005,"bänk","a.b","{\\"a\\":\\"\\",\\"z\\":1}","' + "00" * 32 + '"]'
    )

    assert entry.body == '{"a":"","z":1}'
    assert entry.entry_hash == hashlib.sha256(text.encode()).digest()


def test_times_are_kept_in_utc() -> None:
    """The same moment in another zone is the same entry."""
    zone = timezone(timedelta(hours=2))
    one = next_entry(GENESIS, at=EPOCH, tenant=TenantId(""), event="e", body={})
    other = next_entry(GENESIS, at=EPOCH.astimezone(zone), tenant=TenantId(""), event="e", body={})

    assert one == other


def test_a_time_without_a_zone_is_refused() -> None:
    """A time of unknown zone cannot be evidence."""
    with pytest.raises(InternalError):
        next_entry(GENESIS, at=EPOCH.replace(tzinfo=None), tenant=TenantId(""), event="e", body={})


@pytest.mark.parametrize(
    "body",
    [
        {"x": math.nan},
        {"x": math.inf},
        {"x": [1.0, {"y": -math.inf}]},
        {"x": b"bytes"},
        {"x": {1: "no string"}},
        {"x": {1, 2}},
        {"x": EPOCH},
        {"x": MappingProxyType({})},
    ],
)
def test_a_body_without_one_text_form_is_refused(body: dict[str, object]) -> None:
    """NaN, infinity, bytes and odd keys have no canonical JSON."""
    with pytest.raises(InternalError):
        canonical_json(body)


def test_equal_bodies_have_one_text_form() -> None:
    """Key order, tuples and lists make no difference; floats keep every bit."""
    assert canonical_json({"b": (1, None, True), "a": 0.1 + 0.2}) == (
        '{"a":0.30000000000000004,"b":[1,null,true]}'
    )
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})
    assert canonical_json(MappingProxyType({"a": 1})) == '{"a":1}'
    assert canonical_json({"ü": "\u2028"}) == '{"\\u00fc":"\\u2028"}'
