# SPDX-License-Identifier: Apache-2.0
import json
from datetime import UTC, datetime

import pytest

from voiceauth.cli.render import bar, false_match_text, llr_text, plain, rate_text
from voiceauth.types import (
    Consent,
    Decision,
    GroupName,
    Score,
    Subject,
    SubjectId,
    SubjectState,
    TenantId,
)


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.25, "25.0 %"), (0.01, "1.0 %"), (0.0042, "0.42 %"), (0.0001, "0.010 %"), (None, "-")],
)
def test_rates_are_written_in_percent(rate: float | None, text: str) -> None:
    """A rate keeps two or three figures, however small it is."""
    assert rate_text(rate) == text


def test_a_rate_at_the_tables_floor_says_so() -> None:
    """The smallest supported rate is an upper bound, and is shown as one."""
    score = Score(0.7, 6.0, 0.0005, 0.4, floor_reached=True)

    assert false_match_text(score) == "≤ 0.050 %"


def test_no_support_is_shown_as_nothing() -> None:
    """A score outside the tables shows no number."""
    score = Score(0.7, None, None, None)

    assert (llr_text(score), false_match_text(score), llr_text(None)) == ("-", "-", "-")


@pytest.mark.parametrize(("have", "filled"), [(0.0, 0), (5.0, 5), (10.0, 10), (25.0, 10)])
def test_the_bar_is_never_longer_than_itself(have: float, filled: int) -> None:
    """The bar shows the share that is there, and stops at full."""
    drawn = bar(have, 10.0, cells=10)

    cyan = sum(span.end - span.start for span in drawn.spans if span.style == "cyan")
    assert (len(drawn.plain), cyan) == (10, filled)


def test_a_subject_becomes_json() -> None:
    """Enums, times and sets become what JSON can hold, and nothing is lost."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    subject = Subject(
        tenant=TenantId("t"),
        subject=SubjectId("s"),
        state=SubjectState.ACTIVE,
        created_at=at,
        groups=frozenset({GroupName("b"), GroupName("a")}),
        consent=Consent("0" * 64, "authentication", "en", "spoken", at),
    )

    told = json.loads(json.dumps(plain(subject)))

    assert told["state"] == "active"
    assert told["groups"] == ["a", "b"]
    assert told["consent"]["given_at"] == "2026-01-02T03:04:05+00:00"


def test_keys_and_infinities_become_json() -> None:
    """Enum keys are written by value, and numbers that JSON lacks as null."""
    assert plain({Decision.ACCEPT: float("inf"), "b": b"\x01"}) == {"accept": None, "b": "01"}
