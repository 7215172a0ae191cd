# SPDX-License-Identifier: Apache-2.0
"""The documents say what is there: commands, options, targets, files and settings."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from voiceauth.cli.app import app
from voiceauth.cli.reference import reference
from voiceauth.config import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(voiceauth [^`]+)`")


def blocks(path: Path, language: str) -> Iterator[str]:
    """Yield the code blocks of a document in a language."""
    for found in BLOCK.finditer(path.read_text(encoding="utf-8")):
        if found[1] == language:
            yield found[2]


def shell_lines(path: Path) -> Iterator[str]:
    """Yield what a reader could type: lines of plain blocks, and inline voiceauth commands."""
    for block in blocks(path, ""):
        yield from block.replace("\\\n", " ").splitlines()
    yield from INLINE.findall(path.read_text(encoding="utf-8"))


def voiceauth_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the document and the words after ``voiceauth`` of every command shown."""
    for path in DOCUMENTS:
        for line in shell_lines(path):
            for part in line.split("#")[0].split("|"):
                words = shlex.split(part)
                if words[:1] == ["voiceauth"] and "…" not in part:
                    yield path.name, words[1:]


def problem(words: list[str]) -> str | None:
    """Say what is wrong with a command line, without running it."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    if rest[:1] == ["train"] and not hasattr(command.commands["train"], "commands"):
        return None  # its commands need the train extra
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            known = {name: one for one in command.params for name in one.opts}
            if word not in known and word != "--help":
                return f"no option {word}"
            if word != "--help" and not known[word].is_flag:
                rest.pop(0)
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return f"no command {word}"
            command = command.commands[word]
        elif word == ">":
            return None
    return None


@pytest.mark.parametrize(("document", "words"), list(voiceauth_commands()))
def test_every_command_in_the_documents_exists(document: str, words: list[str]) -> None:
    """A reader can type what is written: the command and each of its options are there."""
    assert problem(words) is None, document


def test_a_command_that_is_not_there_would_be_found() -> None:
    """The check itself finds a wrong command and a wrong option."""
    assert problem(["subjects", "make"]) == "no command make"
    assert problem(["verify", "a.wav", "--speed"]) == "no option --speed"


def test_the_documents_show_commands() -> None:
    """The parser finds what it is there to check."""
    assert len(list(voiceauth_commands())) > 20


def test_every_make_target_in_the_documents_exists() -> None:
    """``make demo`` and the others are targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set()
    for path in DOCUMENTS:
        lines = [*shell_lines(path), *re.findall(r"`(make [^`]+)`", path.read_text("utf-8"))]
        for line in lines:
            if line.startswith("make "):
                words = line.split("#")[0].split()[1:]
                named |= {word for word in words if "=" not in word}

    assert named - targets == set()
    assert {"demo", "test"} <= named


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(path: Path) -> None:
    """Paths into the repository lead somewhere."""
    text = path.read_text(encoding="utf-8")
    pattern = r"`((?:docs|tests|voiceauth|proto|benchmarks|models|deploy|\.ci)/[\w./-]*)`"
    missing = [name for name in re.findall(pattern, text) if not (ROOT / name).exists()]

    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_the_documents_is_python(path: Path) -> None:
    """A code example parses, and imports only names that exist."""
    for block in blocks(path, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = __import__(node.module or "", fromlist=["*"])
                assert [one.name for one in node.names if not hasattr(module, one.name)] == []


def test_the_configuration_reference_is_up_to_date() -> None:
    """docs/configuration.md is what ``make docs`` would write now."""
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == reference()


def test_the_configuration_reference_has_every_setting() -> None:
    """No section and no setting is left out."""
    text = reference()
    for section, field in Settings.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {section: field})
        for name in inner:
            assert f"`{name}`" in text or f"[{name}.NAME]" in text


def test_an_empty_list_is_written_as_one() -> None:
    """A default that is no path and no number is shown as it would stand in the file."""
    rows = {row.split("|")[1].strip(): row for row in reference().splitlines() if "|" in row}

    assert "| `[]` |" in rows["`require_liveness`"]
    assert "| `[]` |" in rows["`watchlists`"]
    assert "~/.local/share/voiceauth" in rows["`data_dir`"]


def test_the_changelog_has_the_version() -> None:
    """Every release, and what is being prepared, has an entry."""
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
