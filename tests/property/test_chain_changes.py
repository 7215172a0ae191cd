# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from voiceauth.errors import ChainBrokenError
from voiceauth.ledger.body import canonical_json, framed
from voiceauth.ledger.chain import GENESIS, head_of, next_entry, verify
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import LedgerEntry, TenantId

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
BODIES = st.dictionaries(st.text(max_size=3), FLOATS)
EVENTS = st.lists(
    st.tuples(st.integers(0, 10**9), st.text(max_size=4), BODIES), min_size=1, max_size=8
)
FIELDS = st.sampled_from(["at", "tenant", "event", "body", "previous_hash", "entry_hash"])


def chained(events: list[tuple[int, str, dict[str, float]]]) -> list[LedgerEntry]:
    """Chain made-up events."""
    entries: list[LedgerEntry] = []
    head = GENESIS
    for offset, text, body in events:
        at = EPOCH + timedelta(microseconds=offset)
        entry = next_entry(head, at=at, tenant=TenantId(text), event=f"e.{text}", body=body)
        entries.append(entry)
        head = head_of(entry)
    return entries


@given(events=EVENTS)
def test_a_chain_that_was_made_verifies(events: list[tuple[int, str, dict[str, float]]]) -> None:
    """Whatever the events, the chain holds."""
    entries = chained(events)

    assert verify(entries, expected=head_of(entries[-1])) == len(events)


@given(events=EVENTS, field=FIELDS, data=st.data())
def test_any_single_byte_change_is_located(
    events: list[tuple[int, str, dict[str, float]]], field: str, data: st.DataObject
) -> None:
    """One byte of one field of one entry changes: exactly this entry is named."""
    entries = chained(events)
    at = data.draw(st.integers(0, len(entries) - 1))
    change: dict[str, Any] = {field: _changed(getattr(entries[at], field), data)}
    entries[at] = replace(entries[at], **change)

    with pytest.raises(ChainBrokenError) as caught:
        verify(entries)
    assert caught.value.index == at + 1


@given(events=EVENTS.filter(lambda found: len(found) > 1), data=st.data())
def test_any_rearrangement_is_found(
    events: list[tuple[int, str, dict[str, float]]], data: st.DataObject
) -> None:
    """Dropping, repeating or swapping entries breaks the chain or the expected head."""
    entries = chained(events)
    order = data.draw(st.lists(st.integers(0, len(entries) - 1), max_size=len(entries) + 2))
    assume(order != list(range(len(entries))))

    with pytest.raises(ChainBrokenError):
        verify([entries[n] for n in order], expected=head_of(entries[-1]))


@given(
    left=st.lists(st.one_of(st.text(max_size=4), st.integers()), max_size=4),
    right=st.lists(st.one_of(st.text(max_size=4), st.integers()), max_size=4),
)
def test_the_hashed_form_is_injective(left: list[str | int], right: list[str | int]) -> None:
    """Different parts are hashed as different bytes."""
    assert (framed("k", *left) == framed("k", *right)) is (left == right)


@given(body=st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans())))
def test_a_body_has_one_form_whatever_its_order(body: dict[str, object]) -> None:
    """The order of insertion does not show."""
    backwards = dict(reversed(body.items()))

    assert canonical_json(body) == canonical_json(backwards)


def _changed(value: object, data: st.DataObject) -> object:
    if isinstance(value, bytes):
        at = data.draw(st.integers(0, len(value) - 1))
        return value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :]
    if isinstance(value, str):
        at = data.draw(st.integers(0, len(value)))
        old = value[at : at + 1]
        letter = data.draw(st.characters(codec="utf-8").filter(lambda one: one != old))
        return value[:at] + letter + value[at + 1 :]
    return EPOCH + timedelta(microseconds=10**9 + 1 + data.draw(st.integers(0, 10**9)))
