# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceauth.access.denials import BURST, EVERY_SECONDS, MOST_SOURCES, DenialBook
from voiceauth.access.masking import (
    HIDDEN,
    masked_identifier,
    masked_text,
    passes_luhn,
    replaced_numbers,
)


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("", ""),
        ("4711", "****"),
        ("47115", "****"),
        ("471155", "****55"),
        ("+447700900123", "****23"),
    ],
)
def test_an_identifier_shows_at_most_its_end(identifier: str, expected: str) -> None:
    """Short ones show nothing, long ones two characters, and none its length."""
    assert masked_identifier(identifier) == expected


@given(st.text(min_size=1, max_size=128))
def test_no_identifier_shows_more_than_two_characters(identifier: str) -> None:
    """Whatever an identifier is made of, it cannot be read from its mask."""
    told = masked_identifier(identifier)

    assert told.startswith(HIDDEN)
    assert len(told) <= len(HIDDEN) + 2
    assert told.removeprefix(HIDDEN) in {"", identifier[-2:]}


NUMBERS = [
    "+44 7700 900123",
    "(0171) 234-5678",
    "0049 171/2345678",
    "555.123.4567",
    "4111111111111111",
    "4111 1111 1111 1111",
    "378282246310005",
    "078-05-1120",
    "QQ 12 34 56 C",
    "QQ123456C",
    "12345678Z",
    "X1234567L",
    "RSSMRA85T10A562S",
    "65 929 970 489",
    "DE89 3704 0044 0532 0130 00",
    "GB29NWBK60161331926819",
    "jo.doe+x@bank.example",
    "4111\u20131111\u20131111\u20131111",
    "4111\u00a01111\u00a01111\u00a01111",
    "4111_1111_1111_1111",
    "٤١١١١١١١١١١١١١١١",
    "811218+9876",
    "131052A308T",
    "131052-308T",
    "ABCDE1234F",
    "abcde1234f",
    "1234567FA",
    "1234567fa",
    "qq123456c",
    "rssmra85t10a562s",
    "RSSMRA85T10A56NS",
    "GARC850101HDFRRN09",
    "MORGA657054SM9IJ",
    "L01X00T47",
    "1 85 05 2A 123 456 78",
    "S1234567D",
    "123.456.789-09",
]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("around", ["{}", "caller {} rang", "vip:{}", "({})", "a, {}, b"])
def test_numbers_of_people_are_masked_in_free_text(number: str, around: str) -> None:
    """Telephone, card, account and national numbers and mail addresses do not get through."""
    told = masked_text(around.format(number))

    assert number not in told
    assert HIDDEN in told
    assert told.startswith(around.partition("{")[0].rstrip("("))


@pytest.mark.parametrize(
    "text",
    [
        "call4111111111111111x",
        "card:4111111111111111abc",
        "abc4111111111111111",
        "id4111-1111-1111-1111z",
        "tel447700900123home",
    ],
)
def test_numbers_that_are_glued_to_a_word_are_masked(text: str) -> None:
    """Neither a card number nor a telephone number hides within letters."""
    told = masked_text(text)

    assert HIDDEN in told
    assert not any(part in told for part in ("1111", "7700900"))


def test_a_check_digit_is_told_right_from_wrong() -> None:
    """ISO/IEC 7812-1: every single wrong digit shows."""
    right = "4111111111111111"
    assert passes_luhn(right)
    assert passes_luhn("378282246310005")
    assert passes_luhn("5555555555554444")  # a doubled five counts one
    for place in range(len(right)):
        wrong = right[:place] + str((int(right[place]) + 1) % 10) + right[place + 1 :]
        assert not passes_luhn(wrong)


@given(st.text("0123456789", min_size=12, max_size=18), st.text("ghijkz", max_size=3))
def test_no_card_number_gets_through_anywhere(stem: str, letters: str) -> None:
    """Whatever letters stand around a number with a right check digit, it is masked."""
    number = next(stem + str(one) for one in range(10) if passes_luhn(stem + str(one)))

    assert number not in masked_text(f"{letters}{number}{letters}")


@given(st.integers(2, 16).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)))
def test_hashes_stay_whole(hashed: bytes) -> None:
    """What the engine makes itself, in hexadecimal, is not cut up; only all digits is a number."""
    text = hashed.hex()
    if sum(one.isalpha() for one in text) > 5:
        assert masked_text(f"sha256 {text} of") == f"sha256 {text} of"


