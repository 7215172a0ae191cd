# SPDX-License-Identifier: Apache-2.0
"""Identifiers of people, made unreadable: for the eyes of a role, and for logs.

Rules:

* A masked identifier shows at most its last two characters, and not how long it is.
* In free text, whatever could be a telephone, card, account or national number is masked: runs of
  seven digits or more, however grouped, IBANs, mail addresses, national numbers that mix letters
  and digits, and words in capitals with four digits or more. It is better to mask a harmless number
  than to show one that is not.
* A card number (13 to 19 digits with a right check digit, ISO/IEC 7812) is masked wherever it
  stands, and so are nine digits or more that are glued to a word. Long words of hexadecimal digits
  alone, such as hashes and key ids, are the engine's own and stay.
* Masking is one way; what has to be told apart later is replaced by a keyed hash instead.

Example:
    >>> masked_identifier("+44 7700 900123")
    '****23'
    >>> masked_text("call +44 7700 900123 back")
    'call **** back'
"""

import re
from collections.abc import Callable

HIDDEN = "****"
_SHOWN = 2
_LEAST_TO_SHOW = 6
_GAP = r"[ ().\-/_+\u00a0\u00b7\u2007\u2009\u2010-\u2015\u202f\u2212]{0,2}"
"""What people write between the digits of one number."""
_PATTERN = re.compile(
    rf"""
    (?<![A-Za-z0-9])                                  # not inside a word, such as a hash in hex
    (?:
        [A-Za-z0-9._%+\-]{{1,64}}@[A-Za-z0-9\-]{{1,63}}(?:\.[A-Za-z0-9\-]{{1,63}})*  # mail address
      | [A-Z]{{2}}\d{{2}}(?:[ ]?[A-Z0-9]{{4}}){{2,7}}(?:[ ]?[A-Z0-9]{{1,3}})?         # IBAN
      | (?i:[A-Z]{{1,6}}[ ]?\d{{2}}(?:[ ]?\d{{2}}){{2}}[ ]?[A-Z])    # letters around six, as in GB
      | (?i:[A-Z]{{6}}[0-9L-NP-V]{{2}}[A-Z][0-9L-NP-V]{{2}}[A-Z][0-9L-NP-V]{{3}}[A-Z])  # IT
      | (?i:\d{{6}}[+\-A-FU-Y]\d{{3}}[0-9A-Y])                      # FI, SE
      | (?i:[A-Z]{{5}}\d{{4}}[A-Z])                                  # IN
      | (?i:[12][ ]?\d{{2}}[ ]?\d{{2}}[ ]?2[AB](?:[ ]?\d{{3}}){{2}}(?:[ ]?\d{{2}})?)  # FR, Corsica
      | (?!\d{{8}}T\d{{6}}Z)(?=(?:[A-Z]*\d){{4}})[A-Z0-9]{{8,20}}     # passports, licences, MX, …
      | (?i:[A-Z]{{0,3}})[+(]?\d(?:{_GAP}\d){{6,30}}(?i:[A-Z]{{0,2}})  # 7 digits or more
    )
    (?![A-Za-z0-9])
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"[A-Za-z0-9]+")
_HEX = re.compile(r"(?:[0-9a-fA-F]{8}){2,}\Z")
_GLUED = re.compile(r"\d{9,}")
_CARD = re.compile(rf"\d(?:{_GAP}\d){{12,18}}")
_DIGITS = re.compile(r"\d")


def masked_identifier(identifier: str) -> str:
    """Return what is left of an identifier for who may not read it; empty stays empty."""
    if not identifier:
        return ""
    shown = identifier[-_SHOWN:] if len(identifier) >= _LEAST_TO_SHOW else ""
    return HIDDEN + shown


def masked_text(text: str) -> str:
    """Return free text without the numbers that could name somebody."""
    return replaced_numbers(text, lambda _: HIDDEN)


def replaced_numbers(text: str, stand_in: Callable[[str], str]) -> str:
    """Return free text with each number that could name somebody replaced."""
    text = _PATTERN.sub(lambda found: stand_in(found[0]), text)
    text = _CARD.sub(
        lambda found: stand_in(found[0]) if _is_card(found) else found[0],
        text,
    )
    return _WORD.sub(
        lambda word: (
            word[0]
            if _HEX.match(word[0])
            else _GLUED.sub(lambda found: stand_in(found[0]), word[0])
        ),
        text,
    )


def _is_card(found: re.Match[str]) -> bool:
    """Whether a run of digits has a card's check digit and is no part of a hash."""
    start, end = found.span()
    touched = (word for word in _WORD.finditer(found.string) if word.end() > start)
    for word in touched:
        if word.start() >= end:
            break
        if (word.start() < start or word.end() > end) and _HEX.match(word[0]):
            return False
    return passes_luhn("".join(_DIGITS.findall(found[0])))


def passes_luhn(digits: str) -> bool:
    """Return whether the last of some decimal digits is their check digit (ISO/IEC 7812-1)."""
    doubled = [int(one) * (2 if place % 2 else 1) for place, one in enumerate(reversed(digits))]
    return sum(one // 10 + one % 10 for one in doubled) % 10 == 0
