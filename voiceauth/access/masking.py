# SPDX-License-Identifier: Apache-2.0
"""Identifiers of people, made unreadable: for the eyes of a role, and for logs.

Rules:

* A masked identifier shows at most its last two characters, and not how long it is.
* In free text, whatever could be a telephone, card, account or national number is masked: runs of
  seven digits or more, however grouped, IBANs and mail addresses. It is better to mask a harmless
  number than to show one that is not.
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
_PATTERN = re.compile(
    r"""
    (?<![A-Za-z0-9])                                  # not inside a word, such as a hash in hex
    (?:
        [A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63})*   # mail address
      | [A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?             # IBAN
      | [A-Z]{1,6}[ ]?\d{2}(?:[ ]?\d{2}){2}[ ]?[A-Z]                            # letters around six
      | [A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]                                  # codice fiscale
      | [A-Z]{0,3}[+(]?\d(?:[ ().\-/]{0,2}\d){6,30}[A-Z]?                       # 7 digits or more
    )
    (?![A-Za-z0-9])
    """,
    re.VERBOSE,
)


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
    return _PATTERN.sub(lambda found: stand_in(found[0]), text)
