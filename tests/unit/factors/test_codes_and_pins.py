# SPDX-License-Identifier: Apache-2.0
import pytest

from voiceauth.errors import IntegrityError, WeakPinError
from voiceauth.factors.codes import code_hash, is_code, new_code
from voiceauth.factors.pin import PinCost, PinHasher, check_pin
from voiceauth.testing.fakes import FakeRandom

KEY = b"k" * 32
CHEAP = PinCost(passes=1, memory_kib=8)


class Draws:
    """A ``ports.Random`` with given draws."""

    def __init__(self, *draws: bytes) -> None:
        self._draws = list(draws)

    def token(self, size: int) -> bytes:
        """Return the next draw."""
        assert size == 4
        return self._draws.pop(0)


def test_codes_are_six_digits_also_with_leading_zeros() -> None:
    """Every code has six digits, and they differ."""
    codes = {new_code(FakeRandom(seed)) for seed in range(50)}

    assert all(len(code) == 6 and code.isdecimal() for code in codes)
    assert len(codes) == 50
    assert new_code(Draws(b"\x00\x00\x00\x07")) == "000007"


def test_no_code_is_likelier_than_another() -> None:
    """A draw beyond the last whole million is thrown away."""
    assert new_code(Draws(b"\xff\xff\xff\xff", b"\x00\x0f\x42\x41")) == "000001"


def test_a_code_is_bound_to_its_step_up() -> None:
    """The same digits of another step-up, or under another key, are wrong."""
    kept = code_hash(KEY, "one", "123456")

    assert is_code(KEY, "one", "123456", kept)
    assert not is_code(KEY, "two", "123456", kept)
    assert not is_code(b"x" * 32, "one", "123456", kept)
    assert not is_code(KEY, "one", "123457", kept)
    assert "123456" not in kept


def test_without_a_code_none_is_right() -> None:
    """An empty hash is no hash of anything."""
    assert not is_code(KEY, "one", "", "")


def test_a_pin_is_kept_as_argon2id_and_bound_to_its_owner() -> None:
    """The right PIN of somebody else is wrong, and so is the same vault without its secret."""
    pins = PinHasher(KEY, CHEAP)
    kept = pins.hash("anna", "802741")

    assert kept.startswith("$argon2id$")
    assert pins.matches("anna", "802741", kept)
    assert not pins.matches("anna", "802742", kept)
    assert not pins.matches("bert", "802741", kept)
    assert not PinHasher(b"x" * 32, CHEAP).matches("anna", "802741", kept)


def test_a_pin_that_nobody_enrolled_is_wrong_at_the_same_cost() -> None:
    """Where there is none, one is checked all the same."""
    pins = PinHasher(KEY, CHEAP)

    assert not pins.matches("anna", "802741", None)
    assert not pins.matches("", "no PIN is like this", None)


def test_a_damaged_hash_decides_nothing() -> None:
    """What is no hash of ours is a fault, not a wrong PIN."""
    with pytest.raises(IntegrityError):
        PinHasher(KEY, CHEAP).matches("anna", "802741", "$argon2id$nonsense")


def test_a_pin_costs_what_an_attacker_should_pay() -> None:
    """By default two passes over 19 MiB."""
    assert (PinCost().passes, PinCost().memory_kib) == (2, 19_456)


@pytest.mark.parametrize("pin", ["802741", "739105", "80274193", "908172635401"])
def test_a_good_pin_is_taken(pin: str) -> None:
    """Nothing about these is guessed first."""
    check_pin(pin, least_digits=6, known=("4711", "anna"))


@pytest.mark.parametrize(
    "pin",
    [
        "",
        "80274",
        "8027419306152",
        "80274a",
        "８０２７４１",  # noqa: RUF001 - other digits of Unicode
        "000000",
        "121212",
        "123456",
        "987654",
        "890123",
        "246802",
        "123123",
        "808080",
        "112233",
        "159753",
        "471180",
        "804711",
    ],
)
def test_a_weak_pin_is_refused(pin: str) -> None:
    """Too short, too long, no digits, few digits, steps, repetitions, and what is known of one."""
    with pytest.raises(WeakPinError):
        check_pin(pin, least_digits=6, known=("4711",))


def test_a_pin_inside_what_is_known_is_refused() -> None:
    """The end of the customer number is the first thing that anybody tries."""
    with pytest.raises(WeakPinError):
        check_pin("802741", least_digits=6, known=("DE-9802741",))
