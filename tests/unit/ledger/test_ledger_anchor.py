# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from voiceauth.errors import IntegrityError
from voiceauth.ledger.anchor import decode, encode
from voiceauth.ledger.chain import Head

KEY = bytes(range(32))
HEAD = Head(12, bytes(range(32)))


def test_an_anchor_comes_back() -> None:
    """What was anchored is read under the same key."""
    assert decode(KEY, encode(KEY, HEAD)) == HEAD


def test_an_anchor_of_another_key_is_refused() -> None:
    """Without the key nobody can write an anchor that fits a shorter chain."""
    with pytest.raises(IntegrityError):
        decode(bytes(32), encode(KEY, HEAD))


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 11},
        {"sequence": -1},
        {"entry_hash": "00" * 32},
        {"entry_hash": "00"},
        {"mac": "00" * 32},
        {"mac": ""},
        {"mac": None},
        {"sequence": "x"},
    ],
)
def test_a_changed_anchor_is_refused(change: dict[str, object]) -> None:
    """No field of an anchor can be changed."""
    record = {**json.loads(encode(KEY, HEAD)), **change}

    with pytest.raises(IntegrityError):
        decode(KEY, json.dumps(record).encode())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 99_999])
def test_what_is_no_anchor_is_refused(data: bytes) -> None:
    """Whatever stands in the file, the error is one of integrity."""
    with pytest.raises(IntegrityError):
        decode(KEY, data)