def test_a_hash_stays_whole_behind_a_word_that_ends_in_digits() -> None:
    """Digits of two words never make a card number, where one of them is a hash."""
    hashed = "000614161723644a" + 88 * "0" + "0a0a0ada"
    assert passes_luhn("256" + hashed[:15])

    assert masked_text(f"sha256 {hashed} of") == f"sha256 {hashed} of"


@pytest.mark.parametrize(
    "text",
    [
        "voiceauth-20260302T030000Z.vab",
        "kek-a1b2c3d4e5f60718",
        "vip",
        "night-shift 7",
        "floor 12, desk 345",
        "ab" * 32,
        "v1.2.3",
        "span 3.0 s",
        "2026",
    ],
)
def test_other_words_stay(text: str) -> None:
    """What cannot be somebody's number is left as it is."""
    assert masked_text(text) == text


def test_a_number_can_be_replaced_by_something_that_can_be_told_apart() -> None:
    """For logs, each number is replaced by what the caller makes of it."""
    told = replaced_numbers("a 5551234567 b 5557654321", lambda one: f"<{one[-1]}>")

    assert told == "a <7> b <1>"


def test_refusals_are_recorded_one_by_one_up_to_a_burst() -> None:
    """The first ones are all recorded, and nothing was withheld before them."""
    book = DenialBook()

    assert [book.admit("eve", 0.0) for _ in range(BURST)] == [0] * BURST
    assert book.admit("eve", 0.0) is None


def test_what_was_withheld_is_told_with_the_next_record() -> None:
    """A flood is counted, and its size stands in the entry that follows it."""
    book = DenialBook()
    for _ in range(BURST + 7):
        book.admit("eve", 0.0)

    assert book.admit("eve", EVERY_SECONDS) == 7
    assert book.admit("eve", EVERY_SECONDS) is None


def test_one_principals_flood_does_not_hide_another() -> None:
    """Each principal has a measure of its own, and it does not grow beyond the burst."""
    book = DenialBook()
    for _ in range(BURST + 1):
        book.admit("eve", 0.0)

    assert book.admit("mallory", 0.0) == 0
    assert [book.admit("mallory", 1e6) for _ in range(BURST)] == [0] * BURST
    assert book.admit("mallory", 1e6) is None


def test_a_flood_of_names_does_not_fill_the_memory() -> None:
    """Beyond a number of sources, all further ones are counted as one."""
    book = DenialBook()
    for number in range(MOST_SOURCES):
        book.admit(f"peer-{number}", 0.0)

    told = [book.admit(f"other-{number}", 0.0) for number in range(BURST + 1)]

    assert told == [0] * BURST + [None]


def test_twenty_refusals_are_recorded_and_one_more_every_ten_seconds() -> None:
    """The measure is the documented one, and so is the number of sources that are told apart."""
    assert (BURST, EVERY_SECONDS, MOST_SOURCES) == (20, 10.0, 1000)
    book = DenialBook()
    for _ in range(BURST):
        book.admit("eve", 0.0)

    assert book.admit("eve", 9.9) is None
    assert book.admit("eve", 10.0) == 1
    assert book.admit("eve", 19.9) is None
    assert book.admit("eve", 20.0) == 1


def test_a_grouped_card_number_that_is_glued_to_words_is_masked() -> None:
    """With its right check digit, wherever it stands; any other eight and eight may stay."""
    right, wrong = "order41111111 11111111xyz", "order41111111 11111112xyz"

    assert masked_text(right) == "order****xyz"
    assert masked_text(wrong) == wrong
    assert replaced_numbers(right, lambda found: f"<{found}>") == "order<41111111 11111111>xyz"


def test_a_hash_stays_whole_before_digits() -> None:
    """Digits at its end and the next ones make no card number, whatever their check digit."""
    tails = (f"{number:013}" for number in range(10_000_000_000, 10_000_000_100))
    tail = next(one for one in tails if passes_luhn(one + "256"))
    hashed = "abcdefabcdefabcdefa" + tail

    assert masked_text(f"{hashed} 256 x") == f"{hashed} 256 x"


def test_a_card_number_beside_a_hash_is_masked() -> None:
    """A hash protects its own digits, and not those of its neighbours."""
    hashed = "abcdef00" * 8

    assert masked_text(f"order41111111 11111111xyz {hashed}") == f"order****xyz {hashed}"
    assert masked_text(f"{hashed} order41111111 11111111xyz") == f"{hashed} order****xyz"
