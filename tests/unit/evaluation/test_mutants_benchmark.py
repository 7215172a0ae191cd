# SPDX-License-Identifier: Apache-2.0
import ast
from pathlib import Path

import pytest
from mutants import listed, naming, own_tests
from mutation.operators import mutants, unchanged


def names(source: str) -> list[str]:
    """Return the names of all mutants of a module."""
    return [one.name for one in mutants(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b < c", ["b < c -> b <= c", "b < c -> b >= c"]),
        ("a = b in c", ["b in c -> b not in c"]),
        ("a = 0 < b <= 1", ["0 < b <= 1 -> 0 <= b <= 1", "0 < b <= 1 -> 0 < b < 1"]),
        ("a = b and c", ["b and c -> b or c"]),
        ("a = not b", ["not b -> b"]),
        ("a = b + c", ["b + c -> b - c"]),
        ("a = True", ["True -> False"]),
        ("a = b'x'", ["b'x' -> b'xX'"]),
        ("a = b if c else d", ["b if c else d -> d if c else b"]),
        ("a = max(b, c)", ["max(b, c) -> min(b, c)", "max(b, c) without c"]),
        ("a = f(b=c)", ["f(b=c) without b=c"]),
        ("a = [b]", ["[b] without b"]),
        ("a = {b: c}", ["{b: c} without b"]),
        ("a = [b for b in c if d]", ["(_ for b in c if d) without d"]),
        ("if a:\n    b = c", ["if a: -> if False:", "if a: -> if True:"]),
        ("raise a", ["raise a -> pass"]),
        ("f(a)", ["f(a) -> pass"]),
        ("a += b", ["a += b -> pass", "a += b -> a -= b"]),
    ],
)
def test_what_decides_is_changed(source: str, expected: list[str]) -> None:
    """Each kind of fault is put where it can be put."""
    assert set(expected) <= {name.removeprefix("module: ") for name in names(source)}


@pytest.mark.parametrize(
    "source",
    [
        '"""What a module is for."""',
        "def f(a: 'int' = b) -> 'str':\n    '''Docstring.'''",
        "@decorated(frozen=True)\nclass A:\n    pass",
        "a, b = c",
        "def f():\n    return None",
    ],
)
def test_what_only_people_read_is_left_alone(source: str) -> None:
    """Prose, annotations and decorators are no faults."""
    assert names(source) == []


def test_an_errors_sentence_is_left_alone_and_its_detail_is_not() -> None:
    """The detail is searched for by programs; the sentence is for people."""
    assert names("raise E('Told to people.', detail='word')") == [
        "module: raise E('Told to people.', detail='word') -> pass",
        "module: 'word' -> 'wordX'",
    ]


def test_a_mutant_differs_in_one_place_and_can_be_compiled() -> None:
    """Each is a whole module with one change, and the source is as it was."""
    source = "def f(a):\n    if a < 3:\n        return [1, a]\n    return 2\n"
    trees = [ast.unparse(one.tree) for one in mutants(source)]

    assert len(set(trees)) == len(trees) > 8
    assert ast.unparse(unchanged(source).tree) not in trees
    for one in mutants(source):
        compile(one.tree, "f.py", "exec")


def test_equal_changes_in_one_function_have_numbers() -> None:
    """A list of equivalent mutants can say which one it means."""
    assert names("a = 1\nb = 1") == ["module: 1 -> 2", "module: 1 -> 2 #2"]


def test_names_do_not_depend_on_the_line() -> None:
    """Code that moves keeps the names of its mutants."""
    assert names("a = 1") == names("\n\na = 1")


def test_the_tests_that_name_a_module_come_first() -> None:
    """They find most; the others are tried only then."""
    first = {one.name for one in naming(own_tests("access"), "voiceauth.access.tokens")}

    assert "test_tokens.py" in first
    assert "test_masking_and_denials.py" not in first


def test_listed_mutants_are_read_from_the_page() -> None:
    """Each line of the table names a file of a room that is there."""
    root = Path(__file__).resolve().parents[3]
    for file, name in listed():
        assert (root / file).is_file()
        assert ": " in name
