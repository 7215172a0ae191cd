# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceauth.errors import TagMismatchError
from voiceauth.keys.canonical import Form, bind
from voiceauth.keys.envelope import open_sealed, seal
from voiceauth.testing.fakes import FakeRandom

KEYS = st.binary(min_size=32, max_size=32)
NAMES = st.text(st.characters(exclude_categories=()), max_size=4)
VALUES = st.one_of(NAMES, st.binary(max_size=4), st.integers())
PARTS = st.tuples(NAMES, st.dictionaries(NAMES, VALUES, max_size=3))


@given(key=KEYS, plain=st.binary(max_size=300), place=st.binary(max_size=40), seed=st.integers())
def test_what_is_sealed_opens(key: bytes, plain: bytes, place: bytes, seed: int) -> None:
    """Sealing loses nothing, for any key, plaintext and place."""
    assert open_sealed(key, seal(key, plain, place, FakeRandom(seed)), place) == plain


@given(key=KEYS, plain=st.binary(max_size=60), data=st.data())
def test_no_change_opens(key: bytes, plain: bytes, data: st.DataObject) -> None:
    """A change of any byte to any other value is refused."""
    sealed = seal(key, plain, b"place", FakeRandom())
    at = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda value: value != sealed[at]))

    with pytest.raises(TagMismatchError):
        open_sealed(key, sealed[:at] + bytes([other]) + sealed[at + 1 :], b"place")


@given(key=KEYS, junk=st.binary(max_size=200))
def test_junk_does_not_open(key: bytes, junk: bytes) -> None:
    """Bytes that were never sealed raise TagMismatchError and nothing else."""
    with pytest.raises(TagMismatchError):
        open_sealed(key, junk, b"place")


@given(
    kind=NAMES,
    fixed=st.dictionaries(NAMES, VALUES, max_size=4),
    left_open=st.dictionaries(NAMES, st.one_of(NAMES, st.binary(max_size=4)), max_size=4),
)
def test_a_form_gives_the_same_bytes(
    kind: str, fixed: dict[str, str | bytes | int], left_open: dict[str, str | bytes]
) -> None:
    """Which parts were fixed beforehand cannot be seen."""
    rest = {name: value for name, value in fixed.items() if name not in left_open}
    form = Form(kind, frozenset(left_open), **rest)

    assert form.bind(**left_open) == bind(kind, **rest, **left_open)


@given(left=PARTS, right=PARTS)
def test_the_encoding_is_injective(
    left: tuple[str, dict[str, str | bytes | int]], right: tuple[str, dict[str, str | bytes | int]]
) -> None:
    """Two sets of parts give the same bytes exactly if they are the same."""
    same = left[0] == right[0] and _typed(left[1]) == _typed(right[1])

    assert (bind(left[0], **left[1]) == bind(right[0], **right[1])) is same


def _typed(parts: dict[str, str | bytes | int]) -> dict[str, tuple[str, object]]:
    return {name: (type(value).__name__, value) for name, value in parts.items()}
