# SPDX-License-Identifier: Apache-2.0
import pytest

from voiceauth.keys.canonical import bind


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (bind("row", a="ab", b="c"), bind("row", a="a", b="bc")),
        (bind("row", a="x"), bind("rowa", a="x")),
        (bind("row", a="1"), bind("row", a=1)),
        (bind("row", a="1"), bind("row", a=b"1")),
        (bind("row", a=""), bind("row")),
        (bind("row", a="x", b=""), bind("row", a="x")),
        (bind("row", a="x"), bind("row", b="x")),
    ],
)
def test_different_parts_never_give_the_same_bytes(left: bytes, right: bytes) -> None:
    """Neither borders, types, names nor absence of parts can be confused."""
    assert left != right


def test_the_order_of_parts_does_not_matter() -> None:
    """Names decide, not the order in which a caller writes them."""
    assert bind("row", a="1", b="2") == bind("row", b="2", a="1")


def test_text_that_is_no_valid_unicode_is_encoded() -> None:
    """A lone surrogate gives bytes of its own instead of a crash."""
    assert bind("row", a="\ud800") != bind("row", a="?")


def test_the_encoding_never_changes() -> None:
    """What was sealed years ago is bound to these very bytes."""
    assert bind("row", b=b"\x00\xff", a="ä", n=7).hex() == (
        "766f696365617574682f310000000000000003726f7700000003"
        "00000000000000016173" + "0000000000000002c3a4"
        "00000000000000016262" + "000000000000000200ff"
        "00000000000000016e69" + "000000000000000137"
    )
