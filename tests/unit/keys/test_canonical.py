# SPDX-License-Identifier: Apache-2.0
import pytest

from voiceauth.errors import InternalError
from voiceauth.keys.canonical import Form, bind


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


@pytest.mark.parametrize(
    "parts", [{}, {"a": "1"}, {"a": "1", "c": "2"}, {"a": "1", "b": "", "c": ""}]
)
def test_a_form_takes_the_parts_that_it_left_open_and_no_others(parts: dict[str, str]) -> None:
    """A row is never bound to less, or to other things, than it was sealed to."""
    with pytest.raises(InternalError):
        Form("row", frozenset({"a", "b"}), c=1).bind(**parts)


def test_a_form_has_no_part_twice() -> None:
    """A part is fixed or open."""
    with pytest.raises(InternalError):
        Form("row", frozenset({"a"}), a="1")


def test_a_form_can_be_filled_in_again() -> None:
    """Nothing of one set of parts is left in the next."""
    form = Form("row", frozenset({"a", "z"}), n=7)

    for first, last in (("long", b"values"), ("", b""), (b"x", "\ud800")):
        assert form.bind(a=first, z=last) == bind("row", a=first, z=last, n=7)
