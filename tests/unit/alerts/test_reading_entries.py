# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest
from noted import entry, noted, somebody

from voiceauth.alerts.reading import (
    number,
    observed,
    shown_name,
    shown_pseudonym,
    text,
    value,
)
from voiceauth.alerts.where import fits, key_of


@pytest.mark.parametrize("body", ["", "{", "[1]", "null", "[" * 100_000])
def test_a_body_that_is_no_object_counts_as_empty(body: str) -> None:
    """A tampered entry cannot stop the rules."""
    assert observed(replace(entry(1, 0, "x"), body=body)).body == {}


def test_values_are_found_by_dotted_paths() -> None:
    """A path leads through objects, and to nothing where they end."""
    seen = noted(1, 0, "verify.verdict", liveness={"replay": {"state": "suspect"}}, decision="x")

    assert value(seen, "liveness.replay.state") == "suspect"
    assert value(seen, "decision.deeper") is None
    assert value(seen, "missing.path") is None
    assert (text(seen, "event"), text(seen, "tenant")) == ("verify.verdict", "bank")
    assert text(seen, "liveness") == ""


@pytest.mark.parametrize("odd", [True, "3", None, [3], float("nan"), float("inf"), 10**400])
def test_what_is_no_finite_number_is_none(odd: object) -> None:
    """Nothing can be computed from it, so nothing is."""
    assert number(noted(1, 0, "x", n=odd), "n") is None


def test_numbers_are_read() -> None:
    """Whole and broken numbers both count."""
    seen = noted(1, 0, "x", whole=3, broken=0.5)

    assert (number(seen, "whole"), number(seen, "broken")) == (3.0, 0.5)


@pytest.mark.parametrize(
    "hostile",
    [
        "a\nb",
        "+44 7700 900123",
        '"] evil="',
        "x" * 500,
        "\ud800",
        "<script>",
        somebody("a").upper(),
    ],
)
def test_what_is_no_pseudonym_is_shown_by_its_hash(hostile: str) -> None:
    """Nobody's number and no line break leaves the house as a name."""
    assert shown_pseudonym(hostile).startswith("unreadable-")
    assert len(shown_pseudonym(hostile)) == 27


def test_pseudonyms_and_names_are_shown_as_they_are() -> None:
    """What the engine made itself can be looked up in the ledger."""
    assert shown_pseudonym(somebody("anna")) == somebody("anna")
    assert (shown_pseudonym(""), shown_name("")) == ("", "")
    assert shown_name("bank-1.example") == "bank-1.example"
    assert shown_name("bank\n1").startswith("unreadable-")


def test_a_condition_needs_all_its_paths_and_any_of_its_values() -> None:
    """Conditions are alternatives; within one everything has to fit."""
    seen = noted(1, 0, "verify.verdict", decision="reject", reasons=["a", "b"], flag=True)

    assert fits(seen, [{"event": ("x",)}, {"event": ("verify.verdict",), "decision": ("reject",)}])
    assert not fits(seen, [{"event": ("verify.verdict",), "decision": ("accept",)}])
    assert fits(seen, [{"event": ("verify.verdict",), "reasons": ("b", "c")}])
    assert not fits(seen, [{"event": ("verify.verdict",), "reasons": ("c",)}])
    assert fits(seen, [{"event": ("verify.verdict",), "flag": (True,)}])
    assert not fits(seen, [{"event": ("verify.verdict",), "missing": ("x",)}])


def test_a_person_who_works_in_several_tenants_is_one_person() -> None:
    """Keys are apart by tenant, except those of principals and of the whole installation."""
    seen = noted(1, 0, "x", by=somebody("eve"), subject=somebody("anna"))

    assert key_of(seen, "by") == ("", somebody("eve"))
    assert key_of(seen, "subject") == ("bank", somebody("anna"))
    assert key_of(seen, "tenant") == ("bank", "")
    assert key_of(seen, "installation") == ("", "")
    assert key_of(seen, "number") is None
