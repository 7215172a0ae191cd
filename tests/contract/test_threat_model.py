# SPDX-License-Identifier: Apache-2.0
"""docs/threat-model.md speaks about every room and every kind of threat, and its tests exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
NODE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ROW = re.compile(r"^\| ([STRIDE]) \| (.+) \| (.+) \|$", re.MULTILINE)
ABSENT = re.compile(r"^Not here: ([STRIDE](?:, [STRIDE])*)\. \S.+", re.MULTILINE)
PREAMBLE = "What is protected"


def sections() -> dict[str, str]:
    """Return the text of each section about rooms, by its heading."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    return {name: text for name, text in found.items() if not name.startswith(PREAMBLE)}


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the names of the tests in a file; none for a file that is not there."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


def test_every_room_is_looked_at() -> None:
    """A room of the house without a section would be one that nobody has thought about."""
    named = {room for heading in sections() for room in heading.split(", ")}
    house = {
        path.stem
        for path in (ROOT / "voiceauth").iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or path.is_dir())
    }

    assert named == house | {"v1"}  # generated


@pytest.mark.parametrize("room", sections())
def test_every_kind_of_threat_is_spoken_about(room: str) -> None:
    """Each letter has a threat, or it is said why there is none; and none has both."""
    text = sections()[room]
    threats = {letter for letter, _, _ in ROW.findall(text)}
    absent = {letter for line in ABSENT.findall(text) for letter in line.split(", ")}

    assert threats | absent == set("STRIDE")
    assert not threats & absent


@pytest.mark.parametrize("room", sections())
def test_every_threat_has_a_test_or_says_that_it_has_none(room: str) -> None:
    """Whatever could happen is covered by a test that is named, or plainly not covered."""
    for _, threat, cover in ROW.findall(sections()[room]):
        assert NODE.search(cover) or cover.startswith("not covered"), threat


def test_every_row_is_read() -> None:
    """A row that the pattern misses would be checked by nobody."""
    rows = [line for line in PAGE.splitlines() if re.match(r"^\| [A-Z] \|", line)]

    assert len(rows) == len(ROW.findall(PAGE)) > 100


def test_every_test_that_is_named_is_there() -> None:
    """A test that was renamed or removed takes its threat's cover with it."""
    gone = [f"{path}::{name}" for path, name in NODE.findall(PAGE) if name not in names_in(path)]

    assert gone == []


def test_a_test_that_is_not_there_would_be_found() -> None:
    """The check itself finds a wrong name and a wrong file."""
    assert "test_no_such_thing" not in names_in("tests/contract/test_threat_model.py")
    assert names_in("tests/contract/test_no_such_file.py") == frozenset()
